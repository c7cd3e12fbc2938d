#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "bpf/assembler.hpp"
#include "check/findings.hpp"
#include "ppc64/operand.hpp"
#include "tests/check/words.hpp"

namespace farcall::check::layout_test {
namespace {

using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

using tests::branch;
using tests::kBlr;
using tests::kMain;
using tests::kNop;
constexpr std::uint32_t kMflrR12 = 0x7d8802a6;

// ld r12,BYTES(r12)
constexpr std::uint32_t load(std::int32_t bytes) {
  return 0xe98c0000U | (static_cast<std::uint32_t>(bytes) & 0xfffcU);
}

bpf::Program program() {
  return bpf::assemble("mov %r0, 1\nexit\n", {"layout", 1, 1}).value();
}

// mov, exit and the epilogue.
model::CodeImage image(GuestAddress at = kMain) {
  return {.functions = {{.name = "main",
                         .address = at,
                         .words = {kNop, kNop, kBlr},
                         .lines = {{0, 1}, {1, 2}, {2, 2}}}},
          .entry = at};
}

// Data of two words, and a stub that reads it and goes back to word 1.
model::CodeImage with_stub(GuestAddress at) {
  model::CodeImage made = image(at);
  model::CodeFunction& main = made.functions[0];
  main.words.insert(main.words.end(),
                    {0, 0, ppc64::kReadOwnAddress, kMflrR12, load(-12), branch(-7)});
  main.stub_words = 6;
  return made;
}

Findings findings(const model::CodeImage& of) {
  return layout_findings(program(), of);
}

TEST(Layout, CodeThatEndsWithItsLastReturnIsNoFinding) {
  EXPECT_THAT(findings(image()), IsEmpty());
}

TEST(Layout, WordsThatNothingLeadsToAreFound) {
  model::CodeImage stale = image();
  stale.functions[0].words.insert(stale.functions[0].words.end(), {kNop, kBlr});
  const Findings found = findings(stale);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].code, ErrorCode::code_size);
  EXPECT_THAT(found[0].text, HasSubstr("the last 2 words of main, from c00000000001000c on"));
  EXPECT_EQ(reached_end(stale.functions[0]), 3U);
}

TEST(Layout, WhatABranchLeadsToIsPartOfTheCode) {
  model::CodeImage far_exit = image();
  far_exit.functions[0].words = {kNop, branch(2), kBlr, kNop, kBlr};
  EXPECT_THAT(findings(far_exit), IsEmpty());
}

TEST(Layout, WithoutALineTableNothingIsSaidOfTheEnd) {
  model::CodeImage untold = image();
  untold.functions[0].lines.clear();
  untold.functions[0].words.insert(untold.functions[0].words.end(), {kNop, kBlr});
  EXPECT_THAT(findings(untold), IsEmpty());
}

TEST(Layout, TheLastPassHasTheSizeOfTheCode) {
  model::CodeImage shrunk = image();
  shrunk.functions[0].pass_words = {5, 4};
  EXPECT_THAT(findings(shrunk), ElementsAre(Field(&model::Finding::code, ErrorCode::code_size)));
}

TEST(Layout, DataOfStubsIsAlignedWhereItLies) {
  // The data begins after three words: aligned only in a function that is not.
  EXPECT_THAT(findings(with_stub(kMain + 4)), IsEmpty());
  const Findings found = findings(with_stub(kMain));
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].code, ErrorCode::code_data_misaligned);
  EXPECT_THAT(found[0].text, HasSubstr("reads a doubleword at c00000000001000c"));
}

TEST(Layout, AStubGoesBackIntoItsFunction) {
  model::CodeImage astray = with_stub(kMain + 4);
  // To another word of the stubs, to a word before the function, and to words of the code that do not
  // come after the one that a call of the stub takes the place of.
  for (const std::int32_t words : {-2, -9, -8, -6}) {
    astray.functions[0].words.back() = branch(words);
    EXPECT_THAT(findings(astray),
                ElementsAre(Field(&model::Finding::code, ErrorCode::code_branch_elsewhere)))
        << words;
  }
}

TEST(Layout, AStubThatCodeLeadsToMayGoAnywhereInItsFunction) {
  model::CodeImage thunk = with_stub(kMain + 4);
  thunk.functions[0].words[0] = branch(5);
  thunk.functions[0].words.back() = branch(-6);
  EXPECT_THAT(findings(thunk), IsEmpty());
}

}  // namespace
}  // namespace farcall::check::layout_test

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "check/kernel_findings.hpp"

namespace farcall::check::kernel_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr GuestAddress kMemory = {0xc008'0000'0054'0000};

std::vector<bpf::MemoryRegion> memory(unsigned char last) {
  return {{.name = "mem", .address = kMemory, .bytes = std::vector<std::byte>(9, std::byte{last})}};
}

Interpretation interpreted() {
  Interpretation source;
  source.run.r0 = 0xffff'ffff'0000'006f;
  source.memory = memory(7);
  return source;
}

KernelRun run() {
  return {.engine = "the kernel's JIT", .result = 0x6f, .memory = memory(7), .symbols = {}};
}

std::vector<ErrorCode> codes(const KernelRun& of, const Interpretation& source = interpreted(),
                             const model::Cell& cell = {}) {
  std::vector<ErrorCode> all;
  for (const model::Finding& finding : kernel_findings(cell, source, of)) {
    all.push_back(finding.code);
  }
  return all;
}

TEST(KernelFindings, ARunThatAgreesIsNone) {
  EXPECT_THAT(codes(run()), IsEmpty());
}

TEST(KernelFindings, TheLowerHalfOfR0Counts) {
  KernelRun other = run();
  other.result = 0x6e;
  EXPECT_THAT(codes(other), ElementsAre(ErrorCode::result_mismatch));
  model::Cell cell;
  cell.expected.no_result = true;
  EXPECT_THAT(codes(other, interpreted(), cell), IsEmpty());
  Interpretation undefined = interpreted();
  undefined.run.undefined_result = Error{.code = ErrorCode::case_undefined_value, .message = "r0"};
  EXPECT_THAT(codes(other, undefined), IsEmpty());
  Interpretation pointer = interpreted();
  pointer.run.r0_frame = 1;  // where the stack lies is nobody's business
  EXPECT_THAT(codes(other, pointer), IsEmpty());
}

TEST(KernelFindings, EachByteOfMemoryCountsButPointersIntoTheStack) {
  KernelRun other = run();
  other.memory[0].bytes.own()[3] = std::byte{8};
  EXPECT_THAT(codes(other), ElementsAre(ErrorCode::memory_mismatch));
  Interpretation pointer = interpreted();
  pointer.run.stack_pointers = {{.at = kMemory, .frame = 1}};
  EXPECT_THAT(codes(other, pointer), IsEmpty());
  other.memory[0].bytes.own()[8] = std::byte{8};
  EXPECT_THAT(codes(other, pointer), ElementsAre(ErrorCode::memory_mismatch));
}

TEST(KernelFindings, MemoryThatIsNotToldOfIsNotTheSame) {
  KernelRun other = run();
  other.memory.clear();
  EXPECT_THAT(codes(other), ElementsAre(ErrorCode::memory_mismatch));
}

TEST(KernelFindings, ASymbolOfAnotherNameIsFound) {
  KernelRun other = run();
  other.symbols = {{.function = "main", .expected = "bpf_prog_1_main", .seen = "bpf_prog_1_main"},
                   {.function = "f", .expected = "bpf_prog_2_F", .seen = "bpf_prog_3_F"}};
  const auto found = kernel_findings({}, interpreted(), other);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].code, ErrorCode::symbol_mismatch);
  EXPECT_THAT(found[0].text, HasSubstr("call f bpf_prog_2_F; it calls it bpf_prog_3_F"));
}

TEST(KernelFindings, ALogThatTellsOfADefectIsOne) {
  KernelRun other = run();
  other.trouble = "WARNING: CPU: 0 PID: 1 at arch/powerpc/net/x.c:68";
  EXPECT_THAT(codes(other), ElementsAre(ErrorCode::jit_warned));
}

TEST(VerifierFindings, ARejectionWithTheWordsOfTheCaseIsNone) {
  model::Cell cell{.case_path = "deep.case"};
  cell.expected.rejection = {.text = "9 frames", .line = 4};
  const VerifierRun rejected{
      .rejected = true, .log = "the call stack of 9 frames is too deep\n", .reason = "too deep"};
  EXPECT_THAT(verifier_findings(cell, rejected), IsEmpty());

  const auto accepted = verifier_findings(cell, {});
  ASSERT_EQ(accepted.size(), 1U);
  EXPECT_EQ(accepted[0].code, ErrorCode::verifier_mismatch);
  EXPECT_EQ(accepted[0].text,
            "expected the kernel's verifier to reject the program with '9 frames' in its log; it "
            "accepts it");
  EXPECT_EQ(accepted[0].where, (SourceLocation{.file = "deep.case", .line = 4}));

  cell.expected.rejection->text = "10 frames";
  const auto otherwise = verifier_findings(cell, rejected);
  ASSERT_EQ(otherwise.size(), 1U);
  EXPECT_EQ(otherwise[0].code, ErrorCode::verifier_mismatch);
  EXPECT_THAT(otherwise[0].text, HasSubstr("it rejects it otherwise: too deep"));
}

TEST(VerifierFindings, WhatIsRefusedWithoutItsWordsIsNotRejectedByIt) {
  model::Cell cell;
  cell.expected.rejection = {.text = ""};
  EXPECT_THAT(verifier_findings(cell, {.rejected = true, .log = "any", .reason = "any"}),
              IsEmpty());
  const auto found = verifier_findings(cell, {.rejected = true, .log = "", .reason = "EPERM"});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0].text, HasSubstr("without its words the kernel refuses it: EPERM"));
}

}  // namespace
}  // namespace farcall::check::kernel_test

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bpf/assembler.hpp"
#include "check/findings.hpp"
#include "tests/check/words.hpp"

namespace farcall::check::flow_test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

using tests::branch;
using tests::kBlr;
using tests::kMain;
using tests::kNop;

constexpr std::uint32_t branch_if_not_equal(std::int32_t words) {
  return 0x40820000U | (static_cast<std::uint32_t>(words * 4) & 0xfffcU);
}

bpf::Program program() {
  return bpf::assemble(
             "jne %r1, 0, other\nmov %r0, 1\nexit\nother:\nja end\nmov %r0, 2\nend:\nexit\n",
             {"flow", 1, 1})
      .value();
}

// Six instructions: jne, mov, exit, ja, mov, exit.
model::CodeImage image() {
  model::CodeFunction code{.name = "main", .address = kMain};
  code.words = {kNop,                          // prologue
                kNop, branch_if_not_equal(3),  // 0: to word 5
                kNop,                          // 1
                branch(3),                     // 2: to the epilogue
                branch(2),                     // 3: to word 7
                kNop,                          // 4
                                               // 5: goes on into the epilogue
                kBlr};
  code.lines = {{0, 1}, {1, 3}, {2, 4}, {3, 5}, {4, 6}, {5, 7}, {6, 7}};
  return {.functions = {code}, .entry = kMain};
}

TEST(Flow, BranchesThatLeadWhereTheyMustAreNoFinding) {
  EXPECT_THAT(flow_findings(program(), image()), IsEmpty());
}

TEST(Flow, ABranchIsFollowedOnPathsThatNoRunTakes) {
  struct Spoiled {
    std::size_t word;
    std::uint32_t value;
    const char* text;
  };
  for (const Spoiled& spoiled : {
           Spoiled{2, branch_if_not_equal(4), "instruction 0 of main, to lead to c000000000010014"},
           Spoiled{4, branch(2), "instruction 2 of main, to lead to c00000000001001c"},
           Spoiled{5, branch(40), "it leads to c0000000000100b4"},
           Spoiled{5, kNop, "of instruction 3 of main, at c000000000010014, to lead to"},
           Spoiled{4, kNop, "of instruction 2 of main, at c000000000010010, to lead to"},
           Spoiled{6, branch(1 << 10), "instruction 4 of main"},
       }) {
    model::CodeImage wrong = image();
    wrong.functions[0].words[spoiled.word] = spoiled.value;
    const Findings findings = flow_findings(program(), wrong);
    ASSERT_THAT(findings, SizeIs(1)) << spoiled.text;
    EXPECT_EQ(findings[0].code, ErrorCode::code_branch_elsewhere);
    EXPECT_THAT(findings[0].text, HasSubstr(spoiled.text));
  }
}

TEST(Flow, AFarBranchAroundABranchIsWhole) {
  model::CodeImage far = image();
  model::CodeFunction& code = far.functions[0];
  // beq over a branch to other.
  code.words = {kNop, 0x41820008, branch(3), kNop, branch(3), branch(2), kNop, kBlr};
  EXPECT_THAT(flow_findings(program(), far), IsEmpty());
  code.words[2] = branch(4);
  EXPECT_THAT(flow_findings(program(), far), SizeIs(1));
}

TEST(Flow, AnExitMayHaveAnEpilogueOfItsOwn) {
  model::CodeImage early = image();
  model::CodeFunction& code = early.functions[0];
  code.words[4] = kBlr;
  EXPECT_THAT(flow_findings(program(), early), IsEmpty());
}

// As of a stock kernel, which does not say where all instructions begin.
TEST(Flow, AnInstructionIsComparedIfItIsToldWhereItsCodeIsAndWhereItLeads) {
  model::CodeImage sparse = image();
  model::CodeFunction& code = sparse.functions[0];
  code.words[5] = branch(40);  // of instruction 3, ja end
  code.lines.pop_back();       // of the epilogue
  EXPECT_THAT(flow_findings(program(), sparse), SizeIs(1));
  const std::vector<model::CodeLine> lines = code.lines;
  for (const std::uint32_t missing : {3U, 4U, 5U}) {  // its begin, its end, its target
    code.lines = lines;
    std::erase_if(code.lines,
                  [&](const model::CodeLine& line) { return line.instruction == missing; });
    EXPECT_THAT(flow_findings(program(), sparse), IsEmpty()) << missing;
  }
  code.lines.clear();
  EXPECT_THAT(flow_findings(program(), sparse), IsEmpty());
}

}  // namespace
}  // namespace farcall::check::flow_test

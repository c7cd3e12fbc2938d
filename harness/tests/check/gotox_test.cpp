#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "bpf/assembler.hpp"
#include "check/findings.hpp"
#include "model/code_map.hpp"

namespace farcall::check::gotox_test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr GuestAddress kMain = {0xc000'0000'0001'0000};

bpf::Program program() {
  return bpf::assemble(".table t one, two\ngotox %r1\none: mov %r0, 1\nexit\ntwo: exit\n",
                       {"f", 1, 1})
      .value();
}

// mtctr r3; bctr; li r8,1; b +4; mr r3,r8; blr
model::CodeImage image() {
  return {.functions = {{.name = "main",
                         .address = kMain,
                         .words = {0x7c6903a6, 0x4e800420, 0x39000001, 0x48000004, 0x7d034378,
                                   0x4e800020},
                         .lines = {{0, 0}, {1, 2}, {2, 3}, {3, 4}, {4, 4}}}},
          .entry = kMain,
          .calls = {{.site = {0, 0}, .at = kMain + 4, .callee = {}, .is_jump = true}}};
}

TEST(GotoxTables, AreWhereTheLineTableSaysThatInstructionsBegin) {
  model::CodeImage made = image();
  ASSERT_TRUE(place_code_pointers(program(), made));
  ASSERT_EQ(made.code_pointers.size(), 2U);
  EXPECT_EQ(made.code_pointers[0].address, kMain + 8);
  EXPECT_EQ(made.code_pointers[1].address, kMain + 16);
  EXPECT_THAT(table_findings(program(), made), IsEmpty());
}

TEST(GotoxTables, NeedALineTable) {
  model::CodeImage made = image();
  made.functions[0].lines.clear();
  const auto placed = place_code_pointers(program(), made);
  ASSERT_FALSE(placed);
  EXPECT_EQ(placed.error().code, ErrorCode::jit_bad_answer);
}

TEST(GotoxTables, AnElementThatLeadsElsewhereIsFound) {
  model::CodeImage made = image();
  ASSERT_TRUE(place_code_pointers(program(), made));
  made.code_pointers[1].address = kMain + 12;
  const Findings findings = table_findings(program(), made);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].code, ErrorCode::code_branch_elsewhere);
  EXPECT_THAT(findings[0].text, HasSubstr("expected t+8 to be c000000000010010"));
}

TEST(GotoxTables, TheRunSaysCallByCallWhereAJumpGoes) {
  model::CodeImage made = image();
  ASSERT_TRUE(place_code_pointers(program(), made));
  bpf::InterpreterRun run;
  for (const std::uint32_t pointer : {1U, 0U, 1U}) {
    run.calls.push_back({.site = {0, 0}, .slot = 0, .callee = 0, .pointer = pointer});
  }
  const model::CodeCall& call = made.calls[0];
  const Callees callees(made, &run, {});
  EXPECT_EQ(callees.of_call(call, 0), (model::CodeCallee{0, kMain + 16}));
  EXPECT_EQ(callees.of_call(call, 1), (model::CodeCallee{0, kMain + 8}));
  EXPECT_EQ(callees.of_site(call).size(), 2U);
  EXPECT_EQ(callees.made(call, {0, kMain + 16}), 2U);
  EXPECT_EQ(callees.made(call, {0, kMain + 8}), 1U);
  // Without a program, whatever the tables have.
  EXPECT_EQ(Callees(made, nullptr, {}).of_site(call).size(), 2U);
}

// The trace has direct branches to where CTR or r12 points too: they are nobody's calls, unless they
// leave their function by r12.
TEST(GotoxTables, DirectBranchesAreNotAmongTheJumps) {
  model::CodeImage made = image();
  model::Cell cell{.name = "c"};
  model::Job job = make_job(cell, made, 0);
  model::Observations seen;
  seen.trace = {{.from = kMain + 4, .to = kMain + 16, .link = {}},
                {.from = kMain + 12, .to = kMain + 16, .link = {}}};
  seen.trace_events = 2;
  job.jumps = model::Jumps::where_ctr_points;
  const auto kept = without_direct_branches(job, std::endian::little, seen);
  EXPECT_EQ(kept.trace.size(), 1U);
  EXPECT_EQ(kept.trace.at(0).from, kMain + 4);
  EXPECT_EQ(kept.trace_events, 1U);
  job.jumps = model::Jumps::where_r12_points;
  EXPECT_EQ(without_direct_branches(job, std::endian::little, seen).trace.size(), 1U);
  seen.trace[1].to = kMain + 0x1000;
  EXPECT_EQ(without_direct_branches(job, std::endian::little, seen).trace.size(), 2U);
}

}  // namespace
}  // namespace farcall::check::gotox_test

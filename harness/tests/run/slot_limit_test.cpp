// The limit of 16 bits that schemes have because they keep a call's distance in `off`: every target
// from four slots before it to four slots after it, forwards and backwards, run on the CPU where
// it is in reach and refused where it is not.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "bpf/program.hpp"
#include "bpf/validator.hpp"
#include "run/runner.hpp"
#include "tests/farcall_process.hpp"

namespace farcall::run::slot_limit_test {
namespace {

using namespace tests;

using model::CallScheme;

// RFC 9669, sections 4 and 5.
bpf::Slot mov(std::uint8_t dst, std::int32_t imm) {
  return {.opcode = 0xb7, .dst = dst, .imm = imm};
}
bpf::Slot call_local(std::int64_t distance) {
  return {.opcode = 0x85, .src = bpf::kPseudoCall, .imm = static_cast<std::int32_t>(distance)};
}
constexpr bpf::Slot kExit{.opcode = 0x95};
constexpr bpf::Slot kOverTwoUnlessR1IsZero{.opcode = 0x55, .dst = 1, .offset = 2};

// The callee begins `distance` slots after the one that follows its call; a function that nobody
// calls is in between.
bpf::Program forwards(std::int64_t distance) {
  const auto callee = static_cast<bpf::SlotIndex>(1 + distance);
  bpf::Program program{
      .slots = std::vector<bpf::Slot>(callee, mov(6, 1)),
      .functions = {{"main", 0, 2}, {"filler", 2, callee}, {"callee", callee, callee + 2}}};
  program.slots[0] = call_local(distance);
  program.slots[1] = kExit;
  program.slots[callee - 1] = kExit;
  program.slots.insert(program.slots.end(), {mov(0, 7), kExit});
  return program;
}

// main calls itself once; its first slot is `distance` slots from the one that follows the call.
bpf::Program backwards(std::int64_t distance) {
  const auto end = static_cast<bpf::SlotIndex>(1 - distance);
  bpf::Program program{.slots = std::vector<bpf::Slot>(end, mov(6, 1)),
                       .functions = {{"main", 0, end}}};
  program.slots[0] = kOverTwoUnlessR1IsZero;
  program.slots[1] = mov(0, 7);
  program.slots[2] = kExit;
  program.slots[end - 3] = mov(1, 0);
  program.slots[end - 2] = call_local(distance);
  program.slots[end - 1] = kExit;
  return program;
}

model::Document document(CallScheme scheme, std::int64_t distance, bool in_reach) {
  const bpf::Program program = distance < 0 ? backwards(distance) : forwards(distance);
  EXPECT_TRUE(bpf::validate(program));
  model::Cell cell{.case_path = "limit.case",
                   .name = fmt::format("limit@{}-{:+}", static_cast<int>(scheme), distance),
                   .axes = {.call = scheme},
                   .program = std::make_shared<const bpf::Program>(program),
                   .placement = {.stack = {0xc000'0000'0200'0000},
                                 .call_base = {0xc008'0000'0000'0000},
                                 .toc = {0xc000'0000'0180'0000}}};
  for (std::size_t i = 0; i < cell.program->functions.size(); ++i) {
    cell.placement.functions.push_back({0xc008'0000'0001'0000 + i * 0x100000});
  }
  cell.arguments[0] = 1;
  if (in_reach) {
    cell.expected.result = 7;
  } else {
    cell.expected.failure = {.code = ErrorCode::call_out_of_range, .site = "main[0]"};
  }
  return {.cell = std::move(cell)};
}

TEST(SlotLimit, EveryTargetAroundIt) {
  constexpr std::int64_t kHighest = 32767;
  constexpr std::int64_t kLowest = -32768;
  std::vector<model::Document> documents;
  for (const CallScheme scheme :
       {CallScheme::imm32, CallScheme::aux64, CallScheme::pair64, CallScheme::table}) {
    const bool has_limit = scheme != CallScheme::aux64;
    // The call's second slot lies before the callee.
    const std::int64_t grown = scheme == CallScheme::pair64 ? 1 : 0;
    for (std::int64_t step = -4; step <= 4; ++step) {
      documents.push_back(document(scheme, kHighest - grown + step, !has_limit || step <= 0));
      documents.push_back(document(scheme, kLowest + step, !has_limit || step >= 0));
    }
  }
  std::size_t refused = 0;
  run_all(documents, {.machines = 2, .images = farcall_binary().parent_path() / "images"},
          [&](const FinishedCell& finished) {
            const model::Verdict& verdict = finished.verdict;
            EXPECT_EQ(verdict.outcome, model::Outcome::pass)
                << finished.document->cell.name
                << (verdict.findings.empty() ? "" : verdict.findings.front().text);
            refused += finished.testimony.image ? 0U : 1U;
          });
  EXPECT_EQ(refused, 3U * 2 * 4);
}

}  // namespace
}  // namespace farcall::run::slot_limit_test

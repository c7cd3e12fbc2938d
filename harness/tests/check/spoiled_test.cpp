#include <gtest/gtest.h>

#include <functional>
#include <ostream>

#include "tests/check/scene.hpp"

namespace farcall::check::spoiled_test {
namespace {

using model::Outcome;
using tests::kCallee;
using tests::kMain;
using tests::kMem;
using tests::kSite;
using tests::Scene;

// One thing is wrong, and the first finding must say which.
struct Spoiled {
  const char* what;
  std::function<void(Scene&)> spoil;
  ErrorCode code;
  const char* site;
  Outcome outcome = Outcome::fail;
};

void PrintTo(const Spoiled& spoiled, std::ostream* out) {
  *out << spoiled.what;
}

class CheckSpoiled : public testing::TestWithParam<Spoiled> {};

TEST_P(CheckSpoiled, IsFound) {
  Scene scene;
  GetParam().spoil(scene);
  const model::Verdict verdict = scene.verdict();
  EXPECT_EQ(verdict.outcome, GetParam().outcome);
  ASSERT_FALSE(verdict.findings.empty());
  EXPECT_EQ(name(verdict.findings[0].code), name(GetParam().code));
  EXPECT_EQ(verdict.findings[0].site, GetParam().site);
}

// As an expected failure, the same thing is what the case wants.
TEST_P(CheckSpoiled, IsAPassWhereTheCaseExpectsIt) {
  if (GetParam().outcome == Outcome::error || blame(GetParam().code) == Blame::test) {
    return;  // the case itself is wrong
  }
  Scene scene;
  GetParam().spoil(scene);
  scene.cell.expected = {};
  scene.cell.expected.failure = {{GetParam().code, GetParam().site}};
  EXPECT_EQ(scene.verdict().outcome, Outcome::pass);
  scene.cell.expected.failure->site = "other[7]";
  EXPECT_EQ(scene.verdict().outcome, Outcome::fail);
}

INSTANTIATE_TEST_SUITE_P(
    Everything, CheckSpoiled,
    testing::Values(
        Spoiled{"result", [](Scene& s) { s.seen().registers.gpr[3] = 40; },
                ErrorCode::result_mismatch, ""},
        Spoiled{"decoded target",
                [](Scene& s) { s.testimony.decoded[0].target = kCallee + 0x1'0000'0000; },
                ErrorCode::call_decoded_elsewhere, "main[0]"},
        Spoiled{"undecidable target", [](Scene& s) { s.testimony.decoded[0].target.reset(); },
                ErrorCode::call_unresolved, "main[0]"},
        Spoiled{"call not in the bytes", [](Scene& s) { s.testimony.decoded.clear(); },
                ErrorCode::call_not_decoded, "main[0]"},
        Spoiled{"call at another word", [](Scene& s) { s.testimony.decoded[0].at = kSite + 4; },
                ErrorCode::call_unexpected_site, "main[0]"},
        Spoiled{"one call too many in the bytes",
                [](Scene& s) {
                  s.testimony.decoded.push_back({.site = {1, 0}, .at = kCallee, .target = kMain});
                },
                ErrorCode::call_unexpected_site, "callee[0]"},
        Spoiled{"truncated by the CPU's way",
                [](Scene& s) { s.seen().trace[2].to = {0xc000'0000'0012'a468}; },
                ErrorCode::call_reached_elsewhere, "main[0]"},
        Spoiled{"a call from nowhere",
                [](Scene& s) { s.seen().trace[0] = {kMain, kCallee, kMain + 4}; },
                ErrorCode::call_unexpected_site, ""},
        Spoiled{"one call less",
                [](Scene& s) {
                  s.seen().trace.erase(s.seen().trace.begin(), s.seen().trace.begin() + 2);
                  s.seen().trace_events -= 2;
                },
                ErrorCode::call_count, "main[0]"},
        Spoiled{"an image that knows nothing of the call, and code that makes none",
                [](Scene& s) {
                  s.testimony.image->calls.clear();
                  s.testimony.decoded.clear();
                  s.seen().trace.erase(s.seen().trace.begin(), s.seen().trace.begin() + 4);
                  s.seen().trace_events = 1;
                },
                ErrorCode::call_count, "main[0]"},
        Spoiled{"return to elsewhere",
                [](Scene& s) {
                  s.seen().trace[1].to = kMain;
                  s.seen().trace[1].link = kMain;
                },
                ErrorCode::call_returned_elsewhere, "main[0]"},
        Spoiled{"a return that never came",
                [](Scene& s) {
                  s.seen().trace.pop_back();
                  --s.seen().trace_events;
                },
                ErrorCode::call_returned_elsewhere, ""},
        Spoiled{"trace too long", [](Scene& s) { s.seen().trace_events = 99; },
                ErrorCode::trace_overflow, ""},
        Spoiled{"fault",
                [](Scene& s) {
                  s.seen().ending = model::Ending::faulted;
                  s.seen().fault = {.vector = 0x300, .address = kCallee};
                  s.seen().trace = {{kSite, kCallee, kSite + 4}};
                  s.seen().trace_events = 1;
                },
                ErrorCode::guest_fault, "main[0]"},
        Spoiled{"endless loop",
                [](Scene& s) {
                  s.seen().ending = model::Ending::out_of_budget;
                  s.seen().fault = {.vector = 0x900, .address = kCallee};
                },
                ErrorCode::guest_budget, ""},
        Spoiled{"memory", [](Scene& s) { s.seen().memory[0].bytes.own()[1] = std::byte{9}; },
                ErrorCode::memory_mismatch, ""},
        Spoiled{"stray write", [](Scene& s) { s.seen().stray_writes = {kMem + 2}; },
                ErrorCode::memory_stray_write, ""},
        Spoiled{"stack pointer", [](Scene& s) { ++s.seen().registers.gpr[1]; },
                ErrorCode::abi_register, ""},
        Spoiled{"TOC pointer", [](Scene& s) { ++s.seen().registers.gpr[2]; },
                ErrorCode::abi_register, ""},
        Spoiled{"r14", [](Scene& s) { ++s.seen().registers.gpr[14]; }, ErrorCode::abi_register, ""},
        Spoiled{"r31", [](Scene& s) { ++s.seen().registers.gpr[31]; }, ErrorCode::abi_register, ""},
        Spoiled{"f14", [](Scene& s) { ++s.seen().registers.fpr[14]; }, ErrorCode::abi_register, ""},
        Spoiled{"v20", [](Scene& s) { ++s.seen().registers.vr[20][1]; }, ErrorCode::abi_register,
                ""},
        Spoiled{"CR4", [](Scene& s) { s.seen().registers.cr ^= 0x1000; }, ErrorCode::abi_register,
                ""},
        Spoiled{"linker refuses",
                [](Scene& s) {
                  s.testimony.image.reset();
                  s.testimony.observations.reset();
                  s.testimony.linked.reset();
                  s.testimony.refusal = {
                      .code = ErrorCode::call_out_of_range, .message = "far", .site = "main[0]"};
                },
                ErrorCode::call_out_of_range, "main[0]"},
        Spoiled{"linked program returns something else",
                [](Scene& s) { s.testimony.linked->value().run.r0 = 7; }, ErrorCode::linked_differs,
                ""},
        Spoiled{"linked program calls someone else",
                [](Scene& s) { s.testimony.linked->value().run.calls[1].callee = 0; },
                ErrorCode::linked_differs, ""},
        Spoiled{"case and interpreter disagree on r0", [](Scene& s) { s.cell.expected.result = 1; },
                ErrorCode::case_contradicts_interpreter, ""},
        Spoiled{"case and interpreter disagree on a count",
                [](Scene& s) { s.cell.expected.calls = {{{0, 0}, 1, 3}}; },
                ErrorCode::case_contradicts_interpreter, "main[0]"},
        Spoiled{"case and interpreter disagree on a callee",
                [](Scene& s) { s.cell.expected.calls = {{{0, 0}, 0, 2}}; },
                ErrorCode::case_contradicts_interpreter, "main[0]"},
        Spoiled{"case and interpreter disagree on memory",
                [](Scene& s) { s.cell.expected.memory = {{"mem", 0, {std::byte{7}}}}; },
                ErrorCode::case_contradicts_interpreter, ""},
        Spoiled{"a site that no run reaches",
                [](Scene& s) { s.testimony.source->value().run.calls.clear(); },
                ErrorCode::case_site_not_reached, "main[0]"},
        Spoiled{"interpreter fails",
                [](Scene& s) {
                  s.testimony.source =
                      Error{.code = ErrorCode::interpreter_bad_access, .message = "no"};
                },
                ErrorCode::interpreter_bad_access, ""}));

}  // namespace
}  // namespace farcall::check::spoiled_test

#include "check/check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "base/byte_order.hpp"
#include "bpf/assembler.hpp"
#include "check/findings.hpp"
#include "external/external.hpp"
#include "external/stub.hpp"

namespace farcall::check::check_test {
namespace {

using model::Outcome;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr GuestAddress kMain = {0xc000'0000'0001'0000};
constexpr GuestAddress kCallee = {0xc008'0000'0012'a468};
constexpr GuestAddress kSite = kMain + 0x20;  // the branch-and-link
constexpr GuestAddress kMem = {0xc000'0000'0100'0000};

// A cell whose program calls `callee` twice from main[0], and everything that a good run of it
// shows. Each test spoils one thing.
struct Scene {
  model::Cell cell;
  model::Job job;
  Testimony testimony;

  Scene() {
    const auto program = bpf::assemble(
        "mov %r6, 2\nagain: call local callee\nsub %r6, 1\njne %r6, 0, again\nexit\ncallee:\nmov "
        "%r0, 41\nexit\n",
        {"scene.case", 1, 1});
    cell = {.case_path = "scene.case",
            .name = "scene",
            .program = std::make_shared<const bpf::Program>(program.value()),
            .placement = {.functions = {kMain, kCallee}},
            .memory = {{.name = "mem", .address = kMem, .bytes = {std::byte{1}, std::byte{2}}}}};
    cell.expected.result = 41;

    const bpf::PseudoCall call{.site = {0, 0}, .slot = 1, .callee = 1};
    const Interpretation run{.run = {.r0 = 41, .instructions = 11, .calls = {call, call}},
                             .memory = cell.memory};
    testimony.source = run;
    testimony.linked = run;
    testimony.image = {
        .functions = {{.name = "main", .address = kMain, .words = std::vector<std::uint32_t>(20)},
                      {.name = "callee", .address = kCallee, .words = {0, 0}}},
        .entry = kMain,
        .calls = {{.site = {0, 0}, .at = kSite, .callee = model::CodeCallee{1, kCallee}}}};
    testimony.decoded = {{.site = {0, 0}, .at = kSite, .target = kCallee}};

    for (std::size_t i = 0; i < 32; ++i) {
      job.entry.gpr[i] = 0x1000 + i;
      job.entry.fpr[i] = 0x2000 + i;
      job.entry.vr[i] = {0x3000 + i, 0x4000 + i};
    }
    job.entry.cr = 0x1234'5678;
    job.gate = {0xc000'0000'0000'4000};
    testimony.job = job;

    model::Observations seen;
    seen.hardware = {.processor = 0x004e'1200,
                     .cpu = cell.axes.cpu,
                     .mmu = cell.axes.mmu,
                     .endian = cell.axes.endian};
    seen.registers = job.entry;
    seen.registers.gpr[3] = 41;
    const model::TakenBranch there{.from = kSite, .to = kCallee, .link = kSite + 4};
    const model::TakenBranch back{.from = kCallee + 4, .to = kSite + 4, .link = kSite + 4};
    seen.trace = {there, back, there, back, {kMain + 0x4c, job.gate, job.gate}};
    seen.trace_events = seen.trace.size();
    seen.memory = {{.address = kMem, .size_bytes = 2, .bytes = cell.memory[0].bytes}};
    testimony.observations = seen;
  }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;
  ~Scene() = default;

  model::Observations& seen() { return *testimony.observations; }
  model::Verdict verdict() const { return check(cell, testimony); }
};

TEST(Check, PassesWhenAllWitnessesAgree) {
  const Scene scene;
  const model::Verdict verdict = scene.verdict();
  EXPECT_EQ(verdict.outcome, Outcome::pass);
  EXPECT_TRUE(verdict.findings.empty());
  EXPECT_EQ(verdict.result, 41U);
  ASSERT_EQ(verdict.sites.size(), 1U);
  const model::SiteStory& story = verdict.sites[0];
  EXPECT_EQ(story.name, "main[0]");
  EXPECT_EQ(story.callee, "callee");
  EXPECT_EQ(story.decoded, kCallee);
  EXPECT_EQ(story.reached, std::vector<GuestAddress>{kCallee});
  EXPECT_EQ(story.interpreted, 2U);
  EXPECT_EQ(story.executed, 2U);
}

// `main` calls a stub with a pointer into its frame and a number; the scene's code has frames
// elsewhere than the interpreter.
struct StubScene {
  static constexpr GuestAddress kLog = {0xc000'0000'0280'0000};
  static constexpr GuestAddress kStackAt = {0xc000'0000'0200'0000};

  model::Cell cell;
  Interpretation source;
  model::Observations seen;

  StubScene() {
    auto program = bpf::assemble(
        "mov %r1, %r10\nadd %r1, -8\nmov %r2, 1\ncall 5\nmov %r1, %r10\nadd %r1, -16\ncall "
        "5\nexit\n",
        {"scene.case", 1, 1});
    program.value().maps = {{.name = ".stubs", .value_bytes = external::kFirstBlock + 8}};
    program.value().externals = {external::stub("unknown", bpf::ExternalKind::helper, 5,
                                                {.argument_count = 2},
                                                {.block = external::kFirstBlock})};
    cell.program = std::make_shared<const bpf::Program>(program.value());
    cell.placement.stack = kStackAt;
    const bpf::PseudoCall first{.site = {0, 0}, .slot = 3, .callee = 1};
    const bpf::PseudoCall second{.site = {0, 1}, .slot = 6, .callee = 1};
    source.run.calls = {first, second};
    const std::vector<std::byte> empty(external::kFirstBlock + 16);
    source.memory = {{.name = ".stubs", .address = kLog, .bytes = empty}};
    seen.memory = {{.address = kLog, .size_bytes = empty.size(), .bytes = empty, .name = ".stubs"}};
    const std::uint64_t r10 = kStackAt.value + 0x4000;
    const std::uint64_t r1 = kStackAt.value + 0x3000;
    for (std::uint64_t call = 0; call < 2; ++call) {
      const std::uint64_t below = 8 * (call + 1);
      log(source.memory[0].bytes, call, {r10 - below, 1}, r10);
      log(seen.memory[0].bytes, call, {r1 + 0x100 - below, 1}, r1);
    }
  }

  static void log(std::vector<std::byte>& bytes, std::uint64_t call,
                  std::array<std::uint64_t, 2> arguments, std::uint64_t stack) {
    constexpr std::endian kOrder = std::endian::little;
    std::byte* const entry = bytes.data() + external::kFirstEntry + call * external::kEntryBytes;
    store(bytes.data() + 8, call + 1, kOrder);
    store(entry, arguments[0], kOrder);
    store(entry + 8, arguments[1], kOrder);
    store(entry + 48, stack, kOrder);
  }

  Findings findings() const { return stub_findings(cell, source, seen); }
};

TEST(StubFindings, PointersIntoFramesAreTheSameWhereverFramesAre) {
  EXPECT_TRUE(StubScene().findings().empty());
}

TEST(StubFindings, ANumberMustBeThatOfTheInterpreter) {
  StubScene scene;
  const std::uint64_t r1 = StubScene::kStackAt.value + 0x3000;
  StubScene::log(scene.seen.memory[0].bytes, 1, {r1 + 0x100 - 16, 0xffff'ffff'0000'0001}, r1);
  const Findings findings = scene.findings();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].code, ErrorCode::call_argument_mismatch);
  EXPECT_EQ(findings[0].site, "main[1]");
  EXPECT_THAT(findings[0].text, HasSubstr("argument 2 of unknown"));
  EXPECT_THAT(findings[0].text, HasSubstr("expected 0x1"));
  EXPECT_THAT(findings[0].text, HasSubstr("passed 0xffffffff00000001"));
}

TEST(StubFindings, APointerIntoAFrameMustBeAsFarAsTheOthers) {
  StubScene scene;
  const std::uint64_t r1 = StubScene::kStackAt.value + 0x3000;
  StubScene::log(scene.seen.memory[0].bytes, 1, {r1 + 0x100 - 24, 1}, r1);
  const Findings findings = scene.findings();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_THAT(findings[0].text, HasSubstr("argument 1 of unknown"));
}

// What r10 points to may as well be the lowest byte of the caller's frame, which lies elsewhere.
TEST(StubFindings, TheEndOfAFrameSaysNothingOfWhereItIs) {
  StubScene scene;
  const std::uint64_t r10 = StubScene::kStackAt.value + 0x4000;
  const std::uint64_t r1 = StubScene::kStackAt.value + 0x3000;
  StubScene::log(scene.source.memory[0].bytes, 0, {r10, 1}, r10);
  StubScene::log(scene.seen.memory[0].bytes, 0, {r1 + 0x300, 1}, r1);
  store(scene.source.memory[0].bytes.data() + 8, std::uint64_t{2}, std::endian::little);
  store(scene.seen.memory[0].bytes.data() + 8, std::uint64_t{2}, std::endian::little);
  EXPECT_TRUE(scene.findings().empty());
}

TEST(StubFindings, ThereMustBeAsManyCallsAndALog) {
  StubScene scene;
  store(scene.seen.memory[0].bytes.data() + 8, std::uint64_t{3}, std::endian::little);
  ASSERT_EQ(scene.findings().size(), 1U);
  EXPECT_THAT(scene.findings()[0].text, HasSubstr("expected 2 calls"));
  scene.seen.memory.clear();
  ASSERT_EQ(scene.findings().size(), 1U);
  EXPECT_THAT(scene.findings()[0].text, HasSubstr("did not report"));
}

TEST(Check, NothingExecutedIsNoPass) {
  Scene scene;
  scene.testimony.observations = std::nullopt;
  EXPECT_EQ(scene.verdict().outcome, Outcome::error);
}

// The same, but for a call through a register.
struct RegisterScene : Scene {
  RegisterScene() {
    auto program = bpf::assemble(
        "mov %r6, 2\nlddw %r7, local callee\nagain: callx %r7\nsub %r6, 1\njne %r6, 0, again\n"
        "exit\ncallee:\nmov %r0, 41\nexit\n",
        {"scene.case", 1, 1});
    program.value().callx = bpf::Callx::address;
    cell.program = std::make_shared<const bpf::Program>(program.value());
    testimony.image->calls[0].callee = std::nullopt;
    testimony.decoded[0].target = std::nullopt;
  }
};

TEST(CheckRegisterCall, IsHeldToTheInterpretersRun) {
  const RegisterScene scene;
  const model::Verdict verdict = scene.verdict();
  EXPECT_EQ(verdict.outcome, Outcome::pass);
  ASSERT_EQ(verdict.sites.size(), 1U);
  EXPECT_TRUE(verdict.sites[0].through_register);
  EXPECT_EQ(verdict.sites[0].callee, "callee");
  EXPECT_EQ(verdict.sites[0].executed, 2U);
}

TEST(CheckRegisterCall, TheBytesMayFixItAndThenMustBeRight) {
  RegisterScene scene;
  scene.testimony.decoded[0].target = kCallee;
  EXPECT_EQ(scene.verdict().outcome, Outcome::pass);
  scene.testimony.decoded[0].target = kMain;
  EXPECT_EQ(scene.verdict().findings.front().code, ErrorCode::call_decoded_elsewhere);
}

TEST(CheckRegisterCall, ReachesWhatTheRunSaysCallByCall) {
  RegisterScene scene;
  // The second call is of main, says the interpreter; the CPU calls the callee again.
  for (auto* const run : {&scene.testimony.source, &scene.testimony.linked}) {
    (*run)->value().run.calls[1].callee = 0;
  }
  const model::Verdict verdict = scene.verdict();
  ASSERT_FALSE(verdict.findings.empty());
  EXPECT_EQ(verdict.findings.front().code, ErrorCode::call_reached_elsewhere);
  EXPECT_EQ(verdict.findings.front().site, "main[0]");
  ASSERT_EQ(verdict.sites.size(), 2U);
  EXPECT_EQ(verdict.sites[0].reached, std::vector<GuestAddress>{kCallee});
  EXPECT_EQ(verdict.sites[1].callee, "main");
  EXPECT_EQ(verdict.sites[1].executed, 1U);
}

TEST(CheckRegisterCall, TheCaseMustTellAllCalleesOfASite) {
  RegisterScene scene;
  scene.cell.expected.calls = {{.site = {0, 0}, .callee = 1, .count = 2}};
  EXPECT_EQ(scene.verdict().outcome, Outcome::pass);
  scene.testimony.source->value().run.calls[1].callee = 0;
  EXPECT_EQ(scene.verdict().findings.front().code, ErrorCode::case_contradicts_interpreter);
  scene.cell.expected.calls[0].count = 1;
  const model::Verdict verdict = scene.verdict();
  EXPECT_EQ(verdict.findings.front().code, ErrorCode::case_contradicts_interpreter);
  EXPECT_EQ(verdict.findings.front().site, "main[0]");
}

TEST(CheckRegisterCall, WithoutAProgramTheCaseSaysWhomItCalls) {
  RegisterScene scene;
  scene.testimony.source = std::nullopt;
  scene.testimony.linked = std::nullopt;
  scene.cell.expected.calls = {{.site = {0, 0}, .callee = 1, .count = 2}};
  EXPECT_EQ(scene.verdict().outcome, Outcome::pass);
  scene.cell.expected.calls = {{.site = {0, 0}, .callee = 0, .count = 2}};
  EXPECT_EQ(scene.verdict().findings.front().code, ErrorCode::call_reached_elsewhere);
}

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
        Spoiled{"memory", [](Scene& s) { s.seen().memory[0].bytes[1] = std::byte{9}; },
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

// A walk over the stack stored an address in mem+8 that the interpreter could not know.
struct WalkScene : Scene {
  WalkScene() {
    cell.memory[0].bytes.resize(16);
    testimony.source->value().memory = cell.memory;
    testimony.source->value().run.return_addresses = {{.at = kMem + 8, .site = {0, 0}}};
    testimony.linked = testimony.source;
    seen().memory = {{.address = kMem, .size_bytes = 16, .bytes = cell.memory[0].bytes}};
    store_walked(kSite + 4);
  }
  void store_walked(GuestAddress address) {
    store(seen().memory[0].bytes.data() + 8, address.value, std::endian::little);
  }
};

TEST(Check, AWalkOverTheStackFindsWhereCallsReturnTo) {
  WalkScene scene;
  EXPECT_EQ(scene.verdict().outcome, Outcome::pass);

  scene.store_walked(kSite);
  const model::Verdict verdict = scene.verdict();
  EXPECT_EQ(verdict.outcome, Outcome::fail);
  EXPECT_EQ(verdict.findings.at(0).code, ErrorCode::stack_return_address);
  EXPECT_EQ(verdict.findings.at(0).site, "main[0]");
}

// main[0] is a tail call now: the CPU jumps, and callee returns for main.
TEST(Check, ATailCallIsAJumpThatReturnsForItsCaller) {
  Scene scene;
  model::CodeCall& call = scene.testimony.image->calls[0];
  call.callee = std::nullopt;
  call.is_tail = true;
  scene.testimony.image->functions[1].tail_entry_words = 1;
  scene.testimony.decoded[0].target = std::nullopt;
  for (auto* const interpretation : {&*scene.testimony.source, &*scene.testimony.linked}) {
    interpretation->value().run.calls.pop_back();
  }
  const GuestAddress gate = scene.job.gate;
  const model::TakenBranch jump{.from = kSite, .to = kCallee + 4, .link = gate};
  scene.seen().trace = {jump, {kCallee + 4, gate, gate}};
  scene.seen().trace_events = 2;
  const model::Verdict good = scene.verdict();
  EXPECT_EQ(good.outcome, Outcome::pass);
  EXPECT_EQ(good.sites.at(0).executed, 1U);

  scene.seen().trace[0].to = kCallee;  // its beginning, which must be left out
  EXPECT_EQ(scene.verdict().findings.at(0).code, ErrorCode::call_reached_elsewhere);

  scene.seen().trace[0] = {.from = kSite, .to = kCallee + 4, .link = kSite + 4};  // with link
  EXPECT_EQ(scene.verdict().findings.at(0).code, ErrorCode::call_unexpected_site);

  scene.testimony.image->calls[0].is_tail = false;
  scene.seen().trace[0] = jump;
  EXPECT_EQ(scene.verdict().findings.at(0).code, ErrorCode::call_unexpected_site);
}

TEST(Check, VolatileRegistersMayChange) {
  Scene scene;
  for (const std::size_t i : {0U, 4U, 8U, 11U, 12U}) {
    ++scene.seen().registers.gpr[i];
  }
  ++scene.seen().registers.fpr[13];
  ++scene.seen().registers.vr[19][0];
  scene.seen().registers.cr ^= 0xff00'0fff;  // CR0, CR1 and CR5–CR7
  ++scene.seen().registers.ctr;
  EXPECT_EQ(scene.verdict().outcome, Outcome::pass);
}

TEST(Check, AnExpectedFailureThatDoesNotComeIsAFailure) {
  Scene scene;
  scene.cell.expected = {};
  scene.cell.expected.failure = {{ErrorCode::call_out_of_range, "main[0]"}};
  const model::Verdict verdict = scene.verdict();
  EXPECT_EQ(verdict.outcome, Outcome::fail);
  EXPECT_EQ(verdict.findings[0].code, ErrorCode::expected_failure_missing);
}

TEST(Check, AnotherFailureThanTheExpectedOneIsShownToo) {
  Scene scene;
  scene.seen().registers.gpr[3] = 40;
  scene.cell.expected = {};
  scene.cell.expected.failure = {{ErrorCode::call_out_of_range, "main[0]"}};
  const model::Verdict verdict = scene.verdict();
  EXPECT_EQ(verdict.outcome, Outcome::fail);
  ASSERT_EQ(verdict.findings.size(), 2U);
  EXPECT_EQ(verdict.findings[1].code, ErrorCode::result_mismatch);
}

constexpr const char* kJit = "kernel:6.12.107";

model::Verdict verdict_of(Scene& scene, std::vector<ErrorCode> allowed = {}) {
  return check(scene.cell, scene.testimony, {.jit = kJit, .allowed = allowed});
}

TEST(Check, AFailureThatThisJitIsKnownForIsAPass) {
  Scene scene;
  scene.seen().registers.gpr[3] = 40;
  scene.cell.expected.known = {{.jit = "kernel:6.1.*", .code = ErrorCode::guest_fault},
                               {.jit = "kernel:6.12.*", .code = ErrorCode::result_mismatch}};
  EXPECT_EQ(verdict_of(scene).outcome, Outcome::pass);
  EXPECT_EQ(verdict_of(scene).known, ErrorCode::result_mismatch);
  EXPECT_EQ(scene.verdict().outcome, Outcome::fail);  // of another JIT it is not known
}

TEST(Check, AKnownFailureThatDoesNotComeIsAFailure) {
  Scene scene;
  scene.cell.expected.known = {{.jit = "kernel:*", .code = ErrorCode::result_mismatch, .line = 7}};
  const model::Verdict verdict = verdict_of(scene);
  EXPECT_EQ(verdict.outcome, Outcome::fail);
  EXPECT_EQ(verdict.findings[0].code, ErrorCode::expected_failure_missing);
  EXPECT_THAT(to_string(verdict.findings[0]), HasSubstr("scene.case:7"));
}

TEST(Check, AnotherFailureThanTheKnownOneIsShownToo) {
  Scene scene;
  scene.seen().registers.gpr[3] = 40;
  scene.cell.expected.known = {{.jit = "kernel:*", .code = ErrorCode::guest_fault}};
  const model::Verdict verdict = verdict_of(scene);
  EXPECT_EQ(verdict.outcome, Outcome::fail);
  ASSERT_EQ(verdict.findings.size(), 2U);
  EXPECT_EQ(verdict.findings[0].code, ErrorCode::expected_failure_missing);
  EXPECT_EQ(verdict.findings[1].code, ErrorCode::result_mismatch);
}

TEST(Check, AMachineThatFailsIsNoKnownFailure) {
  Scene scene;
  scene.testimony.image.reset();
  scene.testimony.observations.reset();
  scene.testimony.refusal = Error{.code = ErrorCode::jit_not_started, .message = "not there"};
  scene.cell.expected.known = {{.jit = "kernel:*", .code = ErrorCode::result_mismatch}};
  EXPECT_EQ(verdict_of(scene).outcome, Outcome::error);
}

TEST(Check, AllowedFindingsAreKeptAndDoNotCount) {
  Scene scene;
  scene.seen().registers.gpr[3] = 40;
  const model::Verdict verdict = verdict_of(scene, {ErrorCode::result_mismatch});
  EXPECT_EQ(verdict.outcome, Outcome::pass);
  ASSERT_EQ(verdict.allowed.size(), 1U);
  EXPECT_EQ(verdict.allowed[0].code, ErrorCode::result_mismatch);
  // What a case knows is looked for, allowed or not.
  scene.cell.expected.known = {{.jit = "kernel:*", .code = ErrorCode::result_mismatch}};
  EXPECT_EQ(verdict_of(scene, {ErrorCode::result_mismatch}).known, ErrorCode::result_mismatch);
}

TEST(Check, WhatTheBytesShowComesBeforeAMachineThatIsTooSmall) {
  Scene scene;
  scene.testimony.observations.reset();
  scene.testimony.refusal = Error{.code = ErrorCode::machine_job_too_large, .message = "large"};
  EXPECT_EQ(scene.verdict().outcome, Outcome::error);
  scene.testimony.decoded[0].target = kCallee + 0x10000;
  const model::Verdict verdict = scene.verdict();
  EXPECT_EQ(verdict.outcome, Outcome::fail);
  EXPECT_EQ(verdict.findings.front().code, ErrorCode::call_decoded_elsewhere);
}

TEST(Check, CallsInAnotherOrderThanTheInterpretersAreFound) {
  Scene scene;
  // A second site in main; the interpreter goes 0, 1, the CPU 1, 0.
  const GuestAddress second = kSite + 0x10;
  scene.testimony.image->calls.push_back(
      {.site = {0, 1}, .at = second, .callee = model::CodeCallee{1, kCallee}});
  scene.testimony.decoded.push_back({.site = {0, 1}, .at = second, .target = kCallee});
  scene.testimony.source.reset();  // keeps objections() out of the way …
  scene.seen().trace = {{second, kCallee, second + 4},
                        {kCallee + 4, second + 4, second + 4},
                        {kSite, kCallee, kSite + 4},
                        {kCallee + 4, kSite + 4, kSite + 4},
                        {kMain + 0x4c, scene.job.gate, scene.job.gate}};
  scene.testimony.linked.reset();
  EXPECT_EQ(scene.verdict().outcome, Outcome::pass);  // … where nobody knows an order

  const auto program = bpf::assemble(
      "call local callee\ncall local callee\nexit\ncallee:\nmov %r0, 41\nexit\n", {"x", 1, 1});
  scene.cell.program = std::make_shared<const bpf::Program>(program.value());
  const auto calls = pseudo_calls(*scene.cell.program);
  scene.testimony.source =
      Interpretation{.run = {.r0 = 41, .calls = calls}, .memory = scene.cell.memory};
  const model::Verdict verdict = scene.verdict();
  ASSERT_FALSE(verdict.findings.empty());
  EXPECT_EQ(verdict.findings[0].code, ErrorCode::call_order);
}

// An image of another JIT comes without a program, and then the case says how often is called.
TEST(Check, WithoutAProgramEverySiteMustBeReachedUnlessTheCaseSaysOtherwise) {
  Scene scene;
  scene.cell.program = nullptr;
  scene.testimony.source.reset();
  scene.testimony.linked.reset();
  EXPECT_EQ(scene.verdict().outcome, Outcome::pass);

  scene.cell.expected.calls = {{{0, 0}, 1, 7}};
  EXPECT_EQ(scene.verdict().outcome, Outcome::fail);
  EXPECT_EQ(scene.verdict().findings.at(0).code, ErrorCode::call_count);

  scene.cell.expected.calls.clear();
  scene.seen().trace.erase(scene.seen().trace.begin(), scene.seen().trace.begin() + 4);
  scene.seen().trace_events = 1;
  EXPECT_EQ(scene.verdict().outcome, Outcome::fail);
  scene.cell.expected.calls = {{{0, 0}, 1, 0}};
  EXPECT_EQ(scene.verdict().outcome, Outcome::pass);

  scene.testimony.image->calls.clear();
  scene.testimony.decoded.clear();
  EXPECT_EQ(scene.verdict().outcome, Outcome::pass);
  scene.cell.expected.calls = {{{0, 0}, 1, 2}};
  EXPECT_EQ(scene.verdict().outcome, Outcome::fail);
  EXPECT_EQ(scene.verdict().findings.at(0).code, ErrorCode::call_count);
  scene.cell.expected.calls.clear();

  scene.seen().trace_events = 500;  // and nobody knows what the others were
  EXPECT_EQ(scene.verdict().outcome, Outcome::fail);
  EXPECT_EQ(scene.verdict().findings.at(0).code, ErrorCode::trace_overflow);
}

TEST(Check, WhatCannotBePlacedIsAnErrorOfTheInput) {
  Scene scene;
  scene.testimony.image.reset();
  scene.testimony.observations.reset();
  scene.testimony.refusal = {.code = ErrorCode::place_overlap, .message = "one over the other"};
  EXPECT_EQ(scene.verdict().outcome, Outcome::error);
}

TEST(Check, AFaultNamesItsPlaceInTheProgram) {
  Scene scene;
  scene.seen().ending = model::Ending::faulted;
  scene.seen().fault = {.vector = 0x700, .address = kCallee + 4, .came_from = kSite};
  const model::Verdict verdict = scene.verdict();
  ASSERT_FALSE(verdict.findings.empty());
  EXPECT_THAT(verdict.findings[0].text, HasSubstr("c00800000012a46c (callee+0x4)"));
  EXPECT_THAT(verdict.findings[0].text, HasSubstr("illegal or privileged"));
}

TEST(Check, AResultThatNobodyWroteIsTheCasesFaultUnlessItHasNone) {
  Scene scene;
  scene.testimony.source->value().run.undefined_result =
      Error{.code = ErrorCode::case_undefined_value, .message = "r0 depends on r6"};
  EXPECT_EQ(scene.verdict().findings.at(0).code, ErrorCode::case_undefined_value);
  scene.cell.expected.result = std::nullopt;
  scene.cell.expected.no_result = true;
  EXPECT_EQ(scene.verdict().outcome, Outcome::pass);
  scene.seen().registers.gpr[3] = 7;
  EXPECT_EQ(scene.verdict().outcome, Outcome::pass);
  scene.seen().memory[0].bytes[0] = std::byte{9};
  EXPECT_EQ(scene.verdict().findings.at(0).code, ErrorCode::memory_mismatch);
}

TEST(Check, MoreStackThanLinuxAdmitsIsANote) {
  Scene scene;
  bpf::StackUse& use = scene.testimony.source->value().run.stack_use;
  use = {.frames = 8, .bytes = 512};
  EXPECT_THAT(scene.verdict().notes, IsEmpty());
  use = {.frames = 9, .bytes = 544};
  EXPECT_THAT(scene.verdict().notes, ElementsAre(HasSubstr("9 frames"), HasSubstr("544 bytes")));
  EXPECT_EQ(scene.verdict().outcome, Outcome::pass);
}

// One address that the bytes make, another that the CPU goes to: who reads them is misled.
TEST(Check, LowBitsOfATargetAreAFindingOfTheirOwn) {
  for (const std::uint64_t bits : {1U, 2U, 3U}) {
    Scene scene;
    scene.testimony.decoded[0].target = kCallee + bits;
    const model::Verdict verdict = scene.verdict();
    EXPECT_EQ(verdict.outcome, Outcome::fail);
    ASSERT_EQ(verdict.findings.size(), 1U);
    EXPECT_EQ(name(verdict.findings[0].code), "call.low-bits");
    EXPECT_EQ(verdict.findings[0].site, "main[0]");
  }
}

TEST(Check, AGlobalEntryWithAnotherR12SaysSo) {
  Scene scene;
  scene.testimony.image->functions[1].words = {0, 0, 0, external::toc_trap()};
  scene.seen().ending = model::Ending::faulted;
  scene.seen().fault = {.vector = 0x700, .address = kCallee + 12, .came_from = kSite};
  scene.seen().trace = {{.from = kSite, .to = kCallee, .link = kSite + 4}};
  scene.seen().trace_events = 1;
  scene.seen().registers.gpr[2] = 0x1234;
  scene.seen().registers.gpr[11] = 0x5678;
  scene.seen().registers.gpr[12] = 0x42;
  const model::Verdict verdict = scene.verdict();
  const auto found = std::ranges::find(verdict.findings, ErrorCode::abi_toc, &model::Finding::code);
  ASSERT_NE(found, verdict.findings.end());
  EXPECT_EQ(found->site, "main[0]");
  EXPECT_EQ(found->text,
            "callee was entered with r2 = 0x1234; expected its TOC pointer, 0x5678: its global "
            "entry makes it of r12, which must be c00800000012a468 there; r12 is 0x42");
}

// A pointer into the stack in `mem`, which the CPU has 0x3000 lower.
struct PointerScene : Scene {
  PointerScene() {
    cell.placement.stack = kStack;
    for (auto* const run : {&testimony.source, &testimony.linked}) {
      (*run)->value().memory[0].bytes = pointers(0x5000, 0x5008);
      (*run)->value().run.stack_pointers = {{kMem, 1}, {kMem + 8, 1}};
    }
    cell.memory[0].bytes.resize(16);
    seen().memory[0].bytes = pointers(0x2000, 0x2008);
  }
  static std::vector<std::byte> pointers(std::uint64_t first, std::uint64_t second) {
    std::vector<std::byte> bytes(16);
    store(bytes.data(), kStack.value + first, std::endian::little);
    store(bytes.data() + 8, kStack.value + second, std::endian::little);
    return bytes;
  }
  static constexpr GuestAddress kStack = {0xc000'0000'0200'0000};
};

TEST(Check, PointersIntoTheStackAreComparedByTheirFrame) {
  PointerScene scene;
  EXPECT_EQ(scene.verdict().outcome, Outcome::pass);
  scene.seen().memory[0].bytes = PointerScene::pointers(0x2000, 0x2010);  // too far apart
  EXPECT_EQ(scene.verdict().findings.at(0).code, ErrorCode::memory_mismatch);
  scene.seen().memory[0].bytes = PointerScene::pointers(0x12000, 0x12008);  // not in the stack
  const model::Verdict outside = scene.verdict();
  ASSERT_EQ(outside.findings.size(), 2U);
  EXPECT_THAT(outside.findings[0].text, HasSubstr("expected a pointer into the stack"));
}

TEST(Check, FramesAreComparedWhereTheImageSaysWhereTheyAre) {
  Scene scene;
  for (auto* const run : {&scene.testimony.source, &scene.testimony.linked}) {
    (*run)->value().run.frames = {
        {.function = 0, .bytes = {{.below_top = 8, .value = std::byte{5}}}},
        {.function = 1, .bytes = {{.below_top = 16, .value = std::byte{7}}}}};
  }
  EXPECT_EQ(scene.verdict().outcome, Outcome::pass) << "it does not say";
  model::CodeImage& image = *scene.testimony.image;
  image.functions[0].frame_top_bytes = 40;
  image.functions[0].frame_bytes = 592;
  image.functions[1].frame_top_bytes = 48;
  const auto job = make_job(scene.cell, image, 0, scene.testimony.source->value().run.frames);
  model::JobRegion frames = *std::ranges::find_if(job.regions, [](const model::JobRegion& region) {
    return region.name == "stack" && region.reported;
  });
  ASSERT_EQ(frames.size_bytes, 592U + 48U - 40U + 512U);
  frames.bytes.resize(frames.size_bytes);
  const std::size_t outer = frames.size_bytes - 8;
  const std::size_t inner = 512 - 16;
  frames.bytes[outer] = std::byte{5};
  frames.bytes[inner] = std::byte{7};
  scene.seen().memory.push_back(frames);
  EXPECT_EQ(scene.verdict().outcome, Outcome::pass);
  for (const auto& [at, where] : {std::pair(outer, "r10-8 in the frame of main"),
                                  std::pair(inner, "r10-16 in the frame of callee")}) {
    scene.seen().memory.back().bytes[at] ^= std::byte{1};
    const model::Finding finding = scene.verdict().findings.at(0);
    EXPECT_EQ(name(finding.code), "stack.mismatch");
    EXPECT_THAT(finding.text, HasSubstr(where));
    scene.seen().memory.back().bytes[at] ^= std::byte{1};
  }
}

// What ran elsewhere says nothing of the cell, not even that it failed as expected.
TEST(Check, AGuestThatIsAnotherIsAnErrorOfTheMachine) {
  for (const auto& change : std::vector<std::function<void(model::GuestHardware&)>>{
           [](auto& hardware) { hardware.cpu = model::Cpu::power10; },
           [](auto& hardware) { hardware.mmu = model::Mmu::hash; },
           [](auto& hardware) { hardware.endian = model::Endian::big; },
           [](auto& hardware) { hardware = {}; }}) {
    Scene scene;
    change(scene.seen().hardware);
    scene.cell.expected.failure = {.code = ErrorCode::result_mismatch};
    const model::Verdict verdict = scene.verdict();
    EXPECT_EQ(verdict.outcome, Outcome::error);
    ASSERT_EQ(verdict.findings.size(), 1U);
    EXPECT_EQ(verdict.findings[0].code, ErrorCode::machine_other_hardware);
    EXPECT_THAT(verdict.findings[0].text, HasSubstr("expected a guest that is le, power9, radix"));
  }
}

TEST(Check, AControlIsToBeFound) {
  Scene scene;
  scene.cell.control = {.fault = "result-bit", .code = ErrorCode::result_mismatch};
  const model::Verdict missed = against_control(scene.cell, scene.verdict());
  EXPECT_EQ(missed.outcome, Outcome::error);
  EXPECT_EQ(missed.findings.at(0).code, ErrorCode::control_missed);
  EXPECT_THAT(missed.findings.at(0).text, HasSubstr("nothing was found"));

  scene.seen().registers.gpr[3] = 40;
  scene.seen().registers.gpr[20] = 0;  // whatever else is found
  const model::Verdict found = against_control(scene.cell, scene.verdict());
  EXPECT_EQ(found.outcome, Outcome::pass);
  EXPECT_TRUE(found.findings.empty());

  scene.cell.control->code = ErrorCode::call_order;
  const model::Verdict other = against_control(scene.cell, scene.verdict());
  EXPECT_EQ(other.outcome, Outcome::error);
  EXPECT_EQ(other.findings.at(0).code, ErrorCode::control_missed);
  EXPECT_EQ(other.findings.at(1).code, ErrorCode::result_mismatch);

  // A machine that failed has not missed anything.
  const model::Verdict lost =
      against_control(scene.cell, {.findings = {{ErrorCode::machine_lost, "", "QEMU ended"}}});
  EXPECT_EQ(lost.findings.at(0).code, ErrorCode::machine_lost);
  EXPECT_EQ(lost.outcome, Outcome::error);
}

}  // namespace
}  // namespace farcall::check::check_test

#include "check/check.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "base/byte_order.hpp"
#include "bpf/assembler.hpp"
#include "external/external.hpp"
#include "tests/check/scene.hpp"

namespace farcall::check::check_test {
namespace {

using model::Outcome;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using tests::kCallee;
using tests::kMain;
using tests::kMem;
using tests::kSite;
using tests::Scene;

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

TEST(Check, MemoryOfAnySizeIsHeldToTheCase) {
  Scene scene;
  constexpr std::size_t kSize = 200'000;
  scene.cell.memory = {{.name = "mem", .address = kMem, .bytes = std::vector<std::byte>(kSize)}};
  for (auto* const run : {&scene.testimony.source, &scene.testimony.linked}) {
    (*run)->value().memory = scene.cell.memory;
  }
  // The second line changes what the first one says, and has 64 KiB in its middle.
  const std::span<std::byte> left = scene.testimony.source->value().memory[0].bytes.own();
  const std::vector<std::byte> nines(1000, std::byte{9});
  scene.cell.expected.memory = {{.region = "mem", .offset = 65'400, .bytes = {std::byte{1}}},
                                {.region = "mem", .offset = 65'100, .bytes = nines}};
  std::ranges::copy(nines, left.begin() + 65'100);
  EXPECT_THAT(objections(scene.cell, scene.testimony.source->value()), IsEmpty());
  for (const std::size_t changed :
       {kSize - 1, std::size_t{66'099}, std::size_t{65'536}, std::size_t{65'535}, std::size_t{0}}) {
    left[changed] = std::byte{5};
    const auto found = objections(scene.cell, scene.testimony.source->value());
    ASSERT_EQ(found.size(), 1U);
    EXPECT_THAT(found[0].text,
                HasSubstr(fmt::format("at offset {} of mem; the interpreter leaves 05", changed)));
  }
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

// A walk over the stack stored an address in mem+8 that the interpreter could not know.
struct WalkScene : Scene {
  WalkScene() {
    cell.memory[0].bytes = SharedBytes::of(cell.memory[0].bytes, 16);
    testimony.source->value().memory = cell.memory;
    testimony.source->value().run.return_addresses = {{.at = kMem + 8, .site = {0, 0}}};
    testimony.linked = testimony.source;
    seen().memory = {{.address = kMem, .size_bytes = 16, .bytes = cell.memory[0].bytes}};
    store_walked(kSite + 4);
  }
  void store_walked(GuestAddress address) {
    store(seen().memory[0].bytes.own().data() + 8, address.value, std::endian::little);
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

// At the same site, or at none, which is as little.
TEST(Check, AnotherCodeThanTheExpectedOneIsNotTheExpectedFailure) {
  Scene scene;
  scene.seen().registers.gpr[3] = 40;
  scene.cell.expected = {};
  scene.cell.expected.failure = {{ErrorCode::memory_mismatch, ""}};
  EXPECT_EQ(scene.verdict().outcome, Outcome::fail);
  scene.cell.expected.failure = {{ErrorCode::result_mismatch, ""}};
  EXPECT_EQ(scene.verdict().outcome, Outcome::pass);
}

TEST(Check, AnImageThatLiesElsewhereSaysSoOrFails) {
  Scene scene;
  for (const model::CodeFunction& function : scene.testimony.image->functions) {
    scene.cell.placement.functions.push_back(function.address);
  }
  EXPECT_EQ(scene.verdict().outcome, Outcome::pass);
  scene.cell.placement.functions[1] = scene.cell.placement.functions[1] + 0x10000;
  ASSERT_FALSE(scene.verdict().findings.empty());
  EXPECT_EQ(scene.verdict().findings[0].code, ErrorCode::place_elsewhere);
  scene.testimony.image->placed_by = model::PlacedBy::image;
  EXPECT_EQ(scene.verdict().outcome, Outcome::pass);
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

TEST(Check, OfSeveralKnownFailuresEachIsAPass) {
  Scene scene;
  scene.seen().registers.gpr[3] = 40;
  scene.cell.expected.known = {{.jit = "kernel:*", .code = ErrorCode::jit_crashed},
                               {.jit = "kernel:6.*", .code = ErrorCode::result_mismatch}};
  EXPECT_EQ(verdict_of(scene).known, ErrorCode::result_mismatch);
  scene.cell.expected.known[1].code = ErrorCode::guest_fault;
  const model::Verdict verdict = verdict_of(scene);
  EXPECT_EQ(verdict.outcome, Outcome::fail);
  EXPECT_THAT(verdict.findings[0].text, HasSubstr("jit.crashed or guest.fault"));
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
  scene.seen().memory[0].bytes.own()[0] = std::byte{9};
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
            "entry computes r2 from r12, which must be c00800000012a468; r12 is 0x42");
}

// A pointer into the stack in `mem`, which the CPU has 0x3000 lower.
struct PointerScene : Scene {
  PointerScene() {
    cell.placement.stack = kStack;
    for (auto* const run : {&testimony.source, &testimony.linked}) {
      (*run)->value().memory[0].bytes = pointers(0x5000, 0x5008);
      (*run)->value().run.stack_pointers = {{kMem, 1}, {kMem + 8, 1}};
    }
    cell.memory[0].bytes = SharedBytes::of(cell.memory[0].bytes, 16);
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
  frames.bytes = SharedBytes::of(frames.bytes, frames.size_bytes);
  const std::size_t outer = frames.size_bytes - 8;
  const std::size_t inner = 512 - 16;
  frames.bytes.own()[outer] = std::byte{5};
  frames.bytes.own()[inner] = std::byte{7};
  scene.seen().memory.push_back(frames);
  EXPECT_EQ(scene.verdict().outcome, Outcome::pass);
  for (const auto& [at, where] : {std::pair(outer, "r10-8 in the frame of main"),
                                  std::pair(inner, "r10-16 in the frame of callee")}) {
    scene.seen().memory.back().bytes.own()[at] ^= std::byte{1};
    const model::Finding finding = scene.verdict().findings.at(0);
    EXPECT_EQ(name(finding.code), "stack.mismatch");
    EXPECT_THAT(finding.text, HasSubstr(where));
    scene.seen().memory.back().bytes.own()[at] ^= std::byte{1};
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

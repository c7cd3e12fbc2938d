#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "base/byte_order.hpp"
#include "bpf/assembler.hpp"
#include "check/findings.hpp"
#include "external/external.hpp"
#include "external/stub.hpp"

namespace farcall::check::stub_findings_test {
namespace {

using testing::HasSubstr;

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
      log(source.memory[0].bytes.own(), call, {r10 - below, 1}, r10);
      log(seen.memory[0].bytes.own(), call, {r1 + 0x100 - below, 1}, r1);
    }
  }

  static void log(std::span<std::byte> bytes, std::uint64_t call,
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
  StubScene::log(scene.seen.memory[0].bytes.own(), 1, {r1 + 0x100 - 16, 0xffff'ffff'0000'0001}, r1);
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
  StubScene::log(scene.seen.memory[0].bytes.own(), 1, {r1 + 0x100 - 24, 1}, r1);
  const Findings findings = scene.findings();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_THAT(findings[0].text, HasSubstr("argument 1 of unknown"));
}

// What r10 points to may as well be the lowest byte of the caller's frame, which lies elsewhere.
TEST(StubFindings, TheEndOfAFrameSaysNothingOfWhereItIs) {
  StubScene scene;
  const std::uint64_t r10 = StubScene::kStackAt.value + 0x4000;
  const std::uint64_t r1 = StubScene::kStackAt.value + 0x3000;
  StubScene::log(scene.source.memory[0].bytes.own(), 0, {r10, 1}, r10);
  StubScene::log(scene.seen.memory[0].bytes.own(), 0, {r1 + 0x300, 1}, r1);
  store(scene.source.memory[0].bytes.own().data() + 8, std::uint64_t{2}, std::endian::little);
  store(scene.seen.memory[0].bytes.own().data() + 8, std::uint64_t{2}, std::endian::little);
  EXPECT_TRUE(scene.findings().empty());
}

TEST(StubFindings, ThereMustBeAsManyCallsAndALog) {
  StubScene scene;
  store(scene.seen.memory[0].bytes.own().data() + 8, std::uint64_t{3}, std::endian::little);
  ASSERT_EQ(scene.findings().size(), 1U);
  EXPECT_THAT(scene.findings()[0].text, HasSubstr("expected 2 calls"));
  scene.seen.memory.clear();
  ASSERT_EQ(scene.findings().size(), 1U);
  EXPECT_THAT(scene.findings()[0].text, HasSubstr("did not report"));
}

}  // namespace
}  // namespace farcall::check::stub_findings_test

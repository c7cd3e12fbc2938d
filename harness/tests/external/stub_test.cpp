// Stubs: external functions of which only is known what they are called with.
#include "external/stub.hpp"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "tests/external/on_every_machine.hpp"

namespace farcall::external::stub_test {
namespace {

using namespace tests;

// A stub that looks at `arguments` of them and returns 5, 7 and −1. Its log is at `kStack`.
bpf::External test_stub(std::uint8_t arguments) {
  return stub("unknown", bpf::ExternalKind::helper, 1, {.argument_count = arguments},
              {.log = 0, .number = 3, .block = kFirstBlock + 8, .values = 3});
}

std::vector<std::byte> empty_log(std::endian order) {
  std::vector<std::byte> bytes(kFirstBlock + 8 + block_bytes(3));
  std::byte* const values = bytes.data() + kFirstBlock + 16;
  store(values, std::uint64_t{5}, order);
  store(values + 8, std::uint64_t{7}, order);
  store(values + 16, ~std::uint64_t{0}, order);
  return bytes;
}

// The code and its twin leave the same log, but for the stack pointer.
TEST_P(OnEveryMachine, AStubWritesDownItsArgumentsAndReturnsTheNextValue) {
  constexpr GuestAddress kLog = kStack + 0x10000;
  constexpr bpf::Arguments kArguments = {0x1111'2222'3333'4444, 2, ~std::uint64_t{0}, 4, 5};
  constexpr std::array<std::uint64_t, 4> kResults = {5, 7, ~std::uint64_t{0}, ~std::uint64_t{0}};
  for (const model::Abi abi : abis()) {
    for (const std::uint8_t count : {std::uint8_t{0}, std::uint8_t{3}, std::uint8_t{5}}) {
      const bpf::External external = test_stub(count);
      std::vector<std::byte> log = empty_log(order());
      TestCaller caller({{.name = "log", .address = kLog, .bytes = log}}, order());
      caller.called = external;
      // The number of the call that comes: the first ones, and those beyond the log's end.
      for (std::size_t call = 0; call < kResults.size(); ++call) {
        model::Job one = job("no_op", abi, kArguments);
        const Surroundings to = surroundings(abi, kToc);
        one.regions.front().bytes = vm::in_order(code(external, to, kLog), order());
        one.regions.front().size_bytes = one.regions.front().bytes.size();
        one.regions.push_back({.address = kLog,
                               .size_bytes = log.size(),
                               .bytes = log,
                               .access = model::Access::read_write,
                               .reported = true});
        const auto seen = run(one);
        ASSERT_EQ(seen.ending, model::Ending::returned);
        EXPECT_EQ(seen.registers.gpr[3], kResults[call]);
        expect_preserved(one, seen);
        ASSERT_EQ(seen.memory.size(), 1U);
        log = seen.memory[0].bytes.to_vector();
        EXPECT_EQ(stub_meaning(caller, kArguments).value(), kResults[call]);
      }
      const StubLog of_code = read_stub_log(log, order());
      StubLog of_meaning = read_stub_log(caller.memory().regions()[0].bytes, order());
      EXPECT_EQ(of_code.calls, kResults.size());
      EXPECT_EQ(of_meaning.calls, kResults.size());
      bpf::Arguments logged = kArguments;
      std::fill(logged.begin() + count, logged.end(), 0);
      ASSERT_EQ(of_code.first.size(), kResults.size());
      for (StubCall& call : of_meaning.first) {
        EXPECT_EQ(call.stack, GuestAddress{0x5000});
        call.stack = kStackPointer;
      }
      EXPECT_EQ(of_code.first, of_meaning.first);
      EXPECT_EQ(of_code.first.back(),
                (StubCall{.arguments = logged, .stub = 3, .stack = kStackPointer}));
    }
  }
}

// One that sets memory to zeros: where r2 points to, as many bytes as the low half of r3 says, or
// 3.
TEST_P(OnEveryMachine, AStubFillsMemory) {
  constexpr GuestAddress kLog = kStack + 0x10000;
  constexpr GuestAddress kBox = kStack + 0x20000;
  struct Fill {
    bpf::Filling how;
    bpf::Arguments arguments;
    std::size_t begin, end;  // of the bytes that are zeros then
  };
  const bpf::Filling by_length{.pointer = 1, .length = std::uint8_t{2}};
  const bpf::Filling always{.pointer = 1, .length = {}, .bytes = 3};
  const std::array fills = {
      Fill{by_length, {0, kBox.value + 1, 0xffff'ffff'0000'0005, 0, 0}, 1, 6},
      Fill{by_length, {0, kBox.value, 8, 0, 0}, 0, 8},
      Fill{by_length, {0, kBox.value + 2, 0, 0, 0}, 0, 0},
      Fill{by_length, {0, 0, 7, 0, 0}, 0, 0},
      Fill{always, {0, kBox.value + 4, 1, 0, 0}, 4, 7},
      Fill{by_length, {0, kBox.value + 1, 19, 0, 0}, 1, 20},
  };
  for (const Fill& fill : fills) {
    bpf::External external = test_stub(5);
    external.stub->fills = fill.how;
    const std::vector<std::byte> log = empty_log(order());
    const std::vector<std::byte> box(24, std::byte{0xee});
    std::vector<std::byte> wanted = box;
    std::fill(wanted.begin() + static_cast<std::ptrdiff_t>(fill.begin),
              wanted.begin() + static_cast<std::ptrdiff_t>(fill.end), std::byte{0});
    model::Job one = job("no_op", abis().front(), fill.arguments);
    one.regions.front().bytes =
        vm::in_order(code(external, surroundings(abis().front(), kToc), kLog), order());
    one.regions.front().size_bytes = one.regions.front().bytes.size();
    for (const auto& [address, bytes] : {std::pair(kLog, log), std::pair(kBox, box)}) {
      one.regions.push_back({.address = address,
                             .size_bytes = bytes.size(),
                             .bytes = bytes,
                             .access = model::Access::read_write,
                             .reported = true});
    }
    const auto seen = run(one);
    ASSERT_EQ(seen.ending, model::Ending::returned);
    EXPECT_EQ(seen.registers.gpr[3], 5U);
    expect_preserved(one, seen);
    ASSERT_EQ(seen.memory.size(), 2U);
    EXPECT_EQ(seen.memory[1].bytes, wanted);
    TestCaller caller({{.name = "log", .address = kLog, .bytes = log},
                       {.name = "box", .address = kBox, .bytes = box}},
                      order());
    caller.memory().add_frame(GuestAddress{0x5000}, 512);
    caller.called = external;
    EXPECT_EQ(stub_meaning(caller, fill.arguments).value(), 5U);
    EXPECT_EQ(caller.memory().regions()[1].bytes, wanted);
  }
}

// Two frames are neighbours in the interpreter alone.
TEST(StubMeaning, FillsNoMoreThanAFrame) {
  constexpr std::uint64_t kTop = 0x5000;  // what TestCaller says
  bpf::External external = test_stub(5);
  external.stub->fills = bpf::Filling{.pointer = 0, .length = std::uint8_t{1}};
  for (const auto& [begin, fits] : {std::pair(kTop - 16, true), std::pair(kTop - 15, false),
                                    std::pair(kTop - 512, true), std::pair(kTop - 513, false)}) {
    TestCaller caller({{.name = "log", .address = kStack, .bytes = empty_log(std::endian::little)}},
                      std::endian::little);
    caller.memory().add_frame(GuestAddress{kTop + 512}, 512);
    caller.memory().add_frame(GuestAddress{kTop}, 512);
    caller.memory().add_frame(GuestAddress{kTop - 512}, 512);
    caller.called = external;
    const auto result = stub_meaning(caller, {begin, 16, 0, 0, 0});
    EXPECT_EQ(result.has_value(), fits) << begin;
    if (!fits) {
      EXPECT_EQ(result.error().code, ErrorCode::interpreter_bad_access);
    }
  }
}

TEST_P(OnEveryMachine, AStubGoesOnBeyondItsLog) {
  const bpf::External external = test_stub(5);
  std::vector<std::byte> log = empty_log(order());
  store(log.data() + 8, std::uint64_t{kLoggedCalls}, order());
  constexpr GuestAddress kLog = kStack + 0x10000;
  model::Job one = job("no_op", abis().front(), {1, 2, 3, 4, 5});
  one.regions.front().bytes =
      vm::in_order(code(external, surroundings(abis().front(), kToc), kLog), order());
  one.regions.front().size_bytes = one.regions.front().bytes.size();
  one.regions.push_back({.address = kLog,
                         .size_bytes = log.size(),
                         .bytes = log,
                         .access = model::Access::read_write,
                         .reported = true});
  const auto seen = run(one);
  ASSERT_EQ(seen.ending, model::Ending::returned);
  EXPECT_EQ(seen.registers.gpr[3], 5U);
  store(log.data() + 8, std::uint64_t{kLoggedCalls} + 1, order());
  store(log.data() + kFirstBlock + 8, std::uint64_t{1}, order());
  EXPECT_EQ(seen.memory.at(0).bytes, log);
}

}  // namespace
}  // namespace farcall::external::stub_test

#include "external/external.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <tuple>

#include "base/byte_order.hpp"
#include "bpf/address_space.hpp"
#include "external/stub.hpp"
#include "model/convention.hpp"
#include "ppc64/encoder.hpp"
#include "tests/vm/guest.hpp"

namespace farcall::external::external_test {
namespace {

using ppc64::encode;
using ppc64::Op;
using enum ppc64::Gpr;

constexpr GuestAddress kNative = {0xc000'0000'0123'4560};
constexpr GuestAddress kToc = {0xc000'0000'0200'8000};
constexpr GuestAddress kStack = {0xc000'0000'0300'0000};
constexpr std::uint64_t kStackBytes = 4096;
constexpr GuestAddress kStackPointer = {kStack.value + 2048};

// A caller of C++ meanings that has memory, and whose functions do what the test says.
class TestCaller final : public bpf::Caller {
 public:
  explicit TestCaller(std::vector<bpf::MemoryRegion> regions = {},
                      std::endian order = std::endian::little)
      : memory_(std::move(regions), order) {}

  bpf::AddressSpace& memory() override { return memory_; }
  Result<std::uint64_t> call_back(GuestAddress function,
                                  std::span<const std::uint64_t> arguments) override {
    EXPECT_EQ(to_string(function), to_string(vm::kCode));
    seen.emplace_back(arguments.begin(), arguments.end());
    return arguments[0] + arguments[1] >= stop_at ? 1 : 0;
  }
  std::size_t depth() const override { return levels; }
  const bpf::External& callee() const override { return called; }
  Result<GuestAddress> map(std::uint32_t map) const override {
    return memory_.regions()[map].address;
  }
  GuestAddress frame_pointer() const override { return {0x5000}; }

  bpf::External called;
  Result<void> store_return_address(GuestAddress to, std::size_t level) override {
    stored.emplace_back(to, level);
    return success();
  }

  std::uint64_t stop_at = ~std::uint64_t{0};
  std::size_t levels = 0;
  std::vector<std::vector<std::uint64_t>> seen;
  std::vector<std::pair<GuestAddress, std::size_t>> stored;

 private:
  bpf::AddressSpace memory_;
};

std::uint64_t meaning(std::string_view name, const bpf::Arguments& arguments) {
  TestCaller caller;
  return external::find(name)->meaning(caller, arguments).value();
}

std::ptrdiff_t bytes_from(GuestAddress from, GuestAddress to) {
  return static_cast<std::ptrdiff_t>(to.value - from.value);
}

class OnEveryMachine : public vm::OnMachine {
 protected:
  // The ABIs that this machine's byte order has.
  static std::vector<model::Abi> abis() {
    return order() == std::endian::big ? std::vector{model::Abi::elfv2, model::Abi::elfv1}
                                       : std::vector{model::Abi::elfv2};
  }

  static Surroundings surroundings(model::Abi abi, GuestAddress toc = kToc) {
    return {.order = order(), .convention = model::convention(abi), .address = kNative, .toc = toc};
  }

  // Enters at the local entry, with r2 = kToc and everything else marked.
  static model::Job job(std::string_view name, model::Abi abi, const bpf::Arguments& arguments,
                        GuestAddress toc = kToc) {
    const Surroundings to = surroundings(abi, toc);
    const Words words = code(external(*external::find(name), bpf::ExternalKind::helper, 1), to);
    const GuestAddress entry =
        kNative + std::max<std::uint64_t>(kLocalEntryBytes, to.convention.descriptor_bytes);
    model::Job job;
    job.regions.push_back({.address = kNative,
                           .size_bytes = words.size() * 4,
                           .bytes = vm::in_order(words, order()),
                           .access = model::Access::execute});
    job.regions.push_back({.address = kStack,
                           .size_bytes = kStackBytes,
                           .bytes = std::vector<std::byte>(kStackBytes),
                           .access = model::Access::read_write});
    for (std::size_t i = 0; i < 32; ++i) {
      job.entry.gpr[i] = 0x1111'0000'0000'0000 + i;
      job.entry.fpr[i] = 0x2222'0000'0000'0000 + i;
      job.entry.vr[i] = {0x3333'0000'0000'0000 + i, 0x4444'0000'0000'0000 + i};
    }
    std::ranges::copy(arguments, job.entry.gpr.begin() + 3);
    job.entry.gpr[1] = kStackPointer.value;
    job.entry.gpr[2] = kToc.value;
    job.entry.ctr = entry.value;
    job.entry.cr = 0x12345678;
    job.entry_point = entry;
    job.gate = vm::kGate;
    job.entry.lr = vm::kGate.value;
    return job;
  }

  static void expect_preserved(const model::Job& job, const model::Observations& seen) {
    for (std::size_t i = 0; i < 32; ++i) {
      if (i == 1 || i == 2 || i >= 13) {
        EXPECT_EQ(seen.registers.gpr[i], job.entry.gpr[i]) << i;
      }
      if (i >= 14) {
        EXPECT_EQ(seen.registers.fpr[i], job.entry.fpr[i]) << i;
      }
      if (i >= 20) {
        EXPECT_EQ(seen.registers.vr[i], job.entry.vr[i]) << i;
      }
    }
    EXPECT_EQ(seen.registers.cr & 0x00fff000, job.entry.cr & 0x00fff000);
  }
};
ON_MACHINES(OnEveryMachine, vm::all_machines());

TEST_P(OnEveryMachine, WhatOnlyComputesIsWhatItsMeaningSays) {
  constexpr std::array<bpf::Arguments, 4> kArguments = {{
      {1, 10, 100, 1000, 10000},
      {0xffffffffffffff80, 0xffff, 0xffffffff80000000, 0xffffffff, 0xffffffffffffffff},
      {0x7f, 0x8000, 0x7fffffff, 0x80000000, 0x8000000000000000},
      {0, 0, 0, 0, 0},
  }};
  for (const model::Abi abi : abis()) {
    for (const char* name :
         {"weighted_sum", "mix", "narrow_sum", "clobber", "gather_bytes", "no_op", "sqrti"}) {
      for (const bpf::Arguments& arguments : kArguments) {
        const model::Job one = job(name, abi, arguments);
        const auto seen = run(one);
        ASSERT_EQ(seen.ending, model::Ending::returned) << name;
        EXPECT_EQ(seen.registers.gpr[3], meaning(name, arguments)) << name;
        expect_preserved(one, seen);
      }
    }
  }
}

// A hash table of three slots for keys of 5 bytes and values of 3 at kStack + 0x10000: what code
// and meaning return, and that they leave the same memory. The steps are worked out by hand.
TEST_P(OnEveryMachine, AHashTableKeepsWhatItIsGiven) {
  constexpr GuestAddress kTable = kStack + 0x10000;
  constexpr std::uint64_t kKey = kTable.value + 0x200;
  constexpr std::uint64_t kValue = kTable.value + 0x210;
  constexpr std::uint64_t kSlotBytes = 8 + 8 + 8;
  constexpr std::uint64_t kFirstValue = kTable.value + 16 + 16;
  struct Step {
    const char* name;
    const char* key;
    std::uint64_t flags;
    std::uint64_t expected;
  };
  constexpr auto kError = [](std::int64_t error) { return static_cast<std::uint64_t>(error); };
  constexpr std::uint64_t kAny = 0;
  const std::vector<Step> steps = {
      {"map_lookup_elem", "aaaaa", 0, 0},
      {"map_update_elem", "aaaaa", 2, kError(-2)},
      {"map_update_elem", "aaaaa", kAny, 0},
      {"map_update_elem", "aaaab", 1, 0},
      {"map_lookup_elem", "aaaab", 0, kFirstValue + kSlotBytes},
      {"map_update_elem", "aaaab", 1, kError(-17)},
      {"map_update_elem", "aaaac", kAny, 0},
      {"map_update_elem", "aaaad", kAny, kError(-7)},
      {"map_update_elem", "aaaac", 2, 0},
      {"map_delete_elem", "aaaab", 0, 0},
      {"map_delete_elem", "aaaab", 0, kError(-2)},
      {"map_lookup_elem", "aaaac", 0, kFirstValue + 2 * kSlotBytes},
      {"map_update_elem", "aaaad", kAny, 0},
      {"map_lookup_elem", "aaaad", 0, kFirstValue + kSlotBytes},
      {"map_lookup_elem", "aaaaa", 0, kFirstValue},
  };
  for (const model::Abi abi : abis()) {
    std::vector<std::byte> memory(0x220);
    store(memory.data() + 4, std::uint32_t{3}, order());
    store(memory.data() + 8, std::uint32_t{3}, order());
    store(memory.data() + 12, std::uint32_t{5}, order());
    std::uint8_t number = 0;
    for (const Step& step : steps) {
      std::ranges::copy(std::as_bytes(std::span(std::string_view(step.key))),
                        memory.begin() + 0x200);
      std::fill_n(memory.begin() + 0x210, 3, std::byte{++number});
      const bpf::Arguments arguments = {kTable.value, kKey, kValue, step.flags, 0};
      TestCaller caller({{.name = "table", .address = kTable, .bytes = memory}}, order());
      EXPECT_EQ(external::find(step.name)->meaning(caller, arguments).value(), step.expected)
          << step.name << ' ' << step.key;
      model::Job one = job(step.name, abi, arguments);
      one.regions.push_back({.address = kTable,
                             .size_bytes = memory.size(),
                             .bytes = memory,
                             .access = model::Access::read_write,
                             .reported = true});
      const auto seen = run(one);
      ASSERT_EQ(seen.ending, model::Ending::returned) << step.name << ' ' << step.key;
      EXPECT_EQ(seen.registers.gpr[3], step.expected) << step.name << ' ' << step.key;
      expect_preserved(one, seen);
      memory = seen.memory.at(0).bytes.to_vector();
      EXPECT_EQ(memory, caller.memory().regions()[0].bytes) << step.name << ' ' << step.key;
    }
    // The last values that the slots were given, by the number of their step.
    EXPECT_EQ(memory.at(32), std::byte{3});
    EXPECT_EQ(memory.at(32 + kSlotBytes), std::byte{13});
    EXPECT_EQ(memory.at(32 + 2 * kSlotBytes), std::byte{9});
  }
}

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

// An array of three values of 12 bytes at `kStack`, and the index on the stack.
TEST_P(OnEveryMachine, MapLookupElemFindsWhatIsThere) {
  constexpr std::uint64_t kKey = kStackPointer.value + 64;
  const auto with_map = [](std::span<std::byte> bytes, std::uint32_t index, std::endian order) {
    store(bytes.data(), std::uint32_t{3}, order);
    store(bytes.data() + 4, std::uint32_t{12}, order);
    store(bytes.data() + (kKey - kStack.value), index, order);
  };
  const std::array<std::pair<std::uint32_t, std::uint64_t>, 5> kFound = {
      {{0, kStack.value + 8}, {2, kStack.value + 32}, {3, 0}, {0x80000000, 0}, {0xffffffff, 0}}};
  for (const model::Abi abi : abis()) {
    for (const auto& [index, found] : kFound) {
      model::Job one = job("map_lookup_elem", abi, {kStack.value, kKey});
      with_map(one.regions[1].bytes.own(), index, order());
      const auto seen = run(one);
      ASSERT_EQ(seen.ending, model::Ending::returned);
      EXPECT_EQ(seen.registers.gpr[3], found) << index;
      expect_preserved(one, seen);

      bpf::MemoryRegion region{
          .name = "map", .address = kStack, .bytes = std::vector<std::byte>(kStackBytes)};
      with_map(region.bytes.own(), index, std::endian::little);
      TestCaller caller({region});
      EXPECT_EQ(external::find("map_lookup_elem")->meaning(caller, {kStack.value, kKey}).value(),
                found);
    }
  }
}

TEST(Native, MeaningsByHand) {
  EXPECT_EQ(meaning("weighted_sum", {1, 10, 100, 1000, 10000}), 75321U);
  EXPECT_EQ(meaning("mix", {1, 10, 100, 1000, 10000}), 21753U);
  EXPECT_EQ(meaning("mix", {0, 0, 0, 0, 0x8000}), 0xffffffffffff8000U);
  EXPECT_EQ(meaning("narrow_sum", {1, 10, 100, 1000, 10000}), 117531U);
  EXPECT_EQ(meaning("clobber", {42, 1, 2, 3, 4}), 42U);
  EXPECT_EQ(meaning("gather_bytes", {0x101, 0x202, 0x303, 0x404, 0x505}), 0x0102030405U);
  EXPECT_EQ(meaning("no_op", {42}), 0U);
  EXPECT_EQ(meaning("sqrti", {0}), 0U);
  EXPECT_EQ(meaning("sqrti", {24}), 4U);
  EXPECT_EQ(meaning("sqrti", {0x1'0000'0019}), 5U);
  EXPECT_EQ(meaning("sqrti", {0xffff'ffff}), 65535U);
  EXPECT_EQ(meaning("unwind", {42}), 42U);
  TestCaller caller;
  EXPECT_EQ(external::find("unwind")->meaning(caller, {0}).error().code,
            ErrorCode::interpreter_bad_call);
  EXPECT_EQ(external::find("unrelocated")->meaning(caller, {}).error().code,
            ErrorCode::interpreter_bad_call);
}

TEST_P(OnEveryMachine, UnrelocatedIsATrap) {
  const auto seen = run(job("unrelocated", model::Abi::elfv2, {1}));
  EXPECT_EQ(seen.ending, model::Ending::faulted);
  EXPECT_EQ(seen.fault ? seen.fault->vector : 0, 0x700U);
}

TEST_P(OnEveryMachine, SqrtiIsItsMeaningAroundSquares) {
  for (const std::uint64_t root : {1U, 2U, 3U, 255U, 46341U, 65535U}) {
    for (const std::uint64_t square : {root * root - 1, root * root, root * root + 1}) {
      const auto seen = run(job("sqrti", model::Abi::elfv2, {square}));
      EXPECT_EQ(seen.registers.gpr[3], square < root * root ? root - 1 : root) << square;
    }
  }
}

TEST_P(OnEveryMachine, UnwindOfZeroIsATrap) {
  EXPECT_EQ(run(job("unwind", model::Abi::elfv2, {42})).registers.gpr[3], 42U);
  const auto seen = run(job("unwind", model::Abi::elfv2, {0}));
  EXPECT_EQ(seen.ending, model::Ending::faulted);
  EXPECT_EQ(seen.fault ? seen.fault->vector : 0, 0x700U);
}

// Two strings on the stack, on the CPU and by the meaning.
TEST_P(OnEveryMachine, StringsAreComparedAndFrobbed) {
  const GuestAddress a = kStackPointer + 64;
  const GuestAddress b = kStackPointer + 96;
  const auto put = [](std::span<std::byte> bytes, GuestAddress at, std::string_view text) {
    std::ranges::copy(std::as_bytes(std::span(text)), bytes.begin() + bytes_from(kStack, at));
  };
  const auto region_with = [&](std::string_view first, std::string_view second) {
    bpf::MemoryRegion region{
        .name = "strings", .address = kStack, .bytes = std::vector<std::byte>(kStackBytes)};
    put(region.bytes.own(), a, first);
    put(region.bytes.own(), b, second);
    return region;
  };
  const std::array<std::tuple<std::string_view, std::string_view, std::int64_t>, 5> kCompared = {
      {{"", "", 0},
       {"far", "far", 0},
       {"far", "fast", 'r' - 's'},
       {"f", "", 'f'},
       {"", "\xff", -255}}};
  for (const auto& [first, second, difference] : kCompared) {
    const bpf::MemoryRegion region = region_with(first, second);
    model::Job one = job("strcmp_ext", model::Abi::elfv2, {a.value, b.value});
    one.regions[1].bytes = region.bytes;
    const auto seen = run(one);
    EXPECT_EQ(static_cast<std::int64_t>(seen.registers.gpr[3]), difference) << first;
    expect_preserved(one, seen);
    TestCaller caller({region});
    EXPECT_EQ(static_cast<std::int64_t>(
                  external::find("strcmp_ext")->meaning(caller, {a.value, b.value}).value()),
              difference);
  }
  const bpf::MemoryRegion region = region_with("abcd", "");
  model::Job one = job("memfrob", model::Abi::elfv2, {a.value, 3});
  one.regions[1].bytes = region.bytes;
  one.regions[1].reported = true;
  const auto seen = run(one);
  EXPECT_EQ(seen.registers.gpr[3], a.value);
  TestCaller caller({region});
  EXPECT_EQ(external::find("memfrob")->meaning(caller, {a.value, 3}).value(), a.value);
  std::vector<std::byte> wanted = region.bytes.to_vector();
  put(wanted, a, "KHI");  // 0x61 ^ 0x2a, …
  EXPECT_EQ(caller.memory().regions()[0].bytes, wanted);
  EXPECT_EQ(seen.memory.back().bytes, wanted);
}

TEST_P(OnEveryMachine, ClobberChangesEveryVolatileRegister) {
  for (const model::Abi abi : abis()) {
    const model::Job one = job("clobber", abi, {42, 1, 2, 3, 4});
    const auto seen = run(one);
    for (std::size_t i = 0; i < 32; ++i) {
      EXPECT_EQ(seen.registers.gpr[i] != one.entry.gpr[i], i == 0 || (i >= 4 && i <= 12)) << i;
      EXPECT_EQ(seen.registers.fpr[i] != one.entry.fpr[i], i < 14) << i;
      EXPECT_EQ(seen.registers.vr[i] != one.entry.vr[i], i < 20) << i;
    }
    EXPECT_NE(seen.registers.ctr, one.entry.ctr);
    EXPECT_NE(seen.registers.xer, one.entry.xer);
    for (const unsigned field : {0U, 1U, 5U, 6U, 7U}) {
      const unsigned shift = 28 - 4 * field;
      EXPECT_NE(seen.registers.cr >> shift & 0xf, one.entry.cr >> shift & 0xf) << field;
    }
  }
}

// Another r2 than it was made for.
TEST_P(OnEveryMachine, AWrongTocPointerIsATrap) {
  for (const model::Abi abi : abis()) {
    for (const Native& native : external::natives()) {
      const auto seen = run(job(native.name, abi, {}, kToc + 0x10000));
      EXPECT_EQ(seen.ending, model::Ending::faulted) << native.name;
      EXPECT_EQ(seen.fault ? seen.fault->vector : 0, 0x700U) << native.name;
    }
  }
}

TEST_P(OnEveryMachine, TheGlobalEntryFindsTheTocFromR12) {
  model::Job one = job("weighted_sum", model::Abi::elfv2, {1, 1, 1, 1, 1});
  one.entry_point = kNative;
  one.entry.gpr[2] = 0;
  one.entry.gpr[12] = kNative.value;
  auto seen = run(one);
  EXPECT_EQ(seen.registers.gpr[2], kToc.value);
  EXPECT_EQ(seen.registers.gpr[3], 18U);

  one.entry.gpr[12] += 4;  // what r12 must be at a global entry
  seen = run(one);
  EXPECT_EQ(seen.ending, model::Ending::faulted);
}

TEST_P(OnEveryMachine, NobodyEntersWhereTheTocIsTooFar) {
  constexpr GuestAddress kFar = {0xc008'0000'0000'0000};
  model::Job one = job("clobber", model::Abi::elfv2, {1}, kFar);
  one.entry.gpr[2] = kFar.value;
  EXPECT_EQ(run(one).ending, model::Ending::returned);
  one.entry_point = kNative;
  EXPECT_EQ(run(one).ending, model::Ending::faulted);
}

// loop() with a callback that stops once index + context is 7 or more, and ruins what it may.
TEST_P(OnEveryMachine, LoopCallsBackUntilItIsToldToStop) {
  for (const model::Abi abi : abis()) {
    const ppc64::CallingConvention& convention = model::convention(abi);
    Words callback = {
        encode<Op::add>(r3, r3, r4),
        encode<Op::subfic>(r3, r3, 6),  // negative from 7 on
        encode<Op::rldicl>(r3, r3, 1, 63),
    };
    for (unsigned number = 4; number <= 12; ++number) {
      callback.push_back(encode<Op::addi>(static_cast<ppc64::Gpr>(number), ppc64::kZero, -1));
    }
    callback.push_back(vm::kBlr);
    if (convention.descriptor_bytes != 0) {
      const auto low = static_cast<std::uint32_t>(vm::kCode.value) + convention.descriptor_bytes;
      const std::uint32_t high = vm::kCode.value >> 32;
      callback.insert(callback.begin(), {high, low, static_cast<std::uint32_t>(kToc.value >> 32),
                                         static_cast<std::uint32_t>(kToc.value), 0, 0});
    }
    struct Row {
      bpf::Arguments arguments;
      std::uint64_t result;
    };
    for (const auto& [arguments, result] : std::to_array<Row>({
             {{5, vm::kCode.value, 0, 0, 0}, 5},
             {{5, vm::kCode.value, 5, 0, 0}, 3},
             {{100, vm::kCode.value, 0, 0, 0}, 8},
             {{0, vm::kCode.value, 0, 0, 0}, 0},
             {{std::uint64_t{1} << 23, vm::kCode.value, 7, 0, 0}, 1},
             {{(std::uint64_t{1} << 23) + 1, vm::kCode.value, 7, 0, 0}, 0xfffffffffffffff9},
             {{1, vm::kCode.value, 0, 1, 0}, 0xffffffffffffffea},
         })) {
      model::Job one = job("loop", abi, arguments);
      one.trace_events = 64;
      one.regions.push_back({.address = vm::kCode,
                             .size_bytes = callback.size() * 4,
                             .bytes = vm::in_order(callback, order()),
                             .access = model::Access::execute});
      const auto seen = run(one);
      ASSERT_EQ(seen.ending, model::Ending::returned);
      EXPECT_EQ(seen.registers.gpr[3], result);
      expect_preserved(one, seen);

      TestCaller caller;
      caller.stop_at = 7;
      EXPECT_EQ(loop(caller, arguments).value(), result);
      EXPECT_EQ(std::ranges::count_if(seen.trace, &model::TakenBranch::is_call),
                std::ssize(caller.seen));
    }
  }
}

// Three frames by hand: get_stack()'s caller, the one that called that, and whoever began.
TEST_P(OnEveryMachine, GetStackStoresWhereEachFrameReturnsTo) {
  for (const model::Abi abi : abis()) {
    const ppc64::CallingConvention& convention = model::convention(abi);
    for (const auto& [size, stored] :
         {std::pair{64U, 16U}, {16U, 16U}, {15U, 8U}, {8U, 8U}, {7U, 0U}}) {
      model::Job one = job("get_stack", abi, {0, vm::kData.value, size, 0, 0});
      const auto at = [&](std::uint64_t offset, std::uint64_t value) {
        store(one.regions[1].bytes.own().data() + (kStackPointer.value - kStack.value) + offset,
              value, order());
      };
      at(convention.back_chain, kStackPointer.value + 256);
      at(256 + convention.back_chain, kStackPointer.value + 512);
      at(256 + convention.saved_lr, 0xc0de'0000'0000'1234);
      at(512 + convention.back_chain, 0);
      at(512 + convention.saved_lr, 0xdead'beef'dead'beef);
      vm::add_data(one, vm::kData, std::vector<std::byte>(64));
      const auto seen = run(one);
      ASSERT_EQ(seen.ending, model::Ending::returned);
      EXPECT_EQ(seen.registers.gpr[3], stored);
      expect_preserved(one, seen);
      const auto word = [&](std::size_t index) {
        return load<std::uint64_t>(seen.memory.front().bytes.data() + 8 * index, order());
      };
      EXPECT_EQ(word(0), stored >= 8 ? vm::kGate.value : 0);
      EXPECT_EQ(word(1), stored >= 16 ? 0xc0de'0000'0000'1234 : 0);
      EXPECT_EQ(word(2), 0U);

      TestCaller caller;
      caller.levels = 2;
      EXPECT_EQ(get_stack(caller, {0, vm::kData.value, size, 0, 0}).value(), stored);
      EXPECT_EQ(caller.stored.size() * 8, stored);
    }
    EXPECT_EQ(run(job("get_stack", abi, {0, vm::kData.value, 8, 1, 0})).registers.gpr[3],
              0xffffffffffffffea);
  }
}

TEST(Native, NamesAreDistinctAndFound) {
  for (const Native& native : external::natives()) {
    EXPECT_EQ(external::find(native.name), &native);
  }
  EXPECT_EQ(external::find("no_such"), nullptr);
}

TEST(Native, NarrowValuesAreExtended) {
  EXPECT_EQ(bpf::extended(0x180, {.bits = 8, .is_signed = true}), 0xffffffffffffff80U);
  EXPECT_EQ(bpf::extended(0x180, {.bits = 8, .is_signed = false}), 0x80U);
  EXPECT_EQ(bpf::extended(0xffffffff7fffffff, {.bits = 32, .is_signed = true}), 0x7fffffffU);
  EXPECT_EQ(bpf::extended(~std::uint64_t{0}, {}), ~std::uint64_t{0});
}

}  // namespace
}  // namespace farcall::external::external_test

#include "external/external.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <tuple>

#include "base/byte_order.hpp"
#include "bpf/address_space.hpp"
#include "model/convention.hpp"
#include "ppc64/encoder.hpp"
#include "tests/external/on_every_machine.hpp"

namespace farcall::external::external_test {
namespace {

using namespace tests;

using ppc64::encode;
using ppc64::Op;
using enum ppc64::Gpr;

std::uint64_t meaning(std::string_view name, const bpf::Arguments& arguments) {
  TestCaller caller;
  return external::find(name)->meaning(caller, arguments).value();
}

std::ptrdiff_t bytes_from(GuestAddress from, GuestAddress to) {
  return static_cast<std::ptrdiff_t>(to.value - from.value);
}

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

// The helpers of maps. What must come out is worked out by hand.
#include <gtest/gtest.h>

#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/external/on_every_machine.hpp"

namespace farcall::external::map_elem_test {
namespace {

using namespace tests;

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

}  // namespace
}  // namespace farcall::external::map_elem_test

// What the tests of vm/ share: jobs made by hand, and a machine to run them on.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <map>
#include <optional>
#include <ostream>
#include <ranges>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/byte_order.hpp"
#include "model/job.hpp"
#include "tests/paths.hpp"
#include "vm/machine.hpp"

namespace farcall::vm {

// Where the jobs of these tests have their things, unless they say otherwise.
inline constexpr GuestAddress kCode = {0xc008'0000'0012'a400};
inline constexpr GuestAddress kData = {0xc00c'0000'0000'0000};
inline constexpr GuestAddress kGate = {0xc000'0000'0000'4000};

// Instructions that most jobs end with.
inline constexpr std::uint32_t kBlr = 0x4e800020;   // blr
inline constexpr std::uint32_t kLoop = 0x48000000;  // b .
inline constexpr std::uint32_t kNop = 0x60000000;   // nop

inline MachineSpec spec(model::Endian endian = model::Endian::little,
                        model::Cpu cpu = model::Cpu::power9, model::Mmu mmu = model::Mmu::radix) {
  return {.endian = endian,
          .cpu = cpu,
          .mmu = mmu,
          .image = tests::build_dir() / "images" / image_name(endian, mmu)};
}

// `le_power9_radix`: the name of a test's machine.
inline std::string machine_name(const MachineSpec& machine) {
  const model::AxisValues values{.endian = machine.endian, .cpu = machine.cpu, .mmu = machine.mmu};
  std::string joined;
  for (const model::Axis axis : {model::Axis::endian, model::Axis::cpu, model::Axis::mmu}) {
    joined += (joined.empty() ? "" : "_") + std::string(model::value_name(values, axis));
  }
  return joined;
}

inline void PrintTo(const MachineSpec& machine, std::ostream* out) {
  *out << machine_name(machine);
}

inline std::vector<MachineSpec> all_machines() {
  using enum model::Cpu;
  using enum model::Mmu;
  std::vector<MachineSpec> all;
  for (const auto endian : {model::Endian::little, model::Endian::big}) {
    for (const auto& [cpu, mmu] :
         {std::pair{power8, hash}, std::pair{power9, radix}, std::pair{power9, hash},
          std::pair{power10, radix}, std::pair{power10, hash}}) {
      all.push_back(spec(endian, cpu, mmu));
    }
  }
  return all;
}

inline std::vector<MachineSpec> machines_with(model::Mmu mmu) {
  std::vector<MachineSpec> some = all_machines();
  std::erase_if(some, [mmu](const MachineSpec& machine) { return machine.mmu != mmu; });
  return some;
}

inline std::vector<std::byte> in_order(std::span<const std::uint32_t> words, std::endian order) {
  std::vector<std::byte> bytes(words.size() * 4);
  for (std::size_t i = 0; i < words.size(); ++i) {
    store(bytes.data() + i * 4, words[i], order);
  }
  return bytes;
}

inline void add_code(model::Job& job, GuestAddress address,
                     std::initializer_list<std::uint32_t> words,
                     std::endian order = std::endian::little) {
  job.regions.push_back({.address = address,
                         .size_bytes = words.size() * 4,
                         .bytes = in_order(words, order),
                         .access = model::Access::execute});
}

inline void add_data(model::Job& job, GuestAddress address, std::vector<std::byte> bytes,
                     model::Access access = model::Access::read_write) {
  const std::uint64_t size = bytes.size();
  job.regions.push_back({.address = address,
                         .size_bytes = size,
                         .bytes = std::move(bytes),
                         .access = access,
                         .reported = true});
}

// A job that runs `words` at `address`, with r3 = kData, r12 and CTR as the ABI wants them.
inline model::Job code_job(std::initializer_list<std::uint32_t> words, GuestAddress address = kCode,
                           std::endian order = std::endian::little) {
  model::Job job;
  add_code(job, address, words, order);
  job.entry_point = address;
  job.gate = kGate;
  job.fill = 0x5ee3'91c7'0d2b'a648;
  job.entry.lr = kGate.value;
  job.entry.ctr = address.value;
  job.entry.gpr[3] = kData.value;
  job.entry.gpr[12] = address.value;
  return job;
}

// A test on each of the machines, and one machine of a kind for all tests of a suite: what one job
// does must not matter to the next.
class OnMachine : public testing::TestWithParam<MachineSpec> {
 protected:
  static void TearDownTestSuite() { machines_.clear(); }

  static Machine& machine() {
    const auto [found, fresh] = machines_.try_emplace(machine_name(GetParam()));
    if (fresh) {
      found->second = Machine::start(GetParam()).value();
    }
    return *found->second;
  }

  static bool is_hash() { return GetParam().mmu == model::Mmu::hash; }
  // The vectors of a load, or a jump, to where nothing is mapped in 256 MiB.
  static std::uint32_t nowhere_data() { return is_hash() ? 0x380 : 0x300; }
  static std::uint32_t nowhere_code() { return is_hash() ? 0x480 : 0x400; }

  // What the functions of the same name do, in the machine's byte order.
  static std::endian order() { return model::byte_order(GetParam().endian); }
  static model::Job code_job(std::initializer_list<std::uint32_t> words,
                             GuestAddress address = kCode) {
    return vm::code_job(words, address, order());
  }
  static void add_code(model::Job& job, GuestAddress address,
                       std::initializer_list<std::uint32_t> words) {
    vm::add_code(job, address, words, order());
  }

  static std::vector<model::Observations> run(std::span<const model::Job> jobs) {
    std::vector<model::Observations> all;
    while (all.size() < jobs.size()) {
      const auto sent = machine().submit(jobs.subspan(all.size()));
      EXPECT_TRUE(sent.has_value()) << to_string(sent.error());
      auto seen = machine().collect();
      EXPECT_TRUE(seen.has_value()) << to_string(seen.error());
      if (!seen.has_value() || seen.value().empty()) {
        break;
      }
      std::ranges::move(seen.value(), std::back_inserter(all));
    }
    all.resize(jobs.size());
    return all;
  }
  static model::Observations run(const model::Job& job) { return run(std::span(&job, 1)).front(); }

  // A job like any other, to see that the machine is none the worse for what came before.
  static void expect_still_works() {
    const auto seen = run(code_job({0x38600007, kBlr}));  // li r3, 7
    EXPECT_EQ(seen.ending, model::Ending::returned);
    EXPECT_EQ(seen.registers.gpr[3], 7U);
  }

  static void expect_fault(const model::Observations& seen, std::uint32_t vector,
                           GuestAddress address) {
    EXPECT_EQ(seen.ending, model::Ending::faulted);
    ASSERT_TRUE(seen.fault.has_value());
    EXPECT_EQ(seen.fault->vector, vector);
    EXPECT_EQ(to_string(seen.fault->address), to_string(address));
  }

 private:
  static inline std::map<std::string, std::optional<Machine>> machines_;
};

// Every test of `suite` on every one of `machines`.
#define ON_MACHINES(suite, machines)                                     \
  INSTANTIATE_TEST_SUITE_P(Machines, suite, testing::ValuesIn(machines), \
                           [](const auto& machine) { return machine_name(machine.param); })

}  // namespace farcall::vm

// What the tests of vm/ share: jobs made by hand, and a machine to run them on.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/byte_order.hpp"
#include "model/job.hpp"
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

inline MachineSpec spec() {
  return {.image = std::string(FARCALL_BUILD_DIR "/images/") +
                   image_name(model::Endian::little, model::Mmu::radix)};
}

inline std::vector<std::byte> little_endian(std::span<const std::uint32_t> words) {
  std::vector<std::byte> bytes(words.size() * 4);
  for (std::size_t i = 0; i < words.size(); ++i) {
    store(bytes.data() + i * 4, words[i], std::endian::little);
  }
  return bytes;
}

inline void add_code(model::Job& job, GuestAddress address,
                     std::initializer_list<std::uint32_t> words) {
  job.regions.push_back({.address = address,
                         .size_bytes = words.size() * 4,
                         .bytes = little_endian(words),
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
inline model::Job code_job(std::initializer_list<std::uint32_t> words,
                           GuestAddress address = kCode) {
  model::Job job;
  add_code(job, address, words);
  job.entry_point = address;
  job.gate = kGate;
  job.entry.lr = kGate.value;
  job.entry.ctr = address.value;
  job.entry.gpr[3] = kData.value;
  job.entry.gpr[12] = address.value;
  return job;
}

// One machine for all tests of a suite: what one job does must not matter to the next.
class OnMachine : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto started = Machine::start(spec());
    ASSERT_TRUE(started.has_value()) << to_string(started.error());
    machine_ = new Machine(std::move(started).value());
  }
  static void TearDownTestSuite() {
    delete machine_;
    machine_ = nullptr;
  }

  static Machine& machine() { return *machine_; }

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
  static inline Machine* machine_ = nullptr;
};

}  // namespace farcall::vm

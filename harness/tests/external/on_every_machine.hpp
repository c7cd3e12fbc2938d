// Code of external functions and their meanings in C++, run side by side on every machine.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "base/byte_order.hpp"
#include "bpf/address_space.hpp"
#include "external/external.hpp"
#include "model/convention.hpp"
#include "tests/vm/guest.hpp"

namespace farcall::external::tests {

inline constexpr GuestAddress kNative = {0xc000'0000'0123'4560};
inline constexpr GuestAddress kToc = {0xc000'0000'0200'8000};
inline constexpr GuestAddress kStack = {0xc000'0000'0300'0000};
inline constexpr std::uint64_t kStackBytes = 4096;
inline constexpr GuestAddress kStackPointer = {kStack.value + 2048};
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

}  // namespace farcall::external::tests

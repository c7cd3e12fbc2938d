// The memory that a BPF program sees: regions at guest addresses, in the guest's byte order, every
// access checked.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/error.hpp"

namespace farcall::bpf {

struct MemoryRegion {
  std::string name;  // for messages
  GuestAddress address;
  std::vector<std::byte> bytes;
  bool writable = true;

  friend bool operator==(const MemoryRegion&, const MemoryRegion&) = default;
};

// An access is good if it lies in one region as a whole and, for a store, the region is writable;
// anything else is interpreter.bad-access. Any alignment is good.
class AddressSpace {
 public:
  // Regions must not overlap.
  AddressSpace(std::vector<MemoryRegion> regions, std::endian order);

  // `size` is 1, 2, 4 or 8 bytes.
  Result<std::uint64_t> load(GuestAddress address, unsigned size) const;
  Result<void> store(GuestAddress address, unsigned size, std::uint64_t value);

  const std::vector<MemoryRegion>& regions() const { return regions_; }
  std::endian order() const { return order_; }

 private:
  std::vector<MemoryRegion> regions_;
  std::endian order_;
};

}  // namespace farcall::bpf

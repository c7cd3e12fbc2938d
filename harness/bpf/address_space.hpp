// The memory that a BPF program sees: regions at guest addresses, in the guest's byte order, every
// access checked.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/address.hpp"
#include "base/error.hpp"
#include "base/shared_bytes.hpp"
#include "bpf/value.hpp"

namespace farcall::bpf {

struct MemoryRegion {
  std::string name;  // for messages
  GuestAddress address;
  SharedBytes bytes;
  bool writable = true;

  friend bool operator==(const MemoryRegion&, const MemoryRegion&) = default;
};

// A pointer into a frame of the stack that lies in memory: eight bytes.
struct StoredPointer {
  GuestAddress at;
  std::uint32_t frame = 0;

  friend bool operator==(const StoredPointer&, const StoredPointer&) = default;
};

// An access is good if it lies in one region as a whole and, for a store, the region is writable;
// anything else is interpreter.bad-access. Any alignment is good. All bytes are defined at first.
class AddressSpace {
 public:
  // Regions must not overlap.
  AddressSpace(std::vector<MemoryRegion> regions, std::endian order);

  // `size` is 1, 2, 4 or 8 bytes. A load of bits that are undefined is case.undefined-value.
  Result<std::uint64_t> load(GuestAddress address, unsigned size) const;
  Result<void> store(GuestAddress address, unsigned size, std::uint64_t value);

  // The same of values that need not be defined. A pointer into a frame that was stored as one is
  // one again; a part of it is undefined.
  Result<Value> load_value(GuestAddress address, unsigned size) const;
  Result<void> store_value(GuestAddress address, unsigned size, const Value& value);

  // Makes bytes of a region undefined, also of one that is read-only.
  void undefine(GuestAddress address, std::uint64_t size);

  // Makes the `size` bytes below `top` a frame whose bytes are undefined. The first frame becomes a
  // region `stack`, the last region; later ones extend it downwards, or reuse bytes that it has.
  void add_frame(GuestAddress top, std::uint64_t size);

  // The bytes of such a frame that are defined and do not belong to a pointer.
  std::vector<std::pair<GuestAddress, std::byte>> defined_in_frame(GuestAddress top,
                                                                   std::uint64_t size) const;

  // The first byte of region number `region` that is undefined and does not belong to a pointer.
  std::optional<GuestAddress> first_undefined(std::size_t region) const;
  const std::vector<StoredPointer>& pointers(std::size_t region) const {
    return shadows_[region].pointers;
  }

  const std::vector<MemoryRegion>& regions() const& { return regions_; }
  std::vector<MemoryRegion> regions() && { return std::move(regions_); }
  // How many there were, loads and stores.
  std::uint64_t accesses() const { return accesses_; }
  std::endian order() const { return order_; }

 private:
  // What is known of a region's bytes.
  struct Shadow {
    std::vector<std::byte> undefined;  // a mask for each byte; empty: all are defined
    std::vector<StoredPointer> pointers;
  };
  // The region in which an access lies as a whole.
  struct Place {
    std::size_t region;
    std::size_t offset;
  };
  Result<Place> place(const char* what, GuestAddress address, unsigned size) const;

  std::vector<MemoryRegion> regions_;
  std::vector<Shadow> shadows_;  // one for each region
  bool has_stack_ = false;       // the last one is
  mutable std::uint64_t accesses_ = 0;
  std::endian order_;
};

}  // namespace farcall::bpf

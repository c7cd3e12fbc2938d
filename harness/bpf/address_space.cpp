#include "bpf/address_space.hpp"

#include <fmt/format.h>

#include <utility>

#include "base/byte_order.hpp"

namespace farcall::bpf {
namespace {

// Offset of an access in `region`, or the region's size if it does not lie in it as a whole.
std::size_t offset_in(const MemoryRegion& region, GuestAddress address, unsigned size) {
  const std::uint64_t offset = address.value - region.address.value;
  const bool inside = offset < region.bytes.size() && region.bytes.size() - offset >= size;
  return inside ? offset : region.bytes.size();
}

Error bad_access(const char* what, GuestAddress address, unsigned size, const std::string& why) {
  return {.code = ErrorCode::interpreter_bad_access,
          .message = fmt::format("{} of {} byte{} at {}: {}", what, size, size == 1 ? "" : "s",
                                 to_string(address), why)};
}

std::string outside(const std::vector<MemoryRegion>& regions, GuestAddress address) {
  for (const MemoryRegion& region : regions) {
    if (offset_in(region, address, 1) < region.bytes.size()) {
      return fmt::format("runs over the end of {} at {}", region.name,
                         to_string(region.address + region.bytes.size()));
    }
  }
  return "lies in no region";
}

}  // namespace

AddressSpace::AddressSpace(std::vector<MemoryRegion> regions, std::endian order)
    : regions_(std::move(regions)), order_(order) {}

Result<std::uint64_t> AddressSpace::load(GuestAddress address, unsigned size) const {
  for (const MemoryRegion& region : regions_) {
    const std::size_t offset = offset_in(region, address, size);
    if (offset == region.bytes.size()) {
      continue;
    }
    const std::byte* bytes = &region.bytes[offset];
    switch (size) {
      case 1:
        return farcall::load<std::uint8_t>(bytes, order_);
      case 2:
        return farcall::load<std::uint16_t>(bytes, order_);
      case 4:
        return farcall::load<std::uint32_t>(bytes, order_);
      default:
        return farcall::load<std::uint64_t>(bytes, order_);
    }
  }
  return bad_access("load", address, size, outside(regions_, address));
}

Result<void> AddressSpace::store(GuestAddress address, unsigned size, std::uint64_t value) {
  for (MemoryRegion& region : regions_) {
    const std::size_t offset = offset_in(region, address, size);
    if (offset == region.bytes.size()) {
      continue;
    }
    if (!region.writable) {
      return bad_access("store", address, size, fmt::format("{} is read-only", region.name));
    }
    std::byte* bytes = &region.bytes[offset];
    switch (size) {
      case 1:
        farcall::store(bytes, static_cast<std::uint8_t>(value), order_);
        break;
      case 2:
        farcall::store(bytes, static_cast<std::uint16_t>(value), order_);
        break;
      case 4:
        farcall::store(bytes, static_cast<std::uint32_t>(value), order_);
        break;
      default:
        farcall::store(bytes, value, order_);
        break;
    }
    return success();
  }
  return bad_access("store", address, size, outside(regions_, address));
}

}  // namespace farcall::bpf

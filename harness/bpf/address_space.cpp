#include "bpf/address_space.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
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

// What an address may have been meant to be in: the region that ends or begins closest to it.
std::string neighbour(const std::vector<MemoryRegion>& regions, GuestAddress address) {
  constexpr std::uint64_t kNear = std::uint64_t{64} * 1024;
  std::uint64_t nearest = kNear;
  std::string text;
  for (const MemoryRegion& region : regions) {
    const bool is_after = address.value >= region.address.value;
    const std::uint64_t offset = address.value - region.address.value;
    const std::uint64_t before = region.address.value - address.value;
    if (is_after && offset - region.bytes.size() < nearest) {
      nearest = offset - region.bytes.size();
      text = fmt::format(": it is at offset {} of {}, which has {} bytes", offset, region.name,
                         region.bytes.size());
    } else if (!is_after && before < nearest) {
      nearest = before;
      text =
          fmt::format(": it is {} byte{} before {}", before, before == 1 ? "" : "s", region.name);
    }
  }
  return text;
}

std::string outside(const std::vector<MemoryRegion>& regions, GuestAddress address) {
  for (const MemoryRegion& region : regions) {
    if (offset_in(region, address, 1) < region.bytes.size()) {
      return fmt::format("runs over the end of {} at {}", region.name,
                         to_string(region.address + region.bytes.size()));
    }
  }
  return "lies in no region" + neighbour(regions, address);
}

std::uint64_t read_number(const std::byte* bytes, unsigned size, std::endian order) {
  switch (size) {
    case 1:
      return load<std::uint8_t>(bytes, order);
    case 2:
      return load<std::uint16_t>(bytes, order);
    case 4:
      return load<std::uint32_t>(bytes, order);
    default:
      return load<std::uint64_t>(bytes, order);
  }
}

void write_number(std::byte* bytes, unsigned size, std::endian order, std::uint64_t value) {
  switch (size) {
    case 1:
      store(bytes, static_cast<std::uint8_t>(value), order);
      break;
    case 2:
      store(bytes, static_cast<std::uint16_t>(value), order);
      break;
    case 4:
      store(bytes, static_cast<std::uint32_t>(value), order);
      break;
    default:
      store(bytes, value, order);
      break;
  }
}

constexpr unsigned kPointerBytes = 8;
constexpr std::byte kUndefined{0xff};

}  // namespace

AddressSpace::AddressSpace(std::vector<MemoryRegion> regions, std::endian order)
    : regions_(std::move(regions)), shadows_(regions_.size()), order_(order) {}

Result<AddressSpace::Place> AddressSpace::place(const char* what, GuestAddress address,
                                                unsigned size) const {
  ++accesses_;
  for (std::size_t i = 0; i < regions_.size(); ++i) {
    const std::size_t offset = offset_in(regions_[i], address, size);
    if (offset != regions_[i].bytes.size()) {
      return Place{i, offset};
    }
  }
  return bad_access(what, address, size, outside(regions_, address));
}

Result<Value> AddressSpace::load_value(GuestAddress address, unsigned size) const {
  FARCALL_TRY(found, place("load", address, size));
  const Shadow& shadow = shadows_[found.region];
  Value value{.bits = read_number(&regions_[found.region].bytes[found.offset], size, order_)};
  if (!shadow.undefined.empty()) {
    value.undefined = read_number(&shadow.undefined[found.offset], size, order_);
    if (value.undefined != 0 && size == kPointerBytes) {
      const auto pointer = std::ranges::find(shadow.pointers, address, &StoredPointer::at);
      if (pointer != shadow.pointers.end()) {
        value.undefined = 0;
        value.frame = pointer->frame;
      }
    }
  }
  return value;
}

Result<void> AddressSpace::store_value(GuestAddress address, unsigned size, const Value& value) {
  FARCALL_TRY(found, place("store", address, size));
  MemoryRegion& region = regions_[found.region];
  if (!region.writable) {
    return bad_access("store", address, size, fmt::format("{} is read-only", region.name));
  }
  write_number(&region.bytes.own()[found.offset], size, order_, value.bits);
  Shadow& shadow = shadows_[found.region];
  if (shadow.undefined.empty()) {
    if (value.is_plain()) {
      return success();
    }
    shadow.undefined.resize(region.bytes.size());
  }
  std::erase_if(shadow.pointers, [&](const StoredPointer& pointer) {
    return pointer.at.value - address.value < size ||
           address.value - pointer.at.value < kPointerBytes;
  });
  write_number(&shadow.undefined[found.offset], size, order_, opaque(value).undefined);
  if (value.frame != 0 && value.undefined == 0 && size == kPointerBytes) {
    shadow.pointers.push_back({address, value.frame});
  }
  return success();
}

Result<std::uint64_t> AddressSpace::load(GuestAddress address, unsigned size) const {
  FARCALL_TRY(value, load_value(address, size));
  if (value.undefined != 0) {
    return Error{.code = ErrorCode::case_undefined_value,
                 .message = fmt::format("load of {} byte{} at {}: nobody has written all of that",
                                        size, size == 1 ? "" : "s", to_string(address))};
  }
  return value.bits;
}

Result<void> AddressSpace::store(GuestAddress address, unsigned size, std::uint64_t value) {
  return store_value(address, size, {.bits = value});
}

void AddressSpace::undefine(GuestAddress address, std::uint64_t size) {
  for (std::size_t i = 0; i < regions_.size(); ++i) {
    const std::uint64_t offset = address.value - regions_[i].address.value;
    if (offset < regions_[i].bytes.size()) {
      shadows_[i].undefined.resize(regions_[i].bytes.size());
      std::fill_n(shadows_[i].undefined.begin() + static_cast<std::ptrdiff_t>(offset), size,
                  kUndefined);
    }
  }
}

void AddressSpace::add_frame(GuestAddress top, std::uint64_t size) {
  if (!has_stack_) {
    has_stack_ = true;
    regions_.push_back({.name = "stack", .address = top, .bytes = {}});
    shadows_.emplace_back();
  }
  MemoryRegion& stack = regions_.back();
  Shadow& shadow = shadows_.back();
  const GuestAddress lowest{top.value - size};
  if (lowest < stack.address) {
    const std::uint64_t more = stack.address.value - lowest.value;
    auto grown = SharedBytes::of({}, more + stack.bytes.size());
    if (!stack.bytes.empty()) {
      std::memcpy(grown.own().data() + more, stack.bytes.data(), stack.bytes.size());
    }
    stack.bytes = std::move(grown);
    shadow.undefined.insert(shadow.undefined.begin(), more, kUndefined);
    stack.address = lowest;
    return;
  }
  const auto offset = static_cast<std::ptrdiff_t>(lowest.value - stack.address.value);
  std::ranges::fill_n(shadow.undefined.begin() + offset, static_cast<std::ptrdiff_t>(size),
                      kUndefined);
  std::erase_if(shadow.pointers, [&](const StoredPointer& pointer) {
    return pointer.at.value - lowest.value < size;
  });
}

std::vector<std::pair<GuestAddress, std::byte>> AddressSpace::defined_in_frame(
    GuestAddress top, std::uint64_t size) const {
  const MemoryRegion& stack = regions_.back();
  const std::uint64_t offset = top.value - size - stack.address.value;
  const std::byte* const undefined = &shadows_.back().undefined[offset];
  std::vector<std::pair<GuestAddress, std::byte>> found;
  // As a rule nobody has written any of it: all bytes are like the first.
  if (undefined[0] == kUndefined && std::memcmp(undefined, undefined + 1, size - 1) == 0) {
    return found;
  }
  for (std::uint64_t i = 0; i < size; ++i) {
    if (undefined[i] == std::byte{0}) {
      found.emplace_back(stack.address + (offset + i), stack.bytes[offset + i]);
    }
  }
  return found;
}

std::optional<GuestAddress> AddressSpace::first_undefined(std::size_t region) const {
  const Shadow& shadow = shadows_[region];
  for (std::size_t i = 0; i < shadow.undefined.size(); ++i) {
    const GuestAddress at = regions_[region].address + i;
    if (shadow.undefined[i] != std::byte{0} &&
        std::ranges::none_of(shadow.pointers, [&](const StoredPointer& pointer) {
          return at.value - pointer.at.value < kPointerBytes;
        })) {
      return at;
    }
  }
  return std::nullopt;
}

}  // namespace farcall::bpf

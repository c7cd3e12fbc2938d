#include "check/garbage.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace farcall::check {
namespace {

constexpr std::size_t kFile = 32;  // registers of each kind
constexpr std::size_t kFpr = kFile;
constexpr std::size_t kVr = kFpr + kFile;
constexpr std::size_t kCr = kVr + kFile;
constexpr std::size_t kRegisters = kCr + 1;

std::size_t bytes_not_given(const model::JobRegion& region) {
  return region.access == model::Access::execute ? 0 : region.size_bytes - region.bytes.size();
}

// As vm/batch.hpp fills it.
std::byte fill_byte(const model::Job& job, GuestAddress address) {
  return static_cast<std::byte>(job.fill >> (address.value % 8 * 8) & 0xff);
}

}  // namespace

std::size_t garbage_pieces(const model::Job& job) {
  std::size_t pieces = kRegisters + 1;
  for (const model::JobRegion& region : job.regions) {
    pieces += bytes_not_given(region);
  }
  return pieces;
}

model::Job with_garbage(const model::Job& job, const model::Job& other, std::size_t count) {
  model::Job mixed = job;
  for (std::size_t i = 0; i < std::min(count, kFile); ++i) {
    mixed.entry.gpr[i] = other.entry.gpr[i];
  }
  for (std::size_t i = kFpr; i < std::min(count, kVr); ++i) {
    mixed.entry.fpr[i - kFpr] = other.entry.fpr[i - kFpr];
  }
  for (std::size_t i = kVr; i < std::min(count, kCr); ++i) {
    mixed.entry.vr[i - kVr] = other.entry.vr[i - kVr];
  }
  mixed.entry.cr = count > kCr ? other.entry.cr : job.entry.cr;
  std::size_t before = kRegisters;
  for (model::JobRegion& region : mixed.regions) {
    if (const std::size_t given = region.bytes.size(); bytes_not_given(region) != 0) {
      region.bytes = SharedBytes::of(region.bytes, region.size_bytes);
      std::byte* at = region.bytes.own().data();
      for (std::size_t i = given; i < region.size_bytes; ++i) {
        at[i] = fill_byte(before < count ? other : job, region.address + i);
        ++before;
      }
    }
  }
  mixed.fill = before < count ? other.fill : job.fill;
  return mixed;
}

std::string garbage_name(const model::Job& job, std::size_t piece) {
  if (piece < kFpr) {
    return fmt::format("r{}", piece);
  }
  if (piece < kVr) {
    return fmt::format("f{}", piece - kFpr);
  }
  if (piece < kCr) {
    return fmt::format("v{}", piece - kVr);
  }
  if (piece < kRegisters) {
    return "CR";
  }
  piece -= kRegisters;
  for (const model::JobRegion& region : job.regions) {
    const std::size_t bytes = bytes_not_given(region);
    if (piece < bytes) {
      const GuestAddress at = region.address + region.bytes.size() + piece;
      const auto offset = static_cast<std::int64_t>(at.value - job.entry.gpr[1]);
      return fmt::format("the byte of the {} at {}, r1 {} {}", region.name, to_string(at),
                         offset < 0 ? '-' : '+', offset < 0 ? -offset : offset);
    }
    piece -= bytes;
  }
  return "memory that is not the program's";
}

}  // namespace farcall::check

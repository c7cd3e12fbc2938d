#include "vm/guest_memory.hpp"

#include <sys/mman.h>

#include <utility>

namespace farcall::vm {

Result<GuestMemory> GuestMemory::create() {
  GuestMemory memory;
  BOOST_OUTCOME_TRY(file, memory_file("farcall-guest", wire::kRamBytes));
  memory.file_ = std::move(file);
  void* start = ::mmap(nullptr, wire::kRamBytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                       memory.file_.number(), 0);
  if (start == MAP_FAILED) {
    return start_error("cannot map the guest's memory");
  }
  memory.start_ = static_cast<std::byte*>(start);
  return memory;
}

GuestMemory::GuestMemory(GuestMemory&& other) noexcept
    : file_(std::move(other.file_)), start_(std::exchange(other.start_, nullptr)) {}

GuestMemory& GuestMemory::operator=(GuestMemory&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(start_, other.start_);
  return *this;
}

GuestMemory::~GuestMemory() {
  if (start_ != nullptr) {
    ::munmap(start_, wire::kRamBytes);
  }
}

wire::Control& GuestMemory::control() const {
  return *reinterpret_cast<wire::Control*>(start_ + wire::kControlAddress);
}

std::span<std::byte> GuestMemory::area(std::uint64_t batch) const {
  return {start_ + wire::kAreasAddress + batch % wire::kAreaCount * wire::kAreaBytes,
          wire::kAreaBytes};
}

}  // namespace farcall::vm

#include "vm/guest_memory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <utility>

namespace farcall::vm {

Result<GuestMemory> GuestMemory::create() {
  FARCALL_TRY(file, process::memory_file("farcall-guest", wire::kRamBytes));
  return map(std::move(file));
}

Result<GuestMemory> GuestMemory::open(const std::string& path) {
  process::FileDescriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (file.number() < 0) {
    return process::start_error(fmt::format("cannot open the guest's memory, {}", path));
  }
  return map(std::move(file));
}

Result<GuestMemory> GuestMemory::map(process::FileDescriptor file) {
  GuestMemory memory;
  memory.file_ = std::move(file);
  void* start = ::mmap(nullptr, wire::kRamBytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                       memory.file_.number(), 0);
  if (start == MAP_FAILED) {
    return process::start_error("cannot map the guest's memory");
  }
  memory.start_ = static_cast<std::byte*>(start);
  return memory;
}

void GuestMemory::tell(const MachineSpec& spec) const {
  control().mmu =
      static_cast<std::uint32_t>(spec.mmu == model::Mmu::hash ? wire::Mmu::hash : wire::Mmu::radix);
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

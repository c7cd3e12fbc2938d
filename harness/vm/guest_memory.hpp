// The guest's RAM as the host sees it: an anonymous file that QEMU uses as memory, mapped here too.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/error.hpp"
#include "process/file_descriptor.hpp"
#include "vm/machine_spec.hpp"
#include "wire/mailbox.hpp"

namespace farcall::vm {

class GuestMemory {
 public:
  static Result<GuestMemory> create();
  // The file at `path`, which is some QEMU's memory.
  static Result<GuestMemory> open(const std::string& path);

  GuestMemory(GuestMemory&& other) noexcept;
  GuestMemory& operator=(GuestMemory&& other) noexcept;
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;
  ~GuestMemory();

  // Tells the guest what it is to be.
  void tell(const MachineSpec& spec) const;

  int descriptor() const { return file_.number(); }
  wire::Control& control() const;
  // The area of batch number `batch`.
  std::span<std::byte> area(std::uint64_t batch) const;

 private:
  GuestMemory() = default;
  static Result<GuestMemory> map(process::FileDescriptor file);

  process::FileDescriptor file_;
  std::byte* start_ = nullptr;
};

}  // namespace farcall::vm

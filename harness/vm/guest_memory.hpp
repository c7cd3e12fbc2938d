// The guest's RAM as the host sees it: an anonymous file that QEMU uses as memory, mapped here too.
#pragma once

#include <cstddef>
#include <span>

#include "base/error.hpp"
#include "vm/file_descriptor.hpp"
#include "wire/mailbox.hpp"

namespace farcall::vm {

class GuestMemory {
 public:
  static Result<GuestMemory> create();
  GuestMemory(GuestMemory&& other) noexcept;
  GuestMemory& operator=(GuestMemory&& other) noexcept;
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;
  ~GuestMemory();

  int descriptor() const { return file_.number(); }
  wire::Control& control() const;
  // The area of batch number `batch`.
  std::span<std::byte> area(std::uint64_t batch) const;

 private:
  GuestMemory() = default;

  FileDescriptor file_;
  std::byte* start_ = nullptr;
};

}  // namespace farcall::vm

// The QEMU of a Linux guest, whoever starts it: its machine, its start, and its snapshots.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "kernel/guest_spec.hpp"
#include "process/file_descriptor.hpp"
#include "vm/host.hpp"

namespace farcall::kernel {

// In which machine such a guest boots.
vm::LinuxSpec machine_for(const GuestSpec& spec);

class LinuxQemu {
 public:
  // Returns once spec.host runs QEMU. With a descriptor of a snapshot, of a guest of the same `spec`,
  // it goes on from there; it runs when this returns, and what is said to it before is lost. The
  // errors of vm::Host::boot(); with a snapshot also machine.lost, machine.timeout,
  // machine.bad-answer.
  static Result<LinuxQemu> start(const GuestSpec& spec, std::span<const std::byte> initramfs,
                                 std::optional<int> snapshot);

  vm::RunningQemu& process() const { return *started_.qemu; }
  int terminal() const { return started_.terminal.number(); }  // our end
  int window() const { return started_.window.number(); }      // a file
  std::string log() const;  // the kernel's, as its console has it

  // Writes the guest to `file`, from where that stands, while it stands still. machine.lost,
  // machine.timeout, machine.bad-answer, and the host's.
  Result<void> save(int file);

 private:
  explicit LinuxQemu(vm::StartedLinux started) : started_(std::move(started)) {}

  Result<void> restore(int snapshot);
  Result<void> write_to(int file);
  // Until QEMU's answer to `question` has another status than `meanwhile`, which is to be one of
  // `expected`.
  Result<void> wait_while(std::string_view question, std::span<const std::string_view> meanwhile,
                          std::span<const std::string_view> expected) const;

  vm::StartedLinux started_;
};

}  // namespace farcall::kernel

// The QEMU of a Linux guest: its command line, its start, and its snapshots.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "base/error.hpp"
#include "kernel/guest_spec.hpp"
#include "process/file_descriptor.hpp"
#include "process/process.hpp"
#include "vm/command_line.hpp"
#include "vm/qmp.hpp"

namespace farcall::kernel {

// Descriptors that QEMU inherits.
struct GuestFiles {
  int initramfs = -1;
  int console = -1;   // takes the kernel's log
  int terminal = -1;  // stream socket: whose turn it is
  int window = -1;    // wire::kWindowBytes of memory
  int control = -1;   // stream socket: QEMU's own control
  int snapshot = -1;  // the guest as save() wrote it; -1: it boots
};

// How to start `qemu`.
process::Command guest_command(const vm::Qemu& qemu, const GuestSpec& spec,
                               const GuestFiles& files);

// qemu-system-ppc64 of PATH. machine.no-qemu.
Result<vm::Qemu> find_qemu_for_linux();

class LinuxQemu {
 public:
  // Returns once QEMU runs. With a descriptor of a snapshot, of a guest of the same `spec`, it goes
  // on from there. machine.start.
  static Result<LinuxQemu> start(const vm::Qemu& qemu, const GuestSpec& spec,
                                 std::span<const std::byte> initramfs, int window,
                                 std::optional<int> snapshot);

  process::Process& process() { return process_; }
  int terminal() const { return terminal_.number(); }  // our end
  std::string log() const;                             // the kernel's, as its console has it

  // Waits until a guest that comes of a snapshot runs: what is said to it before is lost. Errors:
  // machine.lost, machine.timeout, machine.bad-answer.
  Result<void> wait_until_restored();

  // Writes the guest to `file`, from where that stands, while it stands still. The same errors.
  Result<void> save(int file);

 private:
  LinuxQemu(process::Process process, process::FileDescriptor console,
            process::FileDescriptor terminal, vm::QmpClient control)
      : console_(std::move(console)),
        terminal_(std::move(terminal)),
        control_(std::move(control)),
        process_(std::move(process)) {}

  // Until QEMU's answer to `question` has this status.
  Result<void> wait_for(const char* question, std::string_view status, std::string_view failed);

  process::FileDescriptor console_;
  process::FileDescriptor terminal_;
  vm::QmpClient control_;
  process::Process process_;  // after what it uses: it ends first
};

}  // namespace farcall::kernel

// Host: who starts QEMU for a machine and ends it. We ourselves do, or libvirt does.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "process/file_descriptor.hpp"
#include "vm/guest_memory.hpp"
#include "vm/machine_spec.hpp"

namespace farcall::vm {

// A QEMU that a host has started. It ends with this object.
class RunningQemu {
 public:
  RunningQemu() = default;
  RunningQemu(const RunningQemu&) = delete;
  RunningQemu& operator=(const RunningQemu&) = delete;
  virtual ~RunningQemu() = default;

  virtual int process_id() const = 0;  // 0 if the host does not say
  virtual bool running() = 0;
  virtual void kill() = 0;

  // How it ended: `exit status 1`, `signal 9`. Only when it does not run any more.
  virtual std::string ending() = 0;

  // The end of what it wrote to its standard output and error, on one line.
  virtual std::string last_words() = 0;

  // What QEMU's monitor for people prints for `command_line`, such as `info registers`.
  virtual Result<std::string> monitor(const std::string& command_line) = 0;

  // Why nobody can answer for this QEMU any more though it may still run: the host is gone.
  virtual std::optional<Error> abandoned() { return std::nullopt; }
};

struct StartedQemu {
  GuestMemory memory;
  process::FileDescriptor console;  // our end of a stream socket: the guest's terminal
  std::unique_ptr<RunningQemu> qemu;
};

// May be used from several threads at a time.
class Host {
 public:
  Host() = default;
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  virtual ~Host() = default;

  // Returns once QEMU runs. `spec.image` is an absolute path of a file that is there. Errors:
  // machine.no-qemu, machine.start, and those of the host.
  virtual Result<StartedQemu> start(const MachineSpec& spec) = 0;
};

// qemu-system-ppc64 of PATH as our own child. It dies with the thread that started it.
Host& direct_host();

}  // namespace farcall::vm

// Host: who starts QEMU for a machine and ends it. We ourselves do, or libvirt does.
#pragma once

#include <cstddef>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "process/file_descriptor.hpp"
#include "vm/guest_memory.hpp"
#include "vm/linux_spec.hpp"
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

  // A command of QMP, and what it returns. The errors of QmpClient::execute(), and machine.libvirt.
  virtual Result<nlohmann::ordered_json> execute(std::string_view command,
                                                 const nlohmann::ordered_json& arguments) = 0;

  // Gives QEMU a descriptor, which QMP's commands know by that name from then on. The same errors.
  virtual Result<void> give(std::string_view name, int descriptor) = 0;

  // Why nobody can answer for this QEMU any more though it may still run: the host is gone.
  virtual std::optional<Error> abandoned() { return std::nullopt; }
};

struct StartedQemu {
  GuestMemory memory;
  process::FileDescriptor console;  // our end of a stream socket: the guest's terminal
  std::unique_ptr<RunningQemu> qemu;
};

struct StartedLinux {
  process::FileDescriptor log;       // a file: what the kernel writes to its console
  process::FileDescriptor terminal;  // our end of a stream socket: the guest's second terminal
  process::FileDescriptor window;    // a file: the memory that the guest shares with us
  std::unique_ptr<RunningQemu> qemu;
};

// What a snapshot of a machine is of: only the same can be restored from it.
struct LinuxMachine {
  std::string made_of;  // all of the machine but the files that it boots
  std::string qemu;     // path of QEMU
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

  // A machine that boots Linux with this initramfs, or waits for a snapshot. Returns once QEMU runs.
  // The same errors.
  virtual Result<StartedLinux> boot(const LinuxSpec& spec, std::span<const std::byte> initramfs,
                                    LinuxStart start) = 0;

  // The machine that boot() makes. machine.no-qemu, and those of the host.
  virtual Result<LinuxMachine> machine(const LinuxSpec& spec) = 0;
};

// qemu-system-ppc64 of PATH as our own child. It dies with the thread that started it.
Host& direct_host();

}  // namespace farcall::vm

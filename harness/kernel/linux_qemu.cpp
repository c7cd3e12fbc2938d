#include "kernel/linux_qemu.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>
#include <vector>

#include "process/patience.hpp"
#include "process/search_path.hpp"
#include "vm/qemu_abilities.hpp"
#include "wire/kernel_batch.hpp"

namespace farcall::kernel {
namespace {

// To write a guest, or to read it, takes a tenth of a second. What QEMU waits for a CPU does not
// count.
constexpr std::chrono::seconds kSnapshotPatience{20};

constexpr std::uint64_t kAsFastAsItGoes = std::uint64_t{1} << 40;  // bytes a second

}  // namespace

process::Command guest_command(const vm::Qemu& qemu, const GuestSpec& spec,
                               const GuestFiles& files) {
  const std::string_view cpu =
      model::value_names(model::Axis::cpu)[static_cast<std::size_t>(spec.cpu)];
  process::Command command{
      .program = qemu.program,
      .arguments = {
          "-machine",
          // Its own firmware would take 5 s; of the rest TCG has nothing.
          "pseries,x-vof=on,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off",
          "-cpu", std::string(cpu), "-m", fmt::format("{}M", spec.memory_mebibytes),
          "-no-user-config", "-nodefaults", "-display", "none", "-no-reboot", "-chardev",
          fmt::format("file,id=console,path=/proc/self/fd/{}", files.console), "-serial",
          "chardev:console", "-chardev", fmt::format("socket,id=terminal,fd={}", files.terminal),
          "-device", "spapr-vty,chardev=terminal,reg=0x71000002", "-object",
          fmt::format("memory-backend-file,id=window,size={},mem-path=/proc/self/fd/{},share=on",
                      wire::kWindowBytes, files.window),
          // Without a driver: the agent maps it through sysfs, by this address.
          "-device", "ivshmem-plain,memdev=window,master=on,addr=1", "-chardev",
          fmt::format("socket,id=control,fd={}", files.control), "-mon",
          "chardev=control,mode=control"}};
  if (qemu.abilities.sandbox) {
    command.arguments.insert(command.arguments.end(), {"-sandbox", std::string(vm::kSandbox)});
  }
  if (files.snapshot >= 0) {  // kernel and initramfs are in the memory that it brings
    command.arguments.insert(command.arguments.end(),
                             {"-incoming", fmt::format("fd:{}", files.snapshot)});
    return command;
  }
  // The guest's clock goes on while QEMU waits for a CPU: what the kernel takes for a CPU that is
  // stuck, after 10 s by default, may be a busy host. The times are still below GuestSpec::patience.
  // To clear each page when it is allocated, as Debian's kernels do, takes 5 % of a program's time.
  std::string append = fmt::format(
      "console=hvc0 loglevel={} panic=-1 watchdog_thresh=60 init_on_alloc=0 "
      "rcupdate.rcu_cpu_stall_timeout=150",
      spec.log_level);
  if (spec.mmu == model::Mmu::hash) {
    append += " disable_radix";
  }
  command.arguments.insert(command.arguments.end(),
                           {"-kernel", spec.vmlinux.string(), "-initrd",
                            fmt::format("/proc/self/fd/{}", files.initramfs), "-append", append});
  return command;
}

Result<vm::Qemu> find_qemu_for_linux() {
  const std::string program = process::program_on_path("qemu-system-ppc64");
  if (program.empty()) {
    return Error{.code = ErrorCode::machine_no_qemu,
                 .message = "qemu-system-ppc64 is not on PATH",
                 .hint = "apt-get install qemu-system-ppc"};
  }
  return vm::Qemu{.program = program, .abilities = vm::qemu_abilities(program)};
}

Result<LinuxQemu> LinuxQemu::start(const vm::Qemu& qemu, const GuestSpec& spec,
                                   std::span<const std::byte> initramfs, int window,
                                   std::optional<int> snapshot) {
  FARCALL_TRY(initrd, process::memory_file("farcall-initramfs", 0));
  if (::write(initrd.number(), initramfs.data(), initramfs.size()) !=
      static_cast<ssize_t>(initramfs.size())) {
    return Error{ErrorCode::machine_start, "the initramfs cannot be written to memory"};
  }
  FARCALL_TRY(console, process::memory_file("farcall-console", 0));
  FARCALL_TRY(terminal, process::socket_pair());
  FARCALL_TRY(control, process::socket_pair());
  const GuestFiles files{.initramfs = initrd.number(),
                         .console = console.number(),
                         .terminal = terminal.theirs.number(),
                         .window = window,
                         .control = control.theirs.number(),
                         .snapshot = snapshot.value_or(-1)};
  std::vector<int> inherited = {files.initramfs, files.console, files.terminal, files.window,
                                files.control};
  if (snapshot) {
    inherited.push_back(*snapshot);
  }
  FARCALL_TRY(process, process::Process::start(guest_command(qemu, spec, files), inherited));
  return LinuxQemu(std::move(process), std::move(console), std::move(terminal.ours),
                   vm::QmpClient(std::move(control.ours)));
}

std::string LinuxQemu::log() const {
  std::ostringstream text;
  text << std::ifstream(fmt::format("/proc/self/fd/{}", console_.number()), std::ios::binary)
              .rdbuf();
  return std::move(text).str();
}

Result<void> LinuxQemu::wait_for(const char* question, std::string_view status,
                                 std::string_view failed) {
  process::Patience patience(kSnapshotPatience, process_.id());
  while (patience.left().count() > 0) {
    FARCALL_TRY(answer, control_.execute(question));
    const std::string now = answer.value("status", "");
    if (now == status) {
      return success();
    }
    if (now == failed) {
      return Error{ErrorCode::machine_bad_answer,
                   fmt::format("QEMU: {}", answer.value("error-desc", now))};
    }
    ::poll(nullptr, 0, 1);
  }
  return Error{ErrorCode::machine_timeout,
               fmt::format("QEMU was not {} within {} s", status, kSnapshotPatience.count())};
}

Result<void> LinuxQemu::wait_until_restored() {
  return wait_for("query-status", "running", "internal-error");
}

Result<void> LinuxQemu::save(int file) {
  FARCALL_TRYV(control_.execute("migrate-set-parameters", {{"max-bandwidth", kAsFastAsItGoes}}));
  FARCALL_TRYV(control_.give("snapshot", file));
  FARCALL_TRYV(control_.execute("migrate", {{"uri", "fd:snapshot"}}));
  FARCALL_TRYV(wait_for("query-migrate", "completed", "failed"));
  FARCALL_TRYV(control_.execute("cont"));
  return success();
}

}  // namespace farcall::kernel

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "process/process.hpp"
#include "process/search_path.hpp"
#include "vm/command_line.hpp"
#include "vm/host.hpp"
#include "vm/last_will.hpp"
#include "vm/linux_command_line.hpp"
#include "vm/qmp.hpp"
#include "wire/kernel_batch.hpp"

namespace farcall::vm {
namespace {

constexpr std::string_view kQemu = "qemu-system-ppc64";

class OwnQemu : public RunningQemu {
 public:
  OwnQemu(QmpClient qmp, process::Process process, std::optional<LastWill> will)
      : qmp_(std::move(qmp)), process_(std::move(process)), will_(std::move(will)) {}
  OwnQemu(const OwnQemu&) = delete;
  OwnQemu& operator=(const OwnQemu&) = delete;
  ~OwnQemu() override {
    process_.kill();
    if (will_) {
      will_->revoke();
    }
  }

  int process_id() const override { return process_.id(); }
  bool running() override { return process_.running(); }
  void kill() override { process_.kill(); }
  std::string ending() override { return process_.ending(); }
  std::string last_words() override { return process_.last_words(); }
  Result<std::string> monitor(const std::string& command_line) override {
    return qmp_.monitor(command_line);
  }
  Result<nlohmann::ordered_json> execute(std::string_view command,
                                         const nlohmann::ordered_json& arguments) override {
    return qmp_.execute(command, arguments);
  }
  Result<void> give(std::string_view name, int descriptor) override {
    return qmp_.give(name, descriptor);
  }

 private:
  QmpClient qmp_;
  process::Process process_;  // after what it uses: it ends first
  std::optional<LastWill> will_;
};

// The kernel ends our child with us, but not the child of a script that is our child.
Result<std::optional<LastWill>> will_of(const std::string& program, int process) {
  std::array<char, 2> begin = {};
  std::ifstream(program, std::ios::binary).read(begin.data(), begin.size());
  if (begin != std::array{'#', '!'}) {
    return std::optional<LastWill>();
  }
  FARCALL_TRY(will, LastWill::write("kill -s KILL -- \"-$1\"", std::to_string(process)));
  return std::optional<LastWill>(std::move(will));
}

Result<Qemu> find_direct_qemu() {
  const std::string qemu = process::program_on_path(kQemu);
  if (qemu.empty()) {
    return Error{ErrorCode::machine_no_qemu, fmt::format("{} is not on PATH", kQemu),
                 SourceLocation{}, std::string{}, "apt-get install qemu-system-ppc"};
  }
  return Qemu{.program = qemu, .abilities = qemu_abilities(qemu)};
}

Result<std::unique_ptr<OwnQemu>> start_qemu(const process::Command& command,
                                            std::span<const int> inherited,
                                            process::FileDescriptor qmp) {
  FARCALL_TRY(process, process::Process::start(command, inherited));
  FARCALL_TRY(will, will_of(command.program, process.id()));
  return std::make_unique<OwnQemu>(QmpClient(std::move(qmp)), std::move(process), std::move(will));
}

Result<process::FileDescriptor> in_memory(std::span<const std::byte> bytes) {
  FARCALL_TRY(file, process::memory_file("farcall-initramfs", 0));
  if (::write(file.number(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
    return Error{ErrorCode::machine_start, "the initramfs cannot be written to memory"};
  }
  return std::move(file);
}

class DirectHost : public Host {
 public:
  Result<StartedQemu> start(const MachineSpec& spec) override {
    FARCALL_TRY(qemu, find_direct_qemu());
    FARCALL_TRY(memory, GuestMemory::create());
    memory.tell(spec);
    FARCALL_TRY(console, process::socket_pair());
    FARCALL_TRY(qmp, process::socket_pair());
    const Channels channels{memory.descriptor(), console.theirs.number(), qmp.theirs.number()};
    const std::array inherited = {channels.ram, channels.console, channels.qmp};
    FARCALL_TRY(running,
                start_qemu(command_line(qemu, spec, channels), inherited, std::move(qmp.ours)));
    return StartedQemu{std::move(memory), std::move(console.ours), std::move(running)};
  }

  Result<StartedLinux> boot(const LinuxSpec& spec, std::span<const std::byte> initramfs,
                            LinuxStart start) override {
    FARCALL_TRY(qemu, find_direct_qemu());
    FARCALL_TRY(initrd, in_memory(initramfs));
    FARCALL_TRY(log, process::memory_file("farcall-console", 0));
    FARCALL_TRY(window, process::memory_file("farcall-window", wire::kWindowBytes));
    FARCALL_TRY(terminal, process::socket_pair());
    FARCALL_TRY(qmp, process::socket_pair());
    const LinuxChannels channels{.initramfs = initrd.number(),
                                 .log = log.number(),
                                 .terminal = terminal.theirs.number(),
                                 .window = window.number(),
                                 .qmp = qmp.theirs.number()};
    const std::array inherited = {channels.initramfs, channels.log, channels.terminal,
                                  channels.window, channels.qmp};
    FARCALL_TRY(running, start_qemu(linux_command_line(qemu, spec, channels, start), inherited,
                                    std::move(qmp.ours)));
    return StartedLinux{.log = std::move(log),
                        .terminal = std::move(terminal.ours),
                        .window = std::move(window),
                        .qemu = std::move(running)};
  }

  Result<LinuxMachine> machine(const LinuxSpec& spec) override {
    FARCALL_TRY(qemu, find_direct_qemu());
    // Without descriptors, whose numbers are of this run.
    const process::Command command = linux_command_line(qemu, spec, {}, LinuxStart::boots);
    return LinuxMachine{.made_of = fmt::format("{}", fmt::join(command.arguments, " ")),
                        .qemu = qemu.program};
  }
};

}  // namespace

Host& direct_host() {
  static DirectHost host;
  return host;
}

}  // namespace farcall::vm

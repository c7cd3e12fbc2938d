#include <fmt/format.h>

#include <array>
#include <fstream>
#include <optional>
#include <string>
#include <utility>

#include "process/process.hpp"
#include "process/search_path.hpp"
#include "vm/command_line.hpp"
#include "vm/host.hpp"
#include "vm/last_will.hpp"
#include "vm/qmp.hpp"

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

class DirectHost : public Host {
 public:
  Result<StartedQemu> start(const MachineSpec& spec) override {
    const std::string qemu = process::program_on_path(kQemu);
    if (qemu.empty()) {
      return Error{ErrorCode::machine_no_qemu, fmt::format("{} is not on PATH", kQemu),
                   SourceLocation{}, std::string{}, "apt-get install qemu-system-ppc"};
    }
    FARCALL_TRY(memory, GuestMemory::create());
    memory.tell(spec);
    FARCALL_TRY(console, process::socket_pair());
    FARCALL_TRY(qmp, process::socket_pair());
    const Channels channels{memory.descriptor(), console.theirs.number(), qmp.theirs.number()};
    const std::array inherited = {channels.ram, channels.console, channels.qmp};
    FARCALL_TRY(process,
                process::Process::start(command_line({qemu, qemu_abilities(qemu)}, spec, channels),
                                        inherited));
    FARCALL_TRY(will, will_of(qemu, process.id()));
    return StartedQemu{std::move(memory), std::move(console.ours),
                       std::make_unique<OwnQemu>(QmpClient(std::move(qmp.ours)), std::move(process),
                                                 std::move(will))};
  }
};

}  // namespace

Host& direct_host() {
  static DirectHost host;
  return host;
}

}  // namespace farcall::vm

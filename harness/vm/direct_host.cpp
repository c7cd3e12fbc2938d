#include <fmt/format.h>

#include <array>
#include <boost/process/search_path.hpp>
#include <utility>

#include "vm/command_line.hpp"
#include "vm/host.hpp"
#include "vm/process.hpp"
#include "vm/qmp.hpp"

namespace farcall::vm {
namespace {

constexpr std::string_view kQemu = "qemu-system-ppc64";

class OwnQemu : public RunningQemu {
 public:
  OwnQemu(QmpClient qmp, Process process) : qmp_(std::move(qmp)), process_(std::move(process)) {}

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
  Process process_;  // behind what it uses: it ends first
};

class DirectHost : public Host {
 public:
  Result<StartedQemu> start(const MachineSpec& spec) override {
    const std::string qemu = boost::process::search_path(std::string(kQemu)).string();
    if (qemu.empty()) {
      return Error{ErrorCode::machine_no_qemu, fmt::format("{} is not on PATH", kQemu),
                   SourceLocation{}, std::string{}, "apt-get install qemu-system-ppc"};
    }
    FARCALL_TRY(memory, GuestMemory::create());
    memory.tell(spec);
    FARCALL_TRY(console, socket_pair());
    FARCALL_TRY(qmp, socket_pair());
    const Channels channels{memory.descriptor(), console.theirs.number(), qmp.theirs.number()};
    const std::array inherited = {channels.ram, channels.console, channels.qmp};
    FARCALL_TRY(process, Process::start(command_line({qemu, qemu_abilities(qemu)}, spec, channels),
                                        inherited));
    return StartedQemu{
        std::move(memory), std::move(console.ours),
        std::make_unique<OwnQemu>(QmpClient(std::move(qmp.ours)), std::move(process))};
  }
};

}  // namespace

Host& direct_host() {
  static DirectHost host;
  return host;
}

}  // namespace farcall::vm

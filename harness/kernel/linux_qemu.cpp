#include "kernel/linux_qemu.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <nlohmann/json.hpp>

#include "process/patience.hpp"

namespace farcall::kernel {
namespace {

// To write a guest, or to read it, takes a tenth of a second. What QEMU waits for a CPU does not
// count.
constexpr std::chrono::seconds kSnapshotPatience{20};

constexpr std::uint64_t kAsFastAsItGoes = std::uint64_t{1} << 40;  // bytes a second

constexpr const char* kSnapshot = "snapshot";
constexpr const char* kFromSnapshot = "fd:snapshot";

}  // namespace

vm::LinuxSpec machine_for(const GuestSpec& spec) {
  // The guest's clock goes on while QEMU waits for a CPU: what the kernel takes for a CPU that is
  // stuck, after 10 s by default, may be a busy host. The times are still below GuestSpec::patience.
  // To clear each page when it is allocated, as Debian's kernels do, takes 5 % of a program's time; to
  // flush the L1 cache after each copy from user space, 22 % of the kernel's instructions. The JIT's
  // code is the same without.
  std::string arguments = fmt::format(
      "console=hvc0 loglevel={} panic=-1 watchdog_thresh=60 init_on_alloc=0 no_uaccess_flush "
      "rcupdate.rcu_cpu_stall_timeout=150",
      spec.log_level);
  // A kernel may be built to use hash where nobody says anything.
  arguments += spec.mmu == model::Mmu::hash ? " disable_radix" : " disable_radix=no";
  return {.cpu = spec.cpu,
          .memory_mebibytes = spec.memory_mebibytes,
          .vmlinux = spec.vmlinux.string(),
          .arguments = std::move(arguments)};
}

Result<LinuxQemu> LinuxQemu::start(const GuestSpec& spec, std::span<const std::byte> initramfs,
                                   std::optional<int> snapshot) {
  FARCALL_TRY(started, spec.host->boot(machine_for(spec), initramfs,
                                       snapshot ? vm::LinuxStart::waits : vm::LinuxStart::boots));
  LinuxQemu qemu(std::move(started));
  if (snapshot) {
    if (const auto restored = qemu.restore(*snapshot); !restored) {
      vm::RunningQemu& process = qemu.process();
      process.kill();
      return Error{restored.error().code, fmt::format("{} ({}) {}", restored.error().message,
                                                      process.ending(), process.last_words())};
    }
  }
  return qemu;
}

std::string LinuxQemu::log() const {
  return process::contents(started_.log);
}

Result<void> LinuxQemu::wait_while(std::string_view question,
                                   std::span<const std::string_view> meanwhile,
                                   std::span<const std::string_view> expected) const {
  process::Patience patience(kSnapshotPatience, process().process_id());
  while (patience.left().count() > 0) {
    FARCALL_TRY(answer, process().execute(question, nlohmann::ordered_json::object()));
    const std::string now = answer.value("status", "");
    if (std::ranges::find(expected, now) != expected.end()) {
      return success();
    }
    if (std::ranges::find(meanwhile, now) == meanwhile.end()) {
      return Error{ErrorCode::machine_bad_answer,
                   fmt::format("QEMU: {}", answer.value("error-desc", now))};
    }
    ::poll(nullptr, 0, 1);
  }
  return Error{
      ErrorCode::machine_timeout,
      fmt::format("QEMU was not {} within {} s", expected.front(), kSnapshotPatience.count())};
}

// Whoever starts QEMU may have had it stand still.
Result<void> LinuxQemu::restore(int snapshot) {
  constexpr std::array<std::string_view, 1> kMeanwhile = {"inmigrate"};
  constexpr std::array<std::string_view, 2> kExpected = {"running", "paused"};
  FARCALL_TRYV(process().give(kSnapshot, snapshot));
  FARCALL_TRYV(process().execute("migrate-incoming", {{"uri", kFromSnapshot}}));
  FARCALL_TRYV(wait_while("query-status", kMeanwhile, kExpected));
  FARCALL_TRYV(process().execute("cont", nlohmann::ordered_json::object()));
  return success();
}

Result<void> LinuxQemu::save(int file) {
  Result<void> written = write_to(file);
  // Whatever came of that: it may stand still.
  FARCALL_TRYV(process().execute("cont", nlohmann::ordered_json::object()));
  return written;
}

Result<void> LinuxQemu::write_to(int file) {
  constexpr std::array<std::string_view, 4> kMeanwhile = {"none", "setup", "active", "device"};
  constexpr std::array<std::string_view, 1> kExpected = {"completed"};
  // QEMU says first that it is completed, and makes an end of it afterwards.
  constexpr std::array<std::string_view, 1> kNotYet = {"finish-migrate"};
  constexpr std::array<std::string_view, 1> kStandsStill = {"postmigrate"};
  FARCALL_TRYV(process().execute("migrate-set-parameters", {{"max-bandwidth", kAsFastAsItGoes}}));
  FARCALL_TRYV(process().give(kSnapshot, file));
  FARCALL_TRYV(process().execute("migrate", {{"uri", kFromSnapshot}}));
  FARCALL_TRYV(wait_while("query-migrate", kMeanwhile, kExpected));
  return wait_while("query-status", kNotYet, kStandsStill);
}

}  // namespace farcall::kernel

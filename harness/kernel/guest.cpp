#include "kernel/guest.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/process/search_path.hpp>
#include <chrono>
#include <fstream>
#include <random>
#include <sstream>
#include <string_view>

#include "base/files.hpp"
#include "kernel/initramfs.hpp"
#include "process/patience.hpp"

namespace farcall::kernel {
namespace {

namespace fs = std::filesystem;

// How often somebody looks whether the user wants to stop.
constexpr std::chrono::milliseconds kLookAtUser{50};

constexpr std::size_t kMostAgentBytes = std::size_t{1} << 20;

std::string contents(int descriptor) {
  std::ostringstream text;
  text << std::ifstream(fmt::format("/proc/self/fd/{}", descriptor), std::ios::binary).rdbuf();
  return std::move(text).str();
}

std::string last_line(const std::string& log) {
  const std::size_t end = log.find_last_not_of("\r\n");
  if (end == std::string::npos) {
    return "it said nothing";
  }
  const std::size_t begin = log.rfind('\n', end);
  return log.substr(begin + 1, end - begin);
}

// The line of the agent, if it said why it gave up, or the last one.
std::string why_lost(const std::string& log) {
  const std::size_t agent = log.find("farcall agent: ");
  return agent == std::string::npos ? last_line(log)
                                    : log.substr(agent, log.find_first_of("\r\n", agent) - agent);
}

Error error_of(ErrorCode code, std::string message, std::string hint = {}) {
  return {.code = code, .message = std::move(message), .hint = std::move(hint)};
}

}  // namespace

process::Command guest_command(const std::string& qemu, const GuestSpec& spec,
                               const GuestFiles& files) {
  const std::string_view cpu =
      model::value_names(model::Axis::cpu)[static_cast<std::size_t>(spec.cpu)];
  std::string append = fmt::format("console=hvc0 loglevel={} panic=-1", spec.log_level);
  if (spec.mmu == model::Mmu::hash) {
    append += " disable_radix";
  }
  return {.program = qemu,
          .arguments = {
              "-machine",
              // Its own firmware would take 5 s; of the rest TCG has nothing.
              "pseries,x-vof=on,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,"
              "cap-ccf-assist=off",
              "-cpu", std::string(cpu), "-m", "512M", "-nodefaults", "-nographic", "-no-reboot",
              "-chardev", fmt::format("file,id=console,path=/proc/self/fd/{}", files.console),
              "-serial", "chardev:console", "-chardev",
              fmt::format("file,id=terminal,path=/proc/self/fd/{}", files.terminal), "-device",
              "spapr-vty,chardev=terminal,reg=0x71000002", "-kernel", spec.vmlinux.string(),
              "-initrd", fmt::format("/proc/self/fd/{}", files.initramfs), "-append", append}};
}

std::string trouble_in(const std::string& log) {
  constexpr std::array<std::string_view, 7> kTrouble = {"WARNING: CPU:",
                                                        "BUG:",
                                                        "Oops:",
                                                        "Kernel panic",
                                                        "Call Trace:",
                                                        "soft lockup",
                                                        "rcu_sched detected stalls"};
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    const bool tells = std::ranges::any_of(
        kTrouble, [&](std::string_view text) { return line.find(text) != std::string::npos; });
    if (tells) {
      return line.substr(0, line.find('\r'));
    }
  }
  return {};
}

Result<GuestEnd> boot(const GuestSpec& spec, std::span<const InitramfsFile> brought,
                      const std::function<bool()>& stopped) {
  const std::string qemu = boost::process::search_path("qemu-system-ppc64").string();
  if (qemu.empty()) {
    return error_of(ErrorCode::machine_no_qemu, "qemu-system-ppc64 is not on PATH",
                    "apt-get install qemu-system-ppc");
  }
  const auto agent = read_file(spec.agent.string(), "", kMostAgentBytes);
  if (!agent) {
    return error_of(ErrorCode::machine_no_image,
                    fmt::format("the agent {} is not there", spec.agent.string()));
  }
  std::vector<InitramfsFile> files = {
      {.path = "dev", .mode = S_IFDIR | 0755, .bytes = {}},
      {.path = "proc", .mode = S_IFDIR | 0755, .bytes = {}},
      {.path = "init", .mode = S_IFREG | 0755, .bytes = std::as_bytes(std::span(agent.value()))},
  };
  files.insert(files.end(), brought.begin(), brought.end());
  const std::vector<std::byte> archive = initramfs(files);
  FARCALL_TRY(initrd, process::memory_file("farcall-initramfs", 0));
  FARCALL_TRY(console, process::memory_file("farcall-console", 0));
  FARCALL_TRY(terminal, process::memory_file("farcall-terminal", 0));
  if (::write(initrd.number(), archive.data(), archive.size()) !=
      static_cast<ssize_t>(archive.size())) {
    return error_of(ErrorCode::machine_start, "the initramfs cannot be written to memory");
  }
  const std::array inherited = {initrd.number(), console.number(), terminal.number()};
  FARCALL_TRY(machine, process::Process::start(
                           guest_command(qemu, spec, {inherited[0], inherited[1], inherited[2]}),
                           inherited));
  process::Patience until_hung(spec.patience, machine.id());
  bool has_ended = false;
  while (until_hung.left().count() > 0 && !(has_ended = machine.wait_for(kLookAtUser))) {
    if (stopped && stopped()) {
      return error_of(ErrorCode::machine_lost, "the Linux guest was stopped");
    }
  }
  machine.kill();
  GuestEnd guest{.log = contents(console.number()),
                 .reply = contents(terminal.number()),
                 .has_ended = has_ended,
                 .how = {}};
  guest.how =
      has_ended ? why_lost(guest.log) : fmt::format("no end within {} s", spec.patience.count());
  if (guest.reply.empty()) {
    if (const std::string trouble = trouble_in(guest.log); !trouble.empty()) {
      return error_of(ErrorCode::jit_warned, fmt::format("the kernel says: {}", trouble));
    }
    return has_ended
               ? error_of(
                     ErrorCode::machine_lost,
                     fmt::format("the Linux guest ended without a reply ({}): {}", machine.ending(),
                                 guest.log.empty() ? machine.last_words() : guest.how))
               : error_of(
                     ErrorCode::machine_timeout,
                     fmt::format("the Linux guest did not begin within {} s; its last line: {}",
                                 spec.patience.count(), last_line(guest.log)));
  }
  return guest;
}

std::uint64_t new_nonce() {
  std::random_device random;
  return std::uint64_t{random()} << 32U | random();
}

namespace {

// What one boot came to.
struct Boot {
  Reply reply;
  std::string trouble;     // of the kernel's log while there was no reply; empty: none
  bool has_ended = false;  // by itself; else its time was up
  std::string end;         // how, in words
};

// Why the question has no answer that a boot ended at. Only the kernel's own log says that its code
// was the reason.
Error unanswered(const Boot& boot) {
  if (!boot.trouble.empty()) {
    return error_of(ErrorCode::jit_crashed,
                    fmt::format("the kernel did not survive it: {}", boot.trouble));
  }
  return error_of(boot.has_ended ? ErrorCode::machine_lost : ErrorCode::machine_timeout,
                  fmt::format("the Linux guest ended twice while it was at this program, and its "
                              "kernel does not say why: {}",
                              boot.end));
}

Result<Boot> ask_once(const GuestSpec& spec, std::span<const Question> questions,
                      const std::function<bool()>& stopped) {
  const std::uint64_t nonce = new_nonce();
  const std::vector<std::byte> programs = batch(questions, nonce);
  const std::array files = {
      InitramfsFile{.path = "batch", .mode = S_IFREG | 0644, .bytes = programs}};
  FARCALL_TRY(guest, boot(spec, files, stopped));
  FARCALL_TRY(reply, read_reply(std::as_bytes(std::span(guest.reply)), questions, nonce));
  return Boot{.reply = std::move(reply),
              .trouble = trouble_in(guest.log),
              .has_ended = guest.has_ended,
              .end = guest.how};
}

}  // namespace

Result<std::vector<Answered>> ask(const GuestSpec& spec, std::span<const Question> questions,
                                  const std::function<bool()>& stopped) {
  std::vector<Answered> all;
  bool is_second = false;  // boot after one that ended, and nobody said why
  while (all.size() < questions.size()) {
    auto attempt = ask_once(spec, questions.subspan(all.size()), stopped);
    if (!attempt) {
      const bool was_lost =
          attempt.error().code == ErrorCode::machine_lost && !(stopped && stopped());
      if (is_second || !was_lost) {
        return std::move(attempt).error();
      }
      is_second = true;
      continue;
    }
    Boot& booted = attempt.value();
    is_second = is_second && booted.reply.answers.empty();
    for (Answer& answer : booted.reply.answers) {
      all.emplace_back(std::move(answer));
    }
    if (booted.reply.is_whole) {
      break;
    }
    if (all.size() == questions.size()) {
      return error_of(ErrorCode::machine_bad_answer,
                      "the Linux guest ended after its last answer, and before it said so");
    }
    if (booted.trouble.empty() && !is_second) {
      is_second = true;  // a machine may die of anything: the rest is asked once more
      continue;
    }
    all.emplace_back(unanswered(booted));
    is_second = false;
  }
  return all;
}

}  // namespace farcall::kernel

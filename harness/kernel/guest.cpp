#include "kernel/guest.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <random>
#include <sstream>
#include <string_view>
#include <thread>

#include "base/files.hpp"
#include "kernel/initramfs.hpp"
#include "kernel/linux_qemu.hpp"
#include "kernel/snapshot.hpp"
#include "kernel/window.hpp"
#include "process/patience.hpp"

namespace farcall::kernel {
namespace {

// How often somebody looks whether the user wants to stop.
constexpr std::chrono::milliseconds kLookAtUser{50};

// A restored guest answers in milliseconds.
constexpr std::chrono::seconds kMostToBegin{10};

// So many questions take longer than to restore one more guest.
constexpr std::size_t kWorthAGuest = 100;

constexpr std::size_t kMostAgentBytes = std::size_t{1} << 20;

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

namespace {

// The initramfs: the agent, and what is brought for it.
Result<std::vector<std::byte>> archive_of(const GuestSpec& spec,
                                          std::span<const InitramfsFile> brought) {
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
  return initramfs(files);
}

// The next byte over the terminal; nothing: there is none yet, or QEMU has ended.
std::optional<wire::WindowCall> next_call(int terminal) {
  pollfd wait = {terminal, POLLIN, 0};
  std::uint8_t call = 0;
  if (::poll(&wait, 1, static_cast<int>(kLookAtUser.count())) <= 0 ||
      ::recv(terminal, &call, 1, MSG_DONTWAIT) != 1) {
    return std::nullopt;
  }
  return static_cast<wire::WindowCall>(call);
}

void go_on(int terminal) {
  // If nobody listens, that is seen soon enough.
  static_cast<void>(::send(terminal, &wire::kGoOn, 1, MSG_NOSIGNAL));
}

enum class Ending : std::uint8_t { said_so, by_itself, hung, no_begin, stopped };

// Serves the agent until it or its guest has ended. A guest that was restored is ready and has
// `most_to_begin` until there is something of a reply. `on_ready`: before it gets its batch.
Result<Ending> serve(LinuxQemu& qemu, Window& window, const GuestSpec& spec, bool was_restored,
                     const Watcher& watcher, const std::function<void()>& on_ready) {
  vm::RunningQemu& machine = qemu.process();
  process::Patience until_hung(spec.patience, machine.process_id());
  process::Patience to_begin(kMostToBegin, machine.process_id());
  bool is_ready = was_restored;
  while (until_hung.left().count() > 0) {
    if (watcher.stopped && watcher.stopped()) {
      return Ending::stopped;
    }
    if (was_restored && !window.has_begun() && to_begin.left().count() <= 0) {
      return Ending::no_begin;
    }
    const auto call = next_call(qemu.terminal());
    if (!call) {
      if (auto abandoned = machine.abandoned()) {
        return std::move(*abandoned);
      }
      if (!machine.running()) {
        FARCALL_TRYV(window.take());
        return Ending::by_itself;
      }
      continue;
    }
    if (call == wire::WindowCall::end) {
      FARCALL_TRYV(window.take());
      return Ending::said_so;
    }
    if (!is_ready && call == wire::WindowCall::give && on_ready) {
      on_ready();
    }
    is_ready = true;
    FARCALL_TRYV(window.serve(*call));
    go_on(qemu.terminal());
  }
  FARCALL_TRYV(window.take());
  return Ending::hung;
}

// What a guest left.
Result<GuestEnd> end_of(Ending ending, LinuxQemu& qemu, const Window& window,
                        const GuestSpec& spec) {
  vm::RunningQemu& machine = qemu.process();
  machine.kill();
  if (ending == Ending::stopped) {
    return error_of(ErrorCode::machine_lost, "the Linux guest was stopped");
  }
  const bool has_ended = ending != Ending::hung;
  GuestEnd guest{.log = qemu.log(), .reply = window.reply(), .has_ended = has_ended, .how = {}};
  guest.how =
      has_ended ? why_lost(guest.log) : fmt::format("no end within {} s", spec.patience.count());
  if (!guest.reply.empty()) {
    return guest;
  }
  if (const std::string trouble = trouble_in(guest.log); !trouble.empty()) {
    return error_of(ErrorCode::jit_warned, fmt::format("the kernel says: {}", trouble));
  }
  return has_ended
             ? error_of(
                   ErrorCode::machine_lost,
                   fmt::format("the Linux guest ended without a reply ({}): {}", machine.ending(),
                               guest.log.empty() ? machine.last_words() : guest.how))
             : error_of(ErrorCode::machine_timeout,
                        fmt::format("the Linux guest did not begin within {} s; its last line: {}",
                                    spec.patience.count(), last_line(guest.log)));
}

// Boots; a snapshot is taken for `keep`, if that is given.
Result<GuestEnd> boot_with(const GuestSpec& spec, std::span<const std::byte> archive,
                           std::span<const std::byte> batch, const Watcher& watcher,
                           const Snapshot* keep) {
  FARCALL_TRY(guest, LinuxQemu::start(spec, archive, std::nullopt));
  FARCALL_TRY(window, Window::open(guest.window(), batch));
  std::function<void()> on_ready;
  if (keep != nullptr) {
    on_ready = [&] {
      if (auto writer = SnapshotWriter::begin(*keep)) {
        auto saved = guest.save(writer->descriptor());
        if (saved) {
          saved = writer->commit();
        }
        if (!saved && watcher.tell) {
          watcher.tell(fmt::format("no snapshot of the Linux guest: {}", saved.error().message));
        }
      }
    };
  }
  FARCALL_TRY(ending, serve(guest, window, spec, false, watcher, on_ready));
  return end_of(ending, guest, window, spec);
}

// A guest that goes on from a snapshot; machine.lost and machine.timeout: it did not so much as
// begin a reply.
Result<GuestEnd> restore_with(const GuestSpec& spec, std::span<const std::byte> archive,
                              std::span<const std::byte> batch, const Watcher& watcher,
                              int snapshot) {
  FARCALL_TRY(guest, LinuxQemu::start(spec, archive, snapshot));
  FARCALL_TRY(window, Window::open(guest.window(), batch));
  FARCALL_TRYV(window.serve(wire::WindowCall::give));
  go_on(guest.terminal());
  FARCALL_TRY(ending, serve(guest, window, spec, true, watcher, nullptr));
  return end_of(ending, guest, window, spec);
}

}  // namespace

Result<GuestEnd> boot(const GuestSpec& spec, std::span<const InitramfsFile> brought,
                      const Watcher& watcher, std::span<const std::byte> batch) {
  FARCALL_TRY(archive, archive_of(spec, brought));
  return boot_with(spec, archive, batch, watcher, nullptr);
}

Result<GuestEnd> hand_over(const GuestSpec& spec, std::span<const std::byte> batch,
                           const Watcher& watcher) {
  FARCALL_TRY(archive, archive_of(spec, {}));
  const auto folder = snapshot_folder();
  if (spec.fresh_boot || !folder) {
    return boot_with(spec, archive, batch, watcher, nullptr);
  }
  FARCALL_TRY(machine, spec.host->machine(machine_for(spec)));
  const Snapshot snapshot(*folder, machine, spec.vmlinux, archive);
  if (const auto file = snapshot.open()) {
    auto restored = restore_with(spec, archive, batch, watcher, file->number());
    if (restored || (watcher.stopped && watcher.stopped())) {
      return restored;
    }
    // It may be a good one all the same: a host may have too much to do, or not let QEMU start. The
    // one of a guest that boots takes its place.
    if (watcher.tell) {
      watcher.tell(fmt::format("a snapshot of a Linux guest cannot be restored, it boots: {}",
                               restored.error().message));
    }
  }
  return boot_with(spec, archive, batch, watcher, &snapshot);
}

std::uint64_t new_nonce() {
  std::random_device random;
  return std::uint64_t{random()} << 32U | random();
}

namespace {

// What one guest came to.
struct Boot {
  Reply reply;
  std::size_t question_count = 0;  // that it was asked
  std::string trouble;             // of the kernel's log; empty: none
  bool has_ended = false;          // by itself; else its time was up
  std::string end;                 // how, in words
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
                      const Watcher& watcher) {
  const std::uint64_t nonce = new_nonce();
  const Batch programs = batch(questions, nonce, spec.order);
  if (programs.question_count == 0) {
    return error_of(ErrorCode::machine_job_too_large,
                    fmt::format("program and memory have more than {} bytes, the most that a Linux "
                                "guest is given",
                                wire::kMostBatchBytes));
  }
  FARCALL_TRY(guest, hand_over(spec, programs.bytes, watcher));
  FARCALL_TRY(reply, read_reply(std::as_bytes(std::span(guest.reply)),
                                questions.first(programs.question_count), nonce, spec.order));
  return Boot{.reply = std::move(reply),
              .question_count = programs.question_count,
              .trouble = trouble_in(guest.log),
              .has_ended = guest.has_ended,
              .end = guest.how};
}

// One after the other, in one guest if all goes well and they are one batch.
Result<std::vector<Answered>> ask_in_turn(const GuestSpec& spec,
                                          std::span<const Question> questions,
                                          const Watcher& watcher) {
  std::vector<Answered> all;
  bool is_second = false;  // boot after one that ended, and nobody said why
  while (all.size() < questions.size()) {
    auto attempt = ask_once(spec, questions.subspan(all.size()), watcher);
    if (!attempt && attempt.error().code == ErrorCode::machine_job_too_large) {
      all.emplace_back(std::move(attempt).error());
      continue;
    }
    if (!attempt) {
      const bool was_lost = attempt.error().code == ErrorCode::machine_lost &&
                            !(watcher.stopped && watcher.stopped());
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
      continue;  // what is left did not fit
    }
    if (booted.reply.answers.size() == booted.question_count) {
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

bool can_be_restored(const GuestSpec& spec) {
  const auto folder = snapshot_folder();
  const auto machine = spec.host->machine(machine_for(spec));
  const auto archive = archive_of(spec, {});
  return !spec.fresh_boot && folder && machine && archive &&
         Snapshot(*folder, machine.value(), spec.vmlinux, archive.value()).open();
}

// Which questions one of several guests is asked: as many of each kind as the others.
struct Share {
  std::vector<Question> questions;
  Result<std::vector<Answered>> answers = std::vector<Answered>{};
};

std::vector<Share> dealt(std::span<const Question> questions, std::size_t guests) {
  std::vector<Share> shares(guests);
  for (std::size_t i = 0; i < questions.size(); ++i) {
    shares[i % guests].questions.push_back(questions[i]);
  }
  return shares;
}

}  // namespace

Result<std::vector<Answered>> ask(const GuestSpec& spec, std::span<const Question> questions,
                                  const Watcher& watcher, std::size_t most_guests) {
  const std::size_t guests = std::min(most_guests, questions.size() / kWorthAGuest);
  if (guests <= 1 || !can_be_restored(spec)) {
    return ask_in_turn(spec, questions, watcher);
  }
  std::vector<Share> shares = dealt(questions, guests);
  {
    std::vector<std::jthread> threads;  // a guest ends with the thread that started it
    for (Share& share : shares) {
      threads.emplace_back([&] { share.answers = ask_in_turn(spec, share.questions, watcher); });
    }
  }
  std::vector<Answered> all;
  for (std::size_t i = 0; i < questions.size(); ++i) {
    Result<std::vector<Answered>>& answers = shares[i % guests].answers;
    if (!answers) {
      return answers.error();
    }
    all.push_back(std::move(answers.value()[i / guests]));
  }
  return all;
}

}  // namespace farcall::kernel

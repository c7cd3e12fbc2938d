#include "vm/machine.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "process/file_descriptor.hpp"
#include "process/patience.hpp"
#include "vm/batch.hpp"
#include "vm/guest_memory.hpp"
#include "wire/mailbox.hpp"

namespace farcall::vm {
namespace {

using Clock = std::chrono::steady_clock;

// The clock is only a backstop: a guest ends its jobs by counting instructions. What QEMU waits for a
// CPU of the host does not count.
constexpr std::chrono::seconds kBatchPatience{20};
constexpr std::chrono::nanoseconds kPatiencePerInstruction{20};

// How often somebody looks whether the host is still there, and whether the user is.
constexpr std::int64_t kLookAtHostMilliseconds = 500;
constexpr std::int64_t kLookAtUserMilliseconds = 50;

constexpr std::size_t kConsoleBytesKept = 4096;

struct InFlight {
  BatchLayout layout;
  std::uint64_t budget = 0;  // of all its jobs, in instructions
};

std::string panic_message(const wire::PanicRecord& panic) {
  return fmt::format(
      "the guest's runner failed: vector {:#x}, srr0 {:016x}, srr1 {:016x}, dar "
      "{:016x}, dsisr {:08x}, lr {:016x}",
      std::uint64_t{panic.vector}, std::uint64_t{panic.srr0}, std::uint64_t{panic.srr1},
      std::uint64_t{panic.dar}, std::uint64_t{panic.dsisr}, std::uint64_t{panic.lr});
}

// Different for each batch of each process, so that no stale memory can pass for an answer.
std::uint64_t first_nonce() {
  return static_cast<std::uint64_t>(Clock::now().time_since_epoch().count()) << 20 ^
         static_cast<std::uint64_t>(::getpid());
}

}  // namespace

struct Machine::State {
  MachineSpec spec;
  GuestMemory memory;
  process::FileDescriptor console;
  std::unique_ptr<RunningQemu> qemu;  // after what it uses: it ends first

  std::array<InFlight, kMaxBatchesInFlight> batches = {};  // batch n is in batches[n % size]
  std::array<CodePages, wire::kAreaCount> code = {CodePages(wire::kAreaBytes, spec.endian),
                                                  CodePages(wire::kAreaBytes, spec.endian)};
  std::uint64_t submitted = 0;
  std::uint64_t collected = 0;
  std::uint64_t nonce = first_nonce();
  std::string console_text = {};
  bool alive = true;

  // Ends the machine because of `error`, adding what QEMU and the guest said last.
  Error give_up(Error error);
  Error why_gone();
  Error hang(std::chrono::nanoseconds waited);
  void read_console();
  Result<void> wait_for(std::uint64_t batch, std::chrono::nanoseconds patience,
                        const std::function<bool()>& stopped);
};

Error Machine::State::give_up(Error error) {
  alive = false;
  qemu->kill();
  if (!console_text.empty()) {
    std::ranges::replace(console_text, '\n', ' ');
    error.message += fmt::format("; the guest's console says: {}", console_text);
  }
  if (const std::string words = qemu->last_words(); !words.empty()) {
    error.message += fmt::format("; QEMU says: {}", words);
  }
  return error;
}

// The console is closed: QEMU has ended, or is about to.
Error Machine::State::why_gone() {
  const wire::Control& control = memory.control();
  if (control.panicked.load_acquire() != 0) {
    return give_up(Error{ErrorCode::machine_runner_fault, panic_message(control.panic)});
  }
  for (int tries = 0; qemu->running() && tries < 100; ++tries) {
    ::poll(nullptr, 0, 10);
  }
  const bool gone = !qemu->running();
  const bool booted = control.ready.load_acquire() != 0;
  return give_up(
      Error{booted ? ErrorCode::machine_lost : ErrorCode::machine_start,
            fmt::format("QEMU ended {} ({})",
                        booted ? "while it had jobs to run" : "before the guest had booted",
                        gone ? qemu->ending() : "console closed")});
}

Error Machine::State::hang(std::chrono::nanoseconds waited) {
  Error error{
      ErrorCode::machine_timeout,
      fmt::format("no result within {:.1f} s that QEMU had a CPU for, though every job has a "
                  "budget",
                  std::chrono::duration<double>(waited).count())};
  if (const auto registers = qemu->monitor("info registers"); registers.has_value()) {
    const std::string& text = registers.value();
    error.message += "; " + text.substr(0, text.find_first_of("\r\n"));
  }
  return give_up(std::move(error));
}

void Machine::State::read_console() {
  std::array<char, 256> buffer = {};
  const ssize_t count = ::recv(console.number(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  for (ssize_t i = 0; i < count; ++i) {
    const char byte = buffer[static_cast<std::size_t>(i)];
    if (byte != wire::kDoorbell && console_text.size() < kConsoleBytesKept) {
      console_text += byte;
    }
  }
}

Result<void> Machine::State::wait_for(std::uint64_t batch, std::chrono::nanoseconds patience,
                                      const std::function<bool()>& stopped) {
  const std::int64_t look = stopped ? kLookAtUserMilliseconds : kLookAtHostMilliseconds;
  process::Patience until_hung(patience, qemu->process_id());
  const wire::Control& control = memory.control();
  while (true) {
    if (auto abandoned = qemu->abandoned()) {
      return give_up(std::move(*abandoned));
    }
    if (stopped && stopped()) {
      return give_up(Error{ErrorCode::machine_lost, "the run was stopped"});
    }
    if (control.completed.load_acquire() > batch) {
      break;
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until_hung.left());
    pollfd wait = {console.number(), POLLIN, 0};
    if (left.count() <= 0) {
      return hang(patience);
    }
    const auto at_once = std::min(left.count(), look);
    const int ready = ::poll(&wait, 1, static_cast<int>(at_once));
    if (ready > 0) {
      read_console();
      // Whoever hangs up may have completed the batch before.
      if ((wait.revents & POLLHUP) != 0 && control.completed.load_acquire() <= batch) {
        read_console();
        return why_gone();
      }
    }
  }
  if (control.magic != wire::kControlMagic || control.version != wire::kVersion) {
    return give_up(
        Error{ErrorCode::machine_bad_answer,
              fmt::format(
                  "the guest image has version {} of the mailbox, farcall has {}: build both anew",
                  std::uint32_t{control.version}, wire::kVersion)});
  }
  return success();
}

Result<Machine> Machine::start(const MachineSpec& spec, Host& host) {
  if (spec.mmu == model::Mmu::radix && !has_radix(spec.cpu)) {
    const auto cpu = model::value_names(model::Axis::cpu)[static_cast<std::size_t>(spec.cpu)];
    return Error{ErrorCode::machine_start, fmt::format("{} has no radix translation", cpu)};
  }
  std::error_code error;
  MachineSpec absolute = spec;
  absolute.image = std::filesystem::absolute(spec.image, error).string();
  if (!std::filesystem::is_regular_file(absolute.image, error)) {
    return Error{ErrorCode::machine_no_image, fmt::format("there is no guest image {}", spec.image),
                 SourceLocation{}, std::string{}, "build the target farcall_images"};
  }
  FARCALL_TRY(started, host.start(absolute));
  return Machine(std::make_unique<State>(State{.spec = std::move(absolute),
                                               .memory = std::move(started.memory),
                                               .console = std::move(started.console),
                                               .qemu = std::move(started.qemu)}));
}

Machine::Machine(std::unique_ptr<State> state) : state_(std::move(state)) {}
Machine::Machine(Machine&&) noexcept = default;
Machine& Machine::operator=(Machine&&) noexcept = default;
Machine::~Machine() = default;

Result<std::size_t> Machine::submit(std::span<const model::Job> jobs) {
  State& state = *state_;
  if (!state.alive) {
    return Error{ErrorCode::machine_lost, "the machine has ended"};
  }
  if (jobs.empty() || state.submitted - state.collected == kMaxBatchesInFlight) {
    return std::size_t{0};
  }
  InFlight& batch = state.batches[state.submitted % kMaxBatchesInFlight];
  state.nonce += wire::kMaxJobs + 1;  // its jobs have the nonces in between
  FARCALL_TRYV(encode_batch(state.spec, jobs, state.nonce, state.memory.area(state.submitted),
                            state.code[state.submitted % wire::kAreaCount], batch.layout));
  const std::size_t count = batch.layout.jobs.size();
  batch.budget = 0;
  for (const model::Job& job : jobs.first(count)) {
    batch.budget += job.budget_instructions;
  }
  ++state.submitted;
  wire::Control& control = state.memory.control();
  control.submitted.store_release(state.submitted);
  // The guest writes `sleeping` and then reads `submitted`; this is the other half.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (control.sleeping.load_acquire() != 0) {
    // If QEMU is gone, collect() finds out.
    ::send(state.console.number(), &wire::kWakeUp, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  return count;
}

Result<std::vector<model::Observations>> Machine::collect(const std::function<bool()>& stopped) {
  State& state = *state_;
  if (!state.alive) {
    return Error{ErrorCode::machine_lost, "the machine has ended"};
  }
  if (state.submitted == state.collected) {
    return std::vector<model::Observations>{};
  }
  const std::uint64_t number = state.collected;
  const InFlight& batch = state.batches[number % kMaxBatchesInFlight];
  // The guest may have to run the batch before this one first.
  std::uint64_t budget = 0;
  for (std::uint64_t i = number; i < state.submitted; ++i) {
    budget += state.batches[i % kMaxBatchesInFlight].budget;
  }
  FARCALL_TRYV(state.wait_for(
      number, kBatchPatience + kPatiencePerInstruction * static_cast<std::int64_t>(budget),
      stopped));
  auto seen = decode_batch(state.memory.area(number), batch.layout);
  if (seen.has_error()) {
    return state.give_up(std::move(seen).error());
  }
  ++state.collected;
  return seen;
}

void Machine::use_radix() {
  state_->spec.mmu = model::Mmu::radix;
  state_->memory.tell(state_->spec);
}

bool Machine::booted() const {
  return state_->memory.control().ready.load_acquire() != 0;
}

void Machine::stay_awake(std::chrono::microseconds time) {
  constexpr std::uint64_t kLooksEachMicrosecond = 200;
  state_->memory.control().patience.store_release(static_cast<std::uint64_t>(time.count()) *
                                                  kLooksEachMicrosecond);
}

Result<void> Machine::pause() {
  State& state = *state_;
  process::Patience until_hung(kBatchPatience, state.qemu->process_id());
  while (state.memory.control().ready.load_acquire() == 0) {
    pollfd wait = {state.console.number(), POLLIN, 0};
    const int heard = ::poll(&wait, 1, 1);
    if (heard > 0 && (wait.revents & POLLHUP) != 0) {
      return state.why_gone();
    }
    if (heard > 0) {
      state.read_console();
    }
    if (until_hung.left().count() == 0) {
      return state.hang(kBatchPatience);
    }
  }
  FARCALL_TRYV(state.qemu->monitor("stop"));
  return success();
}

Result<void> Machine::serve_gdb(const std::string& socket) {
  // A word of the monitor's in quotes, in it a list of options, where a comma is written twice.
  // QEMU may have another working folder.
  std::string path;
  for (const char c : std::filesystem::absolute(socket).string()) {
    path += c == '"' || c == '\\' ? fmt::format("\\{}", c) : c == ',' ? ",," : std::string(1, c);
  }
  FARCALL_TRY(answer, state_->qemu->monitor(
                          fmt::format(R"(gdbserver "unix:{},server=on,wait=off")", path)));
  if (!answer.starts_with("Waiting for gdb connection")) {
    std::ranges::replace(answer, '\n', ' ');
    return Error{ErrorCode::machine_start,
                 fmt::format("QEMU serves no debugger at {}: {}", socket, answer)};
  }
  return success();
}

std::string Machine::console() {
  state_->read_console();
  return state_->console_text;
}

int Machine::process_id() const {
  return state_->qemu->process_id();
}

}  // namespace farcall::vm

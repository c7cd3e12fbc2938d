#include "engine/process_jit.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <span>
#include <utility>

#include "base/byte_order.hpp"
#include "engine/image.hpp"
#include "engine/wire.hpp"
#include "process/patience.hpp"

namespace farcall::engine {
namespace {

constexpr std::size_t kBatchCells = 64;
constexpr std::size_t kReadBytes = std::size_t{256} << 10;
constexpr std::size_t kLeastAnswerBytes = 12;

// A child and its pipes.
struct Child {
  process::Process process;
  process::FileDescriptor to;
  process::FileDescriptor from;
  // What was read and is not an answer yet: the first `unread` bytes of a room that stays as it is.
  std::vector<std::byte> room = std::vector<std::byte>(kReadBytes);
  std::size_t unread = 0;
};

Result<Child> start(const process::Command& command) {
  FARCALL_TRY(input, process::make_pipe());
  FARCALL_TRY(output, process::make_pipe());
  process::Command with_pipes = command;
  with_pipes.input = input.read_end.number();
  with_pipes.output = output.write_end.number();
  auto started = process::Process::start(with_pipes, {});
  if (!started) {
    return Error{.code = ErrorCode::jit_not_started,
                 .message = std::move(started).error().message,
                 .hint = "--jit exec:COMMAND: a program, and its arguments after it"};
  }
  for (const int descriptor : {input.write_end.number(), output.read_end.number()}) {
    ::fcntl(descriptor, F_SETFL, O_NONBLOCK);
  }
  return Child{.process = std::move(started).value(),
               .to = std::move(input.write_end),
               .from = std::move(output.read_end)};
}

// SIGPIPE of a child that is gone would end farcall. It is blocked while we write, and taken away.
class NoPipeSignal {
 public:
  NoPipeSignal() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  NoPipeSignal(const NoPipeSignal&) = delete;
  NoPipeSignal& operator=(const NoPipeSignal&) = delete;
  ~NoPipeSignal() {
    const timespec now = {};
    while (sigtimedwait(&pipe_, nullptr, &now) == -1 && errno == EINTR) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t pipe_ = {};
  sigset_t before_ = {};
};

// How often somebody looks whether the user wants to stop.
constexpr std::chrono::milliseconds kLookAtUser{50};

Error not_waited_for() {
  return {.code = ErrorCode::jit_timeout, .message = "nobody waits for its answer any more"};
}

// Sends requests and hands out answers, until all are there or the child is of no more use.
class Exchange {
 public:
  Exchange(Child& child, std::chrono::milliseconds patience, const Stopped& stopped)
      : child_(child), patience_(patience), stopped_(stopped) {}

  // Calls `take` with each answer. An error is about the first request that has none.
  template <typename Take>
  Result<void> run(std::span<const std::byte> requests, std::size_t count, Take take) {
    const NoPipeSignal guard;
    std::size_t sent = 0;
    std::size_t answered = 0;
    process::Patience until_hung(patience_, child_.process.id());
    while (answered < count) {
      std::array<pollfd, 2> ends = {
          {{child_.from.number(), POLLIN, 0},
           {sent < requests.size() ? child_.to.number() : -1, POLLOUT, 0}}};
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until_hung.left());
      if (left.count() == 0) {
        return Error{.code = ErrorCode::jit_timeout,
                     .message = fmt::format("no answer after {} ms", patience_.count())};
      }
      if (stopped_ && stopped_()) {
        return not_waited_for();
      }
      const auto wait = stopped_ ? std::min(left, kLookAtUser) : left;
      if (::poll(ends.data(), ends.size(), static_cast<int>(wait.count())) <= 0) {
        continue;
      }
      until_hung = process::Patience(patience_, child_.process.id());
      if ((ends[1].revents & (POLLOUT | POLLERR)) != 0) {
        const ssize_t wrote =
            ::write(child_.to.number(), requests.data() + sent, requests.size() - sent);
        if (wrote > 0) {
          sent += static_cast<std::size_t>(wrote);
        } else if (errno != EAGAIN && errno != EINTR) {
          sent = requests.size();  // it reads no more: what it still has to say ends by itself
        }
      }
      if ((ends[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
        FARCALL_TRY(more, read_more());
        FARCALL_TRY(taken, take_answers(take));
        answered += taken;
        if (!more && answered < count) {
          return Error{.code = ErrorCode::jit_crashed, .message = "it ended without an answer"};
        }
      }
    }
    return success();
  }

 private:
  // Whether there may be more.
  Result<bool> read_more() {
    if (child_.unread == child_.room.size()) {
      child_.room.resize(2 * child_.room.size());
    }
    const ssize_t got = ::read(child_.from.number(), child_.room.data() + child_.unread,
                               child_.room.size() - child_.unread);
    child_.unread += static_cast<std::size_t>(std::max<ssize_t>(got, 0));
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
  }

  template <typename Take>
  Result<std::size_t> take_answers(Take take) {
    auto bytes = std::span<const std::byte>(child_.room).first(child_.unread);
    std::size_t taken = 0;
    while (bytes.size() >= 4) {
      const auto size = load<std::uint32_t>(bytes.data(), std::endian::little);
      if (size < kLeastAnswerBytes || size > kMostAnswerBytes) {
        return Error{.code = ErrorCode::jit_bad_answer,
                     .message = fmt::format("an answer begins with its size, {:#x}; expected {} to "
                                            "{:#x} bytes: does it print to its standard output?",
                                            size, kLeastAnswerBytes, kMostAnswerBytes)};
      }
      if (bytes.size() < size) {
        break;
      }
      FARCALL_TRYV(take(bytes.first(size)));
      ++taken;
      bytes = bytes.subspan(size);
    }
    std::ranges::copy(bytes, child_.room.begin());
    child_.unread = bytes.size();
    return taken;
  }

  Child& child_;
  std::chrono::milliseconds patience_;
  const Stopped& stopped_;
};

class ProcessCompiler final : public Compiler {
 public:
  ProcessCompiler(process::Command command, std::chrono::milliseconds patience, Stopped stopped)
      : command_(std::move(command)), patience_(patience), stopped_(std::move(stopped)) {}

  std::size_t batch() const override { return kBatchCells; }

  std::vector<Compiled> compile(std::span<const model::Document* const> documents) override {
    std::vector<Compiled> compiled;
    compiled.reserve(documents.size());
    while (compiled.size() < documents.size()) {
      if (stopped_ && stopped_()) {
        compiled.push_back({.linked = std::nullopt, .image = not_waited_for()});
        continue;
      }
      if (auto done = ask(documents.subspan(compiled.size()), compiled); !done) {
        compiled.push_back({.linked = std::nullopt, .image = failed(std::move(done).error())});
      }
    }
    return compiled;
  }

 private:
  // Appends what comes of `documents`. An error is about the first of them that is missing then.
  Result<void> ask(std::span<const model::Document* const> documents,
                   std::vector<Compiled>& compiled) {
    if (!child_) {
      FARCALL_TRY(started, start(command_));
      child_.emplace(std::move(started));
    }
    std::vector<std::byte> requests;
    const std::uint32_t first = number_;
    for (const model::Document* const document : documents) {
      const std::vector<std::byte> one = request(document->cell, number_++);
      requests.insert(requests.end(), one.begin(), one.end());
    }
    std::uint32_t taken = 0;
    const auto take = [&](std::span<const std::byte> answer) -> Result<void> {
      const model::Cell& cell = documents[taken]->cell;
      auto image = read_answer(answer, cell, first + taken);
      if (!image && image.error().code == ErrorCode::jit_bad_answer) {
        return std::move(image).error();
      }
      if (image) {
        if (auto completed = complete(cell, image.value(), helper_entry(answer)); !completed) {
          image = std::move(completed).error();
        }
      }
      ++taken;
      compiled.push_back({.linked = std::nullopt, .image = std::move(image)});
      return success();
    };
    return Exchange(*child_, patience_, stopped_).run(requests, documents.size(), take);
  }

  // Ends the child, and says what it said.
  Error failed(Error error) {
    if (!child_) {
      return error;
    }
    // One that has closed its output is about to end: how, it says itself.
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
    while (error.code == ErrorCode::jit_crashed && child_->process.running() &&
           std::chrono::steady_clock::now() < until) {
      ::usleep(1000);
    }
    const bool killed = child_->process.running();
    child_->process.kill();
    if (!killed) {
      error.message += fmt::format(" ({})", child_->process.ending());
    }
    if (const std::string words = child_->process.last_words(); !words.empty()) {
      error.message += "; it wrote: " + words;
    }
    child_.reset();
    return error;
  }

  process::Command command_;
  std::chrono::milliseconds patience_;
  Stopped stopped_;
  std::optional<Child> child_;
  std::uint32_t number_ = 0;
};

}  // namespace

Jit process_jit(std::string name, process::Command command, std::chrono::milliseconds patience) {
  return {.name = name,
          .identity = std::move(name),
          .start = [command = std::move(command), patience](const Stopped& stopped) {
            return std::make_unique<ProcessCompiler>(command, patience, stopped);
          }};
}

}  // namespace farcall::engine

// The memory that a Linux guest shares with us, through which a batch goes and the reply comes: the
// host's side of wire/kernel_batch.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/error.hpp"
#include "wire/kernel_batch.hpp"

namespace farcall::kernel {

class Window {
 public:
  // `file` is one of wire::kWindowBytes that need not outlive the window; `batch` is referred to.
  // machine.start.
  static Result<Window> open(int file, std::span<const std::byte> batch);

  Window(Window&& other) noexcept;
  Window& operator=(Window&&) = delete;
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;
  ~Window();

  // Does what the agent calls for; `end` is for the caller. machine.bad-answer: it calls for what is
  // not there.
  Result<void> serve(wire::WindowCall call);

  // Takes what there is of the reply, also of a guest that has died. machine.bad-answer.
  Result<void> take();

  // What was taken, and whether there is anything that was not.
  const std::string& reply() const { return reply_; }
  bool has_begun() const;

 private:
  Window() = default;
  Result<void> give();
  wire::KernelWindow& header() const;
  std::byte* piece() const { return start_ + sizeof(wire::KernelWindow); }

  std::span<const std::byte> rest_;  // of the batch
  std::string reply_;
  std::byte* start_ = nullptr;
};

}  // namespace farcall::kernel

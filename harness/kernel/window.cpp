#include "kernel/window.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

namespace farcall::kernel {
namespace {

Error wrong_turn(std::string message) {
  return {.code = ErrorCode::machine_bad_answer,
          .message = "the agent in the Linux guest: " + std::move(message)};
}

}  // namespace

Result<Window> Window::open(int file, std::span<const std::byte> batch) {
  Window window;
  window.rest_ = batch;
  void* const start =
      ::mmap(nullptr, wire::kWindowBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (start == MAP_FAILED) {
    return process::start_error("cannot map the memory shared with a guest");
  }
  window.start_ = static_cast<std::byte*>(start);
  return window;
}

Window::Window(Window&& other) noexcept
    : rest_(other.rest_),
      reply_(std::move(other.reply_)),
      start_(std::exchange(other.start_, nullptr)) {}

Window::~Window() {
  if (start_ != nullptr) {
    ::munmap(start_, wire::kWindowBytes);
  }
}

wire::KernelWindow& Window::header() const {
  std::atomic_thread_fence(std::memory_order_seq_cst);  // the guest writes it
  return *reinterpret_cast<wire::KernelWindow*>(start_);
}

bool Window::has_begun() const {
  return !reply_.empty() || header().reply_bytes != 0;
}

Result<void> Window::serve(wire::WindowCall call) {
  switch (call) {
    case wire::WindowCall::give:
      return give();
    case wire::WindowCall::take:
      return take();
    case wire::WindowCall::end:
      break;
  }
  return wrong_turn(fmt::format("it calls for {:#04x}", static_cast<unsigned>(call)));
}

Result<void> Window::give() {
  if (rest_.empty()) {
    return wrong_turn("it wants more than the batch has");
  }
  const std::size_t count = std::min<std::size_t>(rest_.size(), wire::kPieceBytes);
  std::memcpy(piece(), rest_.data(), count);
  rest_ = rest_.subspan(count);
  header().batch_bytes = static_cast<std::uint32_t>(count);
  return success();
}

Result<void> Window::take() {
  const std::uint32_t count = header().reply_bytes;
  if (count > wire::kPieceBytes) {
    return wrong_turn(fmt::format("a piece of its reply has {} bytes", count));
  }
  reply_.append(reinterpret_cast<const char*>(piece()), count);
  header().reply_bytes = 0;
  return success();
}

}  // namespace farcall::kernel

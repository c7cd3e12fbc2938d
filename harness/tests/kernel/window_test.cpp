#include "kernel/window.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <string>
#include <vector>

#include "process/file_descriptor.hpp"

namespace farcall::kernel::window_test {
namespace {

using wire::WindowCall;

// The guest's end: what the agent does with the memory.
class GuestEnd {
 public:
  GuestEnd()
      : start_(static_cast<char*>(::mmap(nullptr, wire::kWindowBytes, PROT_READ | PROT_WRITE,
                                         MAP_SHARED, file_.number(), 0))) {}
  GuestEnd(const GuestEnd&) = delete;
  GuestEnd& operator=(const GuestEnd&) = delete;
  ~GuestEnd() { ::munmap(start_, wire::kWindowBytes); }

  Result<Window> window(std::span<const std::byte> batch) const {
    return Window::open(file_.number(), batch);
  }
  std::string batch() const { return {piece(), header().batch_bytes}; }
  std::uint32_t reply_bytes() const { return header().reply_bytes; }
  void write(const std::string& text) const {
    std::memcpy(piece() + header().reply_bytes, text.data(), text.size());
    header().reply_bytes = header().reply_bytes + static_cast<std::uint32_t>(text.size());
  }
  void claim(std::uint32_t reply_bytes) const { header().reply_bytes = reply_bytes; }

 private:
  wire::KernelWindow& header() const { return *reinterpret_cast<wire::KernelWindow*>(start_); }
  char* piece() const { return start_ + sizeof(wire::KernelWindow); }
  process::FileDescriptor file_ =
      process::memory_file("farcall-window", wire::kWindowBytes).value();
  char* start_;
};

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

TEST(Window, ALargeBatchGoesInPieces) {
  const std::string batch = std::string(wire::kPieceBytes, 'a') + "rest";
  const GuestEnd guest;
  auto window = guest.window(bytes_of(batch));
  ASSERT_TRUE(window);
  EXPECT_TRUE(window.value().serve(WindowCall::give));
  EXPECT_EQ(guest.batch(), std::string(wire::kPieceBytes, 'a'));
  EXPECT_TRUE(window.value().serve(WindowCall::give));
  EXPECT_EQ(guest.batch(), "rest");
  const auto more = window.value().serve(WindowCall::give);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, ErrorCode::machine_bad_answer);
}

TEST(Window, AReplyIsTakenOnceAndNotTheBatch) {
  const std::string batch = "batch";
  const GuestEnd guest;
  auto window = guest.window(bytes_of(batch));
  ASSERT_TRUE(window);
  ASSERT_TRUE(window.value().serve(WindowCall::give));
  EXPECT_FALSE(window.value().has_begun());
  EXPECT_TRUE(window.value().take());  // a guest that dies before it replies
  EXPECT_EQ(window.value().reply(), "");
  guest.write("one");
  EXPECT_TRUE(window.value().has_begun());
  guest.write(" two");
  EXPECT_TRUE(window.value().serve(WindowCall::take));
  EXPECT_EQ(guest.reply_bytes(), 0U);
  EXPECT_TRUE(window.value().take());
  guest.write(", three");
  EXPECT_TRUE(window.value().take());
  EXPECT_EQ(window.value().reply(), "one two, three");
}

TEST(Window, WhatNoAgentSaysIsRefused) {
  const GuestEnd guest;
  auto window = guest.window({});
  ASSERT_TRUE(window);
  EXPECT_FALSE(window.value().serve(static_cast<WindowCall>('x')));
  guest.claim(wire::kPieceBytes + 1);
  EXPECT_FALSE(window.value().take());
}

}  // namespace
}  // namespace farcall::kernel::window_test

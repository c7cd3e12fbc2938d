// Bytes that copies share until one of them is written: memory of a program goes through many values
// on its way, and few of them change it.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <new>
#include <span>
#include <utility>
#include <vector>

namespace farcall {

// A value, as std::vector<std::byte> is, of a size that does not change. Reading is as of a vector;
// `own()` is for writing:
//
//   const auto before = SharedBytes::of({}, 16 << 20);  // zeros: no memory until somebody writes
//   SharedBytes after = before;                         // nor does this take any
//   after.own()[3] = std::byte{7};                      // now there are two
//
// Copies may be used by several threads, each its own.
class SharedBytes {
 public:
  using value_type = std::byte;
  using const_iterator = const std::byte*;

  SharedBytes() = default;
  SharedBytes(std::initializer_list<std::byte> bytes)
      : SharedBytes(std::vector<std::byte>(bytes)) {}
  SharedBytes(
      std::vector<std::byte> bytes) {  // NOLINT(google-explicit-constructor): the same value
    auto shared = std::make_shared<std::vector<std::byte>>(std::move(bytes));
    size_ = shared->size();
    data_ = std::shared_ptr<std::byte[]>(shared, shared->data());
  }
  SharedBytes(const SharedBytes&) = default;
  SharedBytes& operator=(const SharedBytes&) = default;
  SharedBytes(SharedBytes&& other) noexcept
      : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}
  SharedBytes& operator=(SharedBytes&& other) noexcept {
    data_ = std::move(other.data_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }
  ~SharedBytes() = default;

  // A copy of `first`, then zeros: `size` bytes in all. Many zeros take no memory of the machine
  // before somebody writes them.
  static SharedBytes of(std::span<const std::byte> first, std::size_t size) {
    SharedBytes bytes;
    if (size != 0) {
      bytes.data_ = zeros(size);
      bytes.size_ = size;
      put(first.first(std::min(first.size(), size)), bytes.data_.get());
    }
    return bytes;
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const std::byte* data() const { return data_.get(); }
  const std::byte* begin() const { return data(); }
  const std::byte* end() const { return data() + size_; }
  const std::byte& operator[](std::size_t i) const { return data()[i]; }

  std::vector<std::byte> to_vector() const { return {begin(), end()}; }

  // For writing. Copies made before are not changed; the span is good until the next copy.
  std::span<std::byte> own() {
    if (data_.use_count() > 1) {
      *this = of(*this, size_);
    } else {
      // Whoever shared them until now has read what it wanted before it let go.
      std::atomic_thread_fence(std::memory_order_acquire);
    }
    return {data_.get(), size_};
  }

  friend bool operator==(const SharedBytes& a, const SharedBytes& b) {
    return a.size_ == b.size_ &&
           (a.empty() || a.data() == b.data() || std::memcmp(a.data(), b.data(), a.size_) == 0);
  }

 private:
  // `to` is all zeros already: pieces of zeros are not written, so that they take no memory.
  static void put(std::span<const std::byte> bytes, std::byte* to) {
    constexpr std::size_t kPiece = 65536;
    while (bytes.size() > kPiece) {
      if (bytes[0] != std::byte{0} ||
          std::memcmp(bytes.data(), bytes.data() + 1, kPiece - 1) != 0) {
        std::memcpy(to, bytes.data(), kPiece);
      }
      bytes = bytes.subspan(kPiece);
      to += kPiece;
    }
    // Not std::ranges::copy, of which gcc 12 makes a loop of single bytes.
    if (!bytes.empty()) {
      std::memcpy(to, bytes.data(), bytes.size());
    }
  }
  // Many come fresh from the kernel: malloc() would have to clear what it has had before.
  static std::shared_ptr<std::byte[]> zeros(std::size_t size) {
    constexpr std::size_t kMany = std::size_t{1} << 20;
    if (size < kMany) {
      return std::make_shared<std::byte[]>(size);
    }
    void* const memory =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      throw std::bad_alloc();
    }
    return {static_cast<std::byte*>(memory), [size](std::byte* at) { ::munmap(at, size); }};
  }

  std::shared_ptr<std::byte[]> data_;
  std::size_t size_ = 0;
};

}  // namespace farcall

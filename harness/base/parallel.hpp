// Work that several threads share.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace farcall {

// Calls `work` on so many threads at once, but at least one, of which this is one; returns when all
// calls have.
template <typename Work>
void on_threads(std::size_t threads, const Work& work) {
  std::vector<std::jthread> others(std::max<std::size_t>(threads, 1) - 1);
  for (std::jthread& other : others) {
    other = std::jthread([&work] { work(); });
  }
  work();
}

// Calls `work` once with each number below `count`, on `threads` threads. What it throws ends the
// work, and is thrown to the caller.
template <typename Work>
void for_each_index(std::size_t count, std::size_t threads, const Work& work) {
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::exception_ptr thrown;
  on_threads(std::min(count, threads), [&] {
    try {
      for (std::size_t i = next++; i < count; i = next++) {
        work(i);
      }
    } catch (...) {
      next = count;
      const std::lock_guard lock(mutex);
      thrown = std::current_exception();
    }
  });
  if (thrown) {
    std::rethrow_exception(thrown);
  }
}

}  // namespace farcall

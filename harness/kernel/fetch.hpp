// Brings Debian's kernels, by apt.
//
// apt works in a folder of its own, with Debian's archive as its only source and one
// architecture, so that the user's system keeps what it has. It trusts what Debian's keyring
// has signed and nothing else. How it reaches the network is as the user has set it up.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "kernel/store.hpp"
#include "kernel/version.hpp"

namespace farcall::kernel {

// What is said on the way.
struct Listener {
  // What the user should know of afterwards as well: a version that was gone, a source that failed.
  std::function<void(const std::string& line)> note;
  // What is going on, and how far it is; `of` is 0 where nobody knows. Bytes.
  std::function<void(const std::string& what, std::uint64_t done, std::uint64_t of)> progress;
};

// What is wanted, from the store or brought there now. A series whose newest version is listed and
// gone is the one before, and a note says so.
// kernel.unknown: Debian lists none such, or the exact version is gone; kernel.fetch-failed: there
// is no apt, no network, no room.
Result<Fetched> fetch(const Store& store, const Wanted& wanted, const Listener& listener);

// A package as `apt-get download --print-uris` describes it.
struct Download {
  std::string file;
  std::uint64_t byte_count = 0;
  std::string sha256;

  friend bool operator==(const Download&, const Download&) = default;
};
std::vector<Download> read_uris(std::string_view output);

}  // namespace farcall::kernel

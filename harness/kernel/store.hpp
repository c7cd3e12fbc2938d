// Debian's kernels in the user's cache: one folder each, complete or not there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "kernel/version.hpp"
#include "process/file_descriptor.hpp"

namespace farcall::kernel {

// kernel.fetch-failed.
Error fetch_failed(std::string message, std::string hint = {});

struct Package {
  std::string name;
  std::string sha256;  // of the package, as apt's signed index has it

  friend bool operator==(const Package&, const Package&) = default;
};

// What is there. It is written beside what was unpacked, as farcall.json.
struct Fetched {
  Kind kind{};
  std::string version;  // of the packages
  bool has_64k_pages = false;
  std::vector<Package> packages;
  std::uint64_t byte_count = 0;  // unpacked
  std::filesystem::path folder;  // of a source: the tree itself
  // Of an image: the kernel, for ppc64el an ELF file, in the folder. Empty for a source.
  std::filesystem::path vmlinux;

  friend bool operator==(const Fetched&, const Fetched&) = default;
};
std::string version_name(const Fetched& fetched);  // `6.12.107-1-64k`

class Store {
 public:
  // In `folder`, which is made when something is put there.
  explicit Store(std::filesystem::path folder) : folder_(std::move(folder)) {}
  // That of the user: `kernels` in the cache, and a folder in it for each other architecture than
  // ppc64el. kernel.fetch-failed if there is no cache.
  static Result<Store> of_user(std::string_view architecture = "ppc64el");

  const std::filesystem::path& folder() const { return folder_; }

  // Sources and images, the newest of each first. A folder without its record does not count.
  std::vector<Fetched> all() const;
  // The newest that is wanted.
  std::optional<Fetched> find(const Wanted& wanted) const;
  // The same, or kernel.not-fetched with the command that brings it.
  Result<Fetched> get(const Wanted& wanted) const;

  // Held while something is put there or taken away, by one process at a time. What one that was
  // killed has left is removed. kernel.fetch-failed.
  Result<process::FileDescriptor> lock() const;

  // A new folder beside the others, for what is not complete yet. Under the lock.
  Result<std::filesystem::path> make_partial() const;

  // Takes over the folder `partial`, whole: writes its record and gives it its name. Under the
  // lock.
  Result<Fetched> put(const std::filesystem::path& partial, Fetched fetched) const;

  // Under the lock. kernel.fetch-failed if it cannot be.
  Result<void> remove(const Fetched& fetched) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace farcall::kernel

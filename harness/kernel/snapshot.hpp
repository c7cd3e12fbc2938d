// Snapshots of Linux guests: a guest whose agent is ready, in a file of the user's cache. It boots
// once, and is restored from then on.
//
// A file is that of a kernel and the machine's options, and begins with its key: kernel, QEMU,
// initramfs and options. One with another key is as good as none, and the next takes its place.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "base/error.hpp"
#include "process/file_descriptor.hpp"
#include "vm/host.hpp"

namespace farcall::kernel {

// Where they are: farcall's folder in the user's cache, or none.
std::optional<std::filesystem::path> snapshot_folder();

class Snapshot {
 public:
  // Of a guest of this machine and kernel, in that folder.
  Snapshot(const std::filesystem::path& folder, const vm::LinuxMachine& machine,
           const std::filesystem::path& vmlinux, std::span<const std::byte> initramfs);

  // The file, which stands where the guest begins in it; none: there is none of this key that is
  // the user's alone.
  std::optional<process::FileDescriptor> open() const;

  const std::filesystem::path& path() const { return path_; }

 private:
  friend class SnapshotWriter;

  std::filesystem::path path_;
  std::string key_;
};

// A new snapshot: in its place as a whole, or not at all. It is the only one who writes.
class SnapshotWriter {
 public:
  // None: somebody else writes one, or the folder cannot be the user's alone. With it go files that
  // a farcall left that was killed, snapshots of kernels that are gone, and those that nobody has
  // read for two weeks.
  static std::optional<SnapshotWriter> begin(const Snapshot& snapshot);

  SnapshotWriter(SnapshotWriter&&) = default;
  SnapshotWriter& operator=(SnapshotWriter&&) = delete;
  SnapshotWriter(const SnapshotWriter&) = delete;
  SnapshotWriter& operator=(const SnapshotWriter&) = delete;
  ~SnapshotWriter();

  int descriptor() const { return file_.number(); }  // stands where the guest is to begin

  // file.unwritable.
  Result<void> commit();

 private:
  SnapshotWriter(process::FileDescriptor lock, process::FileDescriptor file,
                 std::filesystem::path partial, std::filesystem::path path)
      : lock_(std::move(lock)),
        file_(std::move(file)),
        partial_(std::move(partial)),
        path_(std::move(path)) {}

  process::FileDescriptor lock_;
  process::FileDescriptor file_;
  std::filesystem::path partial_;
  std::filesystem::path path_;
};

}  // namespace farcall::kernel

// File descriptors with an owner, and the kinds that a machine needs. All close on exec.
#pragma once

#include <unistd.h>

#include <string>
#include <utility>

#include "base/error.hpp"

namespace farcall::process {

class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int number) : number_(number) {}
  FileDescriptor(FileDescriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() { reset(); }

  int number() const { return number_; }
  // Nobody owns it any more: it is open up to the end of the process.
  void release() { number_ = -1; }
  void reset() {
    if (number_ >= 0) {
      ::close(std::exchange(number_, -1));
    }
  }

 private:
  int number_ = -1;
};

// A file that exists in memory only, and ends with its last descriptor.
Result<FileDescriptor> memory_file(const char* name, std::uint64_t byte_count);

// All that such a file holds, wherever it was read or written last.
std::string contents(const FileDescriptor& file);

struct SocketPair {
  FileDescriptor ours;
  FileDescriptor theirs;
};
Result<SocketPair> socket_pair();

struct Pipe {
  FileDescriptor read_end;
  FileDescriptor write_end;
};
Result<Pipe> make_pipe();

// `WHAT: strerror(errno)` as machine.start.
Error start_error(std::string_view what);

}  // namespace farcall::process

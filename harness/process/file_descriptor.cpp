#include "process/file_descriptor.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "base/files.hpp"

namespace farcall::process {

Error start_error(std::string_view what) {
  return Error{ErrorCode::machine_start,
               fmt::format("{}: {}", what, std::generic_category().message(errno))};
}

Result<FileDescriptor> memory_file(const char* name, std::uint64_t byte_count) {
  FileDescriptor file(::memfd_create(name, MFD_CLOEXEC));
  if (file.number() < 0 || ::ftruncate(file.number(), static_cast<off_t>(byte_count)) != 0) {
    return start_error("cannot make a file in memory");
  }
  return file;
}

std::string contents(const FileDescriptor& file) {
  return file_contents(fmt::format("/proc/self/fd/{}", file.number()));
}

Result<SocketPair> socket_pair() {
  std::array<int, 2> ends = {};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return start_error("cannot make a socket pair");
  }
  return SocketPair{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

Result<Pipe> make_pipe() {
  std::array<int, 2> ends = {};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return start_error("cannot make a pipe");
  }
  return Pipe{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

}  // namespace farcall::process

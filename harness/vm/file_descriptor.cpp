#include "vm/file_descriptor.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

namespace farcall::vm {

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

Result<SocketPair> socket_pair() {
  std::array<int, 2> ends = {};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return start_error("cannot make a socket pair");
  }
  return SocketPair{FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

Result<FileDescriptor> listening_socket(const std::string& path) {
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  if (path.size() >= sizeof(address.sun_path)) {
    return Error{ErrorCode::machine_start,
                 fmt::format("{}: expected a path of at most {} bytes for a socket", path,
                             sizeof(address.sun_path) - 1)};
  }
  std::ranges::copy(path, std::begin(address.sun_path));
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.number() < 0 ||
      ::bind(socket.number(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(socket.number(), 1) != 0) {
    return start_error(fmt::format("cannot make a socket at {}", path));
  }
  return socket;
}

}  // namespace farcall::vm

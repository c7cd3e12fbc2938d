// farcall-bpf-plugin-server SOCKET DESCRIPTOR [OPTION...]: what answers the plugin's calls.
//
// Listens at SOCKET and says `+` to DESCRIPTOR once it does, or why it cannot. Each connection is
// one call: memory in hex, a NUL, the program in hex, the end; the answer is `0` and r0 in hex, or
// `1` and an error's text. Ends when nobody called for a while, or when the socket or its own
// program is no longer where it was.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "conformance/plugin/options.hpp"
#include "conformance/plugin/service.hpp"
#include "process/file_descriptor.hpp"
#include "vm/images_folder.hpp"

namespace farcall::conformance {
namespace {

constexpr int kTick = 1000;  // milliseconds between looks at the files
constexpr int kIdleTicks = 30;
constexpr time_t kMostSeconds = 5;  // for a call to arrive
constexpr std::size_t kMostBytes = std::size_t{16} << 20;
constexpr int kBacklog = 128;
constexpr int kLockAttempts = 5000;
constexpr useconds_t kBetweenAttempts = 1000;

// Whom a path leads to.
struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;

  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};
FileIdentity identity(const std::string& path) {
  struct stat status = {};
  return ::stat(path.c_str(), &status) == 0 ? FileIdentity{status.st_dev, status.st_ino}
                                            : FileIdentity{};
}

Error failure(const std::string& what) {
  return {.code = ErrorCode::machine_start,
          .message = fmt::format("{}: {}", what, std::strerror(errno))};
}

bool copy_address(const std::string& path, sockaddr_un& address) {
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return false;
  }
  path.copy(&address.sun_path[0], path.size());
  return true;
}

bool somebody_listens_at(const std::string& path) {
  sockaddr_un address = {};
  const process::FileDescriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return copy_address(path, address) &&
         ::connect(probe.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
             0;
}

std::string lock_of(const std::string& path) {
  return path + ".lock";
}

// One server for each socket: whoever holds the lock. Empty: another one does, and listens. One
// that holds it and does not listen is about to listen or about to end, which takes a moment.
Result<std::optional<process::FileDescriptor>> take_lock(const std::string& path) {
  const std::string lock_path = lock_of(path);
  for (int attempt = 0; attempt < kLockAttempts; ++attempt) {
    process::FileDescriptor lock(
        ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (lock.number() < 0) {
      return failure(lock_path);
    }
    struct stat status = {};
    // A server that ends takes its lock's file along: what we hold must be the one that is there.
    if (::flock(lock.number(), LOCK_EX | LOCK_NB) == 0 && ::fstat(lock.number(), &status) == 0 &&
        identity(lock_path) == FileIdentity{status.st_dev, status.st_ino}) {
      return std::optional(std::move(lock));
    }
    if (somebody_listens_at(path)) {
      return std::optional<process::FileDescriptor>();
    }
    ::usleep(kBetweenAttempts);
  }
  errno = EWOULDBLOCK;
  return failure(lock_path);
}

Result<process::FileDescriptor> listen_at(const std::string& path) {
  sockaddr_un address = {};
  if (!copy_address(path, address)) {
    return Error{.code = ErrorCode::usage_bad_argument, .message = "the socket's path is too long"};
  }
  process::FileDescriptor listener(
      ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  ::unlink(path.c_str());  // of a server that was killed: we hold the lock
  ::umask(077);
  if (::bind(listener.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener.number(), kBacklog) != 0) {
    return failure(path);
  }
  return listener;
}

std::string answer(Service& service, const std::string& call) {
  const std::size_t nul = call.find('\0');
  if (nul == std::string::npos) {
    return "1the call broke off";
  }
  try {
    const auto result =
        service.run(std::string_view(call).substr(0, nul), std::string_view(call).substr(nul + 1));
    return result ? fmt::format("0{:x}", result.value()) : "1" + result.error().message;
  } catch (const std::exception& error) {
    return std::string("1") + error.what();
  }
}

void serve(Service& service, const process::FileDescriptor& connection) {
  const timeval patience = {.tv_sec = kMostSeconds, .tv_usec = 0};
  ::setsockopt(connection.number(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(connection.number(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  std::string call;
  std::array<char, 65536> buffer{};
  ssize_t got = 0;
  while ((got = ::recv(connection.number(), buffer.data(), buffer.size(), 0)) > 0 &&
         call.size() <= kMostBytes) {
    call.append(buffer.data(), static_cast<std::size_t>(got));
  }
  if (got < 0 || call.size() > kMostBytes) {
    return;
  }
  const std::string reply = answer(service, call);
  for (std::size_t sent = 0; sent < reply.size();) {
    const ssize_t count =
        ::send(connection.number(), reply.data() + sent, reply.size() - sent, MSG_NOSIGNAL);
    if (count < 0) {
      return;
    }
    sent += static_cast<std::size_t>(count);
  }
}

bool serve_next(Service& service, const process::FileDescriptor& listener) {
  const process::FileDescriptor connection(
      ::accept4(listener.number(), nullptr, nullptr, SOCK_CLOEXEC));
  if (connection.number() < 0) {
    return false;
  }
  serve(service, connection);
  return true;
}

void serve_until_idle(Service& service, const process::FileDescriptor& listener,
                      const std::string& path) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe");
  const FileIdentity socket = identity(path);
  const FileIdentity build = identity(program);
  for (int idle = 0; idle < kIdleTicks; ++idle) {
    pollfd wanted = {.fd = listener.number(), .events = POLLIN, .revents = 0};
    if (::poll(&wanted, 1, kTick) > 0) {
      serve_next(service, listener);
      idle = -1;
    } else if (identity(path) != socket || identity(program) != build) {
      return;  // the socket may be another server's by now
    }
  }
  ::unlink(path.c_str());
  // Who came before the socket went is still waiting.
  while (serve_next(service, listener)) {
  }
}

void say(int descriptor, const std::string& text) {
  [[maybe_unused]] const ssize_t written = ::write(descriptor, text.data(), text.size());
  ::close(descriptor);
}

int run(const std::string& path, int ready, std::span<const std::string_view> arguments) {
  const auto options = parse_options(arguments);
  if (!options) {
    say(ready, options.error().message);
    return EXIT_FAILURE;
  }
  const auto lock = take_lock(path);
  if (!lock) {
    say(ready, lock.error().message);
    return EXIT_FAILURE;
  }
  if (!lock.value()) {
    say(ready, "+");
    return EXIT_SUCCESS;
  }
  const auto listener = listen_at(path);
  if (!listener) {
    say(ready, listener.error().message);
    return EXIT_FAILURE;
  }
  say(ready, "+");
  Service service(options.value(), vm::images_folder());
  serve_until_idle(service, listener.value(), path);
  ::unlink(lock_of(path).c_str());
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace farcall::conformance

int main(int argc, char** argv) {
  if (argc < 3) {
    fmt::print(stderr, "farcall-bpf-plugin starts this program: expected SOCKET DESCRIPTOR\n");
    return EXIT_FAILURE;
  }
  const std::vector<std::string_view> options(argv + 3, argv + argc);
  return farcall::conformance::run(argv[1], std::atoi(argv[2]), options);
}

// farcall-bpf-plugin: what the runner of the public conformance suite starts for each test.
//
//   farcall-bpf-plugin [--program PROGRAM] [MEMORY] [OPTION...] [< PROGRAM]
//
// MEMORY and PROGRAM are bytes in hex; without --program, PROGRAM comes from standard input. r0
// goes to standard output in hex, with exit code 0; whatever else comes of it is text on standard
// error, with another code. Options are in plugin/options.hpp.
//
// The suite starts one process a test, so this one does next to nothing: it is static, includes
// nothing of C++'s library, and hands everything to farcall-bpf-plugin-server beside it, over a
// Unix socket in a folder that is its user's alone. The server keeps a guest up. It belongs to one
// build and one set of options, both of which are in the socket's name; the first call starts it,
// and it ends by itself.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int kFailed = 1;
constexpr time_t kMostSeconds = 60;  // for an answer: a backstop
constexpr int kConnectAttempts = 5000;
constexpr useconds_t kBetweenAttempts = 1000;

constexpr const char* kHelp =
    "usage: farcall-bpf-plugin [--program PROGRAM] [MEMORY] [OPTION...] [< PROGRAM]\n"
    "PROGRAM, slots as this machine lays them out, and MEMORY are bytes in hex with blanks "
    "between.\n"
    "  --jit | --interpreter | --interpret   who runs it; the JIT by default\n"
    "  --endian le|be                        le by default\n"
    "  --cpu power8|power9|power10           power9 by default\n"
    "  --placement near|far                  functions 64 KiB apart, or every other one 2 PiB "
    "away\n"
    "  --elf                                 PROGRAM is an ELF object of one global function\n"
    "  --debug                               changes nothing: errors always say all they know\n";

[[noreturn]] void fail(const char* what, const char* why) {
  dprintf(STDERR_FILENO, "farcall-bpf-plugin: %s: %s\n", what, why);
  _exit(kFailed);
}
[[noreturn]] void fail(const char* what) {
  fail(what, strerror(errno));
}

// FNV-1a.
std::uint64_t hash(std::uint64_t seed, const void* data, std::size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(data);
  for (std::size_t i = 0; i < size; ++i) {
    seed = (seed ^ bytes[i]) * 0x100000001b3;
  }
  return seed;
}

// Everything that is read from a descriptor until its end, in memory that grows.
struct Text {
  char* data = nullptr;
  std::size_t size = 0;
  std::size_t room = 0;

  Text() = default;
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;
  ~Text() { free(data); }

  void append_from(int descriptor) {
    while (true) {
      if (size == room) {
        room = room == 0 ? 16384 : 2 * room;
        data = static_cast<char*>(realloc(data, room));
        if (data == nullptr) {
          fail("memory");
        }
      }
      const ssize_t got = read(descriptor, data + size, room - size);
      if (got == 0) {
        return;
      }
      if (got < 0 && errno != EINTR) {
        fail("reading");
      }
      size += got > 0 ? static_cast<std::size_t>(got) : 0;
    }
  }
};

void write_all(int descriptor, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t written = send(descriptor, data, size, MSG_NOSIGNAL);
    if (written < 0 && errno != EINTR) {
      fail("the server does not listen");
    }
    if (written > 0) {
      data += written;
      size -= static_cast<std::size_t>(written);
    }
  }
}

// The folder of sockets: made if it is not there, refused if it is not ours alone.
void make_folder(char* path, std::size_t room) {
  const char* const runtime = getenv("XDG_RUNTIME_DIR");
  constexpr std::size_t kLongest = 60;  // a socket's path has room for 107 characters
  if (runtime != nullptr && runtime[0] == '/' && strlen(runtime) <= kLongest) {
    snprintf(path, room, "%s/farcall", runtime);
  } else {
    snprintf(path, room, "/tmp/farcall-%u", static_cast<unsigned>(getuid()));
  }
  if (mkdir(path, 0700) != 0 && errno != EEXIST) {
    fail(path);
  }
  struct stat status = {};
  if (lstat(path, &status) != 0) {
    fail(path);
  }
  if (!S_ISDIR(status.st_mode) || status.st_uid != getuid() || (status.st_mode & 077) != 0) {
    fail(path, "expected a folder that is yours and nobody else may enter (mode 0700)");
  }
}

// Starts the server and waits until it listens, or says why it does not.
void start_server(const char* server, const char* socket_path, int argc, char** argv) {
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) != 0) {
    fail("pipe");
  }
  const pid_t child = fork();
  if (child < 0) {
    fail("fork");
  }
  if (child == 0) {
    // The runner waits for the end of its pipes: none of them must live on in the server, whatever
    // their numbers.
    setsid();
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
    fcntl(ready[1], F_SETFD, 0);
    char descriptor[16];
    snprintf(descriptor, sizeof descriptor, "%d", ready[1]);
    auto** arguments =
        static_cast<char**>(calloc(static_cast<std::size_t>(argc) + 4, sizeof(char*)));
    arguments[0] = const_cast<char*>(server);
    arguments[1] = const_cast<char*>(socket_path);
    arguments[2] = descriptor;
    for (int i = 0; i < argc; ++i) {
      arguments[3 + i] = argv[i];
    }
    execv(server, arguments);
    dprintf(ready[1], "%s cannot be started: %s", server, strerror(errno));
    _exit(kFailed);
  }
  close(ready[1]);
  Text answer;
  answer.append_from(ready[0]);
  close(ready[0]);
  if (answer.size != 1 || answer.data[0] != '+') {
    dprintf(STDERR_FILENO, "%.*s\n", static_cast<int>(answer.size), answer.data);
    _exit(kFailed);
  }
}

int connect_to(const sockaddr_un& address) {
  const int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) {
    fail("socket");
  }
  if (connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return descriptor;
  }
  close(descriptor);
  return -1;
}

}  // namespace

int main(int argc, char** argv) {
  const char* memory = "";
  const char* given_program = nullptr;
  int first_option = 1;
  if (argc > 1 && strcmp(argv[1], "--help") == 0) {
    // Other plugins of the suite end so, too: whoever takes help for an answer is told.
    fputs(kHelp, stdout);
    fflush(stdout);
    return kFailed;
  }
  if (argc > 2 && strcmp(argv[1], "--program") == 0) {
    given_program = argv[2];
    first_option = 3;
  }
  if (argc > first_option && strncmp(argv[first_option], "--", 2) != 0) {
    memory = argv[first_option++];
  }

  char server[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", server, sizeof server - sizeof "-server");
  if (length < 0) {
    fail("/proc/self/exe");
  }
  memcpy(server + length, "-server", sizeof "-server");
  struct stat build = {};
  if (stat(server, &build) != 0) {
    fail(server);
  }
  std::uint64_t name = hash(0xcbf29ce484222325, server, static_cast<std::size_t>(length));
  name = hash(name, &build.st_ino, sizeof build.st_ino);
  name = hash(name, &build.st_size, sizeof build.st_size);
  name = hash(name, &build.st_mtim, sizeof build.st_mtim);
  for (int i = first_option; i < argc; ++i) {
    name = hash(name, argv[i], strlen(argv[i]) + 1);
  }
  char folder[80];
  make_folder(folder, sizeof folder);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  snprintf(address.sun_path, sizeof address.sun_path, "%s/%016llx", folder,
           static_cast<unsigned long long>(name));

  Text program;
  if (given_program == nullptr) {
    program.append_from(STDIN_FILENO);
  }
  int connection = connect_to(address);
  if (connection < 0) {
    start_server(server, address.sun_path, argc - first_option, argv + first_option);
    // Another call may have been first to start it, and its server not yet listen.
    for (int i = 0; connection < 0 && i < kConnectAttempts; ++i) {
      connection = connect_to(address);
      if (connection < 0) {
        usleep(kBetweenAttempts);
      }
    }
  }
  if (connection < 0) {
    fail(address.sun_path, "no server listens here");
  }
  const timeval patience = {.tv_sec = kMostSeconds, .tv_usec = 0};
  setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  write_all(connection, memory, strlen(memory) + 1);
  if (given_program != nullptr) {
    write_all(connection, given_program, strlen(given_program));
  } else {
    write_all(connection, program.data, program.size);
  }
  shutdown(connection, SHUT_WR);

  // The exit code as a character, and the text.
  Text answer;
  answer.append_from(connection);
  if (answer.size < 2) {
    fail("the server", "it ended without an answer");
  }
  const int code = answer.data[0] == '0' ? 0 : kFailed;
  FILE* const out = code == 0 ? stdout : stderr;
  fwrite(answer.data + 1, 1, answer.size - 1, out);
  fputc('\n', out);
  return fflush(out) == 0 ? code : kFailed;
}

#include "vm/last_will.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

#include <array>
#include <string_view>

namespace farcall::vm {
namespace {

// What the script calls is not looked for where farcall's user may have said, on an empty PATH say.
constexpr std::string_view kWait =
    "PATH=/usr/bin:/bin\n"
    "read -r revoked && exit\n";
constexpr std::string_view kRevoked = "revoked\n";

}  // namespace

Result<LastWill> LastWill::write(const std::string& script, const std::string& argument) {
  std::array<int, 2> ends = {};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return process::start_error("no pipe");
  }
  const process::FileDescriptor theirs(ends[0]);
  process::FileDescriptor ours(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, theirs.number(), STDIN_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // Out of reach of what ends us: Ctrl-C goes to the terminal's group of processes.
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  std::array<std::string, 5> words = {"sh", "-c", std::string(kWait) + script, "sh", argument};
  const std::array<char*, 6> argv = {words[0].data(), words[1].data(), words[2].data(),
                                     words[3].data(), words[4].data(), nullptr};
  pid_t child = 0;
  const int failure =
      ::posix_spawn(&child, "/bin/sh", &actions, &attributes, argv.data(), ::environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failure != 0) {
    return process::start_error("the shell that cleans up after farcall does not start");
  }
  return LastWill(std::move(ours));
}

void LastWill::revoke() {
  // The pipe is empty, and the shell lives as long as it.
  [[maybe_unused]] const ssize_t written =
      ::write(life_.number(), kRevoked.data(), kRevoked.size());
}

}  // namespace farcall::vm

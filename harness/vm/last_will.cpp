#include "vm/last_will.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <string_view>

#include "process/process.hpp"

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
  FARCALL_TRYV(
      process::start_detached({.program = "/bin/sh",
                               .arguments = {"-c", std::string(kWait) + script, "sh", argument},
                               .input = theirs.number()}));
  return LastWill(std::move(ours));
}

void LastWill::revoke() {
  // The pipe is empty, and the shell lives as long as it.
  [[maybe_unused]] const ssize_t written =
      ::write(life_.number(), kRevoked.data(), kRevoked.size());
}

}  // namespace farcall::vm

// What is to be done when this process has ended, however it ends: a shell waits for that. It is
// for what no destructor does for a process that is killed.
#pragma once

#include <string>

#include "base/error.hpp"
#include "process/file_descriptor.hpp"

namespace farcall::vm {

// Carried out when this object is destroyed or the process ends, whichever comes first, unless it
// was revoked before.
class LastWill {
 public:
  // `script` is for /bin/sh, `argument` its $1. Errors: machine.start.
  static Result<LastWill> write(const std::string& script, const std::string& argument);

  // Removes the folder and all that is in it.
  static Result<LastWill> to_remove(const std::string& folder) {
    return write("rm -rf \"$1\"", folder);
  }

  void revoke();

  // Carried out at the end of the process, not at that of this object.
  void keep() { life_.release(); }

 private:
  explicit LastWill(process::FileDescriptor life) : life_(std::move(life)) {}

  process::FileDescriptor life_;  // the shell waits for its end
};

}  // namespace farcall::vm

// What a debugger gets to know of a cell, and the files that it reads it from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/address.hpp"
#include "base/error.hpp"
#include "check/check.hpp"
#include "model/document.hpp"
#include "model/json.hpp"
#include "vm/last_will.hpp"

namespace farcall::debug {

// Where the program is to be stopped: before the instruction at `address` is executed for the
// `earlier`+1st time.
struct StopPoint {
  GuestAddress address;
  std::uint64_t earlier = 0;
  std::string why;
};

// What harness/gdb/farcall.py reads: functions with their instructions, calls, registers, what lies
// where, and the stop. `prepared` has a job.
model::Json session_json(const model::Cell& cell, const check::Testimony& prepared,
                         const StopPoint& stop);

// A folder of its own with all that gdb needs. It, and what is at the path of the socket, are gone
// with this object; the folder also if farcall is killed.
class SessionFiles {
 public:
  // Writes the files to `folder`, which is made if it is not there. gdb is to connect to the socket
  // at `socket`; its commands and the guest's symbols are in `images`. Errors: file.unwritable,
  // machine.start.
  static Result<SessionFiles> write(const std::filesystem::path& folder, const std::string& socket,
                                    const std::filesystem::path& images, const model::Cell& cell,
                                    const check::Testimony& prepared, const StopPoint& stop);

  SessionFiles(SessionFiles&&) = default;
  SessionFiles& operator=(SessionFiles&&) = delete;
  SessionFiles(const SessionFiles&) = delete;
  SessionFiles& operator=(const SessionFiles&) = delete;
  ~SessionFiles();

  // The commands with which gdb is to begin: `gdb-multiarch -x PATH`.
  std::string script() const { return (folder_ / "session.gdb").string(); }

 private:
  SessionFiles(std::filesystem::path folder, std::string socket, vm::LastWill will)
      : folder_(std::move(folder)), socket_(std::move(socket)), will_(std::move(will)) {}

  std::filesystem::path folder_;
  std::string socket_;
  vm::LastWill will_;
};

}  // namespace farcall::debug

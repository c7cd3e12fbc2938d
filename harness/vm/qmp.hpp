// QMP, QEMU's own control protocol: JSON objects, one a line, over a stream socket.
//
// A machine needs none of it to run jobs. It is for what goes wrong, for leaving in order, and for
// people who look at a machine.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "process/file_descriptor.hpp"

namespace farcall::vm {

// Errors: machine.lost (the other side is gone), machine.timeout, machine.bad-answer (QEMU refuses
// a command, or says something that is not JSON).
class QmpClient {
 public:
  // `socket` is our end of a stream socket. Nothing is sent before the first execute().
  explicit QmpClient(process::FileDescriptor socket) : socket_(std::move(socket)) {}

  // Runs a command and returns what it returns. The first one does the handshake.
  Result<nlohmann::ordered_json> execute(
      std::string_view command,
      const nlohmann::ordered_json& arguments = nlohmann::ordered_json::object());

  // Gives QEMU a descriptor, which its commands know by that name from then on.
  Result<void> give(std::string_view name, int descriptor);

  // What the monitor for people prints for `command_line`, such as `info registers`.
  Result<std::string> monitor(std::string_view command_line);

 private:
  using Deadline = std::chrono::steady_clock::time_point;

  Result<nlohmann::ordered_json> execute_with(std::string_view command,
                                              const nlohmann::ordered_json& arguments,
                                              std::optional<int> descriptor);
  Result<void> send(const std::string& text, std::optional<int> descriptor = {});
  Result<nlohmann::ordered_json> receive(Deadline deadline);
  Result<nlohmann::ordered_json> receive_answer(Deadline deadline);

  process::FileDescriptor socket_;
  bool ready_ = false;
  std::string unread_;
};

}  // namespace farcall::vm

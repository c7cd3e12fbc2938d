#include "vm/qmp.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <nlohmann/json.hpp>

#include "model/json.hpp"

namespace farcall::vm {
namespace {

constexpr std::chrono::seconds kAnswerPatience{5};

Error lost() {
  return Error{ErrorCode::machine_lost, "QEMU closed its control connection"};
}

}  // namespace

Result<nlohmann::ordered_json> QmpClient::execute(std::string_view command,
                                                  const nlohmann::ordered_json& arguments) {
  return execute_with(command, arguments, std::nullopt);
}

Result<void> QmpClient::give(std::string_view name, int descriptor) {
  nlohmann::ordered_json arguments;
  arguments["fdname"] = name;
  FARCALL_TRYV(execute_with("getfd", arguments, descriptor));
  return success();
}

Result<nlohmann::ordered_json> QmpClient::execute_with(std::string_view command,
                                                       const nlohmann::ordered_json& arguments,
                                                       std::optional<int> descriptor) {
  const auto deadline = std::chrono::steady_clock::now() + kAnswerPatience;
  if (!ready_) {
    FARCALL_TRY(greeting, receive(deadline));
    if (!greeting.contains("QMP")) {
      return Error{ErrorCode::machine_bad_answer,
                   fmt::format("expected QEMU's greeting, got {}", model::json_text(greeting))};
    }
    FARCALL_TRYV(send(R"({"execute": "qmp_capabilities"})"));
    FARCALL_TRYV(receive_answer(deadline));
    ready_ = true;
  }
  FARCALL_TRYV(send(
      fmt::format(R"({{"execute": {}, "arguments": {}}})",
                  model::json_text(nlohmann::ordered_json(command)), model::json_text(arguments)),
      descriptor));
  return receive_answer(deadline);
}

Result<std::string> QmpClient::monitor(std::string_view command_line) {
  nlohmann::ordered_json arguments;
  arguments["command-line"] = command_line;
  FARCALL_TRY(answer, execute("human-monitor-command", arguments));
  if (!answer.is_string()) {
    return Error{ErrorCode::machine_bad_answer,
                 fmt::format("expected text, QEMU said {}", model::json_text(answer))};
  }
  return answer.get<std::string>();
}

// A descriptor goes with the first byte.
Result<void> QmpClient::send(const std::string& text, std::optional<int> descriptor) {
  for (std::size_t sent = 0; sent < text.size(); descriptor.reset()) {
    std::string rest = text.substr(sent);
    iovec bytes = {rest.data(), rest.size()};
    msghdr message = {};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control = {};
    if (descriptor) {
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      cmsghdr* const header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(header), &*descriptor, sizeof(int));
    }
    const ssize_t count = ::sendmsg(socket_.number(), &message, MSG_NOSIGNAL);
    if (count <= 0) {
      return lost();
    }
    sent += static_cast<std::size_t>(count);
  }
  return success();
}

Result<nlohmann::ordered_json> QmpClient::receive(Deadline deadline) {
  while (true) {
    if (const auto end = unread_.find('\n'); end != std::string::npos) {
      auto message = model::json_or_discarded(unread_.substr(0, end));
      unread_.erase(0, end + 1);
      if (!message.is_object()) {
        return Error{ErrorCode::machine_bad_answer, "QEMU's control connection speaks no QMP"};
      }
      return message;
    }
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd wait = {socket_.number(), POLLIN, 0};
    if (left.count() <= 0 || ::poll(&wait, 1, static_cast<int>(left.count())) == 0) {
      return Error{ErrorCode::machine_timeout,
                   fmt::format("QEMU did not answer within {} s", kAnswerPatience.count())};
    }
    std::array<char, 4096> buffer = {};
    const ssize_t count = ::recv(socket_.number(), buffer.data(), buffer.size(), 0);
    if (count <= 0) {
      return lost();
    }
    unread_.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

// Events come in between; nobody asks for them.
Result<nlohmann::ordered_json> QmpClient::receive_answer(Deadline deadline) {
  while (true) {
    FARCALL_TRY(message, receive(deadline));
    if (const auto value = message.find("return"); value != message.end()) {
      return *value;
    }
    if (const auto refusal = message.find("error"); refusal != message.end()) {
      return Error{ErrorCode::machine_bad_answer, fmt::format("QEMU refuses: {}", refusal->dump())};
    }
  }
}

}  // namespace farcall::vm

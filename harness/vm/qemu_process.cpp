#include "vm/qemu_process.hpp"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <filesystem>
#include <sstream>
#include <stop_token>

#include "base/files.hpp"

namespace farcall::vm {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kBetweenLooks{5};

// What follows the name in /proc/N/stat: the state, the parent, the group, the session.
struct Status {
  std::string name;
  char state = '\0';
  int session = 0;
};

Status status_of(int process) {
  const std::string line = file_contents(fmt::format("/proc/{}/stat", process));
  const auto begin = line.find('(');
  const auto end = line.rfind(") ");
  if (begin == std::string::npos || end == std::string::npos) {
    return {};
  }
  Status status{.name = line.substr(begin + 1, end - begin - 1)};
  std::istringstream rest(line.substr(end + 2));
  int parent = 0;
  int group = 0;
  rest >> status.state >> parent >> group >> status.session;
  return status;
}

// A child that libvirt itself waits for is of our session, or leads one; that child's child, who is
// to become QEMU, is an orphan of that session. So is one that died before it was QEMU, and has our
// name. A QEMU that makes itself a daemon leaves one more behind, who leads a session.
void reap_orphans() {
  std::error_code failure;
  for (const auto& task : fs::directory_iterator("/proc/self/task", failure)) {
    std::istringstream children(file_contents(task.path() / "children"));
    for (int child = 0; children >> child;) {
      const Status status = status_of(child);
      if (status.state == 'Z' && status.session != ::getsid(0) &&
          (status.session != child || status.name.starts_with("qemu-system"))) {
        ::waitpid(child, nullptr, WNOHANG);
      }
    }
  }
}

}  // namespace

int find_qemu(const std::string& domain_begin) {
  std::error_code failure;
  for (const auto& process : fs::directory_iterator("/proc", failure)) {
    int id = 0;
    const std::string number = process.path().filename().string();
    if (std::from_chars(number.data(), number.data() + number.size(), id).ec == std::errc{} &&
        file_contents(process.path() / "cmdline").find("guest=" + domain_begin) !=
            std::string::npos) {
      return id;
    }
  }
  return 0;
}

bool is_qemu_of(int process, const std::string& domain) {
  return file_contents(fmt::format("/proc/{}/cmdline", process)).find("guest=" + domain + ",") !=
         std::string::npos;
}

bool is_dead(int process) {
  const char state = status_of(process).state;
  return state == '\0' || state == 'Z';
}

OrphanReaper::OrphanReaper()
    : thread_([this](const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        while (!stop.stop_requested()) {
          reap_orphans();
          ended_.wait_for(lock, stop, kBetweenLooks, [] { return false; });
        }
      }) {}

}  // namespace farcall::vm

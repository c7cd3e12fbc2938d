#include "vm/qemu_abilities.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "base/cache_folder.hpp"
#include "base/file_identity.hpp"
#include "base/files.hpp"
#include "process/process.hpp"

namespace farcall::vm {
namespace {

namespace fs = std::filesystem;

// To print its help takes it 50 ms, more on a loaded machine.
constexpr int kMillisecondsToAnswer = 10'000;

// The first line of an answer of a QEMU that started in a sandbox.
constexpr std::string_view kInSandbox = "sandbox\n";

// A line that differs when the program is another, or the question; empty if there is no such file.
std::string identity(const std::string& program) {
  const std::string file = file_identity(program);
  return file.empty() ? "" : fmt::format("{} {}", file, kSandbox);
}

// The file for the answers of this program, whatever version of it is there.
std::optional<fs::path> cache_file(const std::string& program) {
  const auto folder = cache_folder();
  if (!folder) {
    return std::nullopt;
  }
  std::string name = program.substr(1);
  std::ranges::replace(name, '/', '-');
  return *folder / "qemu" / (name + ".txt");
}

std::optional<std::string> cached(const fs::path& file, const std::string& identity) {
  const std::string text = file_contents(file);
  const std::string first_line = identity + "\n";
  return text.starts_with(first_line) ? std::optional(text.substr(first_line.size()))
                                      : std::nullopt;
}

// Without a cache it is slower, no more: nobody needs to hear that it could not be written.
void keep(const fs::path& file, const std::string& identity, const std::string& answer) {
  std::error_code failure;
  fs::create_directories(file.parent_path(), failure);
  if (auto out = OutputFile::open(file.string())) {
    std::fputs(fmt::format("{}\n{}", identity, answer).c_str(), out.value().stream());
    (void)out.value().commit();
  }
}

std::optional<std::string> help_of(const std::string& qemu, bool in_sandbox) {
  process::Command command{.program = qemu, .arguments = {}};
  if (in_sandbox) {
    command.arguments = {"-sandbox", std::string(kSandbox)};
  }
  command.arguments.insert(command.arguments.end(), {"-device", "spapr-pci-host-bridge,help"});
  auto started = process::Process::start(command, {});
  if (!started) {
    return std::nullopt;
  }
  process::Process& process = started.value();
  for (int waited = 0; process.running(); ++waited) {
    if (waited == kMillisecondsToAnswer) {
      return std::nullopt;
    }
    ::poll(nullptr, 0, 1);
  }
  return process.succeeded() ? std::optional(process.output()) : std::nullopt;
}

// It refuses a sandbox that it does not have before it looks at anything else.
std::optional<std::string> ask(const std::string& qemu) {
  if (auto help = help_of(qemu, true)) {
    return std::string(kInSandbox) + *help;
  }
  return help_of(qemu, false);
}

QemuAbilities read_answer(std::string_view answer) {
  const bool sandbox = answer.starts_with(kInSandbox);
  QemuAbilities abilities = read_bridge_help(answer.substr(sandbox ? kInSandbox.size() - 1 : 0));
  abilities.sandbox = sandbox;
  return abilities;
}

}  // namespace

QemuAbilities read_bridge_help(std::string_view help) {
  return {.bridge_without_connectors =
              help.find("\n  dynamic-reconfiguration=<bool>") != std::string_view::npos};
}

QemuAbilities qemu_abilities(const std::string& qemu) {
  const std::string program = identity(qemu);
  const auto file = cache_file(qemu);
  if (file && !program.empty()) {
    if (const auto answer = cached(*file, program)) {
      return read_answer(*answer);
    }
  }
  const auto answer = ask(qemu);
  if (file && answer) {
    keep(*file, program, *answer);
  }
  return answer ? read_answer(*answer) : QemuAbilities{};
}

}  // namespace farcall::vm

#include <fmt/format.h>

#include <filesystem>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/jit.hpp"
#include "engine/kernel_jit.hpp"
#include "engine/process_jit.hpp"
#include "kernel/store.hpp"
#include "kernel/version.hpp"
#include "process/search_path.hpp"

namespace farcall::engine {
namespace {

constexpr std::string_view kExec = "exec:";
constexpr std::string_view kKernel = "kernel:";

// A program and its arguments, separated by blanks.
Result<Jit> exec_jit(const std::string& name) {
  std::istringstream words(name.substr(kExec.size()));
  std::string program;
  words >> program;
  process::Command command;
  for (std::string argument; words >> argument;) {
    command.arguments.push_back(argument);
  }
  command.program = program.find('/') == std::string::npos
                        ? process::program_on_path(program)
                        : std::filesystem::absolute(program).string();
  if (command.program.empty() || !std::filesystem::exists(command.program)) {
    return Error{.code = ErrorCode::jit_not_started,
                 .message = fmt::format("--jit {}: there is no program '{}'", name, program),
                 .hint = "expected exec:PROGRAM, with its arguments after it"};
  }
  return process_jit(name, std::move(command));
}

// A folder, or else a kernel whose source was fetched.
Result<std::filesystem::path> tree_named(const std::string& text) {
  const auto wanted = kernel::wanted(kernel::Kind::source, text);
  if (!wanted || std::filesystem::exists(text)) {
    return std::filesystem::path(text);
  }
  FARCALL_TRY(store, kernel::Store::of_user());
  FARCALL_TRY(fetched, store.get(wanted.value()));
  return fetched.folder;
}

}  // namespace

std::filesystem::path kernel_glue(const std::filesystem::path& images) {
  return images / "kernel-jit";
}

Result<Jit> jit_named(const std::string& name, const std::filesystem::path& images,
                      const Stopped& stopped) {
  if (name == farcall_jit().name) {
    return farcall_jit();
  }
  if (name.starts_with(kExec)) {
    return exec_jit(name);
  }
  if (name.starts_with(kKernel)) {
    std::string of = name.substr(kKernel.size());
    Variant variant = Variant::plain;
    const std::size_t plus = of.rfind('+');
    if (plus != std::string::npos && !std::filesystem::exists(of)) {
      if (const auto named = variant_named(of.substr(plus + 1))) {
        variant = *named;
        of.resize(plus);
      }
    }
    FARCALL_TRY(tree, tree_named(of));
    return kernel_jit(name, tree, kernel_glue(images), variant, stopped);
  }
  return Error{.code = ErrorCode::usage_bad_argument,
               .message = fmt::format(
                   "--jit {}: expected farcall, exec:COMMAND, kernel:DIR or kernel:VERSION", name)};
}

Result<std::vector<Jit>> jits_named(std::span<const std::string> names,
                                    const std::filesystem::path& images, const Stopped& stopped) {
  std::vector<Jit> jits;
  for (const std::string& name : names) {
    FARCALL_TRY(jit, jit_named(name, images, stopped));
    jits.push_back(std::move(jit));
  }
  return jits;
}

}  // namespace farcall::engine

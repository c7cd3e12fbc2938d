#include "process/search_path.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace farcall::process {

std::string program_on_path(std::string_view name) {
  const char* const path = std::getenv("PATH");
  std::string_view folders = path == nullptr ? "" : path;
  while (!folders.empty()) {
    const std::string_view folder = folders.substr(0, folders.find(':'));
    folders.remove_prefix(std::min(folder.size() + 1, folders.size()));
    std::string program = fmt::format("{}/{}", folder.empty() ? "." : folder, name);
    std::error_code unknown;
    if (std::filesystem::is_regular_file(program, unknown) &&
        ::access(program.c_str(), X_OK) == 0) {
      return program;
    }
  }
  return {};
}

}  // namespace farcall::process

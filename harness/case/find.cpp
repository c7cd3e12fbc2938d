#include "case/find.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <unordered_set>

namespace farcall::cases {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kRejectFolder = "reject";

Error unreadable(const std::string& path, const std::error_code& reason) {
  return {.code = ErrorCode::file_unreadable,
          .message = fmt::format("cannot be read: {}", reason.message()),
          .where = {.file = path}};
}

Result<std::vector<std::string>> search(const std::string& folder, std::string_view extension) {
  std::vector<std::string> files;
  std::error_code problem;
  fs::recursive_directory_iterator at{folder, problem};
  while (!problem && at != fs::recursive_directory_iterator{}) {
    const bool is_folder = at->is_directory(problem);
    if (is_folder && at->path().filename() == kRejectFolder) {
      at.disable_recursion_pending();
    } else if (!is_folder && at->path().extension() == extension) {
      files.push_back(at->path().string());
    }
    at.increment(problem);
  }
  if (problem) {
    return unreadable(folder, problem);
  }
  if (files.empty()) {
    return Error{.code = ErrorCode::usage_nothing_selected,
                 .message = fmt::format("there are no {} files in this folder", extension),
                 .where = {.file = folder}};
  }
  std::ranges::sort(files);
  return files;
}

Result<std::vector<std::string>> find_files(std::span<const std::string> paths,
                                            std::string_view extension) {
  std::vector<std::string> all;
  std::unordered_set<std::string> known;
  const auto add = [&](const std::string& file) {
    if (known.insert(file).second) {
      all.push_back(file);
    }
  };
  for (const std::string& path : paths) {
    if (path == "-") {
      add(path);
      continue;
    }
    std::error_code problem;
    const fs::file_status status = fs::status(path, problem);
    if (!fs::exists(status)) {
      return unreadable(path, problem);
    }
    if (fs::is_directory(status)) {
      FARCALL_TRY(found, search(path, extension));
      std::ranges::for_each(found, add);
    } else if (fs::path{path}.extension() == extension) {
      add(path);
    } else {
      return Error{.code = ErrorCode::usage_bad_argument,
                   .message = fmt::format("expected a {} file or a folder", extension),
                   .where = {.file = path}};
    }
  }
  if (all.empty()) {
    return Error{.code = ErrorCode::usage_nothing_selected,
                 .message = fmt::format("expected {} files or folders of them", extension)};
  }
  return all;
}

}  // namespace

Result<std::vector<std::string>> find_case_files(std::span<const std::string> paths) {
  return find_files(paths, ".case");
}

Result<std::vector<std::string>> find_data_files(std::span<const std::string> paths) {
  return find_files(paths, ".data");
}

}  // namespace farcall::cases

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

// The files that one path means.
Result<std::vector<std::string>> files_of(const std::string& path, std::string_view extension) {
  if (path == "-") {
    return std::vector<std::string>{path};
  }
  std::error_code problem;
  const fs::file_status status = fs::status(path, problem);
  if (!fs::exists(status)) {
    return unreadable(path, problem);
  }
  if (fs::is_directory(status)) {
    return search(path, extension);
  }
  if (fs::path{path}.extension() != extension) {
    return Error{.code = ErrorCode::usage_bad_argument,
                 .message = fmt::format("expected a {} file or a folder", extension),
                 .where = {.file = path}};
  }
  return std::vector<std::string>{path};
}

FoundFiles find_files(std::span<const std::string> paths, std::string_view extension) {
  FoundFiles all;
  std::unordered_set<std::string> known;
  for (const std::string& path : paths) {
    const auto found = files_of(path, extension);
    if (!found) {
      all.errors.push_back(found.error());
      continue;
    }
    for (const std::string& file : found.value()) {
      if (known.insert(file).second) {
        all.files.push_back(file);
      }
    }
  }
  return all;
}

}  // namespace

FoundFiles find_case_files(std::span<const std::string> paths) {
  return find_files(paths, ".case");
}

FoundFiles find_data_files(std::span<const std::string> paths) {
  return find_files(paths, ".data");
}

}  // namespace farcall::cases

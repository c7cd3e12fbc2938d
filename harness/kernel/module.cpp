#include "kernel/module.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ranges>
#include <system_error>

#include "base/files.hpp"
#include "kernel/store.hpp"
#include "process/process.hpp"
#include "process/search_path.hpp"

namespace farcall::kernel {
namespace {

constexpr std::size_t kMostModuleBytes = std::size_t{64} << 20;
constexpr std::size_t kMostModules = 10;  // the agent's limit

struct Packing {
  std::string_view suffix;
  const char* tool;     // that unpacks it to its standard output
  const char* package;  // of Debian, with the tool
};

constexpr std::array<Packing, 4> kPackings = {{{".ko", nullptr, nullptr},
                                               {".ko.xz", "xz", "xz-utils"},
                                               {".ko.zst", "zstd", "zstd"},
                                               {".ko.gz", "gzip", "gzip"}}};

struct Found {
  std::filesystem::path file;
  const Packing* packing = nullptr;
};

// File names have `-` or `_` where the name of a module has `_`.
Result<Found> find_module(const std::filesystem::path& folder, const std::string& name) {
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder, error)) {
    std::string file = entry.path().filename().string();
    std::ranges::replace(file, '-', '_');
    for (const Packing& packing : kPackings) {
      if (file == name + std::string(packing.suffix)) {
        return Found{.file = entry.path(), .packing = &packing};
      }
    }
  }
  return Error{.code = ErrorCode::kernel_not_fetched,
               .message = fmt::format("there is no module {} in {}", name, folder.string()),
               .hint = "it is in the package of the kernel, CONFIG_TEST_BPF=m"};
}

Result<std::string> unpacked(const Found& found) {
  const Packing& packing = *found.packing;
  if (packing.tool == nullptr) {
    return read_file(found.file.string(), "", kMostModuleBytes);
  }
  const std::string program = process::program_on_path(packing.tool);
  if (program.empty()) {
    return fetch_failed(
        fmt::format("{} is not installed, which unpacks {}", packing.tool, found.file.string()),
        fmt::format("apt-get install {}", packing.package));
  }
  FARCALL_TRY(output, process::memory_file("farcall-module", 0));
  FARCALL_TRY(child, process::Process::start({.program = program,
                                              .arguments = {"-dc", found.file.string()},
                                              .environment = {},
                                              .input = {},
                                              .output = output.number(),
                                              .directory = {}},
                                             {}));
  child.wait();
  if (!child.succeeded()) {
    return fetch_failed(
        fmt::format("{} cannot be unpacked: {}", found.file.string(), child.last_words()));
  }
  return process::contents(output);
}

// Adds the module and what it needs to `bytes`, unless it is there already.
Result<void> add(const std::filesystem::path& folder, const std::string& name,
                 std::vector<std::string>& names, std::vector<std::string>& bytes) {
  if (std::ranges::find(names, name) != names.end()) {
    return success();
  }
  if (names.size() == kMostModules) {
    return fetch_failed(fmt::format("{} is one of too many modules that need each other", name));
  }
  names.push_back(name);
  FARCALL_TRY(found, find_module(folder, name));
  FARCALL_TRY(module, unpacked(found));
  for (const std::string& needed : dependencies_of(module)) {
    FARCALL_TRYV(add(folder, needed, names, bytes));
  }
  bytes.push_back(std::move(module));
  return success();
}

}  // namespace

std::vector<std::string> dependencies_of(std::string_view module) {
  // Texts with a zero byte after each.
  constexpr std::string_view kDepends("\0depends=", 9);
  const std::size_t at = module.find(kDepends);
  std::vector<std::string> names;
  if (at != std::string_view::npos) {
    const std::size_t begin = at + kDepends.size();
    const std::string_view list = module.substr(begin, module.find('\0', begin) - begin);
    for (const auto part : std::views::split(list, ',')) {
      if (std::string name(part.begin(), part.end()); !name.empty()) {
        std::ranges::replace(name, '-', '_');
        names.push_back(std::move(name));
      }
    }
  }
  return names;
}

Result<std::vector<std::string>> modules(const std::filesystem::path& folder,
                                         const std::string& name) {
  std::vector<std::string> names;
  std::vector<std::string> bytes;
  FARCALL_TRYV(add(folder, name, names, bytes));
  return bytes;
}

}  // namespace farcall::kernel

#include "engine/overlay.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

namespace farcall::engine {
namespace {

namespace fs = std::filesystem;

// Folders of the tree that make looks for its own products in, so that what is there of another
// build would be taken for those.
constexpr std::array kLookedInto = {std::string_view{"arch/powerpc"}, std::string_view{"scripts"}};

// Folders whose links are made one by one.
constexpr std::array kListed = {std::string_view{""}, std::string_view{"arch"},
                                std::string_view{"include"}};

// What only a build makes.
constexpr std::array kGeneratedFolders = {std::string_view{"include/config"},
                                          std::string_view{"include/generated"},
                                          std::string_view{"arch/powerpc/include/generated"}};
constexpr std::array kGeneratedEndings = {std::string_view{".o"},     std::string_view{".a"},
                                          std::string_view{".ko"},    std::string_view{".cmd"},
                                          std::string_view{".d"},     std::string_view{".mod"},
                                          std::string_view{".order"}, std::string_view{".lex.c"},
                                          std::string_view{".tab.c"}, std::string_view{".tab.h"}};

bool is_elf(const fs::path& file) {
  std::array<char, 4> begin = {};
  std::ifstream(file, std::ios::binary).read(begin.data(), begin.size());
  return std::string_view(begin.data(), begin.size()) ==
         "\x7f"
         "ELF";
}

bool is_generated(const fs::directory_entry& entry, const std::string& place) {
  const std::string name = entry.path().filename().string();
  if (std::ranges::find(kGeneratedFolders, place) != kGeneratedFolders.end() || name == ".git" ||
      name.starts_with(".config")) {
    return true;
  }
  if (std::ranges::any_of(kGeneratedEndings,
                          [&](std::string_view ending) { return name.ends_with(ending); })) {
    return true;
  }
  return entry.is_regular_file() && name.find('.') == std::string::npos && is_elf(entry.path());
}

bool is_looked_into(const std::string& place) {
  return std::ranges::find(kListed, place) != kListed.end() ||
         std::ranges::any_of(kLookedInto, [&](std::string_view folder) {
           return place == folder || place.starts_with(std::string(folder) + "/");
         });
}

Result<void> mirror(const fs::path& tree, const std::string& place, const fs::path& overlay,
                    const Stopped& stopped) {
  fs::create_directories(overlay / place);
  for (const fs::directory_entry& entry : fs::directory_iterator(tree / place)) {
    const std::string name = entry.path().filename().string();
    const std::string below = place.empty() ? name : place + "/" + name;
    if (stopped && stopped()) {
      return Error{.code = ErrorCode::jit_timeout,
                   .message = "nobody waits for the links to the tree any more"};
    }
    if (is_generated(entry, below)) {
      continue;
    }
    if (entry.is_directory() && !entry.is_symlink() && is_looked_into(below)) {
      FARCALL_TRYV(mirror(tree, below, overlay, stopped));
    } else {
      fs::create_symlink(entry.path(), overlay / below);
    }
  }
  return success();
}

}  // namespace

Result<void> make_overlay(const fs::path& tree, const fs::path& overlay, const Stopped& stopped) {
  try {
    fs::remove_all(overlay);
    return mirror(tree, "", overlay, stopped);
  } catch (const fs::filesystem_error& error) {
    return Error{.code = ErrorCode::jit_not_built,
                 .message = fmt::format("cannot make links to the tree: {}", error.what())};
  }
}

}  // namespace farcall::engine

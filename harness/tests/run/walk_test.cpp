// harness/debug/README.md, typed again: every command in it, and what it is said to print.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/process.hpp>
#include <fstream>
#include <sstream>

#include "tests/farcall_process.hpp"
#include "tests/paths.hpp"

namespace farcall::run::walk_test {
namespace {

using namespace tests;

namespace process = boost::process;

struct Typed {
  std::string command;
  std::vector<std::string> shown;  // `…`: any number of lines
};

std::string without_trailing_blanks(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

// The commands, lines that begin with `$ `, of all fenced blocks.
std::vector<Typed> typed_in(const std::filesystem::path& document) {
  std::vector<Typed> all;
  std::ifstream in(document);
  bool fenced = false;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("```")) {
      fenced = !fenced;
    } else if (fenced && line.starts_with("$ ")) {
      all.push_back({line.substr(2), {}});
    } else if (fenced && !all.empty()) {
      all.back().shown.push_back(line);
    }
  }
  return all;
}

std::vector<std::string> output_of(const std::string& command,
                                   const std::filesystem::path& folder) {
  process::ipstream out;
  process::child child(process::search_path("bash"), "-c", command,
                       process::start_dir(folder.string()), process::std_out > out,
                       process::std_err > process::null);
  std::vector<std::string> lines;
  for (std::string line; std::getline(out, line);) {
    lines.push_back(without_trailing_blanks(line));
  }
  child.wait();
  return lines;
}

// What of `shown` is not in `seen` in this order, empty if nothing.
std::string missing(const std::vector<std::string>& shown, const std::vector<std::string>& seen) {
  std::size_t at = 0;
  bool any = false;
  for (const std::string& line : shown) {
    if (line == "…") {
      any = true;
      continue;
    }
    while (any && at < seen.size() && seen[at] != line) {
      ++at;
    }
    if (at == seen.size() || seen[at] != line) {
      return line;
    }
    ++at;
    any = false;
  }
  return any || at == seen.size() ? "" : "(nothing after line " + std::to_string(at) + ")";
}

TEST(Walk, PrintsWhatItShows) {
  const ScratchFolder folder;
  std::filesystem::create_symlink(tests::build_dir(), folder.path() / "build");
  std::filesystem::create_symlink(cases_folder(), folder.path() / "cases");
  const std::vector<Typed> walk = typed_in(tests::source_dir() / "harness/debug/README.md");
  ASSERT_GE(walk.size(), 5U);
  for (const Typed& typed : walk) {
    const std::vector<std::string> seen = output_of(typed.command, folder.path());
    EXPECT_EQ(missing(typed.shown, seen), "") << typed.command << "\n"
                                              << testing::PrintToString(seen);
  }
}

}  // namespace
}  // namespace farcall::run::walk_test

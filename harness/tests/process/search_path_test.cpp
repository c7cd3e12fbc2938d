#include "process/search_path.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/program.hpp"

namespace farcall::process::search_path_test {
namespace {

namespace fs = std::filesystem;

// PATH is another one as long as it lives.
class PathOf {
 public:
  explicit PathOf(const std::string& path) : before_(std::getenv("PATH")) {
    ::setenv("PATH", path.c_str(), 1);
  }
  ~PathOf() { ::setenv("PATH", before_.c_str(), 1); }
  PathOf(const PathOf&) = delete;
  PathOf& operator=(const PathOf&) = delete;

 private:
  std::string before_;
};

TEST(ProgramOnPath, IsTheFirstThatCanBeStarted) {
  const tests::ScratchFolder first;
  const tests::ScratchFolder second;
  first.write("text", "");
  fs::create_directory(first.path() / "tool");
  const std::string tool = second.write("tool", "#!/bin/sh\n");
  const std::string text = second.write("text", "#!/bin/sh\n");
  fs::permissions(tool, fs::perms::owner_all);
  fs::permissions(text, fs::perms::owner_all);
  const PathOf path(
      fmt::format("/nonexistent::{}:{}", first.path().string(), second.path().string()));
  EXPECT_EQ(program_on_path("tool"), tool);
  EXPECT_EQ(program_on_path("text"), text);
  EXPECT_EQ(program_on_path("other"), "");
}

TEST(ProgramOnPath, IsNowhereWithoutPath) {
  const PathOf path("");
  EXPECT_EQ(program_on_path("sh"), "");
}

}  // namespace
}  // namespace farcall::process::search_path_test

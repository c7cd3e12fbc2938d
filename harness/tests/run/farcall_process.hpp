// Runs the real farcall binary as a user would, for end-to-end tests.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace farcall::run {

struct Finished {
  int exit_code = -1;
  std::string out;
  std::string err;
};

std::filesystem::path farcall_binary();
std::filesystem::path cases_folder();

// Runs farcall with `arguments` until it ends. `path` replaces the PATH that it searches for QEMU,
// if not empty; `input` is what it finds on its standard input.
Finished run_farcall(const std::vector<std::string>& arguments, const std::string& path = "",
                     const std::string& input = "");

// The same for a copy of farcall elsewhere.
Finished run_program(const std::filesystem::path& program,
                     const std::vector<std::string>& arguments, const std::string& path = "",
                     const std::string& input = "");

// A folder of its own for one test, gone with it.
class ScratchFolder {
 public:
  ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder();

  // Writes `text` to the file `name` and returns its path.
  std::string write(const std::string& name, const std::string& text) const;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Processes whose parent is `parent`, from /proc.
std::vector<int> children_of(int parent);

}  // namespace farcall::run

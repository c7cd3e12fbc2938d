// Runs programs as a user would, for end-to-end tests.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace farcall::tests {

struct Finished {
  int exit_code = -1;
  std::string out;
  std::string err;

  friend bool operator==(const Finished&, const Finished&) = default;
};

using Environment = std::map<std::string, std::string>;

// Runs `program` until it ends, with `input` on its standard input and `more` in its environment.
// It inherits nothing else: several threads may start programs, and what one of them starts does
// not keep another's pipes open.
Finished run_program(const std::filesystem::path& program,
                     const std::vector<std::string>& arguments, const Environment& more = {},
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

// All bytes of a file; empty if it cannot be read.
std::string contents(const std::filesystem::path& path);

// Processes whose parent is `parent`, from /proc.
std::vector<int> children_of(int parent);

// Whether a process is no more, or waits only for its parent to take note.
bool has_ended(int process);

// Waits for what comes about by itself. The limit is for a test that fails.
bool eventually(const std::function<bool()>& holds);

}  // namespace farcall::tests

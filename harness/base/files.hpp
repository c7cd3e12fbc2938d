// Files that are read or written as a whole.
#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace farcall {

// A report of very many cells; a stage document is of one.
inline constexpr std::size_t kMostReportBytes = std::size_t{256} << 20;
inline constexpr std::size_t kMostDocumentBytes = std::size_t{16} << 20;

// The whole file, or all of standard input for `-`; of `most_bytes` at most. `hint` says where such
// files come from. file.unreadable, file.too-large.
Result<std::string> read_file(const std::string& path, std::string_view hint,
                              std::size_t most_bytes = kMostReportBytes);

// What a file holds, as far as it can be read: nothing if it is not there. For files of our own, and
// for those that come and go, as a process's do.
std::string file_contents(const std::filesystem::path& path);

// A file that is there as a whole or not at all: it is written beside its path, and takes the place
// of what was there once it is complete. What is not a plain file, such as a pipe or a terminal, is
// written straight to.
class OutputFile {
 public:
  // file.unwritable.
  static Result<OutputFile> open(const std::string& path);

  OutputFile(OutputFile&&) = default;
  OutputFile& operator=(OutputFile&&) = delete;
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  // What was not committed is gone, and what was there before still is.
  ~OutputFile();

  std::FILE* stream() const { return stream_.get(); }

  // Ends it. file.unwritable if not all of it could be written.
  Result<void> commit();

 private:
  OutputFile() = default;

  std::string path_;    // as the user named it
  std::string target_;  // where it shall be
  std::string beside_;  // where it is until then; empty: written straight to
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream_{nullptr, std::fclose};
};

// Writes `contents` to the file `path`, or to standard output if `path` is empty. file.unwritable.
Result<void> write_output(const std::string& path, std::string_view contents);

}  // namespace farcall

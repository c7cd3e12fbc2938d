// Files that the user names.
#pragma once

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

// Writes `contents` to the file `path`, or to standard output if `path` is empty. file.unwritable.
Result<void> write_output(const std::string& path, std::string_view contents);

}  // namespace farcall

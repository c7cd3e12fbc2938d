// Files that the user names.
#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"

namespace farcall::run {

// The whole file, of 256 MiB at most: documents and reports are smaller. `hint` says where such
// files come from. file.unreadable, file.too-large.
Result<std::string> read_file(const std::string& path, std::string_view hint);

// Writes `contents` to the file `path`, or to standard output if `path` is empty. file.unwritable.
Result<void> write_output(const std::string& path, std::string_view contents);

}  // namespace farcall::run

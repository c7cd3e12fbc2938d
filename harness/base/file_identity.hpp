// Whether a file is still the one that it was.
#pragma once

#include <string>

namespace farcall {

// A line that differs when the file at `path` is another: its path, size and time of change. Empty:
// there is no such file.
std::string file_identity(const std::string& path);

}  // namespace farcall

// The command line: what `farcall` does for its arguments, and how it ends.
#pragma once

#include <filesystem>

namespace farcall::command {

// 0: all cells passed. 1: some cell failed. 2: bad usage or input, nothing was run, or a case is at
// odds with itself. 3: the harness or a machine of it failed.
enum class ExitCode { passed = 0, failed = 1, bad_input = 2, harness_failed = 3 };

// `argv` is main()'s; `images` the folder of guest images.
int command_line(int argc, char** argv, const std::filesystem::path& images);

}  // namespace farcall::command

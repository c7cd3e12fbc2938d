// The command line: what `farcall` does for its arguments, and how it ends.
#pragma once

#include <filesystem>

namespace farcall::command {

// 0: all cells passed. 1: some cell failed, or a case contradicts its own program. 2: bad
// usage or input, or nothing was run. 3: the harness or a machine of it failed. The greatest that
// applies. 128 and the number of the signal that ended the run before its end, as shells have it.
enum class ExitCode : int { passed = 0, failed = 1, bad_input = 2, harness_failed = 3 };

// `argv` is main()'s; `images` the folder of guest images.
int command_line(int argc, char** argv, const std::filesystem::path& images);

}  // namespace farcall::command

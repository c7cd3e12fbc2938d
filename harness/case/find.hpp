// Which case files are meant by the paths of a command line.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace farcall::cases {

struct FoundFiles {
  std::vector<std::string> files;
  // Of paths without any, located in them: usage.bad-argument for a file of another kind,
  // usage.nothing-selected for a folder without cases, file.unreadable.
  std::vector<Error> errors;
};

// Each path is a file with the extension `.case`, `-` for standard input, or a folder that is
// searched for them at any
// depth; folders `reject` below it, which hold malformed ones, are left out. Files come in the
// order of `paths`, those of a folder sorted, each once.
FoundFiles find_case_files(std::span<const std::string> paths);

// The same with `.data` files of the conformance suite.
FoundFiles find_data_files(std::span<const std::string> paths);

}  // namespace farcall::cases

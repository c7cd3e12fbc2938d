// Where in a text file a byte stands.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace farcall {

// Line and column of the byte number `byte` of `text`, from 1, as readers of JSON count. `path`
// becomes the file.
SourceLocation locate(std::string_view text, std::size_t byte, const std::string& path);

}  // namespace farcall

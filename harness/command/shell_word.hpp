#pragma once

#include <string>

namespace farcall::command {

// `text` as a word of a shell's command line.
std::string shell_word(const std::string& text);

}  // namespace farcall::command

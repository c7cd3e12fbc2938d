// Text that is UTF-8 whatever it was made of: a file's name need not be, and XML must.
#pragma once

#include <string>
#include <string_view>

namespace farcall {

// `text`, with U+FFFD for each byte that belongs to no character.
std::string valid_utf8(std::string_view text);

}  // namespace farcall

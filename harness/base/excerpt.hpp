// What of a message is shown.
#pragma once

#include <string>
#include <string_view>

namespace farcall {

// The message, as a terminal can show it: what is wrong may be wrong with megabytes, of which the
// beginning and the end say it, and may hold bytes that are not text, which are written as `\x1b`.
std::string excerpt(std::string_view message);

}  // namespace farcall

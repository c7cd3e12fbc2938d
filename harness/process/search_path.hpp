// Where a program is.
#pragma once

#include <string>
#include <string_view>

namespace farcall::process {

// The first program of that name in the folders of PATH; empty: there is none. Boost.Process has this
// too, and reads all files of the locale for it: half a millisecond of each start.
std::string program_on_path(std::string_view name);

}  // namespace farcall::process

// Where the guest images lie.
#pragma once

#include <filesystem>

namespace farcall::vm {

// `images` beside the running program, as the build has it, or where an installation has put it:
// share/farcall/images under the prefix.
std::filesystem::path images_folder();

}  // namespace farcall::vm

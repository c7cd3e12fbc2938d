// The inputs to begin with: made from the cases, so that none of them are in the tree.
#pragma once

#include <filesystem>

namespace farcall::fuzz {

// Writes a file for each seed into `folder`/TARGET; case files are looked for under `cases`.
void write_seeds(const std::filesystem::path& cases, const std::filesystem::path& folder);

}  // namespace farcall::fuzz

// From a Linux source tree to a program that is its JIT; see kernel_jit.hpp.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "engine/jit.hpp"
#include "model/axes.hpp"

namespace farcall::engine {

// What is made of a tree: the JIT as it is; of a kernel without a TOC, with prefixed instructions of
// POWER10 (CONFIG_PPC_KERNEL_PCREL); with every constant of programs blinded, as with
// net.core.bpf_jit_harden=2; with loads that may fault, each with its row in an exception table.
enum class Variant : std::uint8_t { plain, pcrel, blinded, probed };

// `pcrel`, `blinded`, `probed`; empty for the first.
std::string_view name(Variant variant);
std::optional<Variant> variant_named(std::string_view name);

// The program, from the cache or made now. jit.not-built; jit.timeout once nobody waits: the compiler is
// ended, and what was made of the tree so far is not made again.
Result<std::filesystem::path> build_kernel_jit(const std::filesystem::path& tree,
                                               const std::filesystem::path& glue,
                                               model::Endian endian, Variant variant,
                                               const Stopped& stopped);

// The emulator that runs it. jit.not-built if it is not installed.
Result<std::string> user_emulator(model::Endian endian);

}  // namespace farcall::engine

// What host and the agent in a Linux guest exchange about listings of loaded programs: the file
// /listing of the initramfs, beside /bpftool and what that needs, a batch as kernel_batch.hpp has
// it, and a reply through the same window.
//
// Freestanding: images/linux compiles this header too. Everything is little-endian.
//
// The agent loads all programs of the batch and runs none. While they are there, it runs bpftool
// with each of kListingCommands.
//
//   reply   KernelListingReply, then for each command, and for what bpftool gets to read as
//           /proc/kallsyms, a KernelToolOutput and its bytes, the id of each program (ul32; 0: it was
//           not loaded), and then what kernel_batch.hpp has as a reply to the batch, without regions
//           and logs
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/byte_order.hpp"

namespace farcall::wire {

inline constexpr std::uint64_t kListingMagic = 0x66617263'6c697374;   // "farclist"
inline constexpr std::uint64_t kListingBegins = 0x66617263'6c626567;  // "farclbeg"

// What all programs are called that are listed.
inline constexpr const char* kListedName = "main";

// Up to a null pointer.
inline constexpr std::size_t kMostListingWords = 6;
inline constexpr const char* kListingCommands[][kMostListingWords] = {
    {"prog", "show", "name", kListedName},
    {"prog", "dump", "xlated", "name", kListedName},
    {"prog", "dump", "jited", "name", kListedName},
};
inline constexpr std::uint32_t kListingCommandCount = 3;

// Each program of the batch is open: no more than a process may have of files.
inline constexpr std::uint32_t kMostListed = 800;

// Who reads: with the JIT on or off; restricted: the JIT is on, and kptr_restrict = 2 hides
// addresses from everybody.
enum class ListingReader : std::uint32_t { jit_on = 0, jit_off = 1, restricted = 2 };

struct KernelListing {
  ul64 magic;
  ul64 nonce;
  ul32 reader;  // ListingReader
  ul32 reserved;
};
static_assert(sizeof(KernelListing) == 24);

struct KernelListingReply {
  ul64 magic;
  ul64 nonce;
  ul32 command_count;
  ul32 program_count;
};
static_assert(sizeof(KernelListingReply) == 24);

struct KernelToolOutput {
  ul32 status;  // as wait() has it
  ul32 byte_count;
};
static_assert(sizeof(KernelToolOutput) == 8);

}  // namespace farcall::wire

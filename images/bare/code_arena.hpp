// Where the code of jobs lies: pages that the host cannot write and that hold trap words wherever
// there is no code of the current job.
//
// The guest copies code itself because QEMU translates it and only notices rewrites by the guest.
#pragma once

#include <cstddef>
#include <cstdint>

namespace farcall::bare {

// Copies instruction words into the arena and makes them executable. `arena_offset` and
// `byte_count` are multiples of 4.
void place_code(std::uint64_t arena_offset, const std::byte* code, std::uint64_t byte_count);

// Puts trap words back.
void remove_code(std::uint64_t arena_offset, std::uint64_t byte_count);

// The physical page with a system call at offset `in_page` and trap words elsewhere: a job's gate.
// Most jobs have the same, so it stays as it is until one differs.
std::uint64_t gate_page(std::uint64_t in_page);

}  // namespace farcall::bare

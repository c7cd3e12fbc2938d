// How the programs of a campaign are numbered: the same everywhere, whoever runs which of them.
//
// Program number n of a seed is made of the seed's stream n. Block b holds the programs
// b × kBlockPrograms and on, all for one kind of machine. A mutant's number says which program it
// comes from, and which of its mutants it is; a block around a program holds its mutants.
#pragma once

#include <cstdint>

#include "campaign/sketch.hpp"
#include "model/axes.hpp"

namespace farcall::campaign {

inline constexpr std::uint64_t kBlockPrograms = 256;

Sketch program_of_campaign(std::uint64_t seed, std::uint64_t number);

// Whether it is one of the seed's own, and not a mutant.
bool is_plain_program(std::uint64_t number);

// The block that holds a program and its mutants.
std::uint64_t block_around(std::uint64_t program);

// The number of the `i`-th program of a block.
std::uint64_t number_in(std::uint64_t block, std::uint64_t i);

// The block of programs in a row that a block belongs to: shards are made of these.
std::uint64_t plain_block(std::uint64_t block);

// The machine that all programs of the block run on.
model::AxisValues machine_of_block(std::uint64_t seed, std::uint64_t block);

}  // namespace farcall::campaign

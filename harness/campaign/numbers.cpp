#include "campaign/numbers.hpp"

#include "campaign/choices.hpp"
#include "campaign/generator.hpp"
#include "campaign/setting.hpp"

namespace farcall::campaign {
namespace {

// The streams of a seed beside those of its programs.
constexpr std::uint64_t kMachineStream = std::uint64_t{1} << 63;

// A program's number: the lower bits say which of the seed's, the others which mutant of it.
constexpr unsigned kMutantShift = 40;
constexpr std::uint64_t kParentBits = (std::uint64_t{1} << kMutantShift) - 1;

// A block's number: with this bit it holds a program and its mutants, else programs in a row.
constexpr std::uint64_t kAround = std::uint64_t{1} << 62;

}  // namespace

bool is_plain_program(std::uint64_t number) {
  return number <= kParentBits;
}

std::uint64_t block_around(std::uint64_t program) {
  return kAround | program;
}

std::uint64_t number_in(std::uint64_t block, std::uint64_t i) {
  return (block & kAround) != 0 ? (block & ~kAround) | i << kMutantShift
                                : block * kBlockPrograms + i;
}

std::uint64_t plain_block(std::uint64_t block) {
  return (block & kAround) != 0 ? (block & ~kAround) / kBlockPrograms : block;
}

model::AxisValues machine_of_block(std::uint64_t seed, std::uint64_t block) {
  Choices choices(seed, kMachineStream + plain_block(block));
  return machine_axes(choices);
}

Sketch program_of_campaign(std::uint64_t seed, std::uint64_t number) {
  const std::uint64_t parent = number & kParentBits;
  Choices choices(seed, parent, number >> kMutantShift);
  return generate(choices, machine_of_block(seed, parent / kBlockPrograms));
}

}  // namespace farcall::campaign

// Reaches: the ways for emitted code to get to an address, in one table with their limits.
//
// Every reach ends in the branch-and-link, so the site of a call is its last word. How many words
// it takes depends on nothing but the reach: a program has the same size wherever its functions
// lie.
//
// One row each, in the order of model::Reach. reach.cpp begins with how they came about.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

#include "base/address.hpp"
#include "jit/emitter.hpp"
#include "model/axes.hpp"

namespace farcall::jit {

// Where a call stands.
struct CallPlace {
  GuestAddress at;   // of its first word
  GuestAddress toc;  // r2
};

struct ReachInfo {
  model::Reach reach{};
  std::uint32_t words = 0;

  // Limits of where the branch goes, in bytes from the origin; both are included.
  std::int64_t lowest = 0;
  std::int64_t highest = 0;
  GuestAddress (*origin)(const CallPlace& place) = nullptr;
  std::string_view origin_name;
  bool counts_from_itself = false;  // the origin is an instruction of the call

  model::Cpu first_cpu = model::Cpu::power8;
  // The address to get to is that of a descriptor, and the branch goes to the code that it names.
  // Leaves the callee's TOC pointer in r2, and ours saved in the frame's header.
  bool through_descriptor = false;

  // `target` is within the limits.
  void (*emit_call)(Emitter& out, const CallPlace& place, GuestAddress target) = nullptr;
};

// The branch itself holds the distance.
inline constexpr std::uint32_t kBlWords = 1;
GuestAddress bl_origin(const CallPlace& place);
void emit_call_bl(Emitter& out, const CallPlace& place, GuestAddress target);

// The distance from r2 in two halves, to CTR.
inline constexpr std::uint32_t kTocWords = 4;
GuestAddress toc_origin(const CallPlace& place);
void emit_call_toc(Emitter& out, const CallPlace& place, GuestAddress target);

// The whole address as a constant, to CTR. Gets anywhere.
inline constexpr std::uint32_t kAbs64Words = 7;
GuestAddress abs64_origin(const CallPlace& place);
void emit_call_abs64(Emitter& out, const CallPlace& place, GuestAddress target);

// The distance from an 8-byte instruction of power10, to CTR.
inline constexpr std::uint32_t kPcrelWords = 5;
GuestAddress pcrel_origin(const CallPlace& place);
void emit_call_pcrel(Emitter& out, const CallPlace& place, GuestAddress target);

// What abs64 is where a pointer to a function is the address of a descriptor.
inline constexpr std::uint32_t kDescriptorReachWords = 10;
void emit_call_descriptor(Emitter& out, const CallPlace& place, GuestAddress descriptor);

// Through a register that holds a pointer to the callee. With ELFv1 that is the
// address of a descriptor, and r2 must be brought back after the call.
void emit_call_pointer(Emitter& out, model::Abi abi, ppc64::Gpr pointer);

// One of `entries`, the one whose number is in the register `number`; a trap if
// there is none. r2 must be the callees' already.
struct NumberedEntry {
  std::int32_t number = 0;  // not negative
  GuestAddress entry;
};
void emit_call_by_number(Emitter& out, ppc64::Gpr number, std::span<const NumberedEntry> entries);

inline constexpr std::array kReaches = {
    // 24 bits, times 4
    ReachInfo{.reach = model::Reach::bl,
              .words = kBlWords,
              .lowest = -0x2000000,
              .highest = 0x1fffffc,
              .origin = bl_origin,
              .origin_name = "the branch",
              .counts_from_itself = true,
              .emit_call = emit_call_bl},
    // 32 bits, but the low half is signed: what it takes away, the high half must have been given
    ReachInfo{.reach = model::Reach::toc,
              .words = kTocWords,
              .lowest = -std::int64_t{0x80008000},
              .highest = 0x7fff7fff,
              .origin = toc_origin,
              .origin_name = "the TOC pointer",
              .emit_call = emit_call_toc},
    ReachInfo{.reach = model::Reach::abs64,
              .words = kAbs64Words,
              .lowest = std::numeric_limits<std::int64_t>::min(),
              .highest = std::numeric_limits<std::int64_t>::max(),
              .origin = abs64_origin,
              .origin_name = "address 0",
              .emit_call = emit_call_abs64},
    // 34 bits
    ReachInfo{.reach = model::Reach::pcrel,
              .words = kPcrelWords,
              .lowest = -0x200000000,
              .highest = 0x1ffffffff,
              .origin = pcrel_origin,
              .origin_name = "the pla",
              .counts_from_itself = true,
              .first_cpu = model::Cpu::power10,
              .emit_call = emit_call_pcrel},
};
static_assert(kReaches.size() == model::kReachCount);
static_assert([] {
  for (std::size_t i = 0; i < kReaches.size(); ++i) {
    if (static_cast<std::size_t>(kReaches[i].reach) != i) {
      return false;
    }
  }
  return true;
}());

inline constexpr ReachInfo kDescriptorReach = [] {
  ReachInfo row = kReaches[static_cast<std::size_t>(model::Reach::abs64)];
  row.words = kDescriptorReachWords;
  row.through_descriptor = true;
  row.emit_call = emit_call_descriptor;
  return row;
}();

// The row for `reach` under `abi`.
const ReachInfo& reach_info(model::Reach reach, model::Abi abi);

// Whether `target` is within the limits of a call at `place`. Distances wrap at the end of the
// address space, as the CPU's do.
bool reaches(const ReachInfo& reach, const CallPlace& place, GuestAddress target);

}  // namespace farcall::jit

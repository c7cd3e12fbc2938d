// LinkedProgram: the program at its addresses, its pseudo calls encoded by a call scheme.
//
// What a call looks like, by scheme; `distance` is the callee's first slot relative to the slot
// after the call's first, as in the source, but in slots of this program:
//
//   imm32   imm = callee's address − call base, off = distance
//   aux64   imm = distance, off = 0; the address is in side_table
//   pair64  imm = −1, off = distance; a second slot is the address: its eight bytes in memory, as
//           bpf::encode() writes them in the program's byte order, are the address in that order
//   table   imm = number of the callee, off = distance; the address is in addresses
//
// A load of a function's address has that address in the two halves of its immediate, as Linux has
// it, whatever the scheme. A load of the address of a map, or of that of its values, is as in the
// source: the map's address is in `maps`. A call through a register is as in the source, and not
// among `calls`.
//
// A call of an external function is as in the source, whatever the scheme: its address is in
// `addresses`, and with aux64 in the side table like any other. A tail call is as in the source,
// and not among `calls`.
//
// A call's imm means this only here: in a source program it is the distance, −1 included, which is
// a call of a function by its own first slot.
#pragma once

#include <cstdint>
#include <vector>

#include "base/address.hpp"
#include "base/error.hpp"
#include "bpf/program.hpp"
#include "model/axes.hpp"
#include "model/cell.hpp"

namespace farcall::model {

// What pair64 has in imm.
inline constexpr std::int32_t kPairMark = -1;

// A call as linked. `target` is where the callee was placed: what the call must reach, not what the
// scheme's encoding says.
struct LinkedCall {
  bpf::CallSite site;
  bpf::SlotIndex slot = 0;  // its first
  std::uint32_t callee = 0;
  GuestAddress target;

  friend bool operator==(const LinkedCall&, const LinkedCall&) = default;
};

struct LinkedProgram {
  CallScheme scheme = CallScheme::table;
  Endian endian = Endian::little;        // the program's byte order
  bpf::Program program;                  // after encoding: slots may have moved and grown
  std::vector<GuestAddress> addresses;   // one for each function, and then for each external
  std::vector<GuestAddress> maps;        // one for each map of the program
  GuestAddress call_base;                // origin of imm32
  GuestAddress toc;                      // r2, the same in all functions
  std::vector<LinkedCall> calls;         // those whose callee is fixed, in program order
  std::vector<GuestAddress> side_table;  // aux64: one entry a call, in program order

  friend bool operator==(const LinkedProgram&, const LinkedProgram&) = default;
};

// Where the region of a map is; zero where there is none: what only sizes the code has none.
GuestAddress map_address(const Cell& cell, const bpf::Map& map);

// Whether it calls an external function: then no scheme has a say in how it is encoded.
bool is_external(const LinkedProgram& linked, const LinkedCall& call);

// How many slots the instruction that begins at slot `at` takes: two if it is a 64-bit immediate
// load, or a pair64 call.
bpf::SlotIndex slots_at(const LinkedProgram& linked, bpf::SlotIndex at);

// The program as an interpreter sees it: every pseudo call has its distance in `imm` again, taken
// from where the scheme keeps it. Slots stay where they are, so that branches over calls are run as
// they were linked: the second slot of a pair becomes a jump to the slot after it. Loads of
// functions' addresses become loads of those numbers.
bpf::Program interpreter_view(const LinkedProgram& linked);

// Whether sizes and indices are such that interpreter_view() and a JIT's reading
// (jit/call_target.hpp) may be called, and no jump leads into a pair. What a linker makes is; what
// was read from a file may not be.
bool is_consistent(const LinkedProgram& linked);

}  // namespace farcall::model

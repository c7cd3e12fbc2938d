// The decoder: finds the call sites of a code image in its bytes alone, and where each one goes.
//
// It never matches patterns. It sweeps over the words of each function in address order, keeps what
// is known of every register, and evaluates each branch-and-link where it stands. Of a register it
// knows either its value on every way to this word, or nothing:
//   - at a word that any direct branch of the image goes to, or whose address is in a jump table,
//     nothing is known;
//   - after a branch that is always taken nothing is known, as the next word is reached otherwise;
//   - after a call, what the calling convention preserves is still known;
//   - a word that is not an instruction of the ppc64 tables makes everything unknown, and so does
//     an 8-byte instruction of power10 that the table does not have, whose second half is not
//     looked at, or that crosses a 64-byte boundary, which the CPU refuses to execute;
//   - a doubleword loaded from the image itself, from a descriptor, is what is in the image, which
//     nobody may write to;
//   - r2 is the TOC pointer on entry: that of the function's descriptor, else the one that is
//     given. Callees preserve it, and the slot of the frame where it is saved around a call. So if
//     r2 has that value at each branch and at each word that branches go to, it has that value
//     everywhere except where it is being changed, and is known there. Code with a thread area is
//     given no r2: it loads r2 from there, by r13, which is known if no word of the image writes
//     it.
// Nothing is known after an indirect branch without link. One through CTR is a call site: a tail
// call, or a jump through a table.
//
// Stubs at the end of a function, of which the JIT says so, are not looked at.
// Every branch that sets LR is a call site, as every tail call is, conditional ones too (without a
// target), but for `bcl 20,31,$+4`, which is the way to read the instruction's own address.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "bpf/program.hpp"
#include "model/axes.hpp"
#include "model/code_image.hpp"
#include "model/decoded_call.hpp"

namespace farcall::decode {

// What bytes mean that does not stand in them.
struct Surroundings {
  model::Endian endian = model::Endian::little;  // of loads
  std::optional<GuestAddress> toc;               // r2 on entry; empty: not known
};

// In the order of the image's functions, and of addresses within one. Any words will do.
std::vector<model::DecodedCall> call_sites(const model::CodeImage& image,
                                           const Surroundings& surroundings);

// An instruction after which a general register holds the address of a function of the image, as a
// pointer to it has it.
struct MadePointer {
  std::uint32_t function = 0;  // whose code it is in
  GuestAddress at;
  std::uint8_t gpr = 0;
  std::uint32_t pointee = 0;

  friend bool operator==(const MadePointer&, const MadePointer&) = default;
};

// In the order of the image's functions, and of addresses within one.
std::vector<MadePointer> made_pointers(const model::CodeImage& image,
                                       const Surroundings& surroundings);

// A JIT need not say where it put its calls: then those of the program's functions become calls of
// the image, in program order, as `decoded` has them. Nothing changes if it does say.
void find_calls(const bpf::Program& program, const std::vector<model::DecodedCall>& decoded,
                model::CodeImage& image);

}  // namespace farcall::decode

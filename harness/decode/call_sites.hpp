// The decoder: finds the call sites of a code image in its bytes alone, and where each one goes.
//
// It never matches patterns. It sweeps over the words of each function in address order, keeps what
// is known of every register, and evaluates each branch-and-link where it stands. Of a register it
// knows either its value on every way to this word, or nothing:
//   - at a word that any direct branch of the image goes to, nothing is known;
//   - after a branch that is always taken nothing is known, as the next word is reached otherwise;
//   - after a call, what the calling convention preserves is still known;
//   - a word that is no instruction of the ppc64 table makes everything unknown, and so does an
//     8-byte instruction of power10, whose second half is not looked at.
// Indirect branches without link are taken to leave the function.
//
// Every branch that sets LR is a call site, conditional ones too, but for `bcl 20,31,$+4`, which is
// the way to read the instruction's own address.
#pragma once

#include <vector>

#include "model/code_image.hpp"
#include "model/decoded_call.hpp"

namespace farcall::decode {

// In the order of the image's functions, and of addresses within one. Any words will do.
std::vector<model::DecodedCall> call_sites(const model::CodeImage& image);

}  // namespace farcall::decode

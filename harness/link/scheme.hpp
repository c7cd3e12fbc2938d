// What a call scheme is to the linker: how it writes a call.
//
// A scheme gets the program as it is in the source, every call with its distance in `imm`, and
// addresses, call base and calls filled in. It leaves every call as model/linked_program.hpp says.
#pragma once

#include <string>

#include "base/error.hpp"
#include "model/linked_program.hpp"

namespace farcall::link {

// imm = callee − call base in 32 signed bits, off = distance in 16.
Result<void> encode_imm32(model::LinkedProgram& linked);

// imm = distance as in the source, the address in a side table, one entry a call.
Result<void> encode_aux64(model::LinkedProgram& linked);

// Each call becomes two slots, so that all after it moves: off = distance in 16 bits, imm = −1,
// and the second slot is the address.
Result<void> encode_pair64(model::LinkedProgram& linked);

// imm = number of the callee, off = distance in 16 bits.
Result<void> encode_table(model::LinkedProgram& linked);

// call.out-of-range at the call's site.
Error out_of_range(const model::LinkedProgram& linked, const model::LinkedCall& call,
                   std::string message, std::string hint);

// Sets the call's `off` to the distance of its callee; fails with call.out-of-range if that does
// not fit.
Result<void> keep_distance_in_offset(model::LinkedProgram& linked, const model::LinkedCall& call);

}  // namespace farcall::link

// What a call scheme is to the linker. Each scheme is one file, declared here, listed in link.cpp.
//
// A scheme gets the program with every call still pc-relative in `imm`, and addresses, call base
// and calls filled in. It leaves every call as its encoding wants it. model/linked_program.cpp
// reads the encodings back.
#pragma once

#include "base/error.hpp"
#include "model/linked_program.hpp"

namespace farcall::link {

// imm = callee − call base in 32 signed bits, off = pc-relative displacement in 16.
Result<void> encode_imm32(model::LinkedProgram& linked);

// imm = pc-relative displacement as in the source, the address in a side table, one entry a call.
Result<void> encode_aux64(model::LinkedProgram& linked);

}  // namespace farcall::link

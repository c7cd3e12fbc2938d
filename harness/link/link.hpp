// Linking: a cell's program, its functions at their addresses, its pseudo calls encoded by the
// cell's call scheme, the addresses of functions in the loads of pointers to them.
//
// A scheme that cannot express a distance fails with call.out-of-range and the call site, or with
// link.branch-out-of-range where it is a branch that no longer reaches over the calls: an expected
// outcome, not a defect of the case.
#pragma once

#include "base/error.hpp"
#include "model/cell.hpp"
#include "model/linked_program.hpp"

namespace farcall::link {

Result<model::LinkedProgram> link_program(const model::Cell& cell);

}  // namespace farcall::link

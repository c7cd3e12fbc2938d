// Programs of the public conformance suite: what they may use, and where they run.
#pragma once

#include "case/case_file.hpp"
#include "model/axes.hpp"
#include "model/cell.hpp"

namespace farcall::conformance {

// What the suite's programs use without declaring it: the helpers of uBPF's tests, by number
// (0 gather_bytes, 1 memfrob, 2 no_op, 3 sqrti, 4 strcmp_ext, 5 unwind), and calls through a
// register, which holds the number of one of them.
const cases::Undeclared& suite_helpers();

// Which machine runs a program of the suite, and where its functions lie.
struct Target {
  model::AxisValues axes;
  bool far = false;  // every other function 2 PiB away; else all are 64 KiB apart
};

// Sets the CPU, and the MMU: radix if it has that.
void set_cpu(model::AxisValues& axes, model::Cpu cpu);

// The one cell of `parsed`, a case without axes and placements, on that machine. It expects its
// calls as the interpreter makes them, and no result: that is for the suite to judge.
Result<model::Cell> suite_cell(const cases::Case& parsed, const Target& target);

}  // namespace farcall::conformance

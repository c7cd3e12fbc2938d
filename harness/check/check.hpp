// The witnesses of a cell, and what they agree on.
//
// Pure: everything that was seen comes in, a Verdict comes out. The witnesses, which share no code,
// are the expectation written in the case, the interpreter on the source program and on the linked
// one, the decoder of the emitted bytes, the CPU's branch trace, and the ABI.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "bpf/interpreter.hpp"
#include "model/cell.hpp"
#include "model/code_image.hpp"
#include "model/decoded_call.hpp"
#include "model/job.hpp"
#include "model/landmarks.hpp"
#include "model/linked_program.hpp"
#include "model/verdict.hpp"

namespace farcall::check {

// What the interpreter did with a program: its run, and the memory it left.
struct Interpretation {
  bpf::InterpreterRun run;
  std::vector<bpf::MemoryRegion> memory;
  std::uint64_t accesses = 0;  // to memory, by the program and what it calls
};

// All that the harness knows of a cell beside its document, as far as it came.
struct Testimony {
  // The interpreter on the source program; absent if the image came without a program.
  std::optional<Result<Interpretation>> source;
  std::optional<model::LinkedProgram> linked_program;
  // The interpreter on the linked program; absent as above, or if linking failed.
  std::optional<Result<Interpretation>> linked;
  // Why there is no code: the failure of the linker or of the JIT.
  std::optional<Error> refusal;
  std::optional<model::CodeImage> image;
  std::vector<model::DecodedCall> decoded;
  // What the guest is given, or was given; absent: there is nothing to run, or nobody asks any more.
  std::optional<model::Job> job;
  std::optional<model::Observations> observations;
  std::vector<model::Landmark> landmarks;  // of the job, after its end
};

// What the source program left in frames; nothing if it did not come to its end.
std::span<const bpf::LeftFrame> left_frames(const Testimony& testimony);

// What a verdict depends on beside the cell and what was seen of it.
struct Terms {
  std::string_view jit = {};                // who made the code, for `-- known`
  std::span<const ErrorCode> allowed = {};  // findings that do not make a cell fail
};

// The verdict on a cell. With an expected failure, the first finding must be that failure; findings
// are ordered by how much they explain, so what follows from it does not matter.
model::Verdict check(const model::Cell& cell, const Testimony& testimony, const Terms& terms = {});

// The verdict on a cell with a control: a pass if the control's code was found, and control.missed,
// an error, if something else was, or nothing. A verdict that blames a machine or the input, and
// that of a cell without a control, is returned as it is.
model::Verdict against_control(const model::Cell& cell, model::Verdict verdict);

// Whether the case itself is at odds with the interpreter, or leaves a call site unreached without
// saying so: a failure of the case, found before anything runs. Empty: nothing to object.
std::vector<model::Finding> objections(const model::Cell& cell, const Interpretation& source);

}  // namespace farcall::check

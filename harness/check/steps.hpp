// The interpreter's run and the CPU's, BPF instruction by BPF instruction: where they part.
//
// Pure. The verdict does not need this; it is for whoever looks for the instruction that is wrong.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bpf/interpreter.hpp"
#include "bpf/program.hpp"
#include "model/code_image.hpp"
#include "model/job.hpp"

namespace farcall::check {

// The CPU as it came to the code of a BPF instruction.
struct CpuStep {
  std::uint64_t number = 0;  // of the guest's step, from 0
  GuestAddress address;
  std::array<std::uint64_t, bpf::kRegisterCount> registers = {};  // r0 … r10 as BPF sees them
};

// One instruction that the interpreter executed. `cpu` is empty where the instruction has no code
// of its own, and where the CPU never came.
struct StepPair {
  bpf::InterpreterStep interpreter;
  std::optional<CpuStep> cpu;
  std::uint32_t defined = 0;    // BPF registers that hold a value, as a mask
  std::uint32_t differing = 0;  // of these, the ones that do not hold the same
};

// Where they part for the first time.
struct StepDifference {
  std::size_t pair = 0;  // after the last pair: the CPU went on after the interpreter's end
  std::string what;      // one line
};

struct StepComparison {
  std::vector<StepPair> pairs;  // up to the first difference, and that one
  std::optional<StepDifference> difference;
};

// Compares `interpreter`, the steps of `program`, with `cpu`, all of the guest's steps. The image
// has line tables and says which registers hold BPF's.
//
// What is compared: the order of instructions, and before each the registers that hold a value: not
// r1 … r5 after a call, nor r6 … r9 in a function that has not written them, nor r10 where a
// function does not name it. An address in the BPF stack is another one on the CPU, whose frames
// hold more: it is compared by its distance from its frame's r10.
StepComparison compare_steps(const bpf::Program& program, const model::CodeImage& image,
                             std::span<const bpf::InterpreterStep> interpreter,
                             std::span<const model::Step> cpu);

}  // namespace farcall::check

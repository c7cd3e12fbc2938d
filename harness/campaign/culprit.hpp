// Of a program whose run goes wrong, the one instruction that is wrong by itself.
//
// What a wrong instruction comes to depends on what follows: a store that loses a byte is found as a
// wrong result, wrong memory, or a call with a wrong argument. So each instruction that the
// interpreter executes is also run in a program of its own, with the registers and the memory that
// it has there. The first one that still fails is to blame. It is then brought to the form that is
// the same for whatever program it was found in: registers instead of numbers, small offsets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "campaign/finding.hpp"
#include "campaign/reduce.hpp"
#include "campaign/sketch.hpp"
#include "campaign/trial.hpp"

namespace farcall::campaign {

struct Culprit {
  Reduced reduced;   // the instruction alone; its kind may be another than that of the program
  std::string seen;  // trait of the instruction as the program has it
};

// `sketch` fails in this way when it is run with `seed`. Nothing: no instruction fails alone, as for
// what is wrong with a call, or with how several instructions go together.
std::optional<Culprit> find_culprit(Trial& trial, const Sketch& sketch, std::uint64_t seed,
                                    const FindingKind& kind);

// `program` is that of the sketch. What is left of it without the instructions that have these
// traits: others in their place leave as much defined.
Sketch without(const Sketch& sketch, const bpf::Program& program,
               const std::vector<std::string>& culprit);

}  // namespace farcall::campaign

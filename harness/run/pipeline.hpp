// The way of one cell through all stages on the host: the only place that knows them all.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "bpf/interpreter.hpp"
#include "check/check.hpp"
#include "engine/jit.hpp"
#include "model/document.hpp"
#include "model/job.hpp"
#include "model/verdict.hpp"

namespace farcall::run {

// Interprets, links, compiles and decodes; what the document holds already is taken as it is. What
// comes out of it is all that can be known before a guest has run the cell; without a job there is
// nothing to run, and the verdict is final. `seed` makes the marks in the job's registers. The JIT
// is our own, or the one given.
check::Testimony prepare(const model::Document& document, std::uint64_t seed);
check::Testimony prepare(const model::Document& document, std::uint64_t seed,
                         engine::Compiler& compiler);

// The same for several, each with its seed, which are compiled together.
struct ToPrepare {
  const model::Document* document;
  std::uint64_t seed;
};
std::vector<check::Testimony> prepare(std::span<const ToPrepare> cells, engine::Compiler& compiler);

// What the interpreter does with the cell's program, instruction by instruction, up to its end, to
// where it fails, or to `at_most` of them.
std::vector<bpf::InterpreterStep> interpreter_steps(const model::Cell& cell, std::size_t at_most);

// Why there is no image, where there is none: what a command says that cannot go on without.
Error no_image(const model::Document& document, const check::Testimony& prepared);

// The interpreter on the cell's program, and the memory that it leaves. `watch` is told before each
// instruction, if there is one.
Result<check::Interpretation> interpretation(
    const model::Cell& cell, const std::function<void(const bpf::InterpreterStep&)>& watch = {});
Result<bpf::InterpreterRun> interpreted(const model::Cell& cell);

// For programs that nobody wrote expectations for: the cell expects each of its calls as often as
// the interpreter makes it, so that one which is never reached is not a defect. Nothing is expected
// of a program that the interpreter cannot run.
void expect_calls_as_interpreted(model::Cell& cell);

}  // namespace farcall::run

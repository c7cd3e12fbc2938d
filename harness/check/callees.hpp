// Whom each call of an image calls, as far as that is known before the CPU runs it.
//
// The image does not say where a call through a register, or a jump (gotox), goes. The
// interpreter's run says it, call by call; if there is no program, the case's `-- calls` do.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "bpf/interpreter.hpp"
#include "model/cell.hpp"
#include "model/code_image.hpp"

namespace farcall::check {

class Callees {
 public:
  // `run` is null if there is no program.
  Callees(const model::CodeImage& image, const bpf::InterpreterRun* run,
          const std::vector<model::ExpectedCall>& stated)
      : image_(image), run_(run), stated_(stated) {}

  // All that are called from there, each once: one if the call names it, and else those of the run,
  // in their order, and those that the case states.
  std::vector<model::CodeCallee> of_site(const model::CodeCall& call) const;

  // The callee of call number `number` of the run, from 0, which is one at `call`; empty if nothing
  // says it: there is no program, or the run makes another call there.
  std::optional<model::CodeCallee> of_call(const model::CodeCall& call, std::size_t number) const;

  // How many calls of the run at `call` are of that callee.
  std::uint64_t made(const model::CodeCall& call, const model::CodeCallee& callee) const;

 private:
  // Where `made`, a `gotox` of the interpreter's run, went.
  model::CodeCallee place_of(const bpf::PseudoCall& made) const;
  // Where the `gotox` at `call` goes in the run; without a program, all places that the tables of
  // its function have.
  std::vector<model::CodeCallee> of_jump(const model::CodeCall& call) const;

  const model::CodeImage& image_;
  const bpf::InterpreterRun* run_;
  const std::vector<model::ExpectedCall>& stated_;
};

}  // namespace farcall::check

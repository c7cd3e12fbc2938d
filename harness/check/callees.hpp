// Whom each call of an image calls, as far as others than the CPU know it.
//
// Of a call through a register, or a jump (gotox), the image does not say it. The interpreter's run does, call by call;
// without a program, what the case states does.
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
  // Where the `gotox` went that the interpreter made.
  model::CodeCallee place_of(const bpf::PseudoCall& made) const;
  // Where one goes in the run; without a program, all places that tables of its function name.
  std::vector<model::CodeCallee> of_jump(const model::CodeCall& call) const;

  const model::CodeImage& image_;
  const bpf::InterpreterRun* run_;
  const std::vector<model::ExpectedCall>& stated_;
};

}  // namespace farcall::check

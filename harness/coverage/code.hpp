// The code of the JIT under test, for whichever thread asks.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/jit.hpp"

namespace farcall::coverage {

class Code {
 public:
  Code(engine::Jit jit, engine::Stopped stopped);

  // As engine::Compiler has it. Each thread has a compiler of its own, which ends with it.
  std::vector<engine::Compiled> compile(std::span<const model::Document* const> documents) const;
  // The image of a cell; nothing if there is none.
  std::optional<model::CodeImage> of(const model::Cell& cell) const;

 private:
  engine::Jit jit_;
  engine::Stopped stopped_;
  std::uint64_t number_;  // unlike that of any other Code
};

}  // namespace farcall::coverage

// Programs for tests, from text.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "bpf/assembler.hpp"
#include "bpf/program.hpp"
#include "bpf/validator.hpp"

namespace farcall::bpf {

// What the text assembles to. Throws the error if it does not.
inline Program program_of(std::string_view text) {
  Result<Program> program = assemble(text, {.file = "test", .line = 1});
  if (!program) {
    throw std::invalid_argument(to_string(program.error()));
  }
  return std::move(program).value();
}

// The same, validated.
inline Program valid_program_of(std::string_view text) {
  Program program = program_of(text);
  const Result<void> valid = validate(program);
  if (!valid) {
    throw std::invalid_argument(to_string(valid.error()));
  }
  return program;
}

}  // namespace farcall::bpf

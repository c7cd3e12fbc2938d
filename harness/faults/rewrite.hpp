// The code that a JIT makes of a program in which some instructions are others, told as if it
// were that of the program itself.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "bpf/program.hpp"
#include "faults/fault.hpp"
#include "model/document.hpp"

namespace farcall::faults {

using Instead = std::function<std::optional<std::vector<bpf::Slot>>(std::span<const bpf::Slot>)>;

// Nothing if `instead` replaces nothing, or if the JIT makes no code of the new program. Lines
// count the instructions of `right`: code of a replacement belongs to the instruction replaced.
std::optional<model::CodeImage> compiled_otherwise(const model::Document& right,
                                                   const Instead& instead, const CodeOf& code_of);

// The program itself, with the replacements in it.
std::optional<bpf::Program> rewritten_program(const bpf::Program& source, const Instead& instead);

// An Instead that takes instructions of the mnemonic `from`, as the assembler writes them, for
// those of `to` with the same operands.
Instead taken_for(std::string_view from, std::string_view to);

// Only those for which `applies` holds.
Instead taken_for(std::string_view from, std::string_view to,
                  std::function<bool(const bpf::Slot&)> applies);

// The slot of an instruction: its row of that mnemonic whose second operand is a register, or an
// immediate if there is no other.
bpf::Slot instruction(std::string_view mnemonic, std::uint8_t dst, std::uint8_t src,
                      std::int16_t offset = 0);
bpf::Slot with_immediate(std::string_view mnemonic, std::uint8_t dst, std::int32_t imm,
                         std::int16_t offset = 0);

// Whether the instruction is one of that mnemonic.
bool is(const bpf::Slot& slot, std::string_view mnemonic);

}  // namespace farcall::faults

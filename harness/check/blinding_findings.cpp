#include "check/blinding_findings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "bpf/instruction.hpp"

namespace farcall::check {
namespace {

constexpr std::uint8_t kFirstHiddenRegister = 11;  // BPF_REG_AX: r11, in later versions r12
constexpr std::uint8_t kRegisterOperand = 0x08;
constexpr std::uint8_t kOperation = 0xf0;
constexpr std::uint8_t kMov = 0xb0;

bool is_arithmetic(std::uint8_t operation) {
  // add, sub, mul, div, or, and, mod, xor, mov; shifts by a constant are left as they are.
  constexpr std::array<std::uint8_t, 9> kAll = {0x00, 0x10, 0x20, 0x30, 0x40,
                                                0x50, 0x90, 0xa0, kMov};
  return std::ranges::find(kAll, operation) != kAll.end();
}

bool is_comparison(std::uint8_t operation) {
  constexpr std::array<std::uint8_t, 11> kAll = {0x10, 0x20, 0x30, 0x40, 0x50, 0x60,
                                                 0x70, 0xa0, 0xb0, 0xc0, 0xd0};
  return std::ranges::find(kAll, operation) != kAll.end();
}

bool is_blindable(const bpf::Slot& slot) {
  if (slot.dst >= kFirstHiddenRegister || slot.src >= kFirstHiddenRegister) {
    return false;
  }
  const std::uint8_t operation = slot.opcode & kOperation;
  const bool has_constant = (slot.opcode & kRegisterOperand) == 0;
  constexpr std::uint8_t kMode = 0xe0;
  constexpr std::uint8_t kMemory = 0x60;
  using enum bpf::InstructionClass;
  switch (static_cast<bpf::InstructionClass>(slot.opcode & 7U)) {
    case alu:
    case alu64:
      return has_constant && is_arithmetic(operation) && !(operation == kMov && slot.imm == 0);
    case jmp:
    case jmp32:
      return has_constant && is_comparison(operation);
    case st:
      return (slot.opcode & kMode) == kMemory;
    case ld:
      return slot.opcode == bpf::kLoadImmediate64 && slot.src != bpf::kPseudoFunction;
    case ldx:
    case stx:
      return false;
  }
  return false;
}

// Calls `take` with each instruction whose constant is blinded, and its constant's words.
void each_constant(std::span<const bpf::Slot> slots, const auto& take) {
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const bool is_wide = slots[i].opcode == bpf::kLoadImmediate64;
    if (is_blindable(slots[i])) {
      take(slots.subspan(i, is_wide && i + 1 < slots.size() ? 2 : 1));
    }
    i += is_wide ? 1 : 0;
  }
}

// Whether two neighbouring words have the halves of the constant, in either order: lis and ori, oris
// and ori, xori and xoris. Shorter constants may be there by chance.
bool is_in(std::span<const std::uint32_t> code, std::uint32_t constant) {
  const std::uint32_t high = constant >> 16U;
  const std::uint32_t low = constant & 0xffffU;
  if (high == 0 || high == 0xffffU || low == 0) {
    return false;
  }
  const auto immediate = [](std::uint32_t word) -> std::optional<std::uint32_t> {
    constexpr std::array<std::uint32_t, 8> kWithImmediate = {14, 15, 24, 25, 26, 27, 28, 29};
    const bool has_one = std::ranges::find(kWithImmediate, word >> 26U) != kWithImmediate.end();
    return has_one ? std::optional(word & 0xffffU) : std::nullopt;
  };
  return std::ranges::adjacent_find(code, [&](std::uint32_t one, std::uint32_t other) {
           const auto first = immediate(one);
           const auto second = immediate(other);
           return (first == high && second == low) || (first == low && second == high);
         }) != code.end();
}

// How many words write an exclusive or to r12, where Linux's JIT for ppc64 has BPF_REG_AX. Whatever
// the random number is (but 0), one or two for each constant that is blinded; else there are none.
std::size_t xors(std::span<const std::uint32_t> code) {
  return static_cast<std::size_t>(std::ranges::count_if(code, [](std::uint32_t word) {
    constexpr std::uint32_t kBlindingRegister = 12;
    const std::uint32_t opcode = word >> 26U;
    const bool is_xor =
        opcode == 26 || opcode == 27 || (opcode == 31 && (word >> 1U & 0x3ffU) == 316);
    return is_xor && (word >> 16U & 31U) == kBlindingRegister;
  }));
}

bool is_half_of_a_callee(const BlindedFunction& function, std::uint32_t constant) {
  return std::ranges::any_of(function.callees, [&](GuestAddress callee) {
    return constant == static_cast<std::uint32_t>(callee.value) ||
           constant == static_cast<std::uint32_t>(callee.value >> 32U);
  });
}

}  // namespace

std::size_t blindable(std::span<const bpf::Slot> slots) {
  std::size_t count = 0;
  each_constant(slots, [&](std::span<const bpf::Slot>) { ++count; });
  return count;
}

bool is_blinded_dump(std::span<const bpf::Slot> slots) {
  return std::ranges::any_of(
      slots, [](const bpf::Slot& slot) { return slot.dst >= kFirstHiddenRegister; });
}

std::vector<model::Finding> blinding_findings(std::span<const BlindedFunction> functions) {
  std::vector<model::Finding> findings;
  for (const BlindedFunction& function : functions) {
    std::optional<std::uint32_t> open;
    each_constant(function.source, [&](std::span<const bpf::Slot> slots) {
      for (const bpf::Slot& slot : slots) {
        const auto constant = static_cast<std::uint32_t>(slot.imm);
        if (!open && is_in(function.blinded, constant) &&
            !is_half_of_a_callee(function, constant)) {
          open = constant;
        }
      }
    });
    if (open) {
      findings.push_back(
          {ErrorCode::jit_refused, function.name,
           fmt::format("expected bpf_jit_harden=2 to blind the constants of {}; {:#x} "
                       "is in its code",
                       function.name, *open)});
    }
    const std::size_t count = blindable(function.dumped);
    const std::size_t plain = xors(function.plain);
    const std::size_t blinded = xors(function.blinded);
    if (blinded < plain + count) {
      findings.push_back(
          {ErrorCode::jit_refused, function.name,
           fmt::format("expected bpf_jit_harden=2 to blind {} constants of {}, by an xor to r12 at "
                       "least for each; its code has {} of these, and {} without hardening",
                       count, function.name, blinded, plain)});
    }
  }
  return findings;
}

}  // namespace farcall::check

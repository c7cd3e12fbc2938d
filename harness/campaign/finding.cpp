#include "campaign/finding.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <span>

#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"
#include "ppc64/disassembler.hpp"
#include "ppc64/instruction.hpp"

namespace farcall::campaign {
namespace {

constexpr std::array<std::string_view, 7> kSiteKinds = {"no call",
                                                        "a local call",
                                                        "a call of a helper",
                                                        "a call of a kfunc",
                                                        "a call through a register",
                                                        "a tail call",
                                                        "a call from a helper"};

// No call sequence is longer, in words.
constexpr std::size_t kLongestCall = 8;

// A number by what decides how code loads it, or uses it.
std::string_view number_class(const bpf::InstructionInfo& info, std::int64_t value) {
  const bool shifts = info.operation == bpf::Operation::lsh ||
                      info.operation == bpf::Operation::rsh ||
                      info.operation == bpf::Operation::arsh;
  if (value == 0) {
    return "0";
  }
  if (shifts) {
    const auto unsigned_value = static_cast<std::uint64_t>(value);
    return unsigned_value < 32 ? "1…31" : unsigned_value < 64 ? "32…63" : "64…";
  }
  if (value == 1 || value == -1) {
    return value == 1 ? "1" : "-1";
  }
  if (value > 0 && (value & (value - 1)) == 0 && value <= INT32_MAX) {
    return "a power of 2";
  }
  if (value >= -0x8000 && value < 0x8000) {
    return value < 0 ? "negative, 16 bits" : "16 bits";
  }
  if (value >= 0 && value <= 0xffff) {
    return "16 bits, unsigned";
  }
  if (value >= INT32_MIN && value <= INT32_MAX) {
    return (value & 0xffff) == 0 ? "32 bits, low half 0"
           : value < 0           ? "negative, 32 bits"
                                 : "32 bits";
  }
  return "64 bits";
}

std::string_view offset_class(std::int16_t offset) {
  return offset % 8 == 0   ? "a multiple of 8"
         : offset % 4 == 0 ? "a multiple of 4"
         : offset % 2 == 0 ? "even"
                           : "odd";
}

bool is_everywhere(const bpf::InstructionInfo& info) {
  return info.operation == bpf::Operation::mov || info.operation == bpf::Operation::exit ||
         info.operation == bpf::Operation::load_immediate64 ||
         info.operation == bpf::Operation::jump;
}

std::string word_mnemonic(std::uint32_t word) {
  const std::string text = ppc64::disassemble(word, {});
  return text.substr(0, text.find_first_of(" \t"));
}

// `r12` of `addi    r12,r12,16`.
std::string first_operand(std::uint32_t word) {
  const std::string text = ppc64::disassemble(word, {});
  const std::size_t begin = text.find_first_not_of(' ', std::min(text.find(' '), text.size()));
  return begin == std::string::npos ? "" : text.substr(begin, text.find(',', begin) - begin);
}

std::span<const std::uint32_t> words_at(const model::CodeImage& image,
                                        const model::PlacedInstruction& placed) {
  const model::CodeFunction& function = image.functions[placed.function];
  const std::size_t first = (placed.begin.value - function.address.value) / 4;
  const std::size_t count = placed.bytes / 4;
  return first + count <= function.words.size() ? std::span(function.words).subspan(first, count)
                                                : std::span<const std::uint32_t>();
}

}  // namespace

std::string_view name(SiteKind kind) {
  return kSiteKinds[static_cast<std::size_t>(kind)];
}

SiteKind site_kind(const bpf::Program& program, const bpf::CallInstruction& call) {
  if (call.slot >= program.slots.size()) {
    return SiteKind::callback;
  }
  const bpf::Slot& slot = program.slots[call.slot];
  if (is_tail_call(slot)) {
    return SiteKind::tail;
  }
  switch (bpf::find(slot)->operation) {
    case bpf::Operation::call_register:
    case bpf::Operation::jump_register:
      return SiteKind::through_register;
    case bpf::Operation::call:
      return SiteKind::local;
    case bpf::Operation::call_external:
      return slot.src == bpf::kKfuncCall ? SiteKind::kfunc : SiteKind::helper;
    default:
      bpf::not_implemented("the name of a call site", bpf::find(slot)->operation);
  }
}

SiteKind site_kind(const bpf::Program& program, std::string_view site) {
  if (site.empty()) {
    return SiteKind::none;
  }
  for (const bpf::CallInstruction& call : call_instructions(program)) {
    if (to_string(program, call.site) == site) {
      return site_kind(program, call);
    }
  }
  return SiteKind::none;
}

std::string to_string(const FindingKind& kind) {
  return kind.site == SiteKind::none
             ? std::string(farcall::name(kind.code))
             : fmt::format("{} at {}", farcall::name(kind.code), name(kind.site));
}

const model::Finding& most_telling(const model::Verdict& verdict) {
  const auto found = std::ranges::find_if(
      verdict.findings, [](const model::Finding& one) { return !is_about_layout(one.code); });
  return found == verdict.findings.end() ? verdict.findings.front() : *found;
}

FindingKind kind_of(const model::Cell& cell, const model::Verdict& verdict) {
  const model::Finding& first = most_telling(verdict);
  return {.code = first.code,
          .site = cell.program ? site_kind(*cell.program, first.site) : SiteKind::none};
}

bool is_seen_by_running(ErrorCode code) {
  constexpr std::array kCodes = {
      ErrorCode::result_mismatch,
      ErrorCode::memory_mismatch,
      ErrorCode::memory_stray_write,
      ErrorCode::stack_mismatch,
      ErrorCode::call_argument_mismatch,
      ErrorCode::call_count,
      ErrorCode::call_order,
      ErrorCode::call_reached_elsewhere,
      ErrorCode::trace_overflow,
      ErrorCode::guest_fault,
      ErrorCode::guest_budget,
      ErrorCode::guest_unwritten_value,
      ErrorCode::abi_register,
      ErrorCode::abi_toc,
  };
  return std::ranges::find(kCodes, code) != kCodes.end();
}

bool is_about_layout(ErrorCode code) {
  return code == ErrorCode::code_size || code == ErrorCode::code_data_misaligned;
}

bool may_come_of(ErrorCode of_program, ErrorCode alone) {
  return of_program == alone || (is_seen_by_running(of_program) && is_seen_by_running(alone));
}

std::string trait(const bpf::Program& program, bpf::SlotIndex at) {
  const bpf::Slot& slot = program.slots[at];
  const bpf::InstructionInfo* const info = bpf::find(slot);
  if (info == nullptr) {
    return fmt::format("opcode {:#04x}", slot.opcode);
  }
  std::string text(info->mnemonic);
  if (info->memory_bytes != 0) {
    const std::uint8_t base = info->form == bpf::Form::load ? slot.src : slot.dst;
    text += fmt::format(" [{}, {}]", base == bpf::kFramePointer ? "r10" : "%",
                        offset_class(slot.offset));
  }
  if (is_tail_call(slot)) {
    return "tail call";
  }
  switch (info->form) {
    case bpf::Form::helper:
      return "call of a helper";
    case bpf::Form::kfunc:
      return "call of a kfunc";
    case bpf::Form::local_callee:
      return "call local";
    case bpf::Form::dst_imm64:
      return fmt::format(
          "lddw {}",
          number_class(*info, static_cast<std::int64_t>(immediate64(slot, program.slots[at + 1]))));
    case bpf::Form::dst_map:
    case bpf::Form::dst_value:
      return info->form == bpf::Form::dst_map ? "lddw of a map" : "lddw of a map's value";
    case bpf::Form::dst_function:
      return "lddw of a function";
    default:
      break;
  }
  if (info->source == bpf::Source::src_register) {
    text += slot.src == slot.dst ? " %, itself" : " %";
  } else if (info->source == bpf::Source::immediate) {
    text += fmt::format(" {}", number_class(*info, slot.imm));
  }
  if (info->is_jump() && displacement(slot, *info) < 0) {
    text += ", back";
  }
  return text;
}

std::uint64_t trait_key(const bpf::Program& program, bpf::SlotIndex at) {
  const bpf::Slot& slot = program.slots[at];
  const bpf::InstructionInfo* const info = bpf::find(slot);
  if (info == nullptr) {
    return slot.opcode;
  }
  auto hash = static_cast<std::uint64_t>(info - bpf::kInstructions.data());
  const auto mix = [&hash](std::uint64_t value) {
    hash = (hash ^ value) * 0x9e37'79b9'7f4a'7c15;
    hash ^= hash >> 29;
  };
  // A class is one text each: where it lies is enough.
  const auto mix_text = [&mix](std::string_view text) {
    mix(reinterpret_cast<std::uintptr_t>(text.data()));
  };
  mix(is_tail_call(slot) ? 1 : 0);
  if (info->memory_bytes != 0) {
    mix((info->form == bpf::Form::load ? slot.src : slot.dst) == bpf::kFramePointer ? 1 : 0);
    mix_text(offset_class(slot.offset));
  }
  if (info->source == bpf::Source::src_register) {
    mix(slot.src == slot.dst ? 1 : 0);
  } else if (info->form == bpf::Form::dst_imm64) {
    mix_text(
        number_class(*info, static_cast<std::int64_t>(immediate64(slot, program.slots[at + 1]))));
  } else if (info->source == bpf::Source::immediate) {
    mix_text(number_class(*info, slot.imm));
  }
  mix(info->is_jump() && displacement(slot, *info) < 0 ? 1 : 0);
  return hash;
}

std::string_view row_mnemonic(std::uint32_t word) {
  const ppc64::Instruction* const row = ppc64::find(word);
  return ppc64::is_prefix(word) ? ".prefix" : row != nullptr ? row->mnemonic : ".long";
}

std::vector<std::string> traits(const bpf::Program& program) {
  std::set<std::string> found;
  for (const bpf::SlotIndex at : instructions(program)) {
    const bpf::InstructionInfo* const info = bpf::find(program.slots[at]);
    if (info == nullptr || !is_everywhere(*info)) {
      found.insert(trait(program, at));
    }
  }
  return {found.begin(), found.end()};
}

std::uint64_t code_key(const bpf::Program& program, const model::CodeImage& image,
                       const model::PlacedInstruction& placed) {
  std::uint64_t hash = 0xcbf2'9ce4'8422'2325;
  const auto mix = [&hash](std::uint64_t value) { hash = (hash ^ value) * 0x100'0000'01b3; };
  mix(trait_key(program, placed.slot));
  for (const std::uint32_t word : words_at(image, placed)) {
    mix(std::hash<std::string_view>{}(row_mnemonic(word)));
  }
  return hash;
}

std::string code_shape(const model::CodeImage& image, const model::PlacedInstruction& placed) {
  std::string text;
  for (const std::uint32_t word : words_at(image, placed)) {
    text += text.empty() ? "" : " ";
    text += row_mnemonic(word);
  }
  return text.empty() ? "nothing" : text;
}

std::string call_shape(const model::CodeImage& image, GuestAddress branch) {
  for (const model::CodeFunction& function : image.functions) {
    if (branch < function.code() || !(branch < function.end())) {
      continue;
    }
    const std::size_t at = (branch.value - function.address.value) / 4;
    std::size_t first = at;
    std::string target;  // the register that the address is made in
    for (std::size_t i = at; i > function.descriptor_words && at - i < kLongestCall; --i) {
      const std::uint32_t word = function.words[i - 1];
      const std::string mnemonic = word_mnemonic(word);
      const std::string writes = first_operand(word);
      if (mnemonic == "mtctr" && i == at) {
        target = writes;
      } else if (mnemonic != "nop" && !ppc64::is_prefix(word) &&
                 (target.empty() || writes != target)) {
        break;
      }
      if (mnemonic != "nop") {
        first = i - 1;
      }
    }
    std::string text;
    for (std::size_t i = first; i <= at; ++i) {
      text += (text.empty() ? "" : " ") + word_mnemonic(function.words[i]);
    }
    return text;
  }
  return {};
}

}  // namespace farcall::campaign

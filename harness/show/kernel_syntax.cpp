#include "show/kernel_syntax.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "bpf/instruction.hpp"

namespace farcall::show {
namespace {

using bpf::InstructionInfo;
using bpf::Operation;
using bpf::Slot;

struct Sign {
  Operation operation;
  std::string_view text;
};

// What stands between the operands: of an assignment, an atomic or a comparison.
constexpr auto kSigns = [] {
  using enum Operation;
  return std::array{
      Sign{add, "+="},
      Sign{sub, "-="},
      Sign{mul, "*="},
      Sign{div, "/="},
      Sign{signed_div, "s/="},
      Sign{bit_or, "|="},
      Sign{bit_and, "&="},
      Sign{lsh, "<<="},
      Sign{rsh, ">>="},
      Sign{mod, "%="},
      Sign{signed_mod, "s%="},
      Sign{bit_xor, "^="},
      Sign{mov, "="},
      Sign{mov_signed, "="},
      Sign{arsh, "s>>="},
      Sign{atomic_add, "+="},
      Sign{atomic_or, "|="},
      Sign{atomic_and, "&="},
      Sign{atomic_xor, "^="},
      Sign{jump_if_equal, "=="},
      Sign{jump_if_not_equal, "!="},
      Sign{jump_if_set, "&"},
      Sign{jump_if_greater, ">"},
      Sign{jump_if_greater_equal, ">="},
      Sign{jump_if_less, "<"},
      Sign{jump_if_less_equal, "<="},
      Sign{jump_if_signed_greater, "s>"},
      Sign{jump_if_signed_greater_equal, "s>="},
      Sign{jump_if_signed_less, "s<"},
      Sign{jump_if_signed_less_equal, "s<="},
  };
}();

// The names of atomics that bring back what was there.
constexpr auto kFetches = std::array{
    Sign{Operation::atomic_add, "fetch_add"}, Sign{Operation::atomic_or, "fetch_or"},
    Sign{Operation::atomic_and, "fetch_and"}, Sign{Operation::atomic_xor, "fetch_xor"},
    Sign{Operation::exchange, "xchg"},        Sign{Operation::compare_exchange, "cmpxchg"}};

std::string_view text_of(const auto& signs, Operation operation) {
  const auto* const found = std::ranges::find(signs, operation, &Sign::operation);
  return found == signs.end() ? "?" : found->text;
}

// `r1`, or `w1` where only its lower half counts.
std::string register_text(const InstructionInfo& info, unsigned number) {
  return fmt::format("{}{}", info.width == 32 ? 'w' : 'r', number);
}

// `*(u32 *)(r10 -4)` without the star: atomics with a result have none.
std::string memory(const InstructionInfo& info, unsigned base, std::int16_t offset) {
  const char kind = info.operation == Operation::load_signed ? 's' : 'u';
  return fmt::format("({}{} *)(r{} {:+})", kind, info.memory_bytes * 8, base, offset);
}

std::string assignment(const InstructionInfo& info, const Slot& slot) {
  const std::string dst = register_text(info, slot.dst);
  if (info.operation == Operation::mov_signed) {
    return fmt::format("{} = (s{}){}", dst, info.sign_bits, register_text(info, slot.src));
  }
  const std::string source = info.source == bpf::Source::src_register
                                 ? register_text(info, slot.src)
                                 : fmt::format("{}", slot.imm);
  if (info.imm.kind == bpf::FieldRule::Kind::selector) {
    return fmt::format("{} = addr_space_cast({}, {}, {})", dst, source, slot.imm >> 16,
                       slot.imm & 0xffff);
  }
  if (info.offset.value == -1) {
    return fmt::format("{} = &(void __percpu *)({})", dst, source);
  }
  return fmt::format("{} {} {}", dst, text_of(kSigns, info.operation), source);
}

std::string change_of_one(const InstructionInfo& info, const Slot& slot) {
  const std::string dst = register_text(info, slot.dst);
  if (info.operation == Operation::neg) {
    return fmt::format("{0} = -{0}", dst);
  }
  // The kernel's names: le16, be16, bswap16.
  return fmt::format("r{0} = {1}{2} r{0}", slot.dst, info.operation == Operation::swap ? "b" : "",
                     info.mnemonic);
}

std::string atomic(const InstructionInfo& info, const Slot& slot) {
  const std::string at = memory(info, slot.dst, slot.offset);
  if (!info.fetches) {
    return fmt::format("lock *{} {} r{}", at, text_of(kSigns, info.operation), slot.src);
  }
  const std::string name = fmt::format("atomic{}_{}", info.memory_bytes == 8 ? "64" : "",
                                       text_of(kFetches, info.operation));
  if (info.operation == Operation::compare_exchange) {
    return fmt::format("r0 = {}({}, r0, r{})", name, at, slot.src);
  }
  return fmt::format("r{0} = {1}({2}, r{0})", slot.src, name, at);
}

std::string branch(const InstructionInfo& info, const Slot& slot) {
  const std::string source = info.source == bpf::Source::src_register
                                 ? register_text(info, slot.src)
                                 : fmt::format("{:#x}", static_cast<std::uint32_t>(slot.imm));
  return fmt::format("if {} {} {} goto pc{:+}", register_text(info, slot.dst),
                     text_of(kSigns, info.operation), source, slot.offset);
}

std::string text(const InstructionInfo& info, std::span<const Slot> slots, bpf::SlotIndex at,
                 std::int64_t call_distance, std::string_view name) {
  const Slot& slot = slots[at];
  switch (info.form) {
    case bpf::Form::dst_source:
      return assignment(info, slot);
    case bpf::Form::dst:
      return change_of_one(info, slot);
    case bpf::Form::dst_imm64:
      return fmt::format("r{} = {:#x}", slot.dst, bpf::immediate64(slot, slots[at + 1]));
    case bpf::Form::dst_map:
      return fmt::format("r{} = map[id:{}]", slot.dst, slot.imm);
    case bpf::Form::dst_value:
      return fmt::format("r{} = map[id:{}][0]+{}", slot.dst, slot.imm, slots[at + 1].imm);
    case bpf::Form::dst_function:
      return fmt::format("r{} = subprog[{:+}]{}{}", slot.dst, slot.imm, name.empty() ? "" : "#",
                         name);
    case bpf::Form::load:
      if (info.orders()) {
        return fmt::format("r{} = load_acquire({})", slot.dst, memory(info, slot.src, slot.offset));
      }
      return fmt::format("r{} = *{}", slot.dst, memory(info, slot.src, slot.offset));
    case bpf::Form::store:
      if (info.orders()) {
        return fmt::format("store_release({}, r{})", memory(info, slot.dst, slot.offset), slot.src);
      }
      return fmt::format("*{} = {}", memory(info, slot.dst, slot.offset),
                         info.source == bpf::Source::src_register ? fmt::format("r{}", slot.src)
                                                                  : fmt::format("{}", slot.imm));
    case bpf::Form::atomic:
      return atomic(info, slot);
    case bpf::Form::target:
      return fmt::format("{} pc{:+}", info.operation == Operation::may_goto ? "may_goto" : "goto",
                         slot.offset);
    case bpf::Form::target32:
      return fmt::format("gotol pc{:+}", slot.imm);
    case bpf::Form::branch:
      return branch(info, slot);
    case bpf::Form::local_callee:
      return fmt::format("call pc{:+}#{}", call_distance, name);
    case bpf::Form::helper:
      return fmt::format("call {}#{}", name.empty() ? "unknown" : name, slot.imm);
    case bpf::Form::kfunc:
      return fmt::format("call {}#{}", name.empty() ? "kernel-function" : name, slot.imm);
    case bpf::Form::callee:
      return fmt::format("callx r{}", slot.dst);
    case bpf::Form::pointer:
      return fmt::format("gotox r{}", slot.dst);
    case bpf::Form::nothing:
      break;
  }
  return std::string(info.mnemonic);
}

}  // namespace

std::string kernel_syntax(std::span<const Slot> slots, bpf::SlotIndex at,
                          std::int64_t call_distance, std::string_view name) {
  const Slot& slot = slots[at];
  const InstructionInfo* const info = bpf::find(slot);
  const bool known = info != nullptr && at + bpf::slots_of(slot.opcode) <= slots.size();
  return fmt::format("({:02x}) {}", slot.opcode,
                     known ? text(*info, slots, at, call_distance, name) : "?");
}

}  // namespace farcall::show

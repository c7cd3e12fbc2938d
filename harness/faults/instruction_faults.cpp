// What a JIT makes of single BPF instructions: mostly as if they were others.
#include <limits>
#include <utility>

#include "bpf/instruction.hpp"
#include "bpf/stack_argument.hpp"
#include "faults/fault.hpp"
#include "faults/rewrite.hpp"
#include "faults/words.hpp"

namespace farcall::faults {
namespace {

using bpf::InstructionInfo;
using bpf::Operation;
using bpf::Slot;
using bpf::Source;
using ppc64::Gpr;
using ppc64::Op;
using ppc64::Operand;
using Slots = std::optional<std::vector<Slot>>;

constexpr std::int32_t kLeast = std::numeric_limits<std::int32_t>::min();

// One slot for another: `other` returns it, or nothing.
template <typename Other>
Mistranslates slot_for(Other other) {
  return {[other](std::span<const Slot> one) -> Slots {
    const InstructionInfo* const info = bpf::find(one.front());
    const std::optional<Slot> slot = info == nullptr ? std::nullopt : other(one.front(), *info);
    return slot && *slot != one.front() ? std::optional(std::vector{*slot}) : std::nullopt;
  }};
}

// Those of `from`, with `change` applied to the slot.
template <typename Change>
Mistranslates changed(std::string_view from, Change change) {
  return slot_for([from, change](Slot slot, const InstructionInfo& info) -> std::optional<Slot> {
    if (info.mnemonic != from) {
      return std::nullopt;
    }
    change(slot);
    return slot;
  });
}

Mistranslates as(std::string_view from, std::string_view to) {
  return {taken_for(from, to)};
}

// All that do `from`, of either width and source, as those that do `to`.
Mistranslates operation_as(Operation from, Operation to) {
  return slot_for([from, to](Slot slot, const InstructionInfo& info) -> std::optional<Slot> {
    if (info.operation != from) {
      return std::nullopt;
    }
    for (const InstructionInfo& row : bpf::kInstructions) {
      if (row.operation == to && row.width == info.width && row.source == info.source &&
          row.form == info.form && row.fetches == info.fetches) {
        bpf::select(row, slot);
        return slot;
      }
    }
    return std::nullopt;
  });
}

// The same operation on 64 bits for that on 32.
Mistranslates wide(Operation operation) {
  return slot_for([operation](Slot slot, const InstructionInfo& info) -> std::optional<Slot> {
    if (info.operation != operation || info.width != 32) {
      return std::nullopt;
    }
    for (const InstructionInfo& row : bpf::kInstructions) {
      if (row.operation == operation && row.width == 64 && row.source == info.source &&
          row.form == info.form && row.sign_bits == info.sign_bits) {
        bpf::select(row, slot);
        return slot;
      }
    }
    return std::nullopt;
  });
}

// Words of the instructions for which `applies`, one by one.
template <typename Applies, typename Edit>
Misemits words(Applies applies, Edit edit) {
  return {[applies, edit](const model::Document& right, model::CodeImage& image) {
    return each_word(right, image, [&](const Word& word) {
      if (word.place != Place::body || !applies(word.info())) {
        return false;
      }
      const std::uint32_t before = word.word();
      edit(word);
      return word.word() != before;
    });
  }};
}

// The first word of a kind becomes a nop.
template <typename Applies>
Misemits without(Op op, Applies applies) {
  return words(applies, [op](const Word& word) {
    if (word.is(op)) {
      word.word() = kNop;
    }
  });
}

bool is_comparison(const Word& word) {
  return word.is(Op::cmpw) || word.is(Op::cmpd) || word.is(Op::cmplw) || word.is(Op::cmpld);
}

auto is_one_of(Operation operation) {
  return [operation](const InstructionInfo& info) { return info.operation == operation; };
}

}  // namespace

std::vector<Fault> instruction_faults() {
  const auto jit = Part::jit;
  return {
      // As they happened.
      {"division-signed", jit, "64-bit division by signs", "758f2046ea04", as("div", "sdiv")},
      {"modulo-signed", jit, "64-bit remainder by signs", "758f2046ea04", as("mod", "smod")},
      {"modulo-by-one", jit, "mod by the immediate 1 leaves dst as it is", "8bbc9d822421",
       slot_for([](const Slot& slot, const InstructionInfo& info) -> std::optional<Slot> {
         return info.operation == Operation::mod && info.source == Source::immediate &&
                        slot.imm == 1
                    ? std::optional(instruction("mov", slot.dst, slot.dst))
                    : std::nullopt;
       })},
      {"subtract-least", jit, "sub of the immediate 0x80000000 adds its negation, which overflows",
       "5855c4c1f415",
       Mistranslates{taken_for("sub", "add", [](const Slot& slot) { return slot.imm == kLeast; })}},
      {"arsh32-wrong-register", jit, "32-bit arithmetic shift into another register",
       "c9b8da77f22d", slot_for([](Slot slot, const InstructionInfo& info) -> std::optional<Slot> {
         if (info.operation != Operation::arsh || info.width != 32) {
           return std::nullopt;
         }
         slot.dst = static_cast<std::uint8_t>((slot.dst + 1) % bpf::kFramePointer);
         return slot;
       })},
      {"jset-16-bits", jit, "jset looks at the low 16 bits of its immediate, as andi. does",
       "e8278d444432", slot_for([](Slot slot, const InstructionInfo& info) -> std::optional<Slot> {
         if (info.operation != Operation::jump_if_set || info.source != Source::immediate) {
           return std::nullopt;
         }
         slot.imm &= 0xffff;
         return slot;
       })},
      {"swap64-zero-extended", jit, "the upper half is zeroed after a 64-bit byte swap",
       "48164fccdff6", Mistranslates{[](std::span<const Slot> one) -> Slots {
         const InstructionInfo* const info = bpf::find(one.front());
         return info != nullptr && info->swap_bits == 64
                    ? std::optional(std::vector{
                          one.front(), instruction("mov32", one.front().dst, one.front().dst)})
                    : std::nullopt;
       }}},
      {"byte-reversal-of-another-cpu", jit,
       "a byte reversal that the CPU lacks: brd before power10", "3f5f766d5f7f",
       Misemits{[](const model::Document& right, model::CodeImage& image) {
         return right.cell.axes.cpu < model::Cpu::power10 &&
                each_word(
                    right, image,
                    [](const Word& word) {
                      if (!word.is(Op::ldbrx)) {
                        return false;
                      }
                      const auto dst = static_cast<Gpr>(word.get(Operand::rt));
                      word.word() = ppc64::encode<Op::brd>(dst, dst);
                      return true;
                    });
       }}},
      {"fetch-taken-for-none", jit,
       "the immediate of another instruction says whether an atomic fetches", "419ac821766c",
       slot_for([](Slot slot, const InstructionInfo& info) -> std::optional<Slot> {
         if (info.operation != Operation::atomic_add || !info.fetches) {
           return std::nullopt;
         }
         slot.imm = 0;
         return slot;
       })},
      {"add32-leaves-high-bits", jit, "32-bit addition leaves the carry in the upper half",
       "1e692f09e091", wide(Operation::add)},
      {"mov32-leaves-high-bits", jit, "the zero extension of mov32 is optimised away",
       "db7bee653859", wide(Operation::mov)},
      {"byte-store-of-another-register", jit,
       "a byte store encodes another register than its source", "aee194b14dd2",
       changed("stxb", [](Slot& slot) { slot.src ^= slot.src < bpf::kFramePointer ? 1 : 0; })},
      {"fetch-into-r0", jit, "a fetching atomic with r0 as its source loses what it found",
       "b29dd96b905f", slot_for([](Slot slot, const InstructionInfo& info) -> std::optional<Slot> {
         if (info.form != bpf::Form::atomic || !info.fetches || slot.src != 0 ||
             info.operation == Operation::exchange ||
             info.operation == Operation::compare_exchange) {
           return std::nullopt;
         }
         slot.imm &= ~1;
         return slot;
       })},
      {"shift-by-zero", jit, "a 64-bit shift by a register that holds 0 loses the upper half",
       "68a8357ec15b", Mistranslates{[](std::span<const Slot> one) -> Slots {
         const Slot& slot = one.front();
         const InstructionInfo* const info = bpf::find(slot);
         if (info == nullptr || info->operation != Operation::lsh || info->width != 64 ||
             info->source != Source::src_register) {
           return std::nullopt;
         }
         return std::vector{with_immediate("jne", slot.src, 0, 1),
                            instruction("mov32", slot.dst, slot.dst), slot};
       }}},

      // Our own.
      {"sixth-argument-one-doubleword-off", jit,
       "the sixth argument is stored where the callee looks for the seventh", "ours",
       slot_for([](Slot slot, const InstructionInfo& info) -> std::optional<Slot> {
         const auto argument = bpf::stack_argument(slot, info);
         if (!argument || argument->is_own || argument->number != 0) {
           return std::nullopt;
         }
         slot.offset = static_cast<std::int16_t>(slot.offset - 8);
         return slot;
       })},
      {"seventh-argument-for-the-sixth", jit,
       "a callee loads its seventh argument where it asks for its sixth", "ours",
       slot_for([](Slot slot, const InstructionInfo& info) -> std::optional<Slot> {
         const auto argument = bpf::stack_argument(slot, info);
         if (!argument || !argument->is_own || argument->number != 0) {
           return std::nullopt;
         }
         slot.offset = static_cast<std::int16_t>(slot.offset + 8);
         return slot;
       })},
      {"sub-exchanged", jit, "32-bit subtraction of registers with its operands exchanged", "ours",
       Misemits{[](const model::Document& right, model::CodeImage& image) {
         return each_word(right, image, [](const Word& word) {
           if (word.place != Place::body || !word.is(Op::subf) ||
               word.info().operation != Operation::sub || word.info().width != 32) {
             return false;
           }
           const std::int64_t ra = word.get(Operand::ra);
           word.set(Operand::ra, word.get(Operand::rb));
           word.set(Operand::rb, ra);
           return true;
         });
       }}},
      {"mul32-leaves-high-bits", jit, "32-bit multiplication leaves the upper half of the product",
       "ours",
       words(
           [](const InstructionInfo& info) {
             return info.operation == Operation::mul && info.width == 32;
           },
           [](const Word& word) {
             if (word.is(Op::rldicl) || word.is(Op::rlwinm)) {
               word.word() = kNop;
             }
           })},
      {"neg32-wide", jit, "neg32 negates 64 bits", "ours", wide(Operation::neg)},
      {"xor32-leaves-high-bits", jit, "32-bit exclusive or leaves the upper half", "ours",
       wide(Operation::bit_xor)},
      {"rsh32-of-64-bits", jit, "rsh32 moves bits of the upper half down", "ours",
       wide(Operation::rsh)},
      {"arsh-as-rsh", jit, "an arithmetic shift forgets the sign", "ours",
       operation_as(Operation::arsh, Operation::rsh)},
      {"shift-count-not-masked", jit, "counts of 64 and more shift everything out", "ours",
       Misemits{[](const model::Document& right, model::CodeImage& image) {
         return each_word(right, image, [](const Word& word) {
           if (word.place != Place::body || !word.is(Op::rldicl) ||
               word.info().source != Source::src_register || word.info().width != 64 ||
               (word.info().operation != Operation::lsh &&
                word.info().operation != Operation::rsh)) {
             return false;
           }
           word.set(Operand::mb6, 57);
           return true;
         });
       }}},
      {"division-by-zero", jit, "a quotient by 0 is all ones, as some CPUs have it", "ours",
       Mistranslates{[](std::span<const Slot> one) -> Slots {
         const Slot& slot = one.front();
         const InstructionInfo* const info = bpf::find(slot);
         if (info == nullptr || info->operation != Operation::div || info->width != 64 ||
             info->source != Source::src_register || slot.src == slot.dst) {
           return std::nullopt;
         }
         const Slot over = instruction("ja", 0, 0, 1);
         return std::vector{with_immediate("jne", slot.src, 0, 2),
                            with_immediate("mov", slot.dst, -1), over, slot};
       }}},
      {"immediate-zero-extended", jit, "immediates of 64-bit operations are extended with zeros",
       "ours", Mistranslates{[](std::span<const Slot> one) -> Slots {
         const InstructionInfo* const info = bpf::find(one.front());
         if (info == nullptr || !is(one.front(), "mov") || info->source != Source::immediate ||
             one.front().imm >= 0) {
           return std::nullopt;
         }
         return std::vector{with_immediate("mov32", one.front().dst, one.front().imm)};
       }}},
      {"and-immediate-16-bits", jit, "`and` has the low 16 bits of its immediate, as andi. does",
       "ours", slot_for([](Slot slot, const InstructionInfo& info) -> std::optional<Slot> {
         if (info.operation != Operation::bit_and || info.source != Source::immediate) {
           return std::nullopt;
         }
         slot.imm &= 0xffff;
         return slot;
       })},
      {"lddw-upper-half-lost", jit, "a 64-bit immediate load extends its lower half by sign",
       "ours", Mistranslates{[](std::span<const Slot> one) -> Slots {
         const InstructionInfo* const info = bpf::find(one.front());
         if (info == nullptr || info->operation != Operation::load_immediate64) {
           return std::nullopt;
         }
         std::vector<Slot> both(one.begin(), one.end());
         both[1].imm = both[0].imm < 0 ? -1 : 0;
         return both[1] == one[1] ? std::nullopt : std::optional(std::move(both));
       }}},
      {"movsx-zero-extended", jit, "movsx of 8 bits extends with zeros", "ours",
       Mistranslates{[](std::span<const Slot> one) -> Slots {
         const Slot& slot = one.front();
         if (!is(slot, "movsx864")) {
           return std::nullopt;
         }
         return std::vector{instruction("mov", slot.dst, slot.src),
                            with_immediate("and", slot.dst, 0xff)};
       }}},
      {"load-not-sign-extended", jit, "a sign-extending halfword load extends with zeros", "ours",
       as("ldxsh", "ldxh")},
      {"load-of-two-bytes", jit, "a word load loads a halfword", "ours", as("ldxw", "ldxh")},
      {"load-sign-extended", jit, "a word load extends by sign", "ours", as("ldxw", "ldxsw")},
      {"store-of-a-word", jit, "a doubleword store stores a word", "ours", as("stxdw", "stxw")},
      {"store-of-a-doubleword", jit, "a word store stores a doubleword", "ours",
       as("stxw", "stxdw")},
      {"store-dropped", jit, "the last store of a register in a program is left out", "ours",
       Misemits{[](const model::Document& right, model::CodeImage& image) {
         std::optional<std::pair<std::uint32_t, std::size_t>> last;
         each_word(right, image, [&](const Word& word) {
           if (word.place == Place::body && word.info().operation == Operation::store_register) {
             last = {word.function, word.at};
           }
           return false;
         });
         if (last) {
           image.functions[last->first].words[last->second] = kNop;
         }
         return last.has_value();
       }}},
      {"displacement-unsigned", jit, "negative displacements of loads and stores count up", "ours",
       slot_for([](Slot slot, const InstructionInfo& info) -> std::optional<Slot> {
         if (info.memory_bytes == 0 || slot.offset >= 0 || slot.offset < -256) {
           return std::nullopt;
         }
         slot.offset = static_cast<std::int16_t>(slot.offset & 0xff);
         return slot;
       })},
      {"displacement-aligned", jit,
       "a doubleword access has its displacement rounded down to what the form has room for",
       "ours", slot_for([](Slot slot, const InstructionInfo& info) -> std::optional<Slot> {
         if (info.memory_bytes != 8 || info.form == bpf::Form::atomic) {
           return std::nullopt;
         }
         slot.offset = static_cast<std::int16_t>(slot.offset & ~3);
         return slot;
       })},
      {"swap-of-native-order", jit, "a conversion into the order of the CPU swaps all the same",
       "ours", Mistranslates{[](std::span<const Slot> one) -> Slots {
         Slot slot = one.front();
         if (!is(slot, "le32")) {
           return std::nullopt;
         }
         bpf::select(*bpf::find(instruction("swap32", 0, 0)), slot);
         return std::vector{slot};
       }}},
      {"be16-keeps-upper-bits", jit, "a 16-bit conversion leaves the bits above", "ours",
       without(Op::rldicl, [](const InstructionInfo& info) { return info.swap_bits == 16; })},
      {"jump-of-32-bits-compares-64", jit, "32-bit comparisons look at the upper halves", "ours",
       slot_for([](Slot slot, const InstructionInfo& info) -> std::optional<Slot> {
         if (info.form != bpf::Form::branch || info.width != 32) {
           return std::nullopt;
         }
         for (const InstructionInfo& row : bpf::kInstructions) {
           if (row.operation == info.operation && row.width == 64 && row.source == info.source) {
             bpf::select(row, slot);
           }
         }
         return slot;
       })},
      {"jgt-signed", jit, "jgt compares by signs", "ours",
       operation_as(Operation::jump_if_greater, Operation::jump_if_signed_greater)},
      {"jslt-unsigned", jit, "jslt compares magnitudes", "ours",
       operation_as(Operation::jump_if_signed_less, Operation::jump_if_less)},
      {"jle-as-jlt", jit, "jle does not jump if both are equal", "ours",
       operation_as(Operation::jump_if_less_equal, Operation::jump_if_less)},
      {"jset-as-jeq", jit, "jset jumps if no bit is common", "ours",
       Misemits{[](const model::Document& right, model::CodeImage& image) {
         return each_word(right, image, [](const Word& word) {
           if (word.place != Place::body || !word.is(Op::bc) ||
               word.info().operation != Operation::jump_if_set) {
             return false;
           }
           word.set(Operand::bo, word.get(Operand::bo) ^ 8);
           return true;
         });
       }}},
      {"atomic-or-as-add", jit, "an atomic or adds", "ours",
       operation_as(Operation::atomic_or, Operation::atomic_add)},
      {"fetch-of-the-new-value", jit, "a fetching addition returns the sum", "ours",
       Misemits{[](const model::Document& right, model::CodeImage& image) {
         return each_word(right, image, [](const Word& word) {
           // In our code r11 is what was there and r9 the sum, in Linux's r0 and r10.
           const bool is_linux = word.right.image->thread_area.has_value();
           if (word.place != Place::body || !word.is(Op::or_) ||
               word.info().operation != Operation::atomic_add || !word.info().fetches ||
               word.get(Operand::rs) != (is_linux ? 0 : 11)) {
             return false;
           }
           word.set(Operand::rs, is_linux ? 10 : 9);
           word.set(Operand::rb, is_linux ? 10 : 9);
           return true;
         });
       }}},
      {"cmpxchg-always-stores", jit, "compare-exchange stores whether equal or not", "ours",
       Misemits{[](const model::Document& right, model::CodeImage& image) {
         return each_word(right, image, [](const Word& word) {
           if (word.place != Place::body || word.info().operation != Operation::compare_exchange) {
             return false;
           }
           if (is_comparison(word)) {  // and a branch right after it, over the store
             const ppc64::Instruction* const next = ppc64::find(word.word(1));
             const bool branches = next != nullptr && next->op == Op::bc;
             word.word(1) = branches ? kNop : word.word(1);
             return branches;
           }
           if (!word.is(Op::isel)) {
             return false;
           }
           word.set(Operand::rb, word.get(Operand::ra0));
           return true;
         });
       }}},
      {"cmpxchg32-compares-64", jit, "32-bit compare-exchange compares 64 bits of r0", "ours",
       Misemits{[](const model::Document& right, model::CodeImage& image) {
         return each_word(right, image, [](const Word& word) {
           if (word.place != Place::body || (!word.is(Op::cmplw) && !word.is(Op::cmpw)) ||
               word.info().operation != Operation::compare_exchange) {
             return false;
           }
           word.word() |= 1U << 21;  // L
           return true;
         });
       }}},
      {"exchange-loses-the-old-value", jit, "xchg does not return what was in memory", "ours",
       without(Op::or_, is_one_of(Operation::exchange))},
      {"acquire-as-a-word", jit, "load_acquire of a doubleword loads a word", "ours",
       as("acquire ldxdw", "acquire ldxw")},
      {"may-goto-once-too-often", jit, "may_goto goes on once more than its limit", "ours",
       Misemits{[](const model::Document& right, model::CodeImage& image) {
         return each_word(right, image, [](const Word& word) {
           if (word.place != Place::prologue || !word.is(Op::addi) ||
               word.get(Operand::si) != std::int64_t{bpf::kMayGotoLimit}) {
             return false;
           }
           word.set(Operand::si, std::int64_t{bpf::kMayGotoLimit} + 1);
           return true;
         });
       }}},
  };
}

}  // namespace farcall::faults

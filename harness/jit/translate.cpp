#include "jit/translate.hpp"

#include <fmt/format.h>

#include <array>
#include <cstddef>

#include "base/bits.hpp"
#include "bpf/instruction.hpp"
#include "bpf/interpreter.hpp"
#include "jit/immediate.hpp"
#include "model/cell.hpp"
#include "ppc64/abi.hpp"

namespace farcall::jit {
namespace {

using bpf::InstructionInfo;
using bpf::Operation;
using bpf::Slot;
using bpf::Source;
using ppc64::CrField;
using ppc64::Gpr;
using ppc64::kZero;
using ppc64::Op;

constexpr std::array<Gpr, bpf::kRegisterCount> kRegisterOf = {
    Gpr::r8,  Gpr::r3,  Gpr::r4,  Gpr::r5,  Gpr::r6, Gpr::r7,
    Gpr::r27, Gpr::r28, Gpr::r29, Gpr::r30, Gpr::r31};
constexpr Gpr kScratch = Gpr::r9;        // an immediate, an index, a count
constexpr Gpr kOtherScratch = Gpr::r10;  // what is on the way to dst, or to memory
constexpr Gpr kStack = ppc64::kElfv2.stack;

constexpr std::uint16_t kBpfStack = ppc64::kElfv2.header_bytes;
constexpr std::uint16_t kSwapBuffer = kBpfStack + bpf::kFrameBytes;
constexpr std::uint16_t kSaved = kSwapBuffer + 8;
constexpr std::uint8_t kFirstNonvolatile = 6;  // of BPF's registers
static_assert(kSaved + (bpf::kRegisterCount - kFirstNonvolatile) * 8 == kFrameBytes);
static_assert(kFrameBytes % ppc64::kElfv2.stack_alignment == 0);
static_assert(24 * kFrameBytes <= model::kStackBytes);

// What a conditional jump compares, and which bit of the result makes it jump.
struct Comparison {
  enum class Kind : std::uint8_t { sign, magnitude, common_bits };
  Operation operation{};
  Kind kind{};
  ppc64::Condition condition{};
  bool jumps_if = true;
};

constexpr std::array kComparisons = {
    Comparison{Operation::jump_if_equal, Comparison::Kind::sign, ppc64::Condition::eq, true},
    Comparison{Operation::jump_if_not_equal, Comparison::Kind::sign, ppc64::Condition::eq, false},
    Comparison{Operation::jump_if_set, Comparison::Kind::common_bits, ppc64::Condition::eq, false},
    Comparison{Operation::jump_if_greater, Comparison::Kind::magnitude, ppc64::Condition::gt, true},
    Comparison{Operation::jump_if_greater_equal, Comparison::Kind::magnitude, ppc64::Condition::lt,
               false},
    Comparison{Operation::jump_if_less, Comparison::Kind::magnitude, ppc64::Condition::lt, true},
    Comparison{Operation::jump_if_less_equal, Comparison::Kind::magnitude, ppc64::Condition::gt,
               false},
    Comparison{Operation::jump_if_signed_greater, Comparison::Kind::sign, ppc64::Condition::gt,
               true},
    Comparison{Operation::jump_if_signed_greater_equal, Comparison::Kind::sign,
               ppc64::Condition::lt, false},
    Comparison{Operation::jump_if_signed_less, Comparison::Kind::sign, ppc64::Condition::lt, true},
    Comparison{Operation::jump_if_signed_less_equal, Comparison::Kind::sign, ppc64::Condition::gt,
               false},
};

constexpr std::size_t comparison_index(Operation operation) {
  return static_cast<std::size_t>(operation) - static_cast<std::size_t>(Operation::jump_if_equal);
}
static_assert([] {
  for (std::size_t i = 0; i < kComparisons.size(); ++i) {
    if (comparison_index(kComparisons[i].operation) != i) {
      return false;
    }
  }
  return true;
}());

constexpr std::uint64_t extended(std::int32_t imm, unsigned width) {
  return width == 64 ? static_cast<std::uint64_t>(std::int64_t{imm})
                     : static_cast<std::uint32_t>(imm);
}

class Translation {
 public:
  Translation(Pass pass, const FunctionSource& source, Layout& layout, Emitter& out)
      : pass_(pass),
        source_(source),
        program_(source.linked.program),
        function_(program_.functions[source.function]),
        layout_(layout),
        out_(out) {}

  Result<void> run() {
    out_.clear();
    layout_.slots.resize(function_.end - function_.begin + 1);
    layout_.calls.clear();
    prologue();
    for (slot_ = function_.begin; slot_ < function_.end; slot_ += slots_taken_) {
      BOOST_OUTCOME_TRYV(place(slot_ - function_.begin));
      BOOST_OUTCOME_TRYV(instruction());
    }
    BOOST_OUTCOME_TRYV(place(function_.end - function_.begin));
    epilogue();
    return success();
  }

 private:
  template <Op op, typename... Operands>
  void emit(Operands... operands) {
    out_.emit<op>(operands...);
  }

  // The code of this slot, or the epilogue, begins here.
  Result<void> place(std::uint32_t slot) {
    if (pass_ == Pass::emitting && layout_.slots[slot] != out_.position()) {
      return Error{
          .code = ErrorCode::jit_size_changed,
          .message = fmt::format("{}+{} is at word {} and was planned for word {}", function_.name,
                                 slot, out_.position(), layout_.slots[slot])};
    }
    layout_.slots[slot] = out_.position();
    return success();
  }

  // The nonvolatile registers of BPF that this function names, as a mask.
  std::uint32_t nonvolatiles() const {
    std::uint32_t named = 0;
    for (bpf::SlotIndex i = function_.begin; i < function_.end; ++i) {
      named |= 1U << program_.slots[i].dst | 1U << program_.slots[i].src;
    }
    return named & ((1U << bpf::kRegisterCount) - (1U << kFirstNonvolatile));
  }

  template <Op op>
  void each_saved_register() {
    for (std::uint32_t n = kFirstNonvolatile; n < bpf::kRegisterCount; ++n) {
      if ((saved_ >> n & 1) != 0) {
        emit<op>(kRegisterOf[n], kSaved + 8 * (n - kFirstNonvolatile), kStack);
      }
    }
  }

  void prologue() {
    saved_ = nonvolatiles();
    emit<Op::mflr>(Gpr::r0);
    emit<Op::std_>(Gpr::r0, ppc64::kElfv2.saved_lr, kStack);
    emit<Op::stdu>(kStack, -kFrameBytes, kStack);
    each_saved_register<Op::std_>();
    if ((saved_ >> bpf::kFramePointer & 1) != 0) {
      emit<Op::addi>(kRegisterOf[bpf::kFramePointer], kStack, kSwapBuffer);
    }
  }

  void epilogue() {
    emit<Op::or_>(ppc64::kElfv2.result, kRegisterOf[0], kRegisterOf[0]);
    each_saved_register<Op::ld>();
    emit<Op::addi>(kStack, kStack, kFrameBytes);
    emit<Op::ld>(Gpr::r0, ppc64::kElfv2.saved_lr, kStack);
    emit<Op::mtlr>(Gpr::r0);
    emit<Op::bclr>(ppc64::kBranchAlways, ppc64::CrBit{0}, 0);
  }

  Result<void> instruction() {
    const Slot& slot = program_.slots[slot_];
    const InstructionInfo* const info = bpf::find(slot);
    slots_taken_ = 1;
    if (info == nullptr || slot.dst >= bpf::kRegisterCount || slot.src >= bpf::kRegisterCount) {
      return unsupported(slot);
    }
    switch (info->form) {
      case bpf::Form::dst_source:
      case bpf::Form::dst:
        arithmetic(*info, slot);
        break;
      case bpf::Form::dst_imm64:
        load_immediate(out_, kRegisterOf[slot.dst],
                       bpf::immediate64(slot, program_.slots[slot_ + 1]));
        slots_taken_ = 2;
        break;
      case bpf::Form::load:
        load(info->memory_bytes, kRegisterOf[slot.dst], slot.offset, kRegisterOf[slot.src]);
        break;
      case bpf::Form::store:
        store(*info, slot);
        break;
      case bpf::Form::target:
        jump(target_of(slot));
        break;
      case bpf::Form::branch:
        conditional_jump(*info, slot);
        break;
      case bpf::Form::local_callee:
        return call();
      case bpf::Form::nothing:  // exit
        if (slot_ + 1 != function_.end) {
          jump(function_.end - function_.begin);
        }
        break;
    }
    return success();
  }

  Error unsupported(const Slot& slot) const {
    Error error{.code = ErrorCode::jit_unsupported,
                .message = fmt::format("{}+{}: the JIT does not know the instruction {:#04x} "
                                       "(dst {}, src {}, imm {})",
                                       function_.name, slot_ - function_.begin, slot.opcode,
                                       slot.dst, slot.src, slot.imm)};
    if (slot_ < program_.origins.size()) {
      error.where = program_.origins[slot_];
    }
    return error;
  }

  // --- arithmetic

  void zero_upper_half(Gpr dst) { emit<Op::rldicl>(dst, dst, 0, 32); }

  // The second operand in a register.
  Gpr second(const InstructionInfo& info, const Slot& slot) {
    if (info.source == Source::src_register) {
      return kRegisterOf[slot.src];
    }
    load_immediate(out_, kScratch, extended(slot.imm, 64));
    return kScratch;
  }

  void arithmetic(const InstructionInfo& info, const Slot& slot) {
    const Gpr dst = kRegisterOf[slot.dst];
    const bool wide = info.width == 64;
    const bool immediate = info.source == Source::immediate;
    const std::int64_t imm = slot.imm;
    const bool is_ui = immediate && imm >= 0 && imm <= 0xffff;
    const bool is_si = immediate && fits_signed(imm, 16);
    switch (info.operation) {
      case Operation::mov:
        if (immediate) {
          load_immediate(out_, dst, extended(slot.imm, info.width));
        } else if (wide) {
          emit<Op::or_>(dst, kRegisterOf[slot.src], kRegisterOf[slot.src]);
        } else {
          emit<Op::rldicl>(dst, kRegisterOf[slot.src], 0, 32);
        }
        return;
      case Operation::lsh:
      case Operation::rsh:
      case Operation::arsh:
        return immediate ? shift_by_immediate(info, dst, slot.imm)
                         : shift_by_register(info, dst, kRegisterOf[slot.src]);
      case Operation::to_little:
      case Operation::to_big:
        return to_byte_order(info, dst);
      case Operation::add:
        if (is_si) {
          emit<Op::addi>(dst, dst, imm);
        } else {
          emit<Op::add>(dst, dst, second(info, slot));
        }
        break;
      case Operation::sub:
        if (immediate && fits_signed(-imm, 16)) {
          emit<Op::addi>(dst, dst, -imm);
        } else {
          emit<Op::subf>(dst, second(info, slot), dst);
        }
        break;
      case Operation::mul:
        if (is_si) {
          emit<Op::mulli>(dst, dst, imm);
        } else if (wide) {
          emit<Op::mulld>(dst, dst, second(info, slot));
        } else {
          emit<Op::mullw>(dst, dst, second(info, slot));
        }
        break;
      case Operation::div:
        divide(wide, dst, second(info, slot));
        break;
      case Operation::mod:
        modulo(wide, dst, second(info, slot));
        break;
      case Operation::bit_or:
        if (is_ui) {
          emit<Op::ori>(dst, dst, imm);
        } else {
          emit<Op::or_>(dst, dst, second(info, slot));
        }
        break;
      case Operation::bit_and:
        if (is_ui) {
          emit<Op::andi_rc>(dst, dst, imm);
        } else {
          emit<Op::and_>(dst, dst, second(info, slot));
        }
        break;
      case Operation::bit_xor:
        if (is_ui) {
          emit<Op::xori>(dst, dst, imm);
        } else {
          emit<Op::xor_>(dst, dst, second(info, slot));
        }
        break;
      case Operation::neg:
        emit<Op::neg>(dst, dst);
        break;
      default:
        break;
    }
    if (!wide) {
      zero_upper_half(dst);
    }
  }

  // A quotient by 0 is undefined on ppc64 (it does not trap) and 0 in BPF.
  void divide(bool wide, Gpr dst, Gpr divisor) {
    if (wide) {
      emit<Op::cmpldi>(CrField::cr0, divisor, 0);
      emit<Op::divdu>(kOtherScratch, dst, divisor);
    } else {
      emit<Op::cmplwi>(CrField::cr0, divisor, 0);
      emit<Op::divwu>(kOtherScratch, dst, divisor);
    }
    emit<Op::isel>(dst, kZero, kOtherScratch, cr_bit(CrField::cr0, ppc64::Condition::eq));
  }

  // dst − (dst / divisor) · divisor. Times a divisor of 0, an undefined quotient is 0 as well, and
  // dst stays as it is: what BPF asks for. (modud came only with power9.)
  void modulo(bool wide, Gpr dst, Gpr divisor) {
    if (wide) {
      emit<Op::divdu>(kOtherScratch, dst, divisor);
      emit<Op::mulld>(kOtherScratch, kOtherScratch, divisor);
    } else {
      emit<Op::divwu>(kOtherScratch, dst, divisor);
      emit<Op::mullw>(kOtherScratch, kOtherScratch, divisor);
    }
    emit<Op::subf>(dst, kOtherScratch, dst);
  }

  // BPF takes counts modulo the width.
  void shift_by_immediate(const InstructionInfo& info, Gpr dst, std::int32_t imm) {
    const std::uint32_t count = static_cast<std::uint32_t>(imm) & (info.width - 1U);
    const std::uint32_t back = (info.width - count) & (info.width - 1U);
    const bool wide = info.width == 64;
    switch (info.operation) {
      case Operation::lsh:
        if (wide) {
          emit<Op::rldicr>(dst, dst, count, 63 - count);
        } else {
          emit<Op::rlwinm>(dst, dst, count, 0, 31 - count);
        }
        break;
      case Operation::rsh:
        if (wide) {
          emit<Op::rldicl>(dst, dst, back, count);
        } else {
          emit<Op::rlwinm>(dst, dst, back, count, 31);
        }
        break;
      default:
        if (wide) {
          emit<Op::sradi>(dst, dst, count);
        } else {
          emit<Op::srawi>(dst, dst, count);
          zero_upper_half(dst);
        }
        break;
    }
  }

  // The ISA looks at one bit more than the width needs, and shifts everything out if it is set.
  void shift_by_register(const InstructionInfo& info, Gpr dst, Gpr src) {
    const bool wide = info.width == 64;
    emit<Op::rldicl>(kScratch, src, 0, wide ? 58 : 59);
    switch (info.operation) {
      case Operation::lsh:
        if (wide) {
          emit<Op::sld>(dst, dst, kScratch);
        } else {
          emit<Op::slw>(dst, dst, kScratch);
        }
        break;
      case Operation::rsh:
        if (wide) {
          emit<Op::srd>(dst, dst, kScratch);
        } else {
          emit<Op::srw>(dst, dst, kScratch);
        }
        break;
      default:
        if (wide) {
          emit<Op::srad>(dst, dst, kScratch);
        } else {
          emit<Op::sraw>(dst, dst, kScratch);
          zero_upper_half(dst);
        }
        break;
    }
  }

  // There is no register-to-register byte swap before power10: store, and load byte-reversed. In
  // the order that the CPU runs in already, only the upper bits go.
  void to_byte_order(const InstructionInfo& info, Gpr dst) {
    const bool is_native =
        (info.operation == Operation::to_little) == (source_.endian == model::Endian::little);
    if (is_native) {
      if (info.swap_bits < 64) {
        emit<Op::rldicl>(dst, dst, 0, 64 - info.swap_bits);
      }
      return;
    }
    store(info.swap_bits / 8U, dst, kSwapBuffer, kStack);
    emit<Op::addi>(kScratch, kStack, kSwapBuffer);
    if (info.swap_bits == 16) {
      emit<Op::lhbrx>(dst, kZero, kScratch);
    } else if (info.swap_bits == 32) {
      emit<Op::lwbrx>(dst, kZero, kScratch);
    } else {
      emit<Op::ldbrx>(dst, kZero, kScratch);
    }
  }

  // --- memory

  void load(unsigned bytes, Gpr dst, std::int16_t offset, Gpr base) {
    switch (bytes) {
      case 1:
        return emit<Op::lbz>(dst, offset, base);
      case 2:
        return emit<Op::lhz>(dst, offset, base);
      case 4:
        return emit<Op::lwz>(dst, offset, base);
      default:
        if (offset % 4 == 0) {
          return emit<Op::ld>(dst, offset, base);
        }
        emit<Op::addi>(kScratch, kZero, offset);
        return emit<Op::ldx>(dst, base, kScratch);
    }
  }

  void store(unsigned bytes, Gpr value, std::int16_t offset, Gpr base) {
    switch (bytes) {
      case 1:
        return emit<Op::stb>(value, offset, base);
      case 2:
        return emit<Op::sth>(value, offset, base);
      case 4:
        return emit<Op::stw>(value, offset, base);
      default:
        if (offset % 4 == 0) {
          return emit<Op::std_>(value, offset, base);
        }
        emit<Op::addi>(kScratch, kZero, offset);
        return emit<Op::stdx>(value, base, kScratch);
    }
  }

  void store(const InstructionInfo& info, const Slot& slot) {
    Gpr value = kRegisterOf[slot.src];
    if (info.source == Source::immediate) {
      value = kOtherScratch;
      load_immediate(out_, value, extended(slot.imm, 64));
    }
    store(info.memory_bytes, value, slot.offset, kRegisterOf[slot.dst]);
  }

  // --- jumps and calls

  std::uint32_t target_of(const Slot& slot) const {
    return static_cast<std::uint32_t>(std::int64_t{slot_} + 1 + slot.offset - function_.begin);
  }

  Branch& next_branch(std::uint32_t target, bool conditional) {
    const std::size_t number = branches_++;
    if (number == layout_.branches.size()) {
      layout_.branches.push_back({.conditional = conditional});
    }
    Branch& branch = layout_.branches[number];
    branch.position = out_.position();
    branch.target = target;
    return branch;
  }

  // From the word at `position` to a slot, in bytes.
  std::int64_t distance(std::uint32_t position, std::uint32_t slot) const {
    return pass_ == Pass::sizing ? 0 : (std::int64_t{layout_.slots[slot]} - position) * 4;
  }

  void jump(std::uint32_t target) {
    const Branch& branch = next_branch(target, false);
    emit<Op::b>(distance(branch.position, target));
  }

  void conditional_jump(const InstructionInfo& info, const Slot& slot) {
    const Comparison& comparison = kComparisons[comparison_index(info.operation)];
    compare(comparison.kind, info, slot);
    const unsigned jumps = comparison.jumps_if ? ppc64::kBranchIfTrue : ppc64::kBranchIfFalse;
    const unsigned passes = comparison.jumps_if ? ppc64::kBranchIfFalse : ppc64::kBranchIfTrue;
    const ppc64::CrBit bit = cr_bit(CrField::cr0, comparison.condition);
    const std::uint32_t target = target_of(slot);
    const Branch& branch = next_branch(target, true);
    if (branch.far) {
      emit<Op::bc>(passes, bit, 8);
      emit<Op::b>(distance(branch.position + 1, target));
    } else {
      emit<Op::bc>(jumps, bit, distance(branch.position, target));
    }
  }

  // Leaves in cr0 how dst compares with the second operand, or their common bits with 0.
  void compare(Comparison::Kind kind, const InstructionInfo& info, const Slot& slot) {
    const Gpr dst = kRegisterOf[slot.dst];
    const bool wide = info.width == 64;
    const bool immediate = info.source == Source::immediate;
    const std::int64_t imm = slot.imm;
    switch (kind) {
      case Comparison::Kind::sign:
        if (immediate && fits_signed(imm, 16)) {
          return wide ? emit<Op::cmpdi>(CrField::cr0, dst, imm)
                      : emit<Op::cmpwi>(CrField::cr0, dst, imm);
        } else {
          const Gpr other = second(info, slot);
          return wide ? emit<Op::cmpd>(CrField::cr0, dst, other)
                      : emit<Op::cmpw>(CrField::cr0, dst, other);
        }
      case Comparison::Kind::magnitude:
        if (immediate && imm >= 0 && imm <= 0xffff) {
          return wide ? emit<Op::cmpldi>(CrField::cr0, dst, imm)
                      : emit<Op::cmplwi>(CrField::cr0, dst, imm);
        } else {
          const Gpr other = second(info, slot);
          return wide ? emit<Op::cmpld>(CrField::cr0, dst, other)
                      : emit<Op::cmplw>(CrField::cr0, dst, other);
        }
      case Comparison::Kind::common_bits:
        emit<Op::and_>(kScratch, dst, second(info, slot));
        return wide ? emit<Op::cmpdi>(CrField::cr0, kScratch, 0)
                    : emit<Op::cmpwi>(CrField::cr0, kScratch, 0);
    }
  }

  Result<void> call() {
    const model::LinkedProgram& linked = source_.linked;
    const auto ordinal = static_cast<std::uint32_t>(layout_.calls.size());
    const std::size_t number = source_.first_call + ordinal;
    if (number >= linked.calls.size() || linked.calls[number].slot != slot_) {
      return Error{.code = ErrorCode::call_unresolved,
                   .message = "the linked program does not say where this call goes",
                   .site = bpf::to_string(program_, {source_.function, ordinal})};
    }
    source_.reach.emit_call(
        out_, pass_ == Pass::sizing ? GuestAddress{} : model::jit_target(linked, number));
    layout_.calls.push_back(out_.position() - 1);
    emit<Op::or_>(kRegisterOf[0], ppc64::kElfv2.result, ppc64::kElfv2.result);
    return success();
  }

  const Pass pass_;
  const FunctionSource& source_;
  const bpf::Program& program_;
  const bpf::Function& function_;
  Layout& layout_;
  Emitter& out_;
  bpf::SlotIndex slot_ = 0;         // the instruction being translated
  bpf::SlotIndex slots_taken_ = 1;  // by it
  std::uint32_t saved_ = 0;
  std::size_t branches_ = 0;
};

}  // namespace

Result<void> run_pass(Pass pass, const FunctionSource& source, Layout& layout, Emitter& out) {
  return Translation(pass, source, layout, out).run();
}

bool widen_branches(Layout& layout) {
  bool widened = false;
  for (Branch& branch : layout.branches) {
    const std::int64_t words = std::int64_t{layout.slots[branch.target]} - branch.position;
    if (branch.conditional && !branch.far && !fits_signed(words * 4, 16)) {
      branch.far = true;
      widened = true;
    }
  }
  return widened;
}

}  // namespace farcall::jit

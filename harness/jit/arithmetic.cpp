#include "jit/arithmetic.hpp"

#include <cstdint>

#include "base/bits.hpp"
#include "jit/convention.hpp"
#include "jit/immediate.hpp"

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

void zero_upper_half(Emitter& out, Gpr dst) {
  out.emit<Op::rldicl>(dst, dst, 0, 32);
}

void move(Emitter& out, const InstructionInfo& info, const Slot& slot) {
  const Gpr dst = kRegisterOf[slot.dst];
  const Gpr src = kRegisterOf[slot.src];
  const bool wide = info.width == 64;
  if (info.source == Source::immediate) {
    const auto imm = static_cast<std::uint64_t>(std::int64_t{slot.imm});
    load_immediate(out, dst, wide ? imm : bit_field(imm, 0, 32));
  } else if (wide) {
    out.emit<Op::or_>(dst, src, src);
  } else {
    out.emit<Op::rldicl>(dst, src, 0, 32);
  }
}

void move_signed(Emitter& out, const InstructionInfo& info, const Slot& slot) {
  const Gpr dst = kRegisterOf[slot.dst];
  const Gpr src = kRegisterOf[slot.src];
  switch (info.sign_bits) {
    case 8:
      return out.emit<Op::extsb>(dst, src);
    case 16:
      return out.emit<Op::extsh>(dst, src);
    default:
      return out.emit<Op::extsw>(dst, src);
  }
}

// A quotient by 0 is undefined on ppc64 (it does not trap) and 0 in BPF.
void divide(Emitter& out, bool wide, Gpr dst, Gpr divisor) {
  if (wide) {
    out.emit<Op::cmpldi>(CrField::cr0, divisor, 0);
    out.emit<Op::divdu>(kOtherScratch, dst, divisor);
  } else {
    out.emit<Op::cmplwi>(CrField::cr0, divisor, 0);
    out.emit<Op::divwu>(kOtherScratch, dst, divisor);
  }
  out.emit<Op::isel>(dst, kZero, kOtherScratch, cr_bit(CrField::cr0, ppc64::Condition::eq));
}

// A quotient by 0, and that of the least number by −1, are undefined on ppc64. For divisors 0 and
// −1 dst · divisor is what BPF asks for: 0, and the negation.
void signed_quotient(Emitter& out, bool wide, Gpr to, Gpr dst, Gpr divisor) {
  out.emit<Op::addi>(kThirdScratch, divisor, 1);
  if (wide) {
    out.emit<Op::cmpldi>(CrField::cr0, kThirdScratch, 1);
    out.emit<Op::divd>(kOtherScratch, dst, divisor);
    out.emit<Op::mulld>(kThirdScratch, dst, divisor);
  } else {
    out.emit<Op::cmplwi>(CrField::cr0, kThirdScratch, 1);
    out.emit<Op::divw>(kOtherScratch, dst, divisor);
    out.emit<Op::mullw>(kThirdScratch, dst, divisor);
  }
  out.emit<Op::isel>(to, kOtherScratch, kThirdScratch, cr_bit(CrField::cr0, ppc64::Condition::gt));
}

// dst − quotient · divisor, the quotient in kOtherScratch.
void remainder(Emitter& out, bool wide, Gpr dst, Gpr divisor) {
  if (wide) {
    out.emit<Op::mulld>(kOtherScratch, kOtherScratch, divisor);
  } else {
    out.emit<Op::mullw>(kOtherScratch, kOtherScratch, divisor);
  }
  out.emit<Op::subf>(dst, kOtherScratch, dst);
}

// Times a divisor of 0, an undefined quotient is 0 as well, and dst stays as it is: what BPF asks
// for. (modud came only with power9.)
void modulo(Emitter& out, bool wide, Gpr dst, Gpr divisor) {
  if (wide) {
    out.emit<Op::divdu>(kOtherScratch, dst, divisor);
  } else {
    out.emit<Op::divwu>(kOtherScratch, dst, divisor);
  }
  remainder(out, wide, dst, divisor);
}

// BPF takes counts modulo the width.
void shift_by_immediate(Emitter& out, const InstructionInfo& info, Gpr dst, std::int32_t imm) {
  const bool wide = info.width == 64;
  const std::uint32_t count = static_cast<std::uint32_t>(imm) & (info.width - 1U);
  const std::uint32_t back = (info.width - count) & (info.width - 1U);
  switch (info.operation) {
    case Operation::lsh:
      return wide ? out.emit<Op::rldicr>(dst, dst, count, 63 - count)
                  : out.emit<Op::rlwinm>(dst, dst, count, 0, 31 - count);
    case Operation::rsh:
      return wide ? out.emit<Op::rldicl>(dst, dst, back, count)
                  : out.emit<Op::rlwinm>(dst, dst, back, count, 31);
    case Operation::arsh:
      if (wide) {
        return out.emit<Op::sradi>(dst, dst, count);
      }
      out.emit<Op::srawi>(dst, dst, count);
      return zero_upper_half(out, dst);
    default:
      bpf::not_implemented("farcall's JIT", info.operation);
  }
}

// The ISA looks at one bit of the count more than the width needs, and shifts everything out if it
// is set.
void shift_by_register(Emitter& out, const InstructionInfo& info, Gpr dst, Gpr src) {
  const bool wide = info.width == 64;
  out.emit<Op::rldicl>(kScratch, src, 0, wide ? 58 : 59);
  switch (info.operation) {
    case Operation::lsh:
      return wide ? out.emit<Op::sld>(dst, dst, kScratch) : out.emit<Op::slw>(dst, dst, kScratch);
    case Operation::rsh:
      return wide ? out.emit<Op::srd>(dst, dst, kScratch) : out.emit<Op::srw>(dst, dst, kScratch);
    case Operation::arsh:
      if (wide) {
        return out.emit<Op::srad>(dst, dst, kScratch);
      }
      out.emit<Op::sraw>(dst, dst, kScratch);
      return zero_upper_half(out, dst);
    default:
      bpf::not_implemented("farcall's JIT", info.operation);
  }
}

// Power10 swaps bytes in a register: in each halfword, each word, or the doubleword. Before it
// there is only memory: store, and load byte-reversed.
void swap_bytes(Emitter& out, unsigned bits, Gpr dst, const Target& target) {
  if (target.cpu >= model::Cpu::power10) {
    switch (bits) {
      case 16:
        out.emit<Op::brh>(dst, dst);
        return out.emit<Op::rldicl>(dst, dst, 0, 48);
      case 32:
        out.emit<Op::brw>(dst, dst);
        return zero_upper_half(out, dst);
      default:
        return out.emit<Op::brd>(dst, dst);
    }
  }
  const std::uint16_t buffer = target.frame.swap_buffer;
  out.emit<Op::addi>(kScratch, kStack, buffer);
  switch (bits) {
    case 16:
      out.emit<Op::sth>(dst, buffer, kStack);
      return out.emit<Op::lhbrx>(dst, kZero, kScratch);
    case 32:
      out.emit<Op::stw>(dst, buffer, kStack);
      return out.emit<Op::lwbrx>(dst, kZero, kScratch);
    default:
      out.emit<Op::std_>(dst, buffer, kStack);
      return out.emit<Op::ldbrx>(dst, kZero, kScratch);
  }
}

// In the order that the CPU runs in already, only the upper bits go.
void to_byte_order(Emitter& out, const InstructionInfo& info, Gpr dst, const Target& target) {
  const bool is_native =
      info.operation != Operation::swap &&
      (info.operation == Operation::to_little) == (target.endian == model::Endian::little);
  if (!is_native) {
    swap_bytes(out, info.swap_bits, dst, target);
  } else if (info.swap_bits < 64) {
    out.emit<Op::rldicl>(dst, dst, 0, 64 - info.swap_bits);
  }
}

// The operations whose 32-bit form is the 64-bit one with the upper half of its result zeroed, or a
// word instruction that leaves the upper half undefined.
void combine(Emitter& out, const InstructionInfo& info, const Slot& slot) {
  const Gpr dst = kRegisterOf[slot.dst];
  const bool wide = info.width == 64;
  const bool immediate = info.source == Source::immediate;
  const std::int64_t imm = slot.imm;
  const bool is_si = immediate && fits_signed(imm, 16);
  const bool is_ui = immediate && imm >= 0 && imm <= 0xffff;
  const auto second = [&] { return second_operand(out, info, slot); };
  switch (info.operation) {
    case Operation::add:
      return is_si ? out.emit<Op::addi>(dst, dst, imm) : out.emit<Op::add>(dst, dst, second());
    case Operation::sub:
      return immediate && fits_signed(-imm, 16) ? out.emit<Op::addi>(dst, dst, -imm)
                                                : out.emit<Op::subf>(dst, second(), dst);
    case Operation::mul:
      return is_si  ? out.emit<Op::mulli>(dst, dst, imm)
             : wide ? out.emit<Op::mulld>(dst, dst, second())
                    : out.emit<Op::mullw>(dst, dst, second());
    case Operation::div:
      return divide(out, wide, dst, second());
    case Operation::mod:
      return modulo(out, wide, dst, second());
    case Operation::signed_div:
      return signed_quotient(out, wide, dst, dst, second());
    case Operation::signed_mod: {
      const Gpr divisor = second();
      signed_quotient(out, wide, kOtherScratch, dst, divisor);
      return remainder(out, wide, dst, divisor);
    }
    case Operation::bit_or:
      return is_ui ? out.emit<Op::ori>(dst, dst, imm) : out.emit<Op::or_>(dst, dst, second());
    case Operation::bit_and:
      return is_ui ? out.emit<Op::andi_rc>(dst, dst, imm) : out.emit<Op::and_>(dst, dst, second());
    case Operation::bit_xor:
      return is_ui ? out.emit<Op::xori>(dst, dst, imm) : out.emit<Op::xor_>(dst, dst, second());
    case Operation::mov_signed:
      return move_signed(out, info, slot);
    case Operation::neg:
      return out.emit<Op::neg>(dst, dst);
    default:
      bpf::not_implemented("farcall's JIT", info.operation);
  }
}

}  // namespace

Gpr second_operand(Emitter& out, const InstructionInfo& info, const Slot& slot) {
  if (info.source == Source::src_register) {
    return kRegisterOf[slot.src];
  }
  load_immediate(out, kScratch, static_cast<std::uint64_t>(std::int64_t{slot.imm}));
  return kScratch;
}

void emit_arithmetic(Emitter& out, const InstructionInfo& info, const Slot& slot,
                     const Target& target) {
  const Gpr dst = kRegisterOf[slot.dst];
  switch (info.operation) {
    case Operation::mov:
      return move(out, info, slot);
    case Operation::lsh:
    case Operation::rsh:
    case Operation::arsh:
      return info.source == Source::immediate
                 ? shift_by_immediate(out, info, dst, slot.imm)
                 : shift_by_register(out, info, dst, kRegisterOf[slot.src]);
    case Operation::to_little:
    case Operation::to_big:
    case Operation::swap:
      return to_byte_order(out, info, dst, target);
    default:
      combine(out, info, slot);
      if (info.width == 32) {
        zero_upper_half(out, dst);
      }
  }
}

}  // namespace farcall::jit

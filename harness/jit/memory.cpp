// Loads and stores are one word each where the displacement fits the instruction's form.
//
// An atomic is a loop, here with fetch:
//
//         addi   r10,dst,offset
//         hwsync                    # atomics with fetch order memory, as in Linux
//   loop: ldarx  r11,0,r10
//         add    r9,r11,src
//         stdcx. r9,0,r10           # fails if the reservation is gone
//         bne    loop
//         hwsync
//         mr     src,r11
//
// A load that orders others is followed by lwsync, a store that does comes after one.
//
// No branch stands between the load and the conditional store: an interrupt there, as each branch
// brings under a branch trace, takes the reservation away, and the loop would not end. So
// compare-exchange stores in both cases, what was there already if it is not the expected value.
#include "jit/memory.hpp"

#include <cstdint>

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

// DS-form displacements are multiples of 4; others go through a register.
template <Op displaced, Op indexed>
void access(Emitter& out, Gpr value, std::int16_t offset, Gpr base) {
  if (offset % 4 == 0) {
    return out.emit<displaced>(value, offset, base);
  }
  out.emit<Op::addi>(kScratch, kZero, offset);
  out.emit<indexed>(value, base, kScratch);
}

void load(Emitter& out, unsigned bytes, Gpr dst, std::int16_t offset, Gpr base) {
  switch (bytes) {
    case 1:
      return out.emit<Op::lbz>(dst, offset, base);
    case 2:
      return out.emit<Op::lhz>(dst, offset, base);
    case 4:
      return out.emit<Op::lwz>(dst, offset, base);
    default:
      return access<Op::ld, Op::ldx>(out, dst, offset, base);
  }
}

void load_signed(Emitter& out, unsigned bytes, Gpr dst, std::int16_t offset, Gpr base) {
  switch (bytes) {
    case 1:
      out.emit<Op::lbz>(dst, offset, base);
      return out.emit<Op::extsb>(dst, dst);
    case 2:
      return out.emit<Op::lha>(dst, offset, base);
    default:
      return access<Op::lwa, Op::lwax>(out, dst, offset, base);
  }
}

void store(Emitter& out, unsigned bytes, Gpr value, std::int16_t offset, Gpr base) {
  switch (bytes) {
    case 1:
      return out.emit<Op::stb>(value, offset, base);
    case 2:
      return out.emit<Op::sth>(value, offset, base);
    case 4:
      return out.emit<Op::stw>(value, offset, base);
    default:
      return access<Op::std_, Op::stdx>(out, value, offset, base);
  }
}

// The register with what an atomic stores, made of what it found in `old`.
Gpr updated(Emitter& out, const InstructionInfo& info, Gpr old, Gpr src) {
  const Gpr expected = kRegisterOf[0];
  switch (info.operation) {
    case Operation::atomic_add:
      out.emit<Op::add>(kScratch, old, src);
      return kScratch;
    case Operation::atomic_or:
      out.emit<Op::or_>(kScratch, old, src);
      return kScratch;
    case Operation::atomic_and:
      out.emit<Op::and_>(kScratch, old, src);
      return kScratch;
    case Operation::atomic_xor:
      out.emit<Op::xor_>(kScratch, old, src);
      return kScratch;
    case Operation::compare_exchange:
      if (info.width == 64) {
        out.emit<Op::cmpld>(CrField::cr0, old, expected);
      } else {
        out.emit<Op::cmplw>(CrField::cr0, old, expected);
      }
      out.emit<Op::isel>(kScratch, src, old, cr_bit(CrField::cr0, ppc64::Condition::eq));
      return kScratch;
    case Operation::exchange:
      return src;
    default:
      bpf::not_implemented("farcall's JIT", info.operation);
  }
}

void atomic(Emitter& out, const InstructionInfo& info, const Slot& slot) {
  const bool wide = info.width == 64;
  const Gpr src = kRegisterOf[slot.src];
  const Gpr old = kThirdScratch;
  const Gpr address = kOtherScratch;
  out.emit<Op::addi>(address, kRegisterOf[slot.dst], slot.offset);
  if (info.fetches) {
    out.emit<Op::hwsync>();
  }
  const std::uint32_t loop = out.position();
  if (wide) {
    out.emit<Op::ldarx>(old, kZero, address);
    out.emit<Op::stdcx_rc>(updated(out, info, old, src), kZero, address);
  } else {
    out.emit<Op::lwarx>(old, kZero, address);
    out.emit<Op::stwcx_rc>(updated(out, info, old, src), kZero, address);
  }
  out.emit<Op::bc>(ppc64::kBranchIfFalse, cr_bit(CrField::cr0, ppc64::Condition::eq),
                   (std::int64_t{loop} - out.position()) * 4);
  if (info.fetches) {
    out.emit<Op::hwsync>();
    const Gpr to = info.writes_src() ? src : kRegisterOf[0];
    out.emit<Op::or_>(to, old, old);
  }
}

}  // namespace

void emit_memory_access(Emitter& out, const InstructionInfo& info, const Slot& slot) {
  const unsigned bytes = info.memory_bytes;
  switch (info.form) {
    case bpf::Form::atomic:
      return atomic(out, info, slot);
    case bpf::Form::load: {
      const auto emit = info.operation == Operation::load_signed ? load_signed : load;
      emit(out, bytes, kRegisterOf[slot.dst], slot.offset, kRegisterOf[slot.src]);
      if (info.orders()) {
        out.emit<Op::lwsync>();
      }
      return;
    }
    case bpf::Form::store: {
      Gpr value = kRegisterOf[slot.src];
      if (info.orders()) {
        out.emit<Op::lwsync>();
      }
      if (info.source == Source::immediate) {
        value = kOtherScratch;
        load_immediate(out, value, static_cast<std::uint64_t>(std::int64_t{slot.imm}));
      }
      return store(out, bytes, value, slot.offset, kRegisterOf[slot.dst]);
    }
    default:
      bpf::not_implemented("farcall's JIT", info.operation);
  }
}

}  // namespace farcall::jit

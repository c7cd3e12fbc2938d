// How ppc64 code gets to an address.
//
// A ppc64 instruction is one word of 32 bits, so no instruction holds an address, and hardly any
// holds a distance that is long enough. Linux puts JITed code into vmalloc, 2 PiB from the kernel's
// text, while one branch reaches 32 MiB. What is left is to make the address in a register, move it
// to CTR, and branch there with `bctrl`. Four reaches do that with more and more words:
//
//   bl      the distance is in the branch                   1 word    ±32 MiB
//   toc     r2, which every function holds, plus 32 bits    4 words   ±2 GiB of r2
//   pcrel   `pla` of power10, the address of itself plus    5 words   ±8 GiB
//           34 bits
//   abs64   the address, halfword by halfword               7 words   anywhere
//
// A call has one length, whatever the address: where the callee lies is known only after the caller
// was sized, and a call that grows moves all that comes after it. Nor may the call's shape depend
// on the address, or moving one function would change the others.
//
// ELFv2 has two entries to a function. Who comes through a pointer has its address in r12, from
// which the function makes its r2; who shares the TOC enters after these two words. With ELFv1 a
// pointer is the address of a descriptor, {code, TOC, environment}, that the caller reads.
//
// All sources: Power ISA 3.1, book I; the ELFv2 ABI, 2.3; the ELFv1 ABI, 3.2.
#include "jit/reach.hpp"

#include "base/bits.hpp"
#include "jit/convention.hpp"
#include "jit/immediate.hpp"
#include "model/convention.hpp"
#include "ppc64/abi.hpp"
#include "ppc64/prefixed.hpp"

namespace farcall::jit {
namespace {

constexpr std::int64_t kWordsEachNumber = kFixedImmediateWords + 4;

}  // namespace

const ReachInfo& reach_info(model::Reach reach, model::Abi abi) {
  if (reach == model::Reach::abs64 && abi == model::Abi::elfv1) {
    return kDescriptorReach;
  }
  return kReaches[static_cast<std::size_t>(reach)];
}

bool reaches(const ReachInfo& reach, const CallPlace& place, GuestAddress target) {
  const std::int64_t distance = bytes(target - reach.origin(place));
  return distance >= reach.lowest && distance <= reach.highest;
}

// The near reach:
//
//   bl    callee
//
// The distance is in the branch, 24 bits of words: ±32 MiB from the branch itself.

GuestAddress bl_origin(const CallPlace& place) {
  return place.at;
}

void emit_call_bl(Emitter& out, const CallPlace& place, GuestAddress target) {
  out.emit<ppc64::Op::bl>(bytes(target - bl_origin(place)));
}

// The reach relative to the TOC:
//
//   addis r12,r2,(callee - r2)@ha
//   addi  r12,r12,(callee - r2)@l
//   mtctr r12
//   bctrl
//
// addi sign-extends its 16 bits. Where they are negative, the high half is one more to make up for
// it (`ha`, high adjusted), and must still fit in 16 signed bits itself. That moves both limits
// down by 0x8000: a distance from 0x7fff8000 on would wrap and land 4 GiB below its callee.

GuestAddress toc_origin(const CallPlace& place) {
  return place.toc;
}

void emit_call_toc(Emitter& out, const CallPlace& place, GuestAddress target) {
  constexpr ppc64::Gpr kEntry = ppc64::kElfv2.entry_address;
  const std::int64_t distance = bytes(target - toc_origin(place));
  const std::int64_t low = sign_extend(static_cast<std::uint64_t>(distance), 16);
  out.emit<ppc64::Op::addis>(kEntry, ppc64::kElfv2.toc, (distance - low) >> 16);
  out.emit<ppc64::Op::addi>(kEntry, kEntry, low);
  out.emit<ppc64::Op::mtctr>(kEntry);
  out.emit<ppc64::Op::bcctrl>(ppc64::kBranchAlways, ppc64::CrBit{0}, 0);
}

// The absolute reach:
//
//   lis   r12,callee@highest
//   ori   r12,r12,callee@higher
//   sldi  r12,r12,32
//   oris  r12,r12,callee@h
//   ori   r12,r12,callee@l
//   mtctr r12
//   bctrl
//
// All five words stand even where a halfword of the address is zero: a call may not become longer
// because its callee was moved. ELFv2 wants the callee's address in r12 when it is called through a
// pointer, so that it can find its TOC.

static_assert(kAbs64Words == kFixedImmediateWords + 2);

GuestAddress abs64_origin(const CallPlace& /*place*/) {
  return {};
}

void emit_call_abs64(Emitter& out, const CallPlace& /*place*/, GuestAddress target) {
  constexpr ppc64::Gpr kEntry = ppc64::kElfv2.entry_address;
  load_immediate_fixed(out, kEntry, target.value);
  out.emit<ppc64::Op::mtctr>(kEntry);
  out.emit<ppc64::Op::bcctrl>(ppc64::kBranchAlways, ppc64::CrBit{0}, 0);
}

// The PC-relative reach of power10:
//
//   pla   r12,callee        or      nop
//   nop                             pla   r12,callee
//   mtctr r12                       mtctr r12
//   bctrl                           bctrl
//
// pla is eight bytes long and must not cross a 64-byte boundary. Where it would, the nop goes in
// front of it; elsewhere after it, so that the call has one size at any address. The distance, 34
// bits, counts from pla.

GuestAddress pcrel_origin(const CallPlace& place) {
  return ppc64::crosses_boundary(place.at) ? place.at + 4 : place.at;
}

void emit_call_pcrel(Emitter& out, const CallPlace& place, GuestAddress target) {
  constexpr ppc64::Gpr kEntry = ppc64::kElfv2.entry_address;
  const GuestAddress origin = pcrel_origin(place);
  const auto nop = [&out] { out.emit<ppc64::Op::ori>(ppc64::Gpr::r0, ppc64::Gpr::r0, 0); };
  if (origin != place.at) {
    nop();
  }
  out.emit_prefixed(
      ppc64::encode(ppc64::PrefixedOp::paddi,
                    {.rt = kEntry, .displacement = bytes(target - origin), .pc_relative = true}));
  if (origin == place.at) {
    nop();
  }
  out.emit<ppc64::Op::mtctr>(kEntry);
  out.emit<ppc64::Op::bcctrl>(ppc64::kBranchAlways, ppc64::CrBit{0}, 0);
}

// The absolute reach of ELFv1, to a callee that is known by the address of its descriptor:
//
//   std   r2,40(r1)         save our TOC pointer in our frame's header
//   lis   r11,descriptor@highest
//   ori   r11,r11,descriptor@higher
//   sldi  r11,r11,32
//   oris  r11,r11,descriptor@h
//   ori   r11,r11,descriptor@l
//   ld    r12,0(r11)        the code
//   ld    r2,8(r11)         the callee's TOC pointer
//   mtctr r12
//   bctrl
//
// and `ld r2,40(r1)` after the call. The environment in the third doubleword is for languages with
// nested functions; BPF has none, and nothing reads r11.

static_assert(kDescriptorReachWords == kFixedImmediateWords + 5);

void emit_call_descriptor(Emitter& out, const CallPlace& /*place*/, GuestAddress descriptor) {
  constexpr ppc64::CallingConvention kAbi = ppc64::kElfv1;
  out.emit<ppc64::Op::std_>(kAbi.toc, kAbi.saved_toc, kAbi.stack);
  load_immediate_fixed(out, kAbi.environment, descriptor.value);
  out.emit<ppc64::Op::ld>(kAbi.entry_address, 0, kAbi.environment);
  out.emit<ppc64::Op::ld>(kAbi.toc, 8, kAbi.environment);
  out.emit<ppc64::Op::mtctr>(kAbi.entry_address);
  out.emit<ppc64::Op::bcctrl>(ppc64::kBranchAlways, ppc64::CrBit{0}, 0);
}

// A call through a pointer:
//
//   ELFv2                     ELFv1
//                             std   r2,40(r1)     save our TOC pointer in our frame's header
//   mr    r12,pointer         mr    r11,pointer
//                             ld    r12,0(r11)    the code
//                             ld    r2,8(r11)     the callee's TOC pointer
//   mtctr r12                 mtctr r12
//   bctrl                     bctrl
//
// as the absolute reach does it with a pointer that it knows (above).

void emit_call_pointer(Emitter& out, model::Abi abi, ppc64::Gpr pointer) {
  using ppc64::Op;
  const ppc64::CallingConvention& convention = model::convention(abi);
  if (convention.descriptor_bytes != 0) {
    out.emit<Op::std_>(convention.toc, convention.saved_toc, convention.stack);
    out.emit<Op::or_>(convention.environment, pointer, pointer);
    out.emit<Op::ld>(convention.entry_address, 0, convention.environment);
    out.emit<Op::ld>(convention.toc, 8, convention.environment);
  } else {
    out.emit<Op::or_>(convention.entry_address, pointer, pointer);
  }
  out.emit<Op::mtctr>(convention.entry_address);
  out.emit<Op::bcctrl>(ppc64::kBranchAlways, ppc64::CrBit{0}, 0);
}

// A call of one of several functions that are known by numbers:
//
//   lis   r9,NUMBER@h       for each function
//   ori   r9,r9,NUMBER@l
//   lis   r12,entry@highest
//   ori   r12,r12,entry@higher
//   sldi  r12,r12,32
//   oris  r12,r12,entry@h
//   ori   r12,r12,entry@l
//   cmpd  number,r9
//   beq   call
//   trap                    no function has the number
// call:
//   mtctr r12
//   bctrl
//
// All 64 bits of the register count. The size depends on nothing but how many functions there are.

void emit_call_by_number(Emitter& out, ppc64::Gpr number, std::span<const NumberedEntry> entries) {
  using ppc64::Gpr;
  using ppc64::Op;
  constexpr Gpr kEntry = ppc64::kElfv2.entry_address;
  std::int64_t words_left = static_cast<std::int64_t>(entries.size()) * kWordsEachNumber;
  for (const NumberedEntry& entry : entries) {
    out.emit<Op::addis>(kScratch, ppc64::kZero, entry.number >> 16);
    out.emit<Op::ori>(kScratch, kScratch, entry.number & 0xffff);
    load_immediate_fixed(out, kEntry, entry.entry.value);
    out.emit<Op::cmpd>(ppc64::CrField::cr0, number, kScratch);
    // Over the entries that are left, and the trap.
    words_left -= kWordsEachNumber;
    out.emit<Op::bc>(ppc64::kBranchIfTrue, cr_bit(ppc64::CrField::cr0, ppc64::Condition::eq),
                     (words_left + 2) * 4);
  }
  out.emit<Op::tw>(31U, Gpr::r0, Gpr::r0);
  out.emit<Op::mtctr>(kEntry);
  out.emit<Op::bcctrl>(ppc64::kBranchAlways, ppc64::CrBit{0}, 0);
}

}  // namespace farcall::jit

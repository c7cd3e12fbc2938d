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
#include "jit/convention.hpp"
#include "jit/immediate.hpp"
#include "jit/reach.hpp"
#include "ppc64/abi.hpp"

namespace farcall::jit {
namespace {

constexpr std::int64_t kWordsEach = kFixedImmediateWords + 4;

}  // namespace

void emit_call_by_number(Emitter& out, ppc64::Gpr number, std::span<const NumberedEntry> entries) {
  using ppc64::Gpr;
  using ppc64::Op;
  constexpr Gpr kEntry = ppc64::kElfv2.entry_address;
  std::int64_t words_left = static_cast<std::int64_t>(entries.size()) * kWordsEach;
  for (const NumberedEntry& entry : entries) {
    out.emit<Op::addis>(kScratch, ppc64::kZero, entry.number >> 16);
    out.emit<Op::ori>(kScratch, kScratch, entry.number & 0xffff);
    load_immediate_fixed(out, kEntry, entry.entry.value);
    out.emit<Op::cmpd>(ppc64::CrField::cr0, number, kScratch);
    // Over the entries that are left, and the trap.
    words_left -= kWordsEach;
    out.emit<Op::bc>(ppc64::kBranchIfTrue, cr_bit(ppc64::CrField::cr0, ppc64::Condition::eq),
                     (words_left + 2) * 4);
  }
  out.emit<Op::tw>(31U, Gpr::r0, Gpr::r0);
  out.emit<Op::mtctr>(kEntry);
  out.emit<Op::bcctrl>(ppc64::kBranchAlways, ppc64::CrBit{0}, 0);
}

}  // namespace farcall::jit

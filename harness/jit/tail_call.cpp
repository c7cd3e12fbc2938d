#include "jit/tail_call.hpp"

#include "bpf/program.hpp"
#include "ppc64/abi.hpp"

namespace farcall::jit {
namespace {

using ppc64::CrField;
using ppc64::Gpr;
using ppc64::Op;

}  // namespace

void emit_tail_counter(Emitter& out, const Frame& frame) {
  out.emit<Op::std_>(kTailCounter, int{frame.saved_counter} - frame.size, kStack);
  out.emit<Op::addi>(kTailCounter, kStack, int{frame.counter} - frame.size);
  out.emit<Op::addi>(Gpr::r0, ppc64::kZero, 0);
  out.emit<Op::std_>(Gpr::r0, 0, kTailCounter);
}

void emit_tail_call_checks(Emitter& out, const Target& target, std::uint32_t words_behind) {
  constexpr Gpr kArray = kRegisterOf[2];
  constexpr Gpr kIndex = kRegisterOf[3];
  constexpr Gpr kEntry = ppc64::kElfv2.entry_address;
  const bool has_descriptor = target.convention.descriptor_bytes != 0;
  // Words from the first one to where execution goes on if there is nowhere to go.
  const std::int64_t end = (has_descriptor ? 17 : 16) + std::int64_t{words_behind};
  const std::uint32_t begin = out.position();
  const auto give_up_if = [&](unsigned if_condition, ppc64::Condition condition) {
    const std::int64_t at = out.position() - begin;
    out.emit<Op::bc>(if_condition, cr_bit(CrField::cr0, condition), (end - at) * 4);
  };
  out.emit<Op::lwz>(kScratch, 0, kArray);
  out.emit<Op::rldicl>(kOtherScratch, kIndex, 0, 32);
  out.emit<Op::cmplw>(CrField::cr0, kOtherScratch, kScratch);
  give_up_if(ppc64::kBranchIfFalse, ppc64::Condition::lt);
  out.emit<Op::ld>(kScratch, 0, kTailCounter);
  out.emit<Op::cmpldi>(CrField::cr0, kScratch, bpf::kTailCallLimit);
  give_up_if(ppc64::kBranchIfFalse, ppc64::Condition::lt);
  out.emit<Op::rldicr>(kOtherScratch, kOtherScratch, 3, 60);
  out.emit<Op::add>(kOtherScratch, kOtherScratch, kArray);
  out.emit<Op::ld>(kEntry, bpf::kArrayHeaderBytes, kOtherScratch);
  out.emit<Op::cmpdi>(CrField::cr0, kEntry, 0);
  give_up_if(ppc64::kBranchIfTrue, ppc64::Condition::eq);
  out.emit<Op::addi>(kScratch, kScratch, 1);
  out.emit<Op::std_>(kScratch, 0, kTailCounter);
  if (has_descriptor) {
    out.emit<Op::ld>(kEntry, 0, kEntry);
  }
  out.emit<Op::addi>(kEntry, kEntry, kTailEntryWords * 4);
  out.emit<Op::mtctr>(kEntry);
}

}  // namespace farcall::jit

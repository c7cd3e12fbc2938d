// The native function that walks the stack.
#include "external/words.hpp"

namespace farcall::external {

// A frame is the address where the one of its caller is stored (the back chain) and, in the
// caller's, where its own function returns to. The outermost frame is that of whoever started the
// program: its back chain is 0, and what would be stored of it is not the program's.
Words get_stack(const Surroundings& surroundings) {
  const ppc64::CallingConvention& convention = surroundings.convention;
  return {
      encode<Op::cmpldi>(cr0, r6, 0),
      branch_if(eq, 3),
      li(r3, kInvalid),
      kBlr,
      li(r3, 0),             // bytes stored
      mr(r9, r1),            // the frame of whoever the next address belongs to
      encode<Op::mflr>(r0),  // the next address
      // store:
      encode<Op::addi>(r10, r3, 8),
      encode<Op::cmpld>(cr0, r10, r5),
      branch_if(gt, 8),  // → done
      encode<Op::stdx>(r0, r4, r3),
      mr(r3, r10),
      encode<Op::ld>(r9, convention.back_chain, r9),
      encode<Op::ld>(r0, convention.saved_lr, r9),
      encode<Op::ld>(r10, convention.back_chain, r9),
      encode<Op::cmpdi>(cr0, r10, 0),
      branch_if_not(eq, -9),  // → store
      // done:
      kBlr,
  };
}

Result<std::uint64_t> get_stack(bpf::Caller& caller, const bpf::Arguments& arguments) {
  const auto [context, buffer, size, flags, unused] = arguments;
  if (flags != 0) {
    return static_cast<std::uint64_t>(kInvalid);
  }
  std::uint64_t stored = 0;
  for (std::size_t level = 0; level < caller.depth() && stored + 8 <= size; ++level) {
    FARCALL_TRYV(caller.store_return_address({buffer + stored}, level));
    stored += 8;
  }
  return stored;
}

}  // namespace farcall::external

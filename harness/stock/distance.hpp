// How far a stock kernel's JIT puts its code from __bpf_call_base, from which calls are counted in
// 32 bits.
#pragma once

#include <cstdint>

#include "base/address.hpp"
#include "base/error.hpp"
#include "kernel/exchange.hpp"
#include "kernel/kernel_file.hpp"

namespace farcall::stock {

// A program whose answer tells both addresses, loaded beside so much other memory, see
// kernel::Question.
kernel::Question distance_question(std::uint32_t crowd_mebibytes);

struct Distance {
  GuestAddress function;   // of the JITed program
  GuestAddress call_base;  // __bpf_call_base

  std::int64_t bytes() const { return farcall::bytes(function - call_base); }
  bool fits_32_bits() const { return bytes() == static_cast<std::int32_t>(bytes()); }
};

// What the kernel said to such a question. machine.bad-answer: it did not run the program, or its
// code does not say where the helper is that it calls.
Result<Distance> distance(const kernel::Answer& answer, const kernel::KernelFile& file);

// The area of ppc64 that `function` lies in, all of vmalloc: the JIT may put code from here up to
// there (arch/powerpc/include/asm/book3s/64/{radix,hash-4k,hash-64k}.h).
GuestAddress begin_of_area(GuestAddress function);
GuestAddress end_of_area(GuestAddress function);

}  // namespace farcall::stock

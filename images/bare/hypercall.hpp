// The hypercalls that the bare guest makes. PAPR (LoPAPR 1.1) chapter 14, and QEMU's own for RTAS.
#pragma once

#include <cstdint>

namespace farcall::bare {

enum class Hypercall : std::uint64_t {
  enter = 0x08,      // H_ENTER
  page_init = 0x2c,  // H_PAGE_INIT
  get_term_char = 0x54,
  put_term_char = 0x58,
  end_of_interrupt = 0x64,  // H_EOI
  set_priority = 0x68,      // H_CPPR
  accept_interrupt = 0x74,  // H_XIRR
  cede = 0xe0,
  vio_signal = 0x104,
  bulk_remove = 0x124,  // H_BULK_REMOVE
  set_mode = 0x31c,
  register_process_table = 0x37c,
  rtas = 0xf000,  // QEMU and KVM: run-time services without a firmware
};

struct HypercallResult {
  std::int64_t status;  // 0: success
  std::uint64_t value;  // r4
};

inline HypercallResult hypercall(Hypercall number, std::uint64_t a = 0, std::uint64_t b = 0,
                                 std::uint64_t c = 0, std::uint64_t d = 0) {
  register std::uint64_t r3 asm("r3") = static_cast<std::uint64_t>(number);
  register std::uint64_t r4 asm("r4") = a;
  register std::uint64_t r5 asm("r5") = b;
  register std::uint64_t r6 asm("r6") = c;
  register std::uint64_t r7 asm("r7") = d;
  asm volatile("sc 1"
               : "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6), "+r"(r7)
               :
               : "r0", "r8", "r9", "r10", "r11", "r12", "ctr", "xer", "cr0", "cr1", "cr5", "cr6",
                 "cr7", "memory");
  return {static_cast<std::int64_t>(r3), r4};
}

// A hypercall of eight arguments, r4 … r11, that answers in place of them. Returns the status.
inline std::int64_t hypercall(Hypercall number, std::uint64_t (&arguments)[8]) {
  register std::uint64_t r3 asm("r3") = static_cast<std::uint64_t>(number);
  register std::uint64_t r4 asm("r4") = arguments[0];
  register std::uint64_t r5 asm("r5") = arguments[1];
  register std::uint64_t r6 asm("r6") = arguments[2];
  register std::uint64_t r7 asm("r7") = arguments[3];
  register std::uint64_t r8 asm("r8") = arguments[4];
  register std::uint64_t r9 asm("r9") = arguments[5];
  register std::uint64_t r10 asm("r10") = arguments[6];
  register std::uint64_t r11 asm("r11") = arguments[7];
  asm volatile("sc 1"
               : "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6), "+r"(r7), "+r"(r8), "+r"(r9), "+r"(r10),
                 "+r"(r11)
               :
               : "r0", "r12", "ctr", "xer", "cr0", "cr1", "cr5", "cr6", "cr7", "memory");
  arguments[0] = r4;
  arguments[1] = r5;
  arguments[2] = r6;
  arguments[3] = r7;
  arguments[4] = r8;
  arguments[5] = r9;
  arguments[6] = r10;
  arguments[7] = r11;
  return static_cast<std::int64_t>(r3);
}

// H_CEDE: gives the CPU away until an interrupt comes, and takes that interrupt. job_switch.S.
extern "C" void sleep_until_interrupt(Hypercall cede);

}  // namespace farcall::bare

// Constants that assembly and C++ of the bare guest share: MSR and SPR numbers that the assembler
// has no names for, and the offsets of what both touch. job_state.hpp proves that the offsets are
// right.
#ifndef FARCALL_BARE_LAYOUT_H
#define FARCALL_BARE_LAYOUT_H

// MSR, Power ISA 3.0B Book III section 4.2.1.
#define MSR_SF_SHIFT 63     // 64-bit mode
#define MSR_VEC_VSX 0x0280  // bits 16-31: vector and VSX available
#define MSR_EE 0x8000       // external and decrementer interrupts
#define MSR_PR 0x4000       // problem state
#define MSR_FP 0x2000       // floating point available
#define MSR_ME 0x1000       // machine check
#define MSR_SE 0x0400       // single-step trace
#define MSR_BE 0x0200       // branch trace
#define MSR_IR 0x0020       // instruction relocation
#define MSR_DR 0x0010       // data relocation
#define MSR_RI 0x0002       // recoverable
// Little-endian, which the image is or is not. start_be.S is big-endian in either, so it must be
// told.
#define MSR_LE GUEST_LITTLE_ENDIAN

// The low half of the MSR of the runner (real mode) and of a job (problem state, translated), which
// has MSR_BE or MSR_SE too as it is watched.
#define RUNNER_MSR_LOW (MSR_FP | MSR_ME | MSR_RI | MSR_LE)
#define JOB_MSR_LOW (RUNNER_MSR_LOW | MSR_EE | MSR_PR | MSR_IR | MSR_DR)

#define SPR_DSCR 17
#define SPR_DAR 19
#define SPR_DSISR 18
#define SPR_DEC 22
#define SPR_CFAR 28
#define SPR_AMR 29
#define SPR_FSCR 153
#define SPR_VRSAVE 256
#define SPR_TAR 815
#define SPR_PID 48

#define SPR_PVR 287

// What problem state may use.
#define FSCR_TAR_SHIFT 8      // the TAR register
#define FSCR_PREFIX_SHIFT 13  // prefixed instructions, power10

#define PVR_VERSION_SHIFT 16
#define PVR_POWER10 0x80

// Interrupt vectors that mean more than "the job is over".
#define VECTOR_EXTERNAL 0x500
#define VECTOR_DECREMENTER 0x900
#define VECTOR_TRACE 0xd00

// JobState lies low in memory: an interrupt handler reaches it with a 16-bit absolute address and
// needs no register to begin with.
#define JOB_STATE 0x3000
#define STATE_R3 (JOB_STATE + 0x00)
#define STATE_R4 (JOB_STATE + 0x08)
#define STATE_R5 (JOB_STATE + 0x10)
#define STATE_CR (JOB_STATE + 0x18)
#define STATE_CTR (JOB_STATE + 0x20)
#define STATE_CFAR (JOB_STATE + 0x28)
#define STATE_VECTOR (JOB_STATE + 0x30)
#define STATE_SRR0 (JOB_STATE + 0x38)
#define STATE_SRR1 (JOB_STATE + 0x40)
#define STATE_DAR (JOB_STATE + 0x48)
#define STATE_DSISR (JOB_STATE + 0x50)
#define STATE_EXIT_REGISTERS (JOB_STATE + 0x58)
#define STATE_RUNNER_STACK (JOB_STATE + 0x60)
#define STATE_TRACE_HANDLER (JOB_STATE + 0x68)
#define STATE_RESUME (JOB_STATE + 0x70)
#define STATE_RESUME_RFID (JOB_STATE + 0x78)
#define STATE_TRACE_NEXT (JOB_STATE + 0x80)
#define STATE_TRACE_END (JOB_STATE + 0x88)
#define STATE_TRACE_EVENTS (JOB_STATE + 0x90)
#define STATE_TAKEN_BRANCHES (JOB_STATE + 0x98)
#define STATE_JOB_MSR (JOB_STATE + 0xa0)
#define STATE_STEPS (JOB_STATE + 0xa8)
#define STATE_STEPS_SKIPPED (JOB_STATE + 0xb0)
#define STATE_STEP_NEXT (JOB_STATE + 0xb8)
#define STATE_STEP_END (JOB_STATE + 0xc0)
#define STATE_UNSTEPPED_BEGIN (JOB_STATE + 0xc8)
#define STATE_UNSTEPPED_END (JOB_STATE + 0xd0)
#define STATE_GUARDED_BEGIN (JOB_STATE + 0xd8)
#define STATE_GUARDED_END (JOB_STATE + 0xe0)
#define STATE_CTR_JUMPS (JOB_STATE + 0xe8)
#define STATE_R6 (JOB_STATE + 0xf0)
#define STATE_R7 (JOB_STATE + 0xf8)
#define STATE_RING (JOB_STATE + 0x100)
#define RING_ENTRY_SHIFT 5
#define RING_ENTRIES_SHIFT 4

// wire::Registers, wire::TakenBranch, wire::Step and wire::GuardedStore.
#define REGISTERS_GPR(n) ((n)*8)
#define REGISTERS_LR 256
#define REGISTERS_CTR 264
#define REGISTERS_XER 272
#define REGISTERS_CR 280
#define REGISTERS_FPR(n) (288 + (n)*8)
#define REGISTERS_VR(n) (544 + (n)*16)
#define BRANCH_FROM 0
#define BRANCH_TO 8
#define BRANCH_LINK 16
#define BRANCH_BYTES 24
#define STEP_ADDRESS 0
#define STEP_FROM 8
#define STEP_LR 16
#define STEP_CTR 24
#define STEP_XER 32
#define STEP_CR 40
#define STEP_GPR(n) (48 + (n)*8)
#define STEP_BYTES 304
#define GUARDED_ADDRESS 0
#define GUARDED_RESERVATION 8
#define GUARDED_WORD 16
#define GUARDED_BYTES 24

// The bit in which stdcx. (31, 214) differs from stwcx. (31, 150).
#define GUARDED_WORD_IS_STDCX 0x80

// wire::kResumePage.
#define RESUME_PAGE 0x2000

#endif

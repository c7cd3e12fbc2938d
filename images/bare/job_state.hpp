// What the assembly of the bare guest knows about the job that runs, as C++ sees it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "layout.h"
#include "wire/mailbox.hpp"

namespace farcall::bare {

// A branch in the ring of last branches; 32 bytes, so that an index becomes an offset by a shift.
struct RingEntry {
  std::uint64_t from;
  std::uint64_t to;
  std::uint64_t link;
  std::uint64_t unused;
};

struct JobState {
  std::uint64_t scratch[4];  // r3, r4, r5 and CR while a handler runs
  std::uint64_t ctr;
  std::uint64_t cfar;
  std::uint64_t vector;
  std::uint64_t srr0;
  std::uint64_t srr1;
  std::uint64_t dar;
  std::uint64_t dsisr;
  wire::Registers* exit_registers;
  std::uint64_t runner_stack;
  std::uint64_t trace_handler;  // aliased addresses, see wire::kResumePage
  std::uint64_t resume;
  std::uint64_t resume_rfid;
  wire::TakenBranch* trace_next;
  wire::TakenBranch* trace_end;
  std::uint64_t trace_events;
  std::uint64_t taken_branches;
  std::uint64_t job_msr;  // the low half
  std::uint64_t steps;
  std::uint64_t steps_skipped;
  wire::Step* step_next;
  wire::Step* step_end;
  const ul64* unstepped_begin;
  const ul64* unstepped_end;
  const wire::GuardedStore* guarded_begin;
  const wire::GuardedStore* guarded_end;
  std::uint64_t ctr_jumps;  // which jumps are recorded: all bits set: to CTR; 0: to r12
  std::uint64_t r6;         // while the branch trace needs them
  std::uint64_t r7;
  RingEntry ring[wire::kLastBranches];
};

static_assert(offsetof(JobState, ctr) == STATE_CTR - JOB_STATE);
static_assert(offsetof(JobState, cfar) == STATE_CFAR - JOB_STATE);
static_assert(offsetof(JobState, vector) == STATE_VECTOR - JOB_STATE);
static_assert(offsetof(JobState, srr0) == STATE_SRR0 - JOB_STATE);
static_assert(offsetof(JobState, dsisr) == STATE_DSISR - JOB_STATE);
static_assert(offsetof(JobState, exit_registers) == STATE_EXIT_REGISTERS - JOB_STATE);
static_assert(offsetof(JobState, runner_stack) == STATE_RUNNER_STACK - JOB_STATE);
static_assert(offsetof(JobState, trace_handler) == STATE_TRACE_HANDLER - JOB_STATE);
static_assert(offsetof(JobState, resume) == STATE_RESUME - JOB_STATE);
static_assert(offsetof(JobState, resume_rfid) == STATE_RESUME_RFID - JOB_STATE);
static_assert(offsetof(JobState, trace_next) == STATE_TRACE_NEXT - JOB_STATE);
static_assert(offsetof(JobState, trace_end) == STATE_TRACE_END - JOB_STATE);
static_assert(offsetof(JobState, trace_events) == STATE_TRACE_EVENTS - JOB_STATE);
static_assert(offsetof(JobState, taken_branches) == STATE_TAKEN_BRANCHES - JOB_STATE);
static_assert(offsetof(JobState, job_msr) == STATE_JOB_MSR - JOB_STATE);
static_assert(offsetof(JobState, steps) == STATE_STEPS - JOB_STATE);
static_assert(offsetof(JobState, steps_skipped) == STATE_STEPS_SKIPPED - JOB_STATE);
static_assert(offsetof(JobState, step_next) == STATE_STEP_NEXT - JOB_STATE);
static_assert(offsetof(JobState, step_end) == STATE_STEP_END - JOB_STATE);
static_assert(offsetof(JobState, unstepped_begin) == STATE_UNSTEPPED_BEGIN - JOB_STATE);
static_assert(offsetof(JobState, unstepped_end) == STATE_UNSTEPPED_END - JOB_STATE);
static_assert(offsetof(JobState, guarded_begin) == STATE_GUARDED_BEGIN - JOB_STATE);
static_assert(offsetof(JobState, guarded_end) == STATE_GUARDED_END - JOB_STATE);
static_assert(offsetof(JobState, ctr_jumps) == STATE_CTR_JUMPS - JOB_STATE);
static_assert(offsetof(JobState, r6) == STATE_R6 - JOB_STATE);
static_assert(offsetof(JobState, r7) == STATE_R7 - JOB_STATE);
static_assert(offsetof(JobState, ring) == STATE_RING - JOB_STATE);
static_assert(wire::kResumePage == RESUME_PAGE);
static_assert(sizeof(RingEntry) == 1 << RING_ENTRY_SHIFT);
static_assert(wire::kLastBranches == 1 << RING_ENTRIES_SHIFT);
static_assert(JOB_STATE + sizeof(JobState) <= 0x8000, "within reach of a 16-bit absolute address");

static_assert(offsetof(wire::Registers, gpr) == REGISTERS_GPR(0));
static_assert(offsetof(wire::Registers, lr) == REGISTERS_LR);
static_assert(offsetof(wire::Registers, ctr) == REGISTERS_CTR);
static_assert(offsetof(wire::Registers, xer) == REGISTERS_XER);
static_assert(offsetof(wire::Registers, cr) == REGISTERS_CR);
static_assert(offsetof(wire::Registers, fpr) == REGISTERS_FPR(0));
static_assert(offsetof(wire::Registers, vr) == REGISTERS_VR(0));
static_assert(offsetof(wire::TakenBranch, from) == BRANCH_FROM);
static_assert(offsetof(wire::TakenBranch, to) == BRANCH_TO);
static_assert(offsetof(wire::TakenBranch, link) == BRANCH_LINK);
static_assert(sizeof(wire::TakenBranch) == BRANCH_BYTES);
static_assert(offsetof(wire::Step, address) == STEP_ADDRESS);
static_assert(offsetof(wire::Step, from) == STEP_FROM);
static_assert(offsetof(wire::Step, lr) == STEP_LR);
static_assert(offsetof(wire::Step, ctr) == STEP_CTR);
static_assert(offsetof(wire::Step, xer) == STEP_XER);
static_assert(offsetof(wire::Step, cr) == STEP_CR);
static_assert(offsetof(wire::Step, gpr) == STEP_GPR(0));
static_assert(sizeof(wire::Step) == STEP_BYTES);
static_assert(offsetof(wire::GuardedStore, address) == GUARDED_ADDRESS);
static_assert(offsetof(wire::GuardedStore, reservation) == GUARDED_RESERVATION);
static_assert(offsetof(wire::GuardedStore, word) == GUARDED_WORD);
static_assert(sizeof(wire::GuardedStore) == GUARDED_BYTES);

extern "C" JobState job_state;

// Runs the job whose pages are mapped: loads `entry`, jumps to `entry_point` in problem state with
// `decrementer` ticks to go, and returns the vector of the interrupt that ended it. The registers
// at that moment are then in `exit`, the interrupt's own in job_state. Clobbers all FP and vector
// state.
extern "C" std::uint64_t enter_job(const wire::Registers* entry, wire::Registers* exit,
                                   std::uint64_t entry_point, std::uint64_t decrementer);

}  // namespace farcall::bare

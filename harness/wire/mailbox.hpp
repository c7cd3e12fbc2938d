// What host and bare guest exchange through the guest's memory: batches of jobs one way, their
// results the other.
//
// Freestanding: images/bare compiles this header too. Everything is little-endian, whatever the
// guest is, and lies at fixed guest-physical addresses. The host fills one batch area while the
// guest works on the other; batch number n (from 0) uses area n % kAreaCount.
//
//   host                                        guest
//   fills an area, increments `submitted`  →    runs the jobs in order, writes each result
//   takes the results                      ←    writes the completion, increments `completed`,
//                                               writes kDoorbell to the console
//
// The area belongs to the guest from `submitted` to `completed`, and to the host otherwise. Offsets
// count bytes from the start of the area. Wild writes of a job cannot reach any of this: a job has
// only its own pages mapped.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/byte_order.hpp"
#include "wire/shared_word.hpp"

namespace farcall::wire {

inline constexpr std::uint32_t kVersion = 9;
inline constexpr std::uint64_t kControlMagic = 0x66617263'616c6c21;  // "farcall!"
inline constexpr std::uint64_t kBatchMagic = 0x66617263'62617463;    // "farcbatc"

inline constexpr std::uint64_t kPageBytes = 4096;
inline constexpr std::uint64_t kRamBytes = std::uint64_t{256}
                                           << 20;  // QEMU wants multiples of this
inline constexpr std::uint64_t kControlAddress = std::uint64_t{1} << 20;
inline constexpr std::uint64_t kAreasAddress = std::uint64_t{96} << 20;
inline constexpr std::uint64_t kAreaBytes = std::uint64_t{64} << 20;
inline constexpr std::uint64_t kAreaCount = 2;

inline constexpr std::uint32_t kMaxJobs = 512;  // in a batch
// That a job maps, code and data together, the gate's too: 48 MiB, in so many pieces.
inline constexpr std::uint32_t kMaxPages = 12288;
inline constexpr std::uint32_t kMaxMappings = 1024;
inline constexpr std::uint32_t kMaxSegments = 32;   // of hash translation, 256 MiB each: the SLB
inline constexpr std::uint32_t kLastBranches = 16;  // the ring of branches of any kind
inline constexpr std::uint64_t kMaxBudget = 4'000'000'000;  // instructions; the decrementer's width

// The instruction with which the guest's branch trace goes back to a job lies on this page of
// physical memory, and is executed at an alias: the page's address with one of the sixteen top
// nibbles, which real mode ignores. A branch of the job at that very address would pass for it.
inline constexpr std::uint64_t kResumePage = 0x2000;
inline constexpr unsigned kAliasShift = 60;

// Bytes on the console. Anything else there is text for people.
inline constexpr char kDoorbell = '\x06';  // guest: a batch is complete
inline constexpr char kWakeUp = '\x16';    // host: there is a batch, stop sleeping

// ppc64::Registers, in its order.
struct Registers {
  ul64 gpr[32];
  ul64 lr;
  ul64 ctr;
  ul64 xer;
  ul32 cr;
  ul32 reserved;
  ul64 fpr[32];
  ul64 vr[32][2];  // {most, least} significant doubleword
};
static_assert(offsetof(Registers, cr) == 280 && offsetof(Registers, fpr) == 288);
static_assert(sizeof(Registers) == 1056);

struct TakenBranch {
  ul64 from;
  ul64 to;
  ul64 link;
};
static_assert(sizeof(TakenBranch) == 24);

// What of a running job the guest writes down.
enum class Watch : std::uint32_t {
  branches = 0,      // calls and returns, and the last branches of any kind
  instructions = 1,  // these, and a Step before each instruction but the first
  nothing = 2,       // no trace interrupts at all: for a debugger, which steps by itself
};

// The CPU before an instruction. `from` is the branch that led here; 0: none did.
struct Step {
  ul64 address;
  ul64 from;
  ul64 lr;
  ul64 ctr;
  ul64 xer;
  ul64 cr;
  ul64 gpr[32];
};
static_assert(sizeof(Step) == 304);

// A stwcx. or stdcx. directly after a conditional branch. The branch trace's interrupt after that
// branch ends the reservation, so that the store would never succeed. The guest therefore does
// lwarx and stwcx., or ldarx and stdcx., for the job; but only if no branch was taken between
// `reservation`, the address of the job's own lwarx or ldarx, and the store: it has no reservation
// otherwise.
struct GuardedStore {
  ul64 address;
  ul64 reservation;
  ul64 word;  // the instruction at `address`
};
static_assert(sizeof(GuardedStore) == 24);

enum class Access : std::uint32_t { execute = 0, read = 1, read_write = 2 };

// `page_count` pages from `address` on, which the job finds at offset `source` of the batch area as
// they are.
struct Mapping {
  ul64 address;
  ul32 page_count;
  ul32 access;
  ul64 source;
};
static_assert(sizeof(Mapping) == 24);

// What the pages of code hold wherever there is no code.
inline constexpr std::uint32_t kTrapWord = 0x7fe00008;

enum class Mmu : std::uint32_t { radix = 0, hash = 1 };

// How the job ended, as the interrupt said that took the CPU away from it; what that means is the
// host's business. `last` holds the last branches of any kind, oldest first, as many as there were.
struct JobResult {
  ul64 nonce;  // the job's own, echoed
  ul64 vector;
  ul64 srr0;
  ul64 srr1;
  ul64 dar;
  ul64 dsisr;
  ul64 came_from;       // address of the last taken branch; 0: there was none
  ul64 trace_events;    // calls and returns, recorded or not
  ul64 taken_branches;  // of any kind
  ul64 steps;           // instructions but the first, recorded or not
  // What ran it.
  ul32 processor;  // the PVR
  ul32 mmu;        // Mmu: the one that was set up and has mapped the job's pages
  ul32 big_endian;
  ul32 reserved;
  TakenBranch last[kLastBranches];
  Registers registers;
};
static_assert(sizeof(JobResult) == 96 + 24 * kLastBranches + 1056);

// From an address in `unstepped` to the next branch there are no steps. A trace interrupt ends a
// reservation, so a loop around lwarx and stwcx. would never end if it were stepped through.
struct JobRecord {
  ul64 nonce;
  ul64 entry_point;
  ul64 gate;      // its page is the runner's: `sc` here, trap words elsewhere
  ul64 budget;    // instructions
  ul32 mappings;  // offset of Mapping[mapping_count]
  ul32 mapping_count;
  ul32 trace;  // offset of TakenBranch[trace_capacity], which the guest fills
  ul32 trace_capacity;
  ul32 alias;  // a top nibble with which kResumePage holds no code of the job
  ul32 watch;  // Watch
  ul32 steps;  // offset of Step[step_capacity], which the guest fills
  ul32 step_capacity;
  ul64 steps_skipped;  // so many are not recorded before the first one is
  ul32 unstepped;      // offset of ul64[unstepped_count]: addresses, see above
  ul32 unstepped_count;
  ul32 guarded_stores;  // offset of GuardedStore[guarded_store_count]
  ul32 guarded_store_count;
  ul32 jumps_by_ctr;  // not 0: jumps to where CTR points are recorded, not those to where r12 does
  ul32 next;          // offset of the next JobRecord of the batch
  Registers entry;
  JobResult result;
};
static_assert(sizeof(JobRecord) == 96 + sizeof(Registers) + sizeof(JobResult));

// At the start of an area. The guest runs `job_count` jobs, the first of which is at offset
// `first_job`, and then writes the completion, which counts only if all three words are as they must
// be.
struct BatchHeader {
  ul64 magic;
  ul64 nonce;
  ul32 job_count;
  ul32 first_job;
  // Not 0: jobs of this batch have code on pages that earlier batches had code on. QEMU translates code
  // and takes note of what the guest writes, but not of what the host does: the guest has it forget
  // all translations first.
  ul32 forget_code;
  ul32 reserved;
  ul64 completed_nonce;
  ul64 completed_jobs;
  ul64 completion_word;
};
static_assert(sizeof(BatchHeader) == 56);

// The guest's own word for "I ran all of this": no stale or half-written area has it by accident.
constexpr std::uint64_t completion_word(std::uint64_t nonce, std::uint64_t job_count) {
  return (nonce ^ 0x636f6d706c657465) * 0x9e3779b97f4a7c15 + job_count;
}

// Why the runner itself gave up: an interrupt that came while no job ran.
struct PanicRecord {
  ul64 vector;
  ul64 srr0;
  ul64 srr1;
  ul64 dar;
  ul64 dsisr;
  ul64 lr;
};
static_assert(sizeof(PanicRecord) == 48);

// At kControlAddress. All zero before the guest starts, except for what the host tells it.
struct Control {
  ul64 magic;  // guest, before `ready`
  ul32 version;
  ul32 mmu;          // host: before the start; later from hash to radix, while no batch is there
  SharedWord ready;  // guest: 1 once it waits for batches
  SharedWord submitted;  // host: how many batches it has handed over
  SharedWord completed;  // guest: how many of them are done
  SharedWord sleeping;   // guest: 1 while only kWakeUp makes it look at `submitted` again
  SharedWord panicked;   // guest: 1 once `panic` is valid
  SharedWord patience;   // host: how often more the guest looks at `submitted` before it sleeps
  PanicRecord panic;
};
static_assert(sizeof(Control) == 112 && sizeof(Control) <= kPageBytes);

}  // namespace farcall::wire

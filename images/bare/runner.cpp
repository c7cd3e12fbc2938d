// The runner: takes batches of jobs from shared memory, runs each in an address space of its own,
// and writes down what happened. It stays in real mode with interrupts off, except while it sleeps.
#include "base/byte_order.hpp"
#include "code.hpp"
#include "console.hpp"
#include "hypercall.hpp"
#include "job_state.hpp"
#include "layout.h"
#include "memory_map.hpp"
#include "mmu/mmu.hpp"
#include "wire/mailbox.hpp"
#include "wire_order.hpp"

// Lies at JOB_STATE: the linker script sees to it.
[[gnu::section(".job_state")]] farcall::bare::JobState job_state;

extern "C" const char trace_branch[];
extern "C" const char trace_step[];
extern "C" const char resume_job[];
extern "C" const char resume_job_rfid[];

namespace farcall::bare {
namespace {

// The decrementer counts at 512 MHz; with -icount shift=0 an instruction takes a nanosecond.
constexpr std::uint64_t ticks(std::uint64_t instructions) {
  return instructions * 64 / 125;
}
constexpr std::uint64_t kLongTime = 0x7fffffff;

// How often an idle runner looks for a batch before it goes to sleep, if the host asks for no more:
// some 100 µs, more than it needs between two batches.
constexpr std::uint64_t kLooksBeforeSleep = 20000;

wire::Control& control() {
  return *at_physical<wire::Control>(wire::kControlAddress);
}

const Mmu& asked_mmu() {
  return control().mmu == static_cast<std::uint32_t>(wire::Mmu::hash) ? kHash : kRadix;
}

void set_decrementer(std::uint64_t value) {
  asm volatile("mtspr %0, %1" : : "i"(SPR_DEC), "r"(value));
}

std::uint64_t aliased(const char* code, std::uint64_t nibble) {
  return reinterpret_cast<std::uint64_t>(code) | nibble << wire::kAliasShift;
}

std::uint64_t processor_version() {
  std::uint64_t version = 0;
  asm("mfspr %0, %1" : "=r"(version) : "i"(SPR_PVR));
  return version;
}

void initialize_interrupts() {
  constexpr std::uint64_t kInterruptEndian = 4;
  if (hypercall(Hypercall::set_mode, GUEST_LITTLE_ENDIAN, kInterruptEndian).status != 0) {
    __builtin_trap();
  }
  std::uint64_t facilities = std::uint64_t{1} << FSCR_TAR_SHIFT;
  if (processor_version() >> PVR_VERSION_SHIFT >= PVR_POWER10) {
    facilities |= std::uint64_t{1} << FSCR_PREFIX_SHIFT;
  }
  asm volatile("mtspr %0, %1" : : "i"(SPR_FSCR), "r"(facilities));
  set_decrementer(kLongTime);
}

// The ring in order, oldest first.
void report_last_branches(wire::JobResult& result) {
  const std::uint64_t taken = job_state.taken_branches;
  const std::uint64_t count = taken < wire::kLastBranches ? taken : wire::kLastBranches;
  for (std::uint64_t i = 0; i < count; ++i) {
    const RingEntry& entry = job_state.ring[(taken - count + i) % wire::kLastBranches];
    result.last[i] = {entry.from, entry.to, entry.link};
  }
  // Every branch was followed by the trace handler's own rfid, which is what CFAR holds now.
  if (job_state.cfar != job_state.resume_rfid) {
    result.came_from = job_state.cfar;
  } else {
    result.came_from = taken == 0 ? 0 : job_state.ring[(taken - 1) % wire::kLastBranches].from;
  }
}

// Which trace interrupts the job takes, and who handles them.
void watch(std::byte* area, wire::JobRecord& job) {
  const auto what = static_cast<wire::Watch>(static_cast<std::uint32_t>(job.watch));
  const bool steps = what == wire::Watch::instructions;
  job_state.trace_handler = aliased(steps ? trace_step : trace_branch, job.alias);
  job_state.job_msr = JOB_MSR_LOW | (steps ? MSR_SE : what == wire::Watch::branches ? MSR_BE : 0);
  job_state.steps = 0;
  job_state.steps_skipped = job.steps_skipped;
  job_state.step_next = reinterpret_cast<wire::Step*>(area + job.steps);
  job_state.step_end = job_state.step_next + static_cast<std::uint32_t>(job.step_capacity);
  auto* unstepped = reinterpret_cast<ul64*>(area + job.unstepped);
  job_state.unstepped_begin = unstepped;
  job_state.unstepped_end = unstepped + static_cast<std::uint32_t>(job.unstepped_count);
  for (; unstepped != job_state.unstepped_end; ++unstepped) {
    if (steps && *unstepped == job.entry_point) {
      job_state.job_msr ^= MSR_SE | MSR_BE;
    }
    turn(*unstepped);
  }
  auto* store = reinterpret_cast<wire::GuardedStore*>(area + job.guarded_stores);
  job_state.guarded_begin = store;
  job_state.guarded_end = store + static_cast<std::uint32_t>(job.guarded_store_count);
  for (; store != job_state.guarded_end; ++store) {
    turn(*store);
  }
}

void run_job(const Mmu& mmu, std::byte* area, wire::JobRecord& job) {
  const auto* mappings = reinterpret_cast<const wire::Mapping*>(area + job.mappings);
  const std::uint32_t mapping_count = job.mapping_count;
  const std::uint64_t gate_in_page = job.gate % wire::kPageBytes;
  mmu.map_gate(job.gate - gate_in_page, gate_page(gate_in_page));
  for (std::uint32_t i = 0; i < mapping_count; ++i) {
    const auto access = static_cast<wire::Access>(static_cast<std::uint32_t>(mappings[i].access));
    mmu.map_pages(mappings[i].address, reinterpret_cast<std::uint64_t>(area) + mappings[i].source,
                  mappings[i].page_count, access);
  }
  mmu.finish_mapping();

  auto* trace = reinterpret_cast<wire::TakenBranch*>(area + job.trace);
  auto* steps = reinterpret_cast<wire::Step*>(area + job.steps);
  watch(area, job);
  job_state.resume = aliased(resume_job, job.alias);
  job_state.resume_rfid = aliased(resume_job_rfid, job.alias);
  job_state.trace_next = trace;
  job_state.trace_end = trace + static_cast<std::uint32_t>(job.trace_capacity);
  job_state.trace_events = 0;
  job_state.ctr_jumps = job.jumps_by_ctr != 0 ? ~std::uint64_t{0} : 0;
  job_state.taken_branches = 0;
  job_state.ring[wire::kLastBranches - 1].to = job.entry_point;  // what came before the first one
  wire::JobResult& result = job.result;
  turn(job.entry);
  // QEMU leaves them as they are at some alignment interrupts: not at what an earlier job had
  // there.
  asm volatile("mtspr %0, %2; mtspr %1, %2" : : "i"(SPR_DAR), "i"(SPR_DSISR), "r"(0UL));
  result.vector = enter_job(&job.entry, &result.registers, job.entry_point, ticks(job.budget));

  turn(result.registers);
  for (wire::TakenBranch* branch = trace; branch != job_state.trace_next; ++branch) {
    turn(*branch);
  }
  for (wire::Step* step = steps; step != job_state.step_next; ++step) {
    turn(*step);
  }
  mmu.unmap_all();
  result.srr0 = job_state.srr0;
  result.srr1 = job_state.srr1;
  result.dar = job_state.dar;
  result.dsisr = job_state.dsisr;
  result.trace_events = job_state.trace_events;
  result.taken_branches = job_state.taken_branches;
  result.steps = job_state.steps;
  result.processor = static_cast<std::uint32_t>(processor_version());
  result.mmu = static_cast<std::uint32_t>(mmu.kind);
  result.big_endian = GUEST_LITTLE_ENDIAN ? 0U : 1U;
  report_last_branches(result);
  result.nonce = job.nonce;
}

[[gnu::hot, gnu::noinline]] void run_batch(const Mmu& mmu, std::byte* area) {
  auto& batch = *reinterpret_cast<wire::BatchHeader*>(area);
  const std::uint32_t job_count = batch.job_count;
  if (batch.magic != wire::kBatchMagic || job_count > wire::kMaxJobs) {
    __builtin_trap();  // the host is broken: nothing here can be believed
  }
  if (batch.forget_code != 0) {
    forget_code();
  }
  std::uint32_t next = batch.first_job;
  for (std::uint32_t i = 0; i < job_count; ++i) {
    auto& job = *reinterpret_cast<wire::JobRecord*>(area + next);
    next = job.next;
    run_job(mmu, area, job);
  }
  batch.completed_nonce = batch.nonce;
  batch.completed_jobs = job_count;
  batch.completion_word = wire::completion_word(batch.nonce, job_count);
}

// Returns when the host has handed over more than `completed` batches.
void wait_for_batch(std::uint64_t completed) {
  const std::uint64_t most = kLooksBeforeSleep + control().patience.load_acquire();
  for (std::uint64_t looks = 0; looks < most; ++looks) {
    if (control().submitted.load_acquire() != completed) {
      return;
    }
  }
  set_decrementer(kLongTime);
  while (true) {
    // The host looks at `sleeping` after it has written `submitted`, and this the other way round.
    // The hypercall in between is what orders the two for a host that runs us: QEMU makes no memory
    // barrier of a guest's sync when it runs a single CPU, but takes a lock for a hypercall.
    control().sleeping.store_release(1);
    arm_wake_up();
    if (control().submitted.load_acquire() != completed) {
      break;
    }
    sleep_until_byte();
    set_decrementer(kLongTime);
  }
  disarm_wake_up();
  control().sleeping.store_release(0);
}

}  // namespace

// An interrupt came while no job ran: the runner itself is at fault.
extern "C" [[noreturn, gnu::cold]] void panic(std::uint64_t vector, std::uint64_t srr0,
                                              std::uint64_t srr1, std::uint64_t lr) {
  std::uint64_t dar = 0;
  std::uint64_t dsisr = 0;
  asm volatile("mfspr %0, %1" : "=r"(dar) : "i"(SPR_DAR));
  asm volatile("mfspr %0, %1" : "=r"(dsisr) : "i"(SPR_DSISR));
  control().panic = {vector, srr0, srr1, dar, dsisr, lr};
  control().panicked.store_release(1);
  put("farcall: the runner failed: vector ");
  put_hex(vector);
  put(" srr0 ");
  put_hex(srr0);
  put(" srr1 ");
  put_hex(srr1);
  put(" lr ");
  put_hex(lr);
  put("\n");
  power_off();
}

extern "C" [[noreturn, gnu::cold]] void runner_main() {
  initialize_interrupts();
  enable_console_interrupt();
  const Mmu* mmu = &asked_mmu();
  mmu->initialize();
  put(GUEST_LITTLE_ENDIAN ? "farcall: little-endian guest, " : "farcall: big-endian guest, ");
  put(mmu == &kHash ? "hash translation\n" : "radix translation\n");
  control().magic = wire::kControlMagic;
  control().version = wire::kVersion;
  control().ready.store_release(1);
  for (std::uint64_t completed = 0;; ++completed) {
    wait_for_batch(completed);
    if (const Mmu& asked = asked_mmu(); mmu != &asked) {
      mmu = &asked;
      mmu->initialize();
    }
    run_batch(*mmu, at_physical<std::byte>(wire::kAreasAddress +
                                           completed % wire::kAreaCount * wire::kAreaBytes));
    control().completed.store_release(completed + 1);
    ring_doorbell();
  }
}

}  // namespace farcall::bare

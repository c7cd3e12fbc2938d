// Job and Observations: what a guest is asked to run, and what it saw.
//
// A job is all that a guest needs to know: memory, registers, where to begin, when to give up. It
// does not say what the right answer is.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "bpf/interpreter.hpp"
#include "model/cell.hpp"
#include "model/code_image.hpp"
#include "ppc64/registers.hpp"

namespace farcall::model {

enum class Access : std::uint8_t { execute, read, read_write };

// `size_bytes` bytes at an address, the first of them given, the others undefined (a stack has none
// given). Only the pages that regions touch are mapped; within these pages, code pages hold trap
// words and data pages the job's fill outside the regions. Regions do not overlap; two that share a
// page have the same access.
struct JobRegion {
  GuestAddress address;
  std::uint64_t size_bytes = 0;
  SharedBytes bytes;  // at most size_bytes
  Access access = Access::read;
  bool reported = false;  // its bytes after the run are wanted
  std::string name = {};  // for people: `main`, `mem`

  GuestAddress end() const { return address + size_bytes; }
  friend bool operator==(const JobRegion&, const JobRegion&) = default;
};

// What of a job the guest writes down: calls and returns; these, and the registers before each
// instruction; nothing, for a debugger that steps by itself.
enum class Watch : std::uint8_t { branches, instructions, nothing };

// Where a branch that is neither call nor return leads for the guest to write it down: a tail call
// of farcall's own code goes where r12 points, that of a kernel's where CTR does, and so does any
// `gotox`. A direct branch that leads there is written down, too.
enum class Jumps : std::uint8_t { where_r12_points, where_ctr_points };

struct Job {
  std::vector<JobRegion> regions;
  ppc64::Registers entry;  // on entry; lr is the address to return to, ctr and r12 the entry point
  GuestAddress entry_point;
  GuestAddress gate;  // the return address: a word of its own, mapped by the guest's runner
  // Eight bytes for every doubleword of data pages that nobody gives, low byte at its lowest
  // address.
  std::uint64_t fill = 0;
  std::uint64_t budget_instructions = 10'000'000;
  std::uint32_t trace_events = 256;  // how many calls and returns are recorded at most
  Watch watch = Watch::branches;
  Jumps jumps = Jumps::where_r12_points;
  std::uint32_t steps = 0;          // how many are recorded at most
  std::uint64_t steps_skipped = 0;  // so many are not, before the first one is

  friend bool operator==(const Job&, const Job&) = default;
};

enum class Ending : std::uint8_t { returned, faulted, out_of_budget };

// A branch that the CPU took, from the hardware's branch trace. `link` is LR right after it, so a
// branch-and-link has link = from + 4, and a return has to = link. Of the others, those are
// recorded that go where Job::jumps says that a tail call does.
struct TakenBranch {
  GuestAddress from;
  GuestAddress to;
  GuestAddress link;

  bool is_call() const { return link == from + 4; }
  bool is_return() const { return !is_call() && to == link; }
  bool is_jump() const { return !is_call() && !is_return(); }
  friend bool operator==(const TakenBranch&, const TakenBranch&) = default;
};

// The CPU before an instruction. The job's first instruction has none: Job::entry says how it is.
// Nor have those from a lwarx, or its like, to the next branch.
struct Step {
  GuestAddress address;
  GuestAddress from;  // the branch that led here; 0: none did
  std::array<std::uint64_t, 32> gpr = {};
  std::uint64_t lr = 0;
  std::uint64_t ctr = 0;
  std::uint64_t xer = 0;
  std::uint32_t cr = 0;

  friend bool operator==(const Step&, const Step&) = default;
};

// Why the CPU left the program. `data_address` and `data_status` (DAR, DSISR) only where the vector
// sets them.
struct Fault {
  std::uint32_t vector = 0;  // 0x300 data storage, 0x400 instruction storage, 0x700 program …
  GuestAddress address;      // SRR0: the instruction
  std::uint64_t status = 0;  // SRR1
  std::optional<GuestAddress> data_address;
  std::optional<std::uint32_t> data_status;
  GuestAddress came_from;  // CFAR: the last branch taken before it

  friend bool operator==(const Fault&, const Fault&) = default;
};

// What ran a job, as the guest says of itself. Empty: nothing that is known here.
struct GuestHardware {
  std::uint32_t processor = 0;  // the PVR
  std::optional<Cpu> cpu;       // which that is
  std::optional<Mmu> mmu;       // the one that it has set up
  std::optional<Endian> endian;

  friend bool operator==(const GuestHardware&, const GuestHardware&) = default;
};

struct Observations {
  GuestHardware hardware;
  Ending ending = Ending::returned;
  ppc64::Registers registers;        // at the end, whatever the ending
  std::optional<Fault> fault;        // faulted and out_of_budget
  std::vector<TakenBranch> trace;    // calls, returns and tail calls in order of execution
  std::uint64_t trace_events = 0;    // how many there were; more than trace.size(): it overflowed
  std::uint64_t taken_branches = 0;  // all events of the branch trace, loops included
  std::vector<TakenBranch> last;     // the last few branches of any kind, oldest first
  std::vector<Step> steps;           // if Watch::instructions
  std::uint64_t step_count = 0;      // how many there were, skipped ones and the rest included
  std::vector<JobRegion> memory;     // the reported regions, with their bytes after the run
  std::vector<GuestAddress> stray_writes;  // bytes that changed outside all regions, lowest first

  friend bool operator==(const Observations&, const Observations&) = default;
};

// `seen` without direct branches that were recorded only because they happen to lead to where CTR
// or r12 points, and that are not calls: branches within a function or, if jumps by CTR are recorded,
// any direct branch. `order` is that of the job's code.
Observations without_direct_branches(const Job& job, std::endian order, Observations seen);

// Where r10 is in each of `functions`: the job begins with the first, and each of the others is
// called by the one before. The list ends where the image does not say it, or at the stack's end.
std::vector<GuestAddress> frame_tops(const Cell& cell, const CodeImage& image,
                                     std::span<const bpf::LeftFrame> functions);

// The job for a cell and its code: code, gate, stack and memory at their places. What nobody has
// written depends on `seed` and the cell's name and on nothing else: a distinct value in every
// register, and the fill. An even seed and the next one differ in every bit of these. With ELFv1,
// the image's entry is a descriptor.
// The part of the stack with `frames` is reported after the run.
Job make_job(const Cell& cell, const CodeImage& image, std::uint64_t seed,
             std::span<const bpf::LeftFrame> frames = {});

}  // namespace farcall::model

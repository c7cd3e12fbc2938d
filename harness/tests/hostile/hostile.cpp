// Jobs that attack the guest they run in: code that no JIT would make, on every kind of machine.
//
//   farcall_hostile ENDIAN JOBS [SEED]
//
// Runs JOBS jobs on guests of that byte order (`le`, `be`), a fifth of them on each kind of CPU and
// MMU. After every thousand, and at the end, a good job must come to exactly what it came to on a
// fresh machine. Every job must end as one job: the machine stays, the guest says who it is, and
// what a job may only read, its neighbours' memory too, is as it was. The same seed makes the same
// jobs, whatever the machine. Exit code 0: all that held; 1: not, and the job's number is printed.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "base/byte_order.hpp"
#include "tests/paths.hpp"
#include "vm/machine.hpp"
#include "wire/mailbox.hpp"

namespace farcall::hostile {
namespace {

using Words = std::vector<std::uint32_t>;

constexpr std::uint64_t kJobsBetweenGoodOnes = 1000;
constexpr std::size_t kJobsTogether = 64;
constexpr std::uint64_t kBudget = 20'000;  // instructions

constexpr GuestAddress kGate = {0xc000'0000'0000'4000};
constexpr GuestAddress kData = {0xc00c'0000'0000'0000};
constexpr GuestAddress kReadOnly = {0xc00c'0000'0010'0000};
constexpr GuestAddress kStack = {0xc000'0000'0200'0000};
constexpr std::uint64_t kStackBytes = 4096;

// SplitMix64: the same numbers for the same seed everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t any() {
    std::uint64_t mixed = (state_ += 0x9e37'79b9'7f4a'7c15);
    mixed = (mixed ^ mixed >> 30) * 0xbf58'476d'1ce4'e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d0'49bb'1331'11eb;
    return mixed ^ mixed >> 31;
  }
  std::uint64_t below(std::uint64_t limit) { return any() % limit; }
  std::uint32_t word() { return static_cast<std::uint32_t>(any()); }
  template <typename List>
  auto of(const List& list) {
    return list[static_cast<std::size_t>(below(std::size(list)))];
  }

 private:
  std::uint64_t state_;
};

// Instructions by their forms: Power ISA 3.1, Book I, section 1.6.
constexpr std::uint32_t d_form(std::uint32_t opcode, std::uint32_t rt, std::uint32_t ra,
                               std::uint32_t immediate) {
  return opcode << 26 | rt << 21 | ra << 16 | (immediate & 0xffff);
}
constexpr std::uint32_t x_form(std::uint32_t opcode, std::uint32_t rt, std::uint32_t ra,
                               std::uint32_t rb, std::uint32_t extended) {
  return opcode << 26 | rt << 21 | ra << 16 | rb << 11 | extended << 1;
}
// The two halves of the number of an SPR are exchanged in the word.
constexpr std::uint32_t move_spr(std::uint32_t extended, std::uint32_t rt, std::uint32_t spr) {
  return x_form(31, rt, spr & 31, spr >> 5 & 31, extended);
}

constexpr std::uint32_t kBlr = 0x4e80'0020;
constexpr std::uint32_t kBctr = 0x4e80'0420;
constexpr std::uint32_t kBctrl = 0x4e80'0421;
constexpr std::uint32_t kSystemCall = 0x4400'0002;
constexpr std::uint32_t kHypercall = 0x4400'0022;
constexpr std::uint32_t kLoop = 0x4800'0000;
constexpr std::uint32_t kReadOwnAddress = 0x429f'0005;  // bcl 20, 31, .+4
constexpr std::uint32_t kMoveToSpr = 467;
constexpr std::uint32_t kMoveFromSpr = 339;

// Where there is something to gain: the runner and what it shares with the host, by physical
// address, at every top nibble that real mode ignores, and where a kernel would have it; pages of
// this job and of others; ends of what an MMU translates.
std::uint64_t interesting_address(Random& random) {
  static constexpr std::array<std::uint64_t, 24> kPlaces = {
      0x0,
      0x100,
      0x700,
      0xc00,
      0xd00,
      wire::kResumePage,
      0x3000,  // the runner's knowledge of the running job
      0x4000,
      0x8000,
      wire::kControlAddress,
      wire::kControlAddress + offsetof(wire::Control, completed),
      0x20'0000,  // roots of the translation
      0x30'0000,  // the gate's page
      0x40'0000,  // the code of jobs
      0x80'0000,  // page tables
      wire::kAreasAddress,
      wire::kAreasAddress + offsetof(wire::BatchHeader, completion_word),
      wire::kAreasAddress + wire::kAreaBytes,
      wire::kRamBytes - 8,
      0xc00c'0000'0000'0000,
      0xc00c'0000'0010'0000,
      0xc000'0000'0000'4000,
      0x000f'ffff'ffff'fff8,
      0xc00f'ffff'ffff'fff8,
  };
  std::uint64_t address = random.of(kPlaces);
  if (random.below(3) == 0) {
    address |= random.below(16) << 60;
  }
  if (random.below(3) == 0) {
    address += 8 * random.below(512);
  }
  return random.below(16) == 0 ? random.any() : address;
}

std::uint32_t some_register(Random& random) {
  return static_cast<std::uint32_t>(random.below(32));
}

// What each kind of attack does, a few instructions at a time.
using Attack = void (*)(Random& random, Words& code);

void random_words(Random& random, Words& code) {
  code.push_back(random.word());
}

// Instructions of the groups that have most privileged ones, and prefixed ones.
void random_in_group(Random& random, Words& code) {
  static constexpr std::array<std::uint32_t, 10> kOpcodes = {31, 31, 31, 19, 4, 17, 59, 60, 62, 63};
  code.push_back(random.of(kOpcodes) << 26 | (random.word() & 0x03ff'ffff));
  if (random.below(8) == 0) {
    code.push_back(1U << 26 | (random.word() & 0x03ff'ffff));
    code.push_back(random.word());
  }
}

void store(Random& random, Words& code) {
  static constexpr std::array<std::uint32_t, 8> kDisplaced = {36, 37, 38, 39, 44, 47, 52, 54};
  // stdx stwx sthx stbx stwcx. stdcx. dcbz stxvd2x stvx stwbrx stdbrx dcbf icbi stswi
  static constexpr std::array<std::uint32_t, 14> kIndexed = {149, 151, 407, 215, 150, 214, 1014,
                                                             972, 231, 662, 660, 86,  982, 725};
  const std::uint32_t at = some_register(random);
  if (random.below(2) == 0) {
    code.push_back(d_form(random.of(kDisplaced), some_register(random), at,
                          static_cast<std::uint32_t>(8 * random.below(16))));
  } else {
    code.push_back(x_form(31, some_register(random), 0, at, random.of(kIndexed)) |
                   static_cast<std::uint32_t>(random.below(2)));
  }
}

void hypercall(Random& random, Words& code) {
  // li r3, number; sc 1. Those of PAPR are multiples of 4 below 0x400, QEMU's own 0xf000 and on.
  const std::uint64_t number =
      random.below(4) == 0 ? 0xf000 + random.below(8) : 4 * random.below(0x100);
  code.push_back(d_form(24, 0, 0, 0));
  code.push_back(d_form(14, 3, 0, 0));
  code.push_back(d_form(24, 3, 3, static_cast<std::uint32_t>(number)));
  code.push_back(random.below(4) == 0
                     ? kSystemCall | static_cast<std::uint32_t>(random.below(128)) << 5
                     : kHypercall);
}

void machine_state(Random& random, Words& code) {
  const std::uint32_t r = some_register(random);
  const std::uint32_t s = some_register(random);
  static constexpr std::array kOthers = {
      0x4c00'0024U,  // rfid
      0x4c00'0224U,  // hrfid
      0x4c00'00a4U,  // rfscv
      0x4c00'0064U,  // rfi
      0x4400'0001U,  // scv 0
      0x0000'0200U,  // attn
      0x4c00'0324U,  // doze, nap and their like
      0x4c00'0364U, 0x4c00'03a4U, 0x4c00'03e4U, 0x4c00'02e4U,
      0x7c00'04acU,  // sync, ptesync
      0x7c40'04acU,
      0x7c00'03e4U,  // slbia
      0x7c00'02e4U,  // tlbia
      0x7c00'046cU,  // tlbsync
      0x4c00'012cU,  // isync
      0x7c00'07acU,  // slbfee. and what may be there
  };
  switch (random.below(8)) {
    case 0:
      code.push_back(x_form(31, r, 0, 0, 146));  // mtmsr
      break;
    case 1:
      code.push_back(x_form(31, r, 0, 0, 178));  // mtmsrd
      break;
    case 2:
      code.push_back(x_form(31, r, static_cast<std::uint32_t>(random.below(32)), s, 306));  // tlbie
      break;
    case 3:
      code.push_back(
          x_form(31, r, static_cast<std::uint32_t>(random.below(32)), s, 274));  // tlbiel
      break;
    case 4:
      code.push_back(x_form(31, r, 0, s, 402));  // slbmte
      code.push_back(x_form(31, r, 0, s, 434));  // slbie
      break;
    case 5:
      code.push_back(x_form(31, 0, 0, s, 206));  // msgsnd
      code.push_back(x_form(31, 0, 0, s, 142));  // msgsndp
      break;
    default:
      code.push_back(random.of(kOthers));
  }
}

void special_register(Random& random, Words& code) {
  code.push_back(move_spr(random.below(4) == 0 ? kMoveFromSpr : kMoveToSpr, some_register(random),
                          static_cast<std::uint32_t>(random.below(1024))));
}

// Writes over what follows it, and goes there.
void self_modification(Random& random, Words& code) {
  code.push_back(kReadOwnAddress);
  code.push_back(move_spr(kMoveFromSpr, 9, 8));        // mflr r9
  code.push_back(d_form(36, some_register(random), 9,  // stw rN, …(r9)
                        static_cast<std::uint32_t>(4 * random.below(8))));
  code.push_back(x_form(31, 0, 0, 9, 982));  // icbi
  code.push_back(0x4c00'012c);               // isync
}

void endless(Random& random, Words& code) {
  switch (random.below(5)) {
    case 0:
      code.push_back(kLoop);
      break;
    case 1:
      code.push_back(0x4200'0000);  // bdnz .
      break;
    case 2:  // calls, and never returns
      code.push_back(kReadOwnAddress);
      code.push_back(0x4bff'fffd);  // bl .-4
      break;
    case 3:  // lwarx; stwcx.; b
      code.push_back(x_form(31, 5, 0, 3, 20));
      code.push_back(x_form(31, 5, 0, 3, 150) | 1);
      code.push_back(0x4bff'fff8);
      break;
    default:  // out to the gate's page and back, wherever that leads
      code.push_back(move_spr(kMoveToSpr, 12, 9));
      code.push_back(kBctrl);
      code.push_back(0x4bff'fff8);
  }
}

// Frames until there is no stack any more.
void exhaust_stack(Random& random, Words& code) {
  const auto bytes = static_cast<std::uint32_t>(32 * (1 + random.below(16)));
  code.push_back(d_form(62, 1, 1, (0U - bytes)) | 1);  // stdu r1, -bytes(r1)
  code.push_back(0x4bff'fffd);                         // bl .-4
}

// A way out of its own making: the gate, its neighbours, the handlers of the trace at any alias,
// vectors, with whatever it likes in the registers that say how it came.
void forge(Random& random, Words& code) {
  const std::uint32_t r = some_register(random);
  code.push_back(move_spr(kMoveToSpr, r, random.below(2) == 0 ? 9 : 8));
  code.push_back(move_spr(kMoveToSpr, some_register(random),
                          random.of(std::array<std::uint32_t, 6>{8, 9, 815, 1, 256, 3})));
  switch (random.below(4)) {
    case 0:
      code.push_back(kSystemCall);
      break;
    case 1:
      code.push_back(kBctr);
      break;
    case 2:
      code.push_back(kBctrl);
      break;
    default:
      code.push_back(kBlr);
  }
}

constexpr std::array<Attack, 10> kAttacks = {
    random_words,     random_in_group,   store,   hypercall,     machine_state,
    special_register, self_modification, endless, exhaust_stack, forge};

model::JobRegion region(GuestAddress address, std::vector<std::byte> bytes, std::uint64_t size,
                        model::Access access) {
  return {.address = address,
          .size_bytes = size,
          .bytes = std::move(bytes),
          .access = access,
          .reported = access != model::Access::execute};
}

std::vector<std::byte> in_order(const Words& words, std::endian order) {
  std::vector<std::byte> bytes(words.size() * 4);
  for (std::size_t i = 0; i < words.size(); ++i) {
    farcall::store(bytes.data() + i * 4, words[i], order);
  }
  return bytes;
}

const std::vector<std::byte>& read_only_bytes() {
  static const std::vector<std::byte> kBytes(64, std::byte{0x5a});
  return kBytes;
}

// What all jobs have: code, memory to write and to read, a small stack, and a way back.
model::Job job_of(const Words& code, GuestAddress at, std::endian order) {
  model::Job job;
  job.regions.push_back(region(at, in_order(code, order), code.size() * 4, model::Access::execute));
  job.regions.push_back(region(kData, {}, 256, model::Access::read_write));
  job.regions.push_back(
      region(kReadOnly, read_only_bytes(), read_only_bytes().size(), model::Access::read));
  job.regions.push_back(region(kStack, {}, kStackBytes, model::Access::read_write));
  job.entry_point = at;
  job.gate = kGate;
  job.fill = 0x5ee3'91c7'0d2b'a648;
  job.budget_instructions = kBudget;
  job.trace_events = 64;
  job.entry.gpr[1] = kStack.value + kStackBytes - 256;
  job.entry.gpr[3] = kData.value;
  job.entry.gpr[12] = at.value;
  job.entry.ctr = at.value;
  job.entry.lr = kGate.value;
  return job;
}

// Job number `number` of a seed.
model::Job hostile_job(std::uint64_t seed, std::uint64_t number, std::endian order) {
  Random random(seed * 0x1'0000'0001 + number);
  Words code;
  const std::size_t length = 1 + random.below(48);
  // One kind of attack, or all of them.
  const bool mixed = random.below(3) == 0;
  Attack attack = random.of(kAttacks);
  while (code.size() < length) {
    attack(random, code);
    attack = mixed ? random.of(kAttacks) : attack;
  }
  code.push_back(kBlr);
  static constexpr std::array<std::uint64_t, 5> kCodeAt = {
      0xc008'0000'0012'a400, 0xc000'0000'0001'0000, 0x1'0000, 0xc008'0000'0000'2000, 0x2000};
  model::Job job = job_of(code, {random.of(kCodeAt)}, order);
  for (std::size_t i = 0; i < 32; ++i) {
    if (i != 1 && random.below(4) != 0) {
      job.entry.gpr[i] = interesting_address(random);
    }
    job.entry.fpr[i] = random.any();
    job.entry.vr[i] = {random.any(), random.any()};
  }
  if (random.below(2) == 0) {
    job.entry.ctr = interesting_address(random);
  }
  if (random.below(4) == 0) {
    job.entry.lr = interesting_address(random);
  }
  job.entry.cr = random.word();
  job.entry.xer = random.word();
  if (random.below(8) == 0) {
    job.watch = model::Watch::instructions;
    job.steps = 16;
    job.steps_skipped = random.below(64);
  } else if (random.below(8) == 0) {
    job.watch = model::Watch::nothing;
  }
  return job;
}

// Calls, counts, loads, stores and returns: what any later job must still be able to do.
model::Job good_job(std::endian order) {
  const Words code = {
      move_spr(kMoveFromSpr, 0, 8),  // mflr r0
      0x4800'0015,                   // bl .+20
      move_spr(kMoveToSpr, 0, 8),    // mtlr r0
      d_form(14, 3, 4, 2),           // addi r3, r4, 2
      d_form(24, 0, 0, 0),           // nop
      kBlr,
      d_form(14, 4, 0, 40),  // li r4, 40
      d_form(62, 4, 3, 8),   // std r4, 8(r3)
      kBlr,
  };
  return job_of(code, {0xc008'0000'0012'a400}, order);
}

struct Kind {
  model::Cpu cpu;
  model::Mmu mmu;
};
constexpr std::array kKinds = {
    Kind{model::Cpu::power8, model::Mmu::hash}, Kind{model::Cpu::power9, model::Mmu::radix},
    Kind{model::Cpu::power9, model::Mmu::hash}, Kind{model::Cpu::power10, model::Mmu::radix},
    Kind{model::Cpu::power10, model::Mmu::hash}};

struct Counts {
  std::uint64_t jobs = 0;
  std::uint64_t good = 0;
  std::array<std::uint64_t, 3> endings = {};  // by model::Ending
};

// What is wrong with what was seen of a job; empty: nothing.
std::string objection(const vm::MachineSpec& spec, const model::Job& job,
                      const model::Observations& seen) {
  if (seen.hardware.cpu != spec.cpu || seen.hardware.mmu != spec.mmu ||
      seen.hardware.endian != spec.endian) {
    return "the guest says that it is another machine";
  }
  if (seen.memory.size() != 3 || seen.memory[1].bytes != read_only_bytes()) {
    return "what it may only read has changed";
  }
  if (seen.trace.size() > job.trace_events || seen.trace.size() > seen.trace_events) {
    return "its trace has more events than there were";
  }
  const bool at_gate = seen.ending == model::Ending::returned;
  if (at_gate == seen.fault.has_value()) {
    return "it returned and faulted, or neither";
  }
  // Nothing is mapped before the gate, and on its page there are trap words.
  if (job.watch != model::Watch::nothing && at_gate &&
      (seen.last.empty() || seen.last.back().to != kGate)) {
    return "it is at the gate, and the last branch leads elsewhere";
  }
  return "";
}

class Run {
 public:
  Run(vm::MachineSpec spec, std::uint64_t seed)
      : spec_(std::move(spec)), order_(byte_order(spec_.endian)), seed_(seed) {}

  // Jobs `first` … `end` − 1, good ones between. What went wrong; empty: nothing.
  std::string run(std::uint64_t first, std::uint64_t end) {
    auto started = vm::Machine::start(spec_);
    if (!started) {
      return to_string(started.error());
    }
    vm::Machine machine = std::move(started).value();
    if (std::string wrong = run_good(machine); !wrong.empty()) {
      return "on a fresh machine: " + wrong;
    }
    if (std::string wrong = locked_in(machine.process_id()); !wrong.empty()) {
      return wrong;
    }
    for (std::uint64_t next = first; next < end;) {
      const std::uint64_t stop = std::min(end, next + kJobsBetweenGoodOnes);
      if (std::string wrong = run_hostile(machine, next, stop); !wrong.empty()) {
        return wrong;
      }
      if (std::string wrong = run_good(machine); !wrong.empty()) {
        return fmt::format("after job {}: {}", stop - 1, wrong);
      }
      next = stop;
    }
    return "";
  }

  const Counts& counts() const { return counts_; }

 private:
  // Where QEMU has a sandbox, the kernel filters its system calls.
  static std::string locked_in(int process) {
    std::ifstream status(fmt::format("/proc/{}/status", process));
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("Seccomp:")) {
        return line.ends_with("2") || std::getenv("FARCALL_NO_SANDBOX") != nullptr
                   ? ""
                   : "QEMU runs without its sandbox; FARCALL_NO_SANDBOX=1 if it has none";
      }
    }
    return fmt::format("process {} says nothing of itself", process);
  }

  std::string run_good(vm::Machine& machine) {
    const std::array jobs = {good_job(order_)};
    const auto sent = machine.submit(jobs);
    auto seen = sent ? machine.collect() : sent.error();
    if (!seen) {
      return to_string(seen.error());
    }
    const model::Observations& one = seen.value().front();
    std::byte stored[8];
    farcall::store(stored, std::uint64_t{40}, order_);
    if (one.ending != model::Ending::returned || one.registers.gpr[3] != 42 ||
        !std::equal(stored, stored + 8, one.memory.at(0).bytes.begin() + 8) ||
        one.trace.size() != 3) {
      return "a good job did not come to r3 = 42 and 40 in memory by a call and two returns";
    }
    if (reference_ && !(*reference_ == one)) {
      return "a good job came to something else than on a fresh machine";
    }
    reference_ = one;
    ++counts_.good;
    return "";
  }

  std::string run_hostile(vm::Machine& machine, std::uint64_t next, std::uint64_t stop) {
    std::deque<std::pair<std::uint64_t, std::vector<model::Job>>> running;  // first number, jobs
    while (next < stop || !running.empty()) {
      if (next < stop && running.size() < vm::kMaxBatchesInFlight) {
        std::vector<model::Job> jobs;
        for (std::uint64_t i = next; i < std::min<std::uint64_t>(stop, next + kJobsTogether); ++i) {
          jobs.push_back(hostile_job(seed_, i, order_));
        }
        const auto sent = machine.submit(jobs);
        if (!sent) {
          return fmt::format("job {}: {}", next, to_string(sent.error()));
        }
        jobs.resize(sent.value());
        const std::uint64_t first = std::exchange(next, next + sent.value());
        running.emplace_back(first, std::move(jobs));
        continue;
      }
      const auto [first, jobs] = std::move(running.front());
      running.pop_front();
      const auto seen = machine.collect();
      if (!seen) {
        return fmt::format("one of the jobs {} to {}: {}", first, first + jobs.size() - 1,
                           to_string(seen.error()));
      }
      for (std::size_t i = 0; i < jobs.size(); ++i) {
        if (std::string wrong = objection(spec_, jobs[i], seen.value()[i]); !wrong.empty()) {
          return fmt::format("job {}: {}", first + i, wrong);
        }
        ++counts_.jobs;
        ++counts_.endings[static_cast<std::size_t>(seen.value()[i].ending)];
      }
    }
    return "";
  }

  vm::MachineSpec spec_;
  std::endian order_;
  std::uint64_t seed_;
  std::optional<model::Observations> reference_;
  Counts counts_;
};

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value)
                                                                  : std::nullopt;
}

int run(std::span<const std::string_view> arguments) {
  const auto jobs = arguments.size() > 1 ? number(arguments[1]) : std::nullopt;
  const auto seed = arguments.size() > 2 ? number(arguments[2]) : std::optional<std::uint64_t>(1);
  if (!jobs || *jobs == 0 || !seed || arguments.size() > 3 ||
      (arguments[0] != "le" && arguments[0] != "be")) {
    fmt::print(stderr, "usage: farcall_hostile le|be JOBS [SEED]\n");
    return 2;
  }
  const auto endian = arguments[0] == "be" ? model::Endian::big : model::Endian::little;
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    const Kind& kind = kKinds[i];
    Run run({.endian = endian,
             .cpu = kind.cpu,
             .mmu = kind.mmu,
             .image = tests::build_dir() / "images" / vm::image_name(endian, kind.mmu)},
            *seed);
    const std::string wrong = run.run(*jobs * i / kKinds.size(), *jobs * (i + 1) / kKinds.size());
    const model::AxisValues axes{.endian = endian, .cpu = kind.cpu, .mmu = kind.mmu};
    const Counts& counts = run.counts();
    fmt::print(
        "{} {:<7} {:<5} seed {}: {} jobs: {} came to the gate, {} faulted, {} did not end; "
        "{} good ones\n",
        arguments[0], value_name(axes, model::Axis::cpu), value_name(axes, model::Axis::mmu), *seed,
        counts.jobs, counts.endings[0], counts.endings[1], counts.endings[2], counts.good);
    std::fflush(stdout);
    if (!wrong.empty()) {
      fmt::print("FAIL {}\n", wrong);
      return 1;
    }
  }
  return 0;
}

}  // namespace
}  // namespace farcall::hostile

int main(int count, char** arguments) {
  return farcall::hostile::run(std::vector<std::string_view>(arguments + 1, arguments + count));
}

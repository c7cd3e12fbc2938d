// Jobs that do as they should: results, calls and their trace, registers, memory, placements.
#include <algorithm>
#include <array>

#include "guest.hpp"
#include "wire/mailbox.hpp"

namespace farcall::vm::run_test {
namespace {

using model::Access;
using model::Ending;
using model::TakenBranch;

class OneJob : public OnMachine {};
ON_MACHINES(OneJob, all_machines());

class OneHashJob : public OnMachine {};
ON_MACHINES(OneHashJob, machines_with(model::Mmu::hash));

TEST_P(OneJob, ReturnsWhatItComputes) {
  model::Job job = code_job({0x38630001, kBlr});  // addi r3, r3, 1
  job.entry.gpr[3] = 41;
  const auto seen = run(job);
  EXPECT_EQ(seen.ending, Ending::returned);
  EXPECT_FALSE(seen.fault.has_value());
  EXPECT_EQ(seen.registers.gpr[3], 42U);
  const std::vector<TakenBranch> only_return = {{kCode + 4, kGate, kGate}};
  EXPECT_EQ(seen.trace, only_return);
  EXPECT_EQ(seen.last, only_return);
  EXPECT_EQ(seen.trace_events, 1U);
  EXPECT_EQ(seen.taken_branches, 1U);
  EXPECT_TRUE(seen.stray_writes.empty());
}

// What the CPU itself says, and which MMU the guest has set up: not what it was told to be.
TEST_P(OneJob, SaysWhatItRanOn) {
  const model::GuestHardware hardware = run(code_job({kBlr})).hardware;
  EXPECT_EQ(hardware.cpu, GetParam().cpu) << hardware.processor;
  EXPECT_EQ(hardware.mmu, GetParam().mmu);
  EXPECT_EQ(hardware.endian, GetParam().endian);
}

TEST_P(OneJob, FarCallIsTracedToTheAddressItReaches) {
  constexpr GuestAddress kCaller = {0xc000'0000'0001'0000};
  constexpr GuestAddress kCallee = {0xc008'0000'0001'2340};  // 2 PiB away
  model::Job job = code_job(
      {
          0x7c0802a6,  // mflr r0
          0x7d8903a6,  // mtctr r12
          0x4e800421,  // bctrl
          0x7c0803a6,  // mtlr r0
          kBlr,
      },
      kCaller);
  add_code(job, kCallee, {0x38630005, kBlr});  // addi r3, r3, 5
  job.entry.gpr[3] = 1;
  job.entry.gpr[12] = kCallee.value;
  const auto seen = run(job);
  EXPECT_EQ(seen.ending, Ending::returned);
  EXPECT_EQ(seen.registers.gpr[3], 6U);
  const std::vector<TakenBranch> expected = {
      {kCaller + 8, kCallee, kCaller + 12},
      {kCallee + 4, kCaller + 12, kCaller + 12},
      {kCaller + 16, kGate, kGate},
  };
  EXPECT_EQ(seen.trace, expected);
  EXPECT_TRUE(seen.trace[0].is_call());
  EXPECT_TRUE(seen.trace[1].is_return());
}

TEST_P(OneJob, LoopsAreCountedButNotTraced) {
  model::Job job = code_job({
      0x7c6903a6,  // mtctr r3
      0x42000000,  // bdnz .
      0x2c230000,  // cmpdi r3, 0
      0x41820008,  // beq .+8: not taken, r3 = 100
      0x48000004,  // b .+4
      kBlr,
  });
  job.entry.gpr[3] = 100;
  const auto seen = run(job);
  EXPECT_EQ(seen.ending, Ending::returned);
  EXPECT_EQ(seen.trace_events, 1U);
  EXPECT_EQ(seen.taken_branches, 99U + 1 + 1);  // the last bdnz and the beq are not taken
  ASSERT_EQ(seen.last.size(), 16U);
  EXPECT_EQ(seen.last[13], (TakenBranch{kCode + 4, kCode + 4, kGate}));
  EXPECT_EQ(seen.last[14], (TakenBranch{kCode + 16, kCode + 20, kGate}));
  EXPECT_EQ(seen.last[15], (TakenBranch{kCode + 20, kGate, kGate}));
}

TEST_P(OneJob, TraceThatOverflowsSaysSo) {
  // Ten calls of the next instruction, in a trace of four.
  model::Job job = code_job({
      0x7c0802a6,  // mflr r0
      0x7c6903a6,  // mtctr r3
      0x48000005,  // bl .+4
      0x4200fffc,  // bdnz .-4
      0x7c0803a6,  // mtlr r0
      kBlr,
  });
  job.entry.gpr[3] = 10;
  job.trace_events = 4;
  const auto seen = run(job);
  EXPECT_EQ(seen.ending, Ending::returned);
  EXPECT_EQ(seen.trace_events, 11U);
  ASSERT_EQ(seen.trace.size(), 4U);
  for (const TakenBranch& branch : seen.trace) {
    EXPECT_EQ(branch, (TakenBranch{kCode + 8, kCode + 12, kCode + 12}));
  }
  job.trace_events = 0;
  EXPECT_EQ(run(job).trace_events, 11U);
}

ppc64::Registers distinct_registers() {
  ppc64::Registers registers;
  for (std::uint64_t i = 0; i < 32; ++i) {
    registers.gpr[i] = 0x1111'0000'0000'0000 + i;
    registers.fpr[i] = 0x2222'0000'0000'0000 + i;
    registers.vr[i] = {0x3333'0000'0000'0000 + i, 0x4444'0000'0000'0000 + i};
  }
  registers.lr = kGate.value;
  registers.ctr = 0x5555'6666'7777'8888;
  registers.xer = 0xe000'0000;  // SO, OV, CA
  registers.cr = 0x1234'5678;
  return registers;
}

TEST_P(OneJob, RegistersArriveAndComeBackUnchanged) {
  model::Job job = code_job({kBlr});
  job.entry = distinct_registers();
  const auto seen = run(job);
  EXPECT_EQ(seen.ending, Ending::returned);
  EXPECT_EQ(seen.registers, job.entry);
}

TEST_P(OneJob, BranchesChangeNoRegister) {
  model::Job job = code_job({0x48000004, 0x48000004, 0x48000004, kBlr});  // b .+4
  job.entry = distinct_registers();
  EXPECT_EQ(run(job).registers, job.entry);
}

TEST_P(OneJob, ChangedRegistersAreReported) {
  model::Job job = code_job({
      0x38400001,  // li r2, 1
      0x39a00002,  // li r13, 2
      0x3be00003,  // li r31, 3
      0x7c4903a6,  // mtctr r2
      0x7da103a6,  // mtxer r13
      0x2fa20001,  // cmpdi cr7, r2, 1
      0xffe00890,  // fmr f31, f1
      0x13e10c84,  // vmr v31, v1
      kBlr,
  });
  job.entry = distinct_registers();
  auto expected = job.entry;
  expected.gpr[2] = 1;
  expected.gpr[13] = 2;
  expected.gpr[31] = 3;
  expected.ctr = 1;
  expected.xer = 2;
  expected.cr = 0x1234'5672;  // CR7 = EQ
  expected.fpr[31] = expected.fpr[1];
  expected.vr[31] = expected.vr[1];
  EXPECT_EQ(run(job).registers, expected);
}

TEST_P(OneJob, VectorHalvesAreWhereTheIsaSays) {
  // mfvsrd takes the most significant half; xxswapd makes it the other.
  model::Job job = code_job({
      0x7c440067,  // mfvsrd r4, vs34
      0xf0621257,  // xxswapd vs35, vs34
      0x7c650067,  // mfvsrd r5, vs35
      kBlr,
  });
  job.entry.vr[2] = {0xaaaa, 0xbbbb};
  const auto seen = run(job);
  EXPECT_EQ(seen.registers.gpr[4], 0xaaaaU);
  EXPECT_EQ(seen.registers.gpr[5], 0xbbbbU);
}

TEST_P(OneJob, SpecialRegistersStartTheSameInEveryJob) {
  // Reports VRSAVE, TAR and FPSCR and then changes them for whoever comes next.
  const model::Job job = code_job({
      0x7c8042a6,  // mfvrsave r4
      0x7cafcaa6,  // mftar r5
      0xfc20048e,  // mffs f1
      0x38c0ffff,  // li r6, -1
      0x7cc043a6,  // mtvrsave r6
      0x7ccfcba6,  // mttar r6
      0xffe0004c,  // mtfsb1 31
      kBlr,
  });
  for (const auto& seen : run(std::vector{job, job})) {
    EXPECT_EQ(seen.ending, Ending::returned);
    EXPECT_EQ(seen.registers.gpr[4], 0U);
    EXPECT_EQ(seen.registers.gpr[5], 0U);
    EXPECT_EQ(seen.registers.fpr[1], 0U);
  }
}

TEST_P(OneJob, PrefixedInstructionsAreForPower10) {
  model::Job job = code_job({0x06000001, 0x38602345, kBlr}, {0xc008'0000'0012'a000});
  const auto seen = run(job);  // pli r3, 0x12345
  if (GetParam().cpu == model::Cpu::power10) {
    EXPECT_EQ(seen.ending, Ending::returned);
    EXPECT_EQ(seen.registers.gpr[3], 0x12345U);
  } else {
    expect_fault(seen, 0x700, job.entry_point);
  }
}

TEST_P(OneJob, MemoryIsFilledAndReported) {
  // ld r5, 0(r3); std r5, 8(r3)
  model::Job job = code_job({0xe8a30000, 0xf8a30008, kBlr});
  std::vector<std::byte> bytes(24, std::byte{0x5a});
  bytes[0] = std::byte{0x01};
  add_data(job, kData, bytes);
  const auto seen = run(job);
  EXPECT_EQ(seen.ending, Ending::returned);
  const bool big = GetParam().endian == model::Endian::big;
  EXPECT_EQ(seen.registers.gpr[5], big ? 0x015a'5a5a'5a5a'5a5aU : 0x5a5a'5a5a'5a5a'5a01U);
  ASSERT_EQ(seen.memory.size(), 1U);
  bytes[8] = std::byte{0x01};
  EXPECT_EQ(seen.memory[0].address, kData);
  EXPECT_EQ(seen.memory[0].bytes, bytes);
  EXPECT_EQ(seen.memory[0].access, Access::read_write);
  EXPECT_TRUE(seen.stray_writes.empty());
}

TEST_P(OneJob, ReportsComeInTheOrderOfTheJobsRegions) {
  model::Job job = code_job({kBlr});
  add_data(job, kData + 0x5000, std::vector(3, std::byte{1}));
  add_data(job, kData, std::vector(2, std::byte{2}), Access::read);
  add_data(job, kData + 0x9000, {});
  add_data(job, kData + 0x5003, std::vector(1, std::byte{3}));
  job.regions[0].reported = true;  // code
  const auto seen = run(job);
  ASSERT_EQ(seen.memory.size(), 5U);
  for (std::size_t i = 0; i < seen.memory.size(); ++i) {
    EXPECT_EQ(seen.memory[i].address, job.regions[i].address);
    EXPECT_EQ(seen.memory[i].bytes, job.regions[i].bytes);
    EXPECT_EQ(seen.memory[i].access, job.regions[i].access);
  }
}

TEST_P(OneJob, StackBeyondTheGivenBytesIsUsable) {
  model::Job job = code_job({0xf8830000, 0xe8a30000, kBlr});  // std r4, 0(r3); ld r5, 0(r3)
  job.regions.push_back(
      {.address = kData, .size_bytes = 16384, .bytes = {}, .access = Access::read_write});
  job.entry.gpr[3] = kData.value + 16384 - 8;
  job.entry.gpr[4] = 77;
  const auto seen = run(job);
  EXPECT_EQ(seen.ending, Ending::returned);
  EXPECT_EQ(seen.registers.gpr[5], 77U);
  EXPECT_TRUE(seen.memory.empty());
  EXPECT_TRUE(seen.stray_writes.empty());
}

TEST_P(OneJob, WritesOutsideTheRegionsOfAPageAreReported) {
  // stb r4, 0(r3), 8 bytes before and after the region, and in the gap between two.
  model::Job job = code_job({
      0x9883fff8,  // stb r4, -8(r3)
      0x98830010,  // stb r4, 16(r3): after the first region
      0x98830028,  // stb r4, 40(r3): after the second
      kBlr,
  });
  job.entry.gpr[3] = kData.value + 0x100;
  add_data(job, kData + 0x100, std::vector<std::byte>(16));
  add_data(job, kData + 0x120, std::vector<std::byte>(8));
  job.entry.gpr[4] = 0;  // which the fill has nowhere
  const auto seen = run(job);
  EXPECT_EQ(seen.ending, Ending::returned);
  EXPECT_EQ(seen.memory[0].bytes, std::vector<std::byte>(16));
  EXPECT_EQ(seen.stray_writes,
            (std::vector<GuestAddress>{kData + 0xf8, kData + 0x110, kData + 0x128}));
}

constexpr std::array<std::uint64_t, 12> kPlaces = {
    0x0,
    0x380,  // where the runner's own code is, physically
    0x4380,
    0x1000'0000,
    0x0000'0000'7fff'f000,
    0x000f'ffff'ffff'ffec,
    0xc000'0000'0001'0000,
    0xc000'0000'0000'0ffc,  // straddles a page
    0xc008'0000'001f'fff8,  // straddles 2 MiB
    0xc008'0000'3fff'fff4,  // straddles 1 GiB
    0xc000'007f'ffff'fff0,  // straddles 512 GiB
    0xc00f'ffff'ffff'ffec,
};

// Radix translation has nothing there.
constexpr std::array<std::uint64_t, 9> kPlacesOfHash = {
    0x0010'0000'0000'0000, 0x4000'0000'0000'0000,
    0x4000'0000'0000'2000,  // where the guest's trace handler would be, had it not made room
    0x7fff'ffff'ffff'f000, 0x8000'0000'0000'0000, 0xd000'0000'0000'0000,
    0xd000'0000'0fff'fff8,  // straddles a segment
    0xf000'0000'0000'4380,
    0xffff'ffff'ffff'ffec,  // the last words of all
};

TEST_P(OneJob, CodeRunsAtEveryPlace) {
  std::vector<std::uint64_t> places(kPlaces.begin(), kPlaces.end());
  if (is_hash()) {
    std::ranges::copy(kPlacesOfHash, std::back_inserter(places));
  }
  for (const std::uint64_t place : places) {
    const GuestAddress address = {place};
    SCOPED_TRACE(to_string(address));
    // bcl 20, 31, .+4; mflr r4: where the code thinks it is
    model::Job job = code_job({0x7c0802a6, 0x429f0005, 0x7c8802a6, 0x7c0803a6, kBlr}, address);
    const auto seen = run(job);
    EXPECT_EQ(seen.ending, Ending::returned);
    EXPECT_EQ(to_string(GuestAddress{seen.registers.gpr[4]}), to_string(address + 8));
    ASSERT_EQ(seen.trace.size(), 2U);
    EXPECT_EQ(seen.trace[0], (TakenBranch{address + 4, address + 8, address + 8}));
  }
}

TEST_P(OneJob, NotTakenBranchesAreToldApartEvenWhereTheRunnersCodeIs) {
  // The trace handler's own code lies there in real mode; a job's branch there is its own.
  constexpr std::uint64_t kWords = 0x200;
  model::Job job = code_job({}, {wire::kResumePage});
  std::vector<std::uint32_t> words(kWords, 0x48000004);  // b .+4
  words.back() = kBlr;
  job.regions[0].bytes = in_order(words, order());
  job.regions[0].size_bytes = words.size() * 4;
  EXPECT_EQ(run(job).taken_branches, kWords);
}

TEST_P(OneHashJob, NotTakenBranchesAreToldApartAtTheRunnersAliases) {
  // Branches on the page of the runner's last instruction before a job, at all its aliases but the
  // one with top nibble 7.
  constexpr std::size_t kWords = 0x400;
  std::vector<std::uint32_t> words(kWords, 0x48000004);  // b .+4
  words.back() = kBlr;
  model::Job job = code_job({}, {wire::kResumePage});
  job.regions.clear();
  for (std::uint64_t nibble = 0; nibble < 16; ++nibble) {
    if (nibble != 7) {
      job.regions.push_back({.address = {nibble << wire::kAliasShift | wire::kResumePage},
                             .size_bytes = kWords * 4,
                             .bytes = in_order(words, order()),
                             .access = Access::execute});
    }
  }
  for (const model::JobRegion& region : job.regions) {
    job.entry_point = region.address;
    EXPECT_EQ(run(job).taken_branches, kWords) << to_string(region.address);
  }
}

constexpr std::uint64_t kEndOfChain = 0x0123'4567'89ab'cdef;

// A job that follows a chain of pointers, one on each of `pages`, to kEndOfChain.
model::Job chain_job(const std::vector<GuestAddress>& pages, std::endian order) {
  model::Job job = code_job({}, kCode, order);
  std::vector<std::uint32_t> words(pages.size(), 0xe8630000);  // ld r3, 0(r3)
  words.push_back(kBlr);
  job.regions[0].bytes = in_order(words, order);
  job.regions[0].size_bytes = job.regions[0].bytes.size();
  for (std::size_t i = 0; i < pages.size(); ++i) {
    std::vector<std::byte> pointer(8);
    store(pointer.data(), i + 1 < pages.size() ? pages[i + 1].value : kEndOfChain, order);
    add_data(job, pages[i], pointer);
  }
  job.entry.gpr[3] = pages[0].value;
  return job;
}

TEST_P(OneJob, AsManyPagesAsThereAre) {
  model::Job job = code_job({0xf8830000, 0xe8a30000, kBlr});  // std r4, 0(r3); ld r5, 0(r3)
  const std::uint64_t size = (wire::kMaxPages - 2) * wire::kPageBytes;  // all but code and gate
  job.regions.push_back(
      {.address = kData, .size_bytes = size, .bytes = {}, .access = Access::read_write});
  job.entry.gpr[4] = 77;
  for (const std::uint64_t offset : {std::uint64_t{0}, size - 8}) {
    job.entry.gpr[3] = kData.value + offset;
    const auto seen = run(job);
    EXPECT_EQ(seen.ending, Ending::returned);
    EXPECT_EQ(seen.registers.gpr[5], 77U);
  }
  expect_still_works();
}

TEST_P(OneJob, AsManySegmentsAsThereAre) {
  // With code and gate, 32.
  std::vector<GuestAddress> pages;
  for (std::uint64_t i = 0; i < 30; ++i) {
    pages.push_back({i % 2 * 0xc000'0000'0000'0000 + 0x9000'0000 + (i << 40)});
  }
  model::Job after = code_job({0xe8630000, kBlr});  // ld r3, 0(r3)
  after.entry.gpr[3] = pages.back().value;
  const auto seen = run(std::vector{chain_job(pages, order()), after});
  EXPECT_EQ(seen[0].ending, Ending::returned);
  EXPECT_EQ(seen[0].registers.gpr[3], kEndOfChain);
  expect_fault(seen[1], nowhere_data(), kCode);

  pages.push_back({0x9000'0000 + (std::uint64_t{31} << 40)});
  const model::Job large = chain_job(pages, order());
  if (is_hash()) {
    EXPECT_EQ(machine().submit(std::span(&large, 1)).error().code,
              ErrorCode::machine_job_too_large);
  } else {
    EXPECT_EQ(run(large).registers.gpr[3], kEndOfChain);
  }
  expect_still_works();
}

// Pages that all want the same group of the hash page table, four of each segment. The numbers are
// those of images/bare/mmu/hash.cpp.
std::vector<GuestAddress> crowded_pages(std::uint64_t segments) {
  constexpr std::uint64_t kGroups = 0x4000;
  constexpr std::uint64_t kGroup = 0x1234;
  std::vector<GuestAddress> pages;
  for (std::uint64_t segment = 0; segment < segments; ++segment) {
    const std::uint64_t vsid = (segment + 1) * 10125;
    for (std::uint64_t i = 0; i < 4; ++i) {
      const std::uint64_t page = (vsid ^ kGroup) % kGroups + i * kGroups;
      pages.push_back({0x1'0000'0000 + (segment << 28) + (page << 12)});
    }
  }
  return pages;
}

TEST_P(OneHashJob, CrowdedPagesAreAllMapped) {
  // Eight fit into a group, eight more into the other; beyond that the guest must try anew.
  for (const std::uint64_t segments : {2U, 3U, 4U, 5U, 20U}) {
    const auto seen = run(chain_job(crowded_pages(segments), order()));
    EXPECT_EQ(seen.ending, Ending::returned) << segments;
    EXPECT_EQ(seen.registers.gpr[3], kEndOfChain) << segments;
  }
  expect_still_works();
}

TEST_P(OneJob, BudgetIsDeterministic) {
  model::Job job = code_job({
      0x38630001,  // addi r3, r3, 1
      0x4bfffffc,  // b .-4
  });
  job.entry.gpr[3] = 0;
  job.budget_instructions = 1'000'000;
  const auto first = run(job);
  EXPECT_EQ(first.ending, Ending::out_of_budget);
  ASSERT_TRUE(first.fault.has_value());
  EXPECT_EQ(first.fault->vector, 0x900U);
  // Two instructions of its own and 37 of the trace handler a turn.
  EXPECT_GT(first.registers.gpr[3], 1'000'000U / 60);
  EXPECT_LT(first.registers.gpr[3], 1'000'000U / 20);
  const auto again = run(job);
  EXPECT_NEAR(static_cast<double>(again.registers.gpr[3]),
              static_cast<double>(first.registers.gpr[3]), 2);
}

TEST_P(OneJob, SameAddressDifferentCodeIsNeverStale) {
  std::vector<model::Job> jobs;
  for (std::uint32_t i = 0; i < 2000; ++i) {
    jobs.push_back(code_job({0x38600000 | i, kBlr}));  // li r3, i
  }
  const auto seen = run(jobs);
  for (std::uint32_t i = 0; i < jobs.size(); ++i) {
    ASSERT_EQ(seen[i].ending, Ending::returned) << i;
    ASSERT_EQ(seen[i].registers.gpr[3], i);
  }
}

TEST_P(OneJob, ManyDistinctPlacementsExhaustNothing) {
  // Every job in its own gigabyte, one in two in a half of the address space: three fresh tables
  // each.
  std::vector<model::Job> jobs;
  for (std::uint64_t i = 0; i < 3000; ++i) {
    const std::uint64_t top = i % 2 == 0 ? 0xc000'0000'0000'0000 : 0;
    jobs.push_back(
        code_job({0x38600007, kBlr}, {top + 0x7'0000'0000 + (i << 36) % (1ULL << 51) + (i << 30)}));
  }
  const auto seen = run(jobs);
  EXPECT_TRUE(std::ranges::all_of(seen, [](const auto& one) {
    return one.ending == Ending::returned && one.registers.gpr[3] == 7;
  }));
}

TEST_P(OneJob, TwoBatchesAreInFlightAndNoMore) {
  const std::vector jobs = {code_job({0x38600001, kBlr}), code_job({0x38600002, kBlr})};
  EXPECT_EQ(machine().submit(std::span(jobs).first(1)).value(), 1U);
  EXPECT_EQ(machine().submit(std::span(jobs).last(1)).value(), 1U);
  EXPECT_EQ(machine().submit(jobs).value(), 0U);
  EXPECT_EQ(machine().collect().value().at(0).registers.gpr[3], 1U);
  EXPECT_EQ(machine().collect().value().at(0).registers.gpr[3], 2U);
  EXPECT_TRUE(machine().collect().value().empty());
}

}  // namespace
}  // namespace farcall::vm::run_test

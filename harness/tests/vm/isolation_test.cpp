// Jobs that do all they can to harm: each is one fault, and the next job finds nothing of it.
#include <array>
#include <vector>

#include "guest.hpp"

namespace farcall::vm::isolation_test {
namespace {

using model::Access;
using model::Ending;

class Isolation : public OnMachine {};
ON_MACHINES(Isolation, all_machines());

constexpr std::uint32_t kStd = 0xf8830000;  // std r4, 0(r3)
constexpr std::uint64_t kSrr1NoExecute = 0x1000'0000;
constexpr std::uint64_t kSrr1Privileged = 0x0004'0000;
constexpr std::uint64_t kSrr1Trap = 0x0002'0000;
constexpr std::uint32_t kDsisrNoTranslation = 0x4000'0000;
constexpr std::uint32_t kDsisrProtection = 0x0800'0000;
constexpr std::uint32_t kDsisrStore = 0x0200'0000;

TEST_P(Isolation, WildBranchIsAFaultWhereItLands) {
  struct Target {
    GuestAddress address;
    std::uint32_t vector;
  };
  for (const Target target :
       {Target{{0xc008'0000'0000'0000}, 0x400},
        Target{{0x0000'0000'0000'0100}, nowhere_code()},  // the runner, physically
        Target{{0xc000'0000'0000'0900}, 0x400},
        Target{{0x4000'0000'0000'4380}, 0x480},  // the runner's alias
        Target{{0xd000'0000'0000'0000}, 0x480}}) {
    model::Job job = code_job({kNop, 0x7d8903a6, 0x4e800420});  // mtctr r12; bctr
    job.entry.gpr[12] = target.address.value;
    const auto seen = run(job);
    expect_fault(seen, target.vector, target.address);
    EXPECT_EQ(to_string(seen.fault->came_from), to_string(kCode + 8));
    EXPECT_FALSE(seen.fault->data_address.has_value());
    ASSERT_EQ(seen.last.size(), 1U);
    EXPECT_EQ(seen.last[0], (model::TakenBranch{kCode + 8, target.address, kGate}));
  }
  expect_still_works();
}

TEST_P(Isolation, CodeIsNotReachableWithoutItsTopNibble) {
  model::Job job = code_job({0x7d8903a6, 0x4e800420});  // mtctr r12; bctr
  job.entry.gpr[12] = kCode.value & 0x0fff'ffff'ffff'ffff;
  expect_fault(run(job), nowhere_code(), {job.entry.gpr[12]});
}

TEST_P(Isolation, StoreToNowhere) {
  model::Job job = code_job({kNop, kStd, kBlr});
  add_data(job, kData + 0x10'0000, std::vector<std::byte>(8));  // in the same segment
  const auto seen = run(job);
  expect_fault(seen, 0x300, kCode + 4);
  EXPECT_EQ(seen.fault->data_address, kData);
  EXPECT_EQ(seen.fault->data_status, kDsisrNoTranslation | kDsisrStore);
  EXPECT_EQ(seen.fault->came_from, GuestAddress{});
  expect_still_works();
}

TEST_P(Isolation, StoreOutsideWhatTheMmuTranslates) {
  model::Job job = code_job({kStd, kBlr});
  job.entry.gpr[3] = 0x8000'0000'0000'0000;
  const auto seen = run(job);
  expect_fault(seen, 0x380, kCode);
  EXPECT_EQ(seen.fault->data_address, GuestAddress{0x8000'0000'0000'0000});
  EXPECT_FALSE(seen.fault->data_status.has_value());
}

TEST_P(Isolation, StoreToTheRunnersPhysicalAddresses) {
  // Control page, page tables, code arena, batch area.
  for (const std::uint64_t address :
       {0x3000UL, 0x10'0000UL, 0x20'0000UL, 0x40'0000UL, 0x200'0000UL, 0xc000'0000'0020'0000UL}) {
    model::Job job = code_job({kStd, kBlr});
    job.entry.gpr[3] = address;
    expect_fault(run(job), address >> 60 == 0 ? nowhere_data() : 0x300, kCode);
  }
  expect_still_works();
}

TEST_P(Isolation, StoreToItsOwnCodeAndToReadOnlyData) {
  model::Job job = code_job({kStd, kBlr});
  add_data(job, kData, std::vector<std::byte>(8), Access::read);
  for (const GuestAddress address : {kCode, kData, kGate}) {
    job.entry.gpr[3] = address.value;
    const auto seen = run(job);
    expect_fault(seen, 0x300, kCode);
    EXPECT_EQ(seen.fault->data_status, kDsisrProtection | kDsisrStore);
  }
}

TEST_P(Isolation, DataIsNotExecutable) {
  for (const Access access : {Access::read, Access::read_write}) {
    model::Job job = code_job({0x7c6903a6, 0x4e800420});  // mtctr r3; bctr
    add_data(job, kData, in_order(std::array{kBlr}, order()), access);
    const auto seen = run(job);
    expect_fault(seen, 0x400, kData);
    EXPECT_EQ(seen.fault->status & kSrr1NoExecute, kSrr1NoExecute);
  }
}

TEST_P(Isolation, CodeIsReadable) {
  model::Job job = code_job({0xe8ac0000, kBlr});  // ld r5, 0(r12)
  const auto seen = run(job);
  EXPECT_EQ(seen.ending, Ending::returned);
  const bool big = GetParam().endian == model::Endian::big;
  EXPECT_EQ(seen.registers.gpr[5], big ? 0xe8ac'0000'4e80'0020U : 0x4e80'0020'e8ac'0000U);
}

TEST_P(Isolation, CodePagesHoldTrapsWhereThereIsNoCode) {
  // A job that falls off its end, on pages where longer code has been before.
  run(code_job({kNop, kNop, kNop, kBlr}));
  const auto seen = run(code_job({kNop}));
  expect_fault(seen, 0x700, kCode + 4);
  EXPECT_EQ(seen.fault->status & kSrr1Trap, kSrr1Trap);
  // And all of a page but the word at the gate.
  model::Job job = code_job({0x7c6903a6, 0x4e800420});  // mtctr r3; bctr
  for (const GuestAddress address : {kGate + 4, kGate + 0xffc, kCode + 0x100}) {
    job.entry.gpr[3] = address.value;
    expect_fault(run(job), 0x700, address);
  }
}

// Each job runs code of its own, though in the end that lies where other code has been.
TEST_P(Isolation, NoJobRunsCodeOfAnEarlierOne) {
  constexpr std::uint32_t kJobs = 1300;  // of 17 pages each: twice as many as there are
  std::vector<model::Job> jobs;
  for (std::uint32_t i = 0; i < kJobs; ++i) {
    jobs.push_back(code_job({0x38600000 | i, kBlr}));  // li r3, i
    jobs.back().regions[0].size_bytes = 0x10000;
  }
  const auto seen = run(jobs);
  for (std::uint32_t i = 0; i < kJobs; ++i) {
    ASSERT_EQ(seen[i].ending, Ending::returned) << i;
    ASSERT_EQ(seen[i].registers.gpr[3], i) << i;
  }
}

TEST_P(Isolation, NoJobRunsCodeOfAnEarlierLargeOne) {
  for (const std::uint32_t number : {1U, 2U, 3U, 4U}) {
    model::Job job = code_job({0x38600000 | number, kBlr});  // li r3, number
    job.regions.push_back(
        {.address = kData, .size_bytes = 12 << 20, .bytes = {}, .access = Access::read_write});
    EXPECT_EQ(run(job).registers.gpr[3], number);
  }
}

// The code of a job with so much data lies among pages that others have code on.
TEST_P(Isolation, NoJobRunsCodeOfALargeOneBefore) {
  constexpr std::uint32_t kJobs = 1200;
  TearDownTestSuite();  // on a new machine it is known which pages come first
  model::Job large = code_job({0x38607fff, kBlr});  // li r3, 32767
  large.regions.push_back({.address = kData,
                           .size_bytes = (std::uint64_t{48} << 20) - 100 * wire::kPageBytes,
                           .bytes = {},
                           .access = Access::read_write});
  EXPECT_EQ(run(large).registers.gpr[3], 32767U);
  std::vector<model::Job> jobs;
  for (std::uint32_t i = 0; i < kJobs; ++i) {
    jobs.push_back(code_job({0x38600000 | i, kBlr}));  // li r3, i
  }
  const auto seen = run(jobs);
  for (std::uint32_t i = 0; i < kJobs; ++i) {
    ASSERT_EQ(seen[i].registers.gpr[3], i);
  }
}

TEST_P(Isolation, GateMovesWithTheJob) {
  model::Job job = code_job({kBlr});
  job.gate = kGate + 0x40;
  job.entry.lr = job.gate.value;
  EXPECT_EQ(run(job).ending, Ending::returned);
  job.entry.lr = kGate.value;  // the gate of all others
  expect_fault(run(job), 0x700, kGate);
  expect_still_works();
}

TEST_P(Isolation, TheGateOfAnEarlierJobIsGone) {
  // On a page beside it, in a segment of its own, in user space, and back.
  const std::array gates = {kGate, kGate + 0x1000, GuestAddress{0xc00e'0000'1234'5000},
                            GuestAddress{0x0000'7000'0000'0000}, kGate};
  for (const GuestAddress earlier : gates) {
    for (const GuestAddress now : gates) {
      model::Job before = code_job({kBlr});
      before.gate = earlier;
      before.entry.lr = earlier.value;
      model::Job job = code_job({0xe8830000, kBlr});  // ld r4, 0(r3)
      job.gate = now;
      job.entry.lr = now.value;
      job.entry.gpr[3] = earlier.value;
      const auto seen = run(std::vector{before, job});
      EXPECT_EQ(seen[0].ending, Ending::returned);
      EXPECT_EQ(seen[1].ending, earlier == now ? Ending::returned : Ending::faulted)
          << to_string(earlier) << ", then " << to_string(now);
      if (earlier != now) {
        add_data(job, earlier, std::vector(8, std::byte{9}));
        const auto own = run(std::vector{before, job})[1];
        EXPECT_EQ(own.ending, Ending::returned);
        EXPECT_EQ(own.registers.gpr[4], 0x0909'0909'0909'0909U);
      }
    }
  }
  expect_still_works();
}

TEST_P(Isolation, TheDataAddressIsNotThatOfAnEarlierJob) {
  const auto earlier = run(code_job({0x98830028}));  // stb r4, 40(r3)
  EXPECT_EQ(earlier.fault->data_address, kData + 40);
  const auto seen = run(code_job({0xbb600030}));  // lmw r27, 48(0)
  if (GetParam().endian == model::Endian::big) {
    EXPECT_EQ(seen.fault->data_address, GuestAddress{48});
  } else {  // which has no such instruction, and QEMU does not say what it would have loaded from
    expect_fault(seen, 0x600, kCode);
    EXPECT_EQ(seen.fault->data_address, std::nullopt);
  }
}

TEST_P(Isolation, OnlyTheGateReturns) {
  expect_fault(run(code_job({0x44000002})), 0xc00, kCode + 4);  // sc: SRR0 is after it
}

TEST_P(Isolation, PrivilegedInstructionsFault) {
  for (const std::uint32_t word : {
           0x7c600164U,  // mtmsrd r3
           0x4c000024U,  // rfid
           0x7c7043a6U,  // mtsprg 0, r3
           0x7c7603a6U,  // mtdec r3
           0x7c7303a6U,  // mtdar r3
           0x7c0003e4U,  // slbia
           0x7c001a24U,  // tlbiel r3
       }) {
    const auto seen = run(code_job({word, kBlr}));
    expect_fault(seen, 0x700, kCode);
    EXPECT_EQ(seen.fault->status & kSrr1Privileged, kSrr1Privileged) << std::hex << word;
  }
  expect_still_works();
}

TEST_P(Isolation, HypercallsAreRefused) {
  // H_PUT_TERM_CHAR. QEMU answers H_PRIVILEGE (-3) to problem state, and the program goes on.
  model::Job job = code_job({0x44000022, kBlr});  // sc 1
  job.entry.gpr[3] = 0x58;
  job.entry.gpr[4] = 0x7100'0000;
  job.entry.gpr[5] = 8;
  const auto seen = run(job);
  EXPECT_EQ(seen.ending, Ending::returned);
  EXPECT_EQ(static_cast<std::int64_t>(seen.registers.gpr[3]), -3);
  expect_still_works();
}

TEST_P(Isolation, EndlessLoopEndsByItsBudget) {
  model::Job job = code_job({kLoop});
  job.budget_instructions = 200'000;
  const std::vector jobs = {job, code_job({0x38600007, kBlr})};  // li r3, 7
  const auto seen = run(jobs);
  EXPECT_EQ(seen[0].ending, Ending::out_of_budget);
  ASSERT_TRUE(seen[0].fault.has_value());
  EXPECT_EQ(seen[0].fault->address, kCode);
  EXPECT_EQ(seen[0].fault->came_from, kCode);
  EXPECT_GT(seen[0].taken_branches, 1000U);
  EXPECT_EQ(seen[1].ending, Ending::returned);
  EXPECT_EQ(seen[1].registers.gpr[3], 7U);
}

TEST_P(Isolation, TrashedRegistersDoNoHarm) {
  const auto seen = run(code_job({
      0x38200000,  // li r1, 0
      0x38400000,  // li r2, 0
      0x39a00000,  // li r13, 0
      0x7c2803a6,  // mtlr r1
      0x38c0ffff,  // li r6, -1
      0x7cc043a6,  // mtvrsave r6
      0x7ccfcba6,  // mttar r6
      0x4e800020,  // blr, to 0
  }));
  expect_fault(seen, nowhere_code(), {0});
  EXPECT_EQ(seen.registers.gpr[1], 0U);
  EXPECT_EQ(seen.registers.gpr[6], ~std::uint64_t{0});
  expect_still_works();
}

TEST_P(Isolation, NoMappingSurvivesItsJob) {
  // The same pages, in both halves of the address space, in and out of the jobs.
  for (const GuestAddress data : {kData, GuestAddress{0x1000'0000}}) {
    model::Job with = code_job({kStd, kBlr});
    with.entry.gpr[3] = data.value;
    const model::Job without = with;
    add_data(with, data, std::vector<std::byte>(8));
    const auto seen = run(std::vector{with, without, with, without});
    for (const std::size_t i : {0U, 2U}) {
      EXPECT_EQ(seen[i].ending, Ending::returned);
    }
    for (const std::size_t i : {1U, 3U}) {
      expect_fault(seen[i], nowhere_data(), kCode);
    }
  }
  for (const GuestAddress code : {kCode + 0x10000, GuestAddress{0x1000'0000}}) {
    run(code_job({kBlr}, code));
    model::Job job = code_job({0x7c6903a6, 0x4e800420});  // mtctr r3; bctr
    job.entry.gpr[3] = code.value;
    expect_fault(run(job), code == kCode + 0x10000 ? 0x400 : nowhere_code(), code);
  }
}

TEST_P(Isolation, NoPageSurvivesItsJobWhereItsNeighbourIsMappedAgain) {
  model::Job both = code_job({kStd, kBlr});
  add_data(both, kData + 0x1000, std::vector<std::byte>(8));
  const model::Job one = both;
  add_data(both, kData, std::vector<std::byte>(8));
  const auto seen = run(std::vector{both, one, both, one});
  for (const std::size_t i : {0U, 2U}) {
    EXPECT_EQ(seen[i].ending, Ending::returned);
    expect_fault(seen[i + 1], 0x300, kCode);
    EXPECT_EQ(seen[i + 1].fault->data_status, kDsisrNoTranslation | kDsisrStore);
  }
}

// With hash translation what was entered for jobs before stays until it is too much.
TEST_P(Isolation, NoMappingSurvivesManyLargeJobs) {
  constexpr std::uint64_t kPages = 5000;  // three jobs of these have more than wire::kMaxPages
  model::Job large = code_job({kStd, kBlr});
  large.entry.gpr[3] = kData.value + (kPages - 1) * wire::kPageBytes;
  const model::Job small = large;
  large.regions.push_back({.address = kData,
                           .size_bytes = kPages * wire::kPageBytes,
                           .bytes = {},
                           .access = Access::read_write});
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(run(large).ending, Ending::returned);
    expect_fault(run(small), nowhere_data(), kCode);
  }
}

// All that these jobs have is in one segment of hash translation.
TEST_P(Isolation, NoMappingSurvivesInTheJobsOnlySegment) {
  constexpr GuestAddress kBegin = {0xc008'0000'0000'0000};
  model::Job with = code_job({kStd, kBlr}, kBegin + 0x10000);
  with.gate = kBegin + 0x20000;
  with.entry.lr = with.gate.value;
  with.entry.gpr[3] = kBegin.value + 0x30000;
  const model::Job without = with;
  add_data(with, kBegin + 0x30000, std::vector<std::byte>(8));
  const auto seen = run(std::vector{with, without, with, without});
  for (const std::size_t i : {0U, 2U}) {
    EXPECT_EQ(seen[i].ending, Ending::returned);
    expect_fault(seen[i + 1], 0x300, kBegin + 0x10000);
  }
}

TEST_P(Isolation, NoMemorySurvivesItsJob) {
  model::Job writes = code_job({kStd, kBlr});
  writes.regions.push_back(
      {.address = kData, .size_bytes = 4096, .bytes = {}, .access = Access::read_write});
  writes.entry.gpr[4] = 0x0123'4567'89ab'cdef;
  model::Job reads = writes;
  reads.regions[0].bytes = in_order(std::array{0xe8a30000U, kBlr}, order());  // ld r5, 0(r3)
  model::Job other = reads;
  other.fill = ~reads.fill;
  const auto seen = run(std::vector{writes, writes, reads, other, writes, reads});
  // The fill's low byte is at the lowest address, whatever the guest's order.
  const auto as_loaded = [](std::uint64_t fill) {
    return order() == std::endian::big ? __builtin_bswap64(fill) : fill;
  };
  EXPECT_EQ(seen[2].registers.gpr[5], as_loaded(reads.fill));
  EXPECT_EQ(seen[3].registers.gpr[5], as_loaded(other.fill));
  EXPECT_EQ(seen[5].registers.gpr[5], as_loaded(reads.fill)) << "whatever its place in the batch";
}

TEST_P(Isolation, AFaultInABatchIsOneJob) {
  std::vector<model::Job> jobs;
  for (std::uint32_t i = 0; i < 100; ++i) {
    jobs.push_back(i % 2 == 0 ? code_job({0x38600000 | i, kBlr}) : code_job({0x7fe00008}));
  }
  const auto seen = run(jobs);
  for (std::uint32_t i = 0; i < 100; ++i) {
    if (i % 2 == 0) {
      EXPECT_EQ(seen[i].registers.gpr[3], i);
    } else {
      expect_fault(seen[i], 0x700, kCode);
    }
  }
}

// What ran before the switch is gone, and the MMU is really the other one.
TEST(IsolationOfMmus, FromHashToRadix) {
  constexpr GuestAddress kOnlyHash = {0xd000'0000'0000'0000};
  for (const auto endian : {model::Endian::little, model::Endian::big}) {
    for (const auto cpu : {model::Cpu::power9, model::Cpu::power10}) {
      const std::endian order = model::byte_order(endian);
      Machine machine = Machine::start(spec(endian, cpu, model::Mmu::hash)).value();
      const auto run = [&](const model::Job& job) {
        EXPECT_EQ(machine.submit(std::span(&job, 1)).value(), 1U);
        return machine.collect().value().at(0);
      };
      const model::Job far = code_job({kBlr}, kOnlyHash, order);
      const model::Job near = code_job({0x7d8903a6, 0x4e800420}, kCode, order);  // mtctr r12; bctr
      EXPECT_EQ(run(far).ending, Ending::returned);
      EXPECT_EQ(run(far).hardware.mmu, model::Mmu::hash);
      machine.use_radix();
      EXPECT_EQ(machine.submit(std::span(&far, 1)).error().code, ErrorCode::place_unmappable);
      model::Job wild = near;
      for (const auto& [address, vector] :
           {std::pair{kOnlyHash, 0x480U}, std::pair{kCode + 0x1000, 0x400U}}) {
        wild.entry.gpr[12] = address.value;
        const auto seen = run(wild);
        EXPECT_EQ(seen.hardware.mmu, model::Mmu::radix);
        ASSERT_TRUE(seen.fault.has_value());
        EXPECT_EQ(seen.fault->vector, vector);
        EXPECT_EQ(seen.fault->address, address);
      }
      EXPECT_EQ(run(code_job({kBlr}, kCode, order)).ending, Ending::returned);
    }
  }
}

}  // namespace
}  // namespace farcall::vm::isolation_test

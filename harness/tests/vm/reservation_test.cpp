// Jobs that reserve memory and branch before they store to it. Every trace interrupt ends a
// reservation.
#include <algorithm>

#include "guest.hpp"

namespace farcall::vm::reservation_test {
namespace {

using model::Ending;
using model::Watch;

class Reservation : public OnMachine {};
ON_MACHINES(Reservation, all_machines());

constexpr std::uint64_t kOld = 0x1122'3344'5566'7788;
constexpr std::uint64_t kNew = 0xa1a2'a3a4'b1b2'b3b4;

// `word` with registers in the places of RS, RA and RB.
constexpr std::uint32_t with(std::uint32_t word, std::uint32_t rs, std::uint32_t ra,
                             std::uint32_t rb) {
  return word | rs << 21 | ra << 16 | rb << 11;
}

struct Width {
  std::uint64_t bytes;
  std::uint32_t larx;
  std::uint32_t compare;
  std::uint32_t stcx;
};
constexpr Width kWord = {4, 0x7c00'0028, 0x7c00'0040, 0x7c00'012d};        // cmplw
constexpr Width kDoubleword = {8, 0x7c00'00a8, 0x7c20'0040, 0x7c00'01ad};  // cmpld

// Five different ones.
struct Used {
  std::uint32_t source;  // the new value
  std::uint32_t base;    // 0: none
  std::uint32_t index;   // the address, less the base
  std::uint32_t expected;
  std::uint32_t old;
};

std::uint64_t mask(const Width& width) {
  return width.bytes == 8 ? ~std::uint64_t{0} : 0xffff'ffff;
}

// The doubleword at kData, of which a word is the second half.
std::vector<std::byte> memory(std::uint64_t value, const Width& width, std::endian order) {
  std::vector<std::byte> bytes(8, std::byte{0x7a});
  if (width.bytes == 8) {
    store(bytes.data(), value, order);
  } else {
    store(bytes.data() + 4, static_cast<std::uint32_t>(value), order);
  }
  return bytes;
}

// Stores kNew if memory, which holds kOld, has what is expected. Word 3 is the store.
model::Job exchange(std::endian order, const Width& width, const Used& used,
                    std::uint64_t expected) {
  model::Job job = code_job(
      {
          with(width.larx, used.old, used.base, used.index),
          with(width.compare, 0, used.old, used.expected),
          0x4082'000c,  // bne .+12
          with(width.stcx, used.source, used.base, used.index),
          0x4082'fff0,  // bne .-16
          kBlr,
      },
      kCode, order);
  for (std::size_t i = 0; i < 32; ++i) {
    job.entry.gpr[i] = 0x1111'0000'0000'0000 + i;
  }
  job.entry.cr = 0x1234'5678;
  job.entry.xer = 0x8000'0000;  // SO, which compare and store copy to CR0
  constexpr std::uint64_t kBase = 0x1'0000;
  job.entry.gpr[used.source] = kNew;
  job.entry.gpr[used.expected] = expected & mask(width);
  job.entry.gpr[used.index] = kData.value + 8 - width.bytes - (used.base == 0 ? 0 : kBase);
  if (used.base != 0) {
    job.entry.gpr[used.base] = kBase;
  }
  add_data(job, kData, memory(kOld, width, order));
  job.budget_instructions = 100'000;
  job.steps = 100;
  return job;
}

// Registers that the guest's handlers use themselves, and others, in every place.
constexpr Used kUsed[] = {{6, 0, 3, 5, 4},  {3, 4, 5, 6, 7},  {4, 5, 3, 31, 0},
                          {5, 3, 4, 0, 31}, {0, 0, 31, 3, 5}, {31, 6, 7, 4, 5},
                          {7, 1, 6, 5, 4},  {8, 0, 7, 2, 6},  {12, 13, 0, 1, 15}};

// Nothing that the job sees differs from a run that nobody traces.
TEST_P(Reservation, LastsAcrossABranchThatIsNotTaken) {
  for (const Width& width : {kWord, kDoubleword}) {
    for (const Used& used : kUsed) {
      for (const std::uint64_t expected : {kOld, kOld + 1}) {
        SCOPED_TRACE(testing::Message() << width.bytes << " r" << used.source << " " << expected);
        model::Job job = exchange(order(), width, used, expected);
        job.watch = Watch::nothing;
        const auto unseen = run(job);
        ASSERT_EQ(unseen.ending, Ending::returned);
        EXPECT_EQ(unseen.memory.at(0).bytes,
                  memory(expected == kOld ? kNew : kOld, width, order()));
        for (const Watch watch : {Watch::branches, Watch::instructions}) {
          job.watch = watch;
          const auto seen = run(job);
          ASSERT_EQ(seen.ending, Ending::returned);
          EXPECT_EQ(seen.memory, unseen.memory);
          EXPECT_EQ(seen.registers, unseen.registers);
          EXPECT_EQ(seen.taken_branches, expected == kOld ? 1U : 2U);
        }
      }
    }
  }
}

// The store is the first step after the pause, and a step like any other.
TEST_P(Reservation, StoreIsAStep) {
  model::Job job = exchange(order(), kDoubleword, {6, 0, 3, 5, 4}, kOld);
  job.watch = Watch::instructions;
  job.entry.xer = 0;
  const auto seen = run(job);
  ASSERT_EQ(seen.ending, Ending::returned);
  ASSERT_EQ(seen.steps.size(), 4U);
  EXPECT_EQ(seen.step_count, 4U);
  EXPECT_EQ(seen.steps[0].address, kCode + 12);
  EXPECT_EQ(seen.steps[1].address, kCode + 16);
  EXPECT_EQ(seen.steps[2].address, kCode + 20);
  EXPECT_EQ(seen.steps[3].address, kGate);
  EXPECT_EQ(seen.steps[1].from, GuestAddress{});
  EXPECT_EQ(seen.steps[1].cr, 0x2234'5678U);  // equal: it has stored
  EXPECT_EQ(seen.steps[1].gpr[4], kOld);
  EXPECT_EQ(seen.steps[3].from, kCode + 20);
}

// Whoever comes to the store past the reservation has none, and must not be given one.
TEST_P(Reservation, IsNotMadeUp) {
  for (const Watch watch : {Watch::nothing, Watch::branches, Watch::instructions}) {
    for (const bool jumps : {true, false}) {
      model::Job job = code_job({
          0x4800'0008,  // b .+8
          0x7c80'18a8,  // ldarx r4,0,r3
          0x7c24'2800,  // cmpd r4,r5
          0x4082'0008,  // bne .+8
          0x7cc0'19ad,  // stdcx. r6,0,r3
          kBlr,
      });
      job.entry_point = jumps ? kCode : kCode + 8;
      job.entry.gpr[4] = job.entry.gpr[5] = kOld;
      add_data(job, kData, memory(kOld, kDoubleword, order()));
      job.watch = watch;
      const auto seen = run(job);
      ASSERT_EQ(seen.ending, Ending::returned);
      EXPECT_EQ(seen.memory.at(0).bytes, memory(kOld, kDoubleword, order()));
      EXPECT_EQ(seen.registers.cr >> 28 & 2, 0U);  // CR0[EQ]
    }
  }
}

// A store that is refused is the job's fault, whoever does it.
TEST_P(Reservation, FaultOfTheStoreIsTheJobs) {
  for (const Used& used : kUsed) {
    SCOPED_TRACE(used.source);
    model::Job job = exchange(order(), kWord, used, kOld);
    job.regions.back().access = model::Access::read;
    job.watch = Watch::nothing;
    const auto unseen = run(job);
    expect_fault(unseen, 0x300, kCode + 12);
    for (const Watch watch : {Watch::branches, Watch::instructions}) {
      job.watch = watch;
      const auto seen = run(job);
      expect_fault(seen, 0x300, kCode + 12);
      EXPECT_EQ(seen.fault->data_address, kData + 4);
      EXPECT_EQ(seen.fault->data_status, unseen.fault->data_status);
      constexpr std::uint64_t kTrace = 0x600;  // MSR[SE] and MSR[BE]
      EXPECT_EQ(seen.fault->status & ~kTrace, unseen.fault->status);
      EXPECT_EQ(seen.registers, unseen.registers);
      EXPECT_EQ(seen.memory, unseen.memory);
      EXPECT_EQ(seen.fault->came_from, GuestAddress{});
    }
    expect_still_works();
  }
}

// What problem state may do to its own access rights does not reach the guest's handlers.
TEST_P(Reservation, AuthorityMaskDoesNotMatter) {
  model::Job job = code_job({
      0x38e0'ffff,  // li r7,-1
      0x7ced'03a6,  // mtspr 13,r7: AMR
      0x7c80'18a8,  // ldarx r4,0,r3
      0x7c24'2800,  // cmpd r4,r5
      0x4082'000c,  // bne .+12
      0x7cc0'19ad,  // stdcx. r6,0,r3
      0x4082'fff0,  // bne .-16
      kBlr,
  });
  job.entry.gpr[5] = kOld;
  job.entry.gpr[6] = kNew;
  job.budget_instructions = 100'000;
  add_data(job, kData, memory(kOld, kDoubleword, order()));
  const auto seen = run(job);
  ASSERT_EQ(seen.ending, Ending::returned);
  EXPECT_EQ(seen.memory.at(0).bytes, memory(kNew, kDoubleword, order()));
}

}  // namespace
}  // namespace farcall::vm::reservation_test

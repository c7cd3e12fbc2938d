// Jobs to wire records and back, without a guest: the tests write what a guest would.
#include "vm/batch.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "guest.hpp"
#include "wire/mailbox.hpp"

namespace farcall::vm::batch_test {
namespace {

using model::Access;
using model::Ending;

constexpr std::uint64_t kNonce = 0x1234'5678'0000'0000;

class Batch : public testing::Test {
 protected:
  Result<void> encode(std::span<const model::Job> jobs) {
    return encode_batch(spec(), jobs, kNonce, area_, code_, layout_);
  }
  ErrorCode refusal(const model::Job& job) {
    const auto result = encode(std::span(&job, 1));
    EXPECT_TRUE(result.has_error());
    return result.has_error() ? result.error().code : ErrorCode{};
  }

  template <typename T>
  T& at(std::uint64_t offset) {
    return *reinterpret_cast<T*>(area_.data() + offset);
  }
  wire::BatchHeader& header() { return at<wire::BatchHeader>(0); }
  wire::JobRecord& record(std::size_t job) { return at<wire::JobRecord>(layout_.jobs[job].record); }
  std::span<wire::Mapping> mappings(std::size_t job) {
    return {&at<wire::Mapping>(record(job).mappings), record(job).mapping_count};
  }

  // What the guest does for jobs that return at once.
  void complete() {
    for (std::size_t i = 0; i < header().job_count; ++i) {
      record(i).result = {};
      record(i).result.nonce = record(i).nonce;
      record(i).result.vector = 0xc00U;
      record(i).result.srr0 = kGate.value + 4;
    }
    header().completed_nonce = header().nonce;
    header().completed_jobs = static_cast<std::uint32_t>(header().job_count);
    header().completion_word = wire::completion_word(kNonce, header().job_count);
  }

  std::vector<std::byte> area_ = std::vector<std::byte>(wire::kAreaBytes, std::byte{0xee});
  CodePages code_ = CodePages(wire::kAreaBytes, spec().endian);
  BatchLayout layout_;
};

TEST_F(Batch, RecordSaysWhatTheJobSays) {
  model::Job job = code_job({kNop, kBlr});
  job.entry.gpr[31] = 0x0102'0304'0506'0708;
  job.entry.cr = 0xaabb'ccdd;
  job.entry.vr[5] = {1, 2};
  job.budget_instructions = 999;
  job.trace_events = 3;
  ASSERT_TRUE(encode(std::span(&job, 1)).has_value());
  EXPECT_EQ(header().magic, wire::kBatchMagic);
  EXPECT_EQ(header().nonce, kNonce);
  EXPECT_EQ(header().job_count, 1U);
  EXPECT_EQ(record(0).entry_point, kCode.value);
  EXPECT_EQ(record(0).gate, kGate.value);
  EXPECT_EQ(record(0).budget, 999U);
  EXPECT_EQ(record(0).trace_capacity, 3U);
  EXPECT_EQ(record(0).entry.gpr[31], 0x0102'0304'0506'0708U);
  EXPECT_EQ(record(0).entry.cr, 0xaabb'ccddU);
  EXPECT_EQ(record(0).entry.vr[5][0], 1U);
  EXPECT_EQ(record(0).entry.vr[5][1], 2U);
  EXPECT_EQ(area_[layout_.jobs[0].record + offsetof(wire::JobRecord, entry) + 31 * 8],
            std::byte{0x08})
      << "little-endian whatever the host is";
}

TEST_F(Batch, RegionsInOnePageShareItsMapping) {
  model::Job job = code_job({kNop, kBlr});     // c00800000012a400, 8 bytes
  add_code(job, kCode + 0x100, {kBlr});        // the same page
  add_code(job, kCode + 0xbfc, {kBlr, kBlr});  // into the next one
  ASSERT_TRUE(encode(std::span(&job, 1)).has_value());
  ASSERT_EQ(mappings(0).size(), 1U);
  EXPECT_EQ(mappings(0)[0].address, 0xc008'0000'0012'a000U);
  EXPECT_EQ(mappings(0)[0].page_count, 2U);
  EXPECT_EQ(mappings(0)[0].access, static_cast<std::uint32_t>(wire::Access::execute));
  const std::uint64_t page = mappings(0)[0].source;
  EXPECT_EQ(page % 0x1000, 0U);
  const std::map<std::uint64_t, std::uint32_t> words = {
      {0x400, kNop}, {0x404, kBlr}, {0x500, kBlr}, {0xffc, kBlr}, {0x1000, kBlr}};
  for (std::uint64_t offset = 0; offset < 0x2000; offset += 4) {
    const auto word = words.find(offset);
    ASSERT_EQ(at<ul32>(page + offset), word == words.end() ? wire::kTrapWord : word->second)
        << offset;
  }
}

TEST_F(Batch, CodeIsWhereNoCodeHasBeenBeforeUnlessTheGuestForgetsIt) {
  constexpr std::uint64_t kJobs = 3;
  const std::vector jobs(kJobs, code_job({kNop, kBlr}));
  std::set<std::uint64_t> executed;
  std::size_t times_forgotten = 0;
  std::size_t most_executed = 0;
  for (unsigned batch = 0; batch < 4000; ++batch) {
    ASSERT_TRUE(encode(jobs).has_value());
    if (header().forget_code != 0) {
      most_executed = std::max(most_executed, executed.size());
      executed.clear();
      ++times_forgotten;
    }
    for (std::size_t i = 0; i < layout_.jobs.size(); ++i) {
      EXPECT_TRUE(executed.insert(mappings(i)[0].source).second) << batch;
    }
  }
  EXPECT_GE(times_forgotten, 2U);
  EXPECT_GE(most_executed, 4000U) << "it takes a while";
}

TEST_F(Batch, PagesOfCodeHoldNothingOfEarlierJobs) {
  const auto small = [&](std::uint64_t offset) {
    model::Job job = code_job({kBlr});
    job.regions[0].address = {kCode.value / 0x1000 * 0x1000 + offset};
    return job;
  };
  model::Job large = code_job({kBlr});
  large.regions.push_back(
      {.address = kData, .size_bytes = 40 << 20, .bytes = {}, .access = Access::read_write});
  for (unsigned batch = 0; batch < 9000; ++batch) {
    const model::Job job = batch == 4500 ? large : small(batch % 1024 * 4);
    ASSERT_TRUE(encode(std::span(&job, 1)).has_value());
    const std::uint64_t page = mappings(0)[0].source;
    for (std::uint64_t offset = 0; offset < 0x1000; offset += 4) {
      const bool is_code = offset == job.regions[0].address.value % 0x1000;
      ASSERT_EQ(at<ul32>(page + offset), is_code ? kBlr : wire::kTrapWord)
          << batch << " " << offset;
    }
  }
}

TEST_F(Batch, CodeOfALargeJobMayBeWhereThatOfAnotherWas) {
  model::Job large = code_job({kBlr});
  add_code(large, kCode + 0x100000, {kNop});
  large.regions[1].size_bytes = 9 << 20;
  for (int time = 0; time < 2; ++time) {
    ASSERT_TRUE(encode(std::span(&large, 1)).has_value());
    EXPECT_EQ(header().forget_code, 1U);
    ASSERT_EQ(mappings(0).size(), 2U);
    EXPECT_EQ(at<ul32>(mappings(0)[1].source + 0x3fc), wire::kTrapWord);
    EXPECT_EQ(at<ul32>(mappings(0)[1].source + 0x400), kNop);
    EXPECT_EQ(at<ul32>(mappings(0)[1].source + 0x404), wire::kTrapWord);
    EXPECT_EQ(at<ul32>(mappings(0)[1].source + 0x400 + (9 << 20)), wire::kTrapWord);
  }
}

// A larger one has code on pages that others take later.
TEST_F(Batch, CodeAfterALargeJobMayBeWhereItsCodeWas) {
  const model::Job small = code_job({kBlr});
  model::Job large = small;
  large.regions.push_back(
      {.address = kData, .size_bytes = 40 << 20, .bytes = {}, .access = Access::read_write});
  ASSERT_TRUE(encode(std::span(&large, 1)).has_value());
  ASSERT_TRUE(encode(std::span(&small, 1)).has_value());
  EXPECT_EQ(header().forget_code, 1U);
  ASSERT_TRUE(encode(std::span(&small, 1)).has_value());
  EXPECT_EQ(header().forget_code, 0U);
}

TEST_F(Batch, DistantPagesAreContiguousInTheArea) {
  model::Job job = code_job({kBlr});
  add_data(job, kData + 0x1000ff0, std::vector(32, std::byte{2}));  // two pages
  add_data(job, kData, std::vector(1, std::byte{1}), Access::read);
  ASSERT_TRUE(encode(std::span(&job, 1)).has_value());
  ASSERT_EQ(mappings(0).size(), 3U);  // by address: code, then data
  const wire::Mapping& first = mappings(0)[1];
  const wire::Mapping& second = mappings(0)[2];
  EXPECT_EQ(first.address, kData.value);
  EXPECT_EQ(first.access, static_cast<std::uint32_t>(wire::Access::read));
  EXPECT_EQ(second.address, kData.value + 0x1000000);
  EXPECT_EQ(second.page_count, 2U);
  EXPECT_EQ(second.source, first.source + 0x1000);
  EXPECT_EQ(first.source % 0x1000, 0U);
  EXPECT_EQ(area_[first.source], std::byte{1});
  EXPECT_EQ(area_[second.source + 0xff0], std::byte{2});
  EXPECT_EQ(area_[second.source + 0xff0 + 31], std::byte{2});
}

TEST_F(Batch, WhatIsNotGivenIsFilledAsTheJobSays) {
  model::Job job = code_job({kBlr});
  job.regions.push_back(
      {.address = kData, .size_bytes = 64, .bytes = {}, .access = Access::read_write});
  model::Job other = job;
  other.fill = ~job.fill;
  const std::vector jobs = {job, other, job};
  ASSERT_TRUE(encode(jobs).has_value());
  const std::uint64_t first = mappings(0)[1].source;
  const std::uint64_t second = mappings(1)[1].source;
  const std::uint64_t third = mappings(2)[1].source;
  EXPECT_NE(at<ul64>(first), 0xeeee'eeee'eeee'eeeeU);
  EXPECT_EQ(at<ul64>(first), at<ul64>(first + 0xff8));
  EXPECT_NE(at<ul64>(first), at<ul64>(second));
  EXPECT_EQ(at<ul64>(first), at<ul64>(third));
}

TEST_F(Batch, CompleteResultsAreTaken) {
  model::Job job = code_job({kBlr});
  add_data(job, kData, std::vector(4, std::byte{7}));
  ASSERT_TRUE(encode(std::span(&job, 1)).has_value());
  complete();
  auto& result = record(0).result;
  result.registers.gpr[3] = 5U;
  result.trace_events = 2;
  result.taken_branches = 9;
  at<wire::TakenBranch>(record(0).trace) = {1U, 2U, 3U};
  const std::uint64_t page = mappings(0)[1].source;
  area_[page + 1] = std::byte{8};
  area_[page + 4] ^= std::byte{1};
  area_[page + 0xfff] ^= std::byte{1};
  const auto seen = decode_batch(area_, layout_);
  ASSERT_TRUE(seen.has_value()) << to_string(seen.error());
  const model::Observations& one = seen.value().at(0);
  EXPECT_EQ(one.ending, Ending::returned);
  EXPECT_EQ(one.registers.gpr[3], 5U);
  EXPECT_EQ(one.trace.size(), 2U);
  EXPECT_EQ(one.trace[0], (model::TakenBranch{{1}, {2}, {3}}));
  EXPECT_EQ(one.last.size(), 9U);
  EXPECT_EQ(one.memory.at(0).bytes[1], std::byte{8});
  EXPECT_EQ(one.stray_writes, (std::vector<GuestAddress>{kData + 4, kData + 0xfff}));
}

TEST_F(Batch, EndingsAreToldByVectorAndAddress) {
  struct Row {
    std::uint32_t vector;
    std::uint64_t srr0;
    Ending ending;
  };
  const model::Job job = code_job({kBlr});
  for (const Row row :
       {Row{0xc00, kGate.value + 4, Ending::returned}, Row{0xc00, kGate.value, Ending::faulted},
        Row{0x700, kGate.value + 4, Ending::faulted},
        Row{0x900, kCode.value, Ending::out_of_budget}}) {
    ASSERT_TRUE(encode(std::span(&job, 1)).has_value());
    complete();
    record(0).result.vector = row.vector;
    record(0).result.srr0 = row.srr0;
    const auto seen = decode_batch(area_, layout_);
    EXPECT_EQ(seen.value().at(0).ending, row.ending);
    EXPECT_EQ(seen.value().at(0).fault.has_value(), row.ending != Ending::returned);
  }
}

TEST_F(Batch, HardwareThatNobodyKnowsIsToldAsSuch) {
  const model::Job job = code_job({kBlr});
  const auto hardware = [&](std::uint32_t processor, std::uint32_t mmu, std::uint32_t big_endian) {
    EXPECT_TRUE(encode(std::span(&job, 1)).has_value());
    complete();
    auto& result = record(0).result;
    result.processor = processor;
    result.mmu = mmu;
    result.big_endian = big_endian;
    return decode_batch(area_, layout_).value().at(0).hardware;
  };
  EXPECT_EQ(hardware(0x004e'1201, 1, 1), (model::GuestHardware{.processor = 0x004e'1201,
                                                               .cpu = model::Cpu::power9,
                                                               .mmu = model::Mmu::hash,
                                                               .endian = model::Endian::big}));
  EXPECT_EQ(hardware(0x004d'0200, 0, 0).cpu, model::Cpu::power8);
  EXPECT_EQ(hardware(0x0080'1200, 0, 0).cpu, model::Cpu::power10);
  EXPECT_EQ(hardware(0x0082'0000, 0, 0).cpu, std::nullopt);
  EXPECT_EQ(hardware(0x004e'1201, 2, 2).mmu, std::nullopt);
  EXPECT_EQ(hardware(0x004e'1201, 2, 2).endian, std::nullopt);
}

TEST_F(Batch, AnythingLessThanTheGuestsOwnWordIsRefused) {
  const std::vector jobs = {code_job({kBlr}), code_job({kBlr})};
  const auto refused = [&](auto spoil) {
    EXPECT_TRUE(encode(jobs).has_value());
    complete();
    EXPECT_TRUE(decode_batch(area_, layout_).has_value());
    spoil();
    const auto result = decode_batch(area_, layout_);
    return result.has_error() && result.error().code == ErrorCode::machine_bad_answer;
  };
  EXPECT_TRUE(refused([&] { header().completed_nonce = kNonce + 1; }));
  EXPECT_TRUE(refused([&] { header().completed_jobs = 1U; }));
  EXPECT_TRUE(refused([&] { header().completion_word = 0U; }));
  EXPECT_TRUE(refused([&] { record(1).result.nonce = record(0).nonce; }));
  EXPECT_TRUE(refused([&] { (void)encode(jobs); })) << "what the host wrote is not an answer";
}

TEST_F(Batch, TakesTheLongestPrefixThatFits) {
  model::Job job = code_job({kBlr});
  job.regions.push_back(
      {.address = kData, .size_bytes = 1 << 20, .bytes = {}, .access = Access::read_write});
  const std::vector jobs(10, job);
  ASSERT_TRUE(encode(jobs).has_value());
  EXPECT_EQ(header().job_count, 7U);  // of 8 MiB, some is for records
  EXPECT_EQ(layout_.jobs.size(), 7U);

  code_ = CodePages(wire::kAreaBytes, spec().endian);
  ASSERT_TRUE(encode(std::vector(1000, code_job({kBlr}))).has_value());
  EXPECT_EQ(header().job_count, wire::kMaxJobs);
}

TEST_F(Batch, OfALargeJobHasNoOther) {
  model::Job large = code_job({kBlr});
  large.regions.push_back(
      {.address = kData, .size_bytes = 20 << 20, .bytes = {}, .access = Access::read_write});
  ASSERT_TRUE(encode(std::vector{large, code_job({kBlr})}).has_value());
  EXPECT_EQ(header().job_count, 1U);
  ASSERT_TRUE(encode(std::vector{code_job({kBlr}), large}).has_value());
  EXPECT_EQ(header().job_count, 1U);
}

TEST_F(Batch, RefusesMoreCodeThanTheGuestHasRoomFor) {
  model::Job job = code_job({kBlr});
  model::JobRegion& code = job.regions.front();
  code.address = {0xc008'0000'0010'0000};
  job.entry_point = code.address;
  code.size_bytes = (std::uint64_t{48} << 20) - 0x1000;  // and the gate's page
  code.bytes = SharedBytes::of(code.bytes, code.size_bytes);
  EXPECT_TRUE(encode(std::span(&job, 1)).has_value());
  code.size_bytes += 4;
  code.bytes = SharedBytes::of(code.bytes, code.size_bytes);
  EXPECT_EQ(refusal(job), ErrorCode::machine_job_too_large);
}

TEST_F(Batch, RefusesMorePiecesThanTheGuestHasTablesFor) {
  model::Job job = code_job({kBlr});
  for (std::uint64_t i = 0; i + 2 < wire::kMaxMappings; ++i) {
    add_data(job, kData + i * 2 * wire::kPageBytes, std::vector<std::byte>(8));
  }
  EXPECT_TRUE(encode(std::span(&job, 1)).has_value());
  add_data(job, kData + std::uint64_t{1} * 1024 * 1024 * 1024, std::vector<std::byte>(8));
  EXPECT_EQ(refusal(job), ErrorCode::machine_job_too_large);
}

TEST_F(Batch, ABadJobEndsThePrefixAndIsNamedWhenItsTurnComes) {
  model::Job bad = code_job({kBlr});
  bad.gate = kGate + 2;
  ASSERT_TRUE(encode(std::vector{code_job({kBlr}), bad}).has_value());
  EXPECT_EQ(header().job_count, 1U);
  EXPECT_EQ(refusal(bad), ErrorCode::place_misaligned);
}

TEST_F(Batch, RefusesJobsThatCanNeverRun) {
  model::Job large = code_job({kBlr});
  large.regions.push_back(
      {.address = kData, .size_bytes = 65 << 20, .bytes = {}, .access = Access::read_write});
  EXPECT_EQ(refusal(large), ErrorCode::machine_job_too_large);
  large.regions.back().size_bytes = 49 << 20;  // fits, but is more pages than a job may map
  EXPECT_EQ(refusal(large), ErrorCode::machine_job_too_large);
  model::Job traced = code_job({kBlr});
  traced.trace_events = 3'000'000;
  EXPECT_EQ(refusal(traced), ErrorCode::machine_job_too_large);
  model::Job patient = code_job({kBlr});
  patient.budget_instructions = 5'000'000'000;
  EXPECT_EQ(refusal(patient), ErrorCode::machine_job_too_large);
}

TEST_F(Batch, RefusesPlacesThatTheMmuDoesNotTranslate) {
  for (const std::uint64_t address :
       {0x0010'0000'0000'0000UL, 0x000f'ffff'ffff'fffcUL, 0xbfff'ffff'ffff'fff0UL,
        0xc010'0000'0000'0000UL, 0xc00f'ffff'ffff'fffcUL, 0xffff'ffff'ffff'fffcUL}) {
    EXPECT_EQ(refusal(code_job({kNop, kBlr}, {address})), ErrorCode::place_unmappable);
  }
  for (const std::uint64_t address :
       {0UL, 0x000f'ffff'ffff'fff8UL, 0xc000'0000'0000'0000UL, 0xc00f'ffff'ffff'fff8UL}) {
    const model::Job job = code_job({kNop, kBlr}, {address});
    EXPECT_TRUE(encode(std::span(&job, 1)).has_value());
  }
  model::Job job = code_job({kBlr});
  job.gate = {0x8000'0000'0000'0000};
  EXPECT_EQ(refusal(job), ErrorCode::place_unmappable);
}

const MachineSpec kHashSpec = spec(model::Endian::little, model::Cpu::power8, model::Mmu::hash);

TEST_F(Batch, HashTranslatesEveryAddressIn32Segments) {
  for (const std::uint64_t address :
       {0x0010'0000'0000'0000UL, 0xbfff'ffff'ffff'fff0UL, 0xffff'ffff'ffff'fff8UL}) {
    const model::Job job = code_job({kNop, kBlr}, {address});
    EXPECT_TRUE(
        encode_batch(kHashSpec, std::span(&job, 1), kNonce, area_, code_, layout_).has_value());
  }
  const auto accepts = [&](const model::Job& job) {
    const auto result = encode_batch(kHashSpec, std::span(&job, 1), kNonce, area_, code_, layout_);
    return result.has_value() || result.error().code != ErrorCode::machine_job_too_large;
  };
  model::Job job = code_job({kBlr});
  for (std::uint64_t i = 0; i < 29; ++i) {
    add_data(job, {i << 28}, std::vector<std::byte>(8));
  }
  EXPECT_TRUE(accepts(job));                                  // 29 of data, one of code, the gate's
  add_data(job, {0x1'cfff'fffc}, std::vector<std::byte>(8));  // from the 29th into the 30th
  EXPECT_TRUE(accepts(job));
  add_data(job, {0x5'0000'0000}, std::vector<std::byte>(8));
  EXPECT_FALSE(accepts(job));
  job.gate = {0xc008'0000'0000'0000};  // in the code's segment
  EXPECT_TRUE(accepts(job));
}

TEST_F(Batch, TheTraceHandlersAliasAvoidsTheJobsCode) {
  model::Job job = code_job({kBlr});
  ASSERT_TRUE(encode(std::span(&job, 1)).has_value());
  EXPECT_EQ(record(0).alias, 4U);
  const auto alias_of = [&](const model::Job& one) {
    const auto result = encode_batch(kHashSpec, std::span(&one, 1), kNonce, area_, code_, layout_);
    return result.has_value() ? static_cast<std::uint32_t>(record(0).alias) : 99;
  };
  add_code(job, {0x4000'0000'0000'1ffc}, {kNop});
  EXPECT_EQ(alias_of(job), 4U);
  add_code(job, {0x4000'0000'0000'3000}, {kNop});
  EXPECT_EQ(alias_of(job), 4U);
  add_code(job, {0x4000'0000'0000'2ffc}, {kNop});
  EXPECT_EQ(alias_of(job), 5U);
  for (std::uint64_t nibble = 0; nibble < 16; ++nibble) {
    if (nibble != 3 && nibble != 4) {
      add_code(job, {nibble << 60 | 0x2000}, {kNop});
    }
  }
  EXPECT_EQ(alias_of(job), 3U);
  add_code(job, {0x3000'0000'0000'2000}, {kNop});
  const auto refused = encode_batch(kHashSpec, std::span(&job, 1), kNonce, area_, code_, layout_);
  ASSERT_TRUE(refused.has_error());
  EXPECT_EQ(refused.error().code, ErrorCode::place_unmappable);
}

TEST_F(Batch, RefusesOverlaps) {
  model::Job job = code_job({kBlr, kBlr});
  add_code(job, kCode + 4, {kBlr});
  EXPECT_EQ(refusal(job), ErrorCode::place_overlap);

  job = code_job({kBlr});
  add_data(job, kCode + 0x100, std::vector<std::byte>(8));  // code and data in one page
  EXPECT_EQ(refusal(job), ErrorCode::place_overlap);

  job = code_job({kBlr});
  add_data(job, kData, std::vector<std::byte>(8), Access::read);
  add_data(job, kData + 8, std::vector<std::byte>(8));
  EXPECT_EQ(refusal(job), ErrorCode::place_overlap);

  job = code_job({kBlr}, kGate + 0x20);  // the gate's page is the runner's
  EXPECT_EQ(refusal(job), ErrorCode::place_overlap);
}

TEST_F(Batch, RefusesCodeThatIsNotWholeWords) {
  model::Job job = code_job({kBlr}, kCode + 2);
  EXPECT_EQ(refusal(job), ErrorCode::place_misaligned);
  job = code_job({kBlr});
  SharedBytes& bytes = job.regions[0].bytes;
  bytes = SharedBytes::of(bytes, bytes.size() - 1);
  EXPECT_EQ(refusal(job), ErrorCode::place_misaligned);
}

}  // namespace
}  // namespace farcall::vm::batch_test

// A batch that a guest has answered well, with some of its bytes changed. An input is patches of
// eleven bytes: two where to begin, one for the place that this counts from, eight that are put
// there.
#include <algorithm>
#include <array>
#include <cstring>

#include "fuzz/target.hpp"
#include "vm/batch.hpp"
#include "wire/mailbox.hpp"

namespace farcall::fuzz {
namespace {

constexpr std::uint64_t kNonce = 0x1234'5678'0000'0000;
constexpr std::size_t kAreaBytes = 512 << 10;  // of which a batch of several takes an eighth
constexpr std::size_t kPatchBytes = 11;

struct Answered {
  std::vector<model::Job> jobs;
  vm::BatchLayout layout;
  std::vector<std::byte> area = std::vector<std::byte>(kAreaBytes);

  template <typename T>
  T& at(std::uint64_t offset) {
    return *reinterpret_cast<T*>(area.data() + offset);
  }
};

model::Job small_job(std::uint64_t number) {
  const GuestAddress code = {0xc008'0000'0012'a000 + number * 0x10000};
  const GuestAddress data = {0xc000'0000'0100'0000};
  model::Job job;
  job.regions.push_back({.address = code,
                         .size_bytes = 4,
                         .bytes = std::vector<std::byte>(4),
                         .access = model::Access::execute});
  job.regions.push_back({.address = data + 16,
                         .size_bytes = 100,
                         .bytes = std::vector<std::byte>(50),
                         .access = model::Access::read_write,
                         .reported = true});
  job.regions.push_back({.address = data + 8192, .size_bytes = 8, .reported = true});
  job.entry_point = code;
  job.gate = {0xc000'0000'0300'0000};
  job.entry.lr = job.gate.value;
  job.trace_events = 8;
  return job;
}

Answered answered() {
  Answered all;
  for (std::uint64_t i = 0; i < 3; ++i) {
    all.jobs.push_back(small_job(i));
  }
  vm::CodePages code(kAreaBytes, model::Endian::little);
  const auto encoded = vm::encode_batch({}, all.jobs, kNonce, all.area, code, all.layout);
  require(encoded.has_value() && all.layout.jobs.size() == all.jobs.size(), "jobs that fit");
  auto& header = all.at<wire::BatchHeader>(0);
  for (std::size_t i = 0; i < all.jobs.size(); ++i) {
    auto& record = all.at<wire::JobRecord>(all.layout.jobs[i].record);
    record.result.nonce = record.nonce;
    record.result.vector = 0xc00U;
    record.result.srr0 = all.jobs[i].gate.value + 4;
    record.result.trace_events = 2U;
    record.result.taken_branches = 3U;
  }
  header.completed_nonce = header.nonce;
  header.completed_jobs = static_cast<std::uint32_t>(header.job_count);
  header.completion_word = wire::completion_word(kNonce, header.job_count);
  require(vm::decode_batch(all.area, all.layout).has_value(), "a good answer to be taken");
  return all;
}

}  // namespace

void run_answer(Bytes patches) {
  static const Answered good = answered();
  static std::vector<std::byte> area;
  area = good.area;
  for (; patches.size() >= kPatchBytes; patches = patches.subspan(kPatchBytes)) {
    const auto byte = [&](std::size_t i) { return static_cast<std::size_t>(patches[i]); };
    const std::array<std::size_t, 5> from = {0, good.layout.jobs[0].record,
                                             good.layout.jobs[1].record, good.layout.jobs[2].record,
                                             kAreaBytes - (1U << 16)};
    const std::size_t at = from[byte(2) % from.size()] + (byte(0) | byte(1) << 8);
    if (at + 8 <= area.size()) {
      std::memcpy(area.data() + at, patches.data() + 3, 8);
    }
  }
  const auto seen = vm::decode_batch(area, good.layout);
  if (!seen) {
    require(name(seen.error().code) == "machine.bad-answer", "machine.bad-answer");
    return;
  }
  require(seen.value().size() == good.jobs.size(), "an observation for each job");
  for (std::size_t i = 0; i < good.jobs.size(); ++i) {
    const model::Observations& one = seen.value()[i];
    require(one.trace.size() <= good.jobs[i].trace_events, "no more events than there is room for");
    require(one.last.size() <= wire::kLastBranches, "no more branches than there is room for");
    require(one.memory.size() == 2, "the reported regions");
  }
}

}  // namespace farcall::fuzz

// What a guest, or what is taken for one, answers to a batch of jobs.
#include <algorithm>
#include <array>

#include "faults/fault.hpp"
#include "wire/mailbox.hpp"

namespace farcall::faults {
namespace {

constexpr std::size_t kAreaBytes = std::size_t{256} << 10;

template <typename T>
T& record_at(std::span<std::byte> area, std::uint64_t offset) {
  return *reinterpret_cast<T*>(area.data() + offset);
}

wire::BatchHeader& header(std::span<std::byte> area) {
  return record_at<wire::BatchHeader>(area, 0);
}

wire::JobResult& result(std::span<std::byte> area, const vm::BatchLayout& layout, std::size_t job) {
  return record_at<wire::JobRecord>(area, layout.jobs[job].record).result;
}

model::Job returning_job(std::uint64_t number) {
  const GuestAddress code = {0xc008'0000'0012'a000 + number * 0x10000};
  model::Job job;
  job.regions.push_back({.address = code,
                         .size_bytes = 4,
                         .bytes = std::vector<std::byte>(4),
                         .access = model::Access::execute});
  job.entry_point = code;
  job.gate = {0xc000'0000'0300'0000};
  job.entry.lr = job.gate.value;
  return job;
}

struct Answered {
  std::vector<std::byte> area = std::vector<std::byte>(kAreaBytes);
  vm::BatchLayout layout;
};

// A batch of two jobs, and what a guest writes for jobs that return at once.
Answered answered(std::uint64_t nonce) {
  const std::array jobs = {returning_job(0), returning_job(1)};
  Answered batch;
  vm::CodePages code(kAreaBytes, model::Endian::little);
  if (!vm::encode_batch({}, jobs, nonce, batch.area, code, batch.layout)) {
    return batch;  // then any answer is refused, the right one too
  }
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    wire::JobResult& one = result(batch.area, batch.layout, i);
    one.nonce = record_at<wire::JobRecord>(batch.area, batch.layout.jobs[i].record).nonce;
    one.vector = 0xc00U;  // the system call at the gate
    one.srr0 = jobs[i].gate.value + 4;
  }
  header(batch.area).completed_nonce = nonce;
  header(batch.area).completed_jobs = static_cast<std::uint32_t>(jobs.size());
  header(batch.area).completion_word = wire::completion_word(nonce, jobs.size());
  return batch;
}

}  // namespace

std::optional<Error> refused_answer(const Misanswers& fault) {
  constexpr std::uint64_t kNonce = 0x1234'5678'0000'0000;
  const Answered earlier = answered(kNonce);
  Answered batch = answered(kNonce + wire::kMaxJobs + 1);
  fault.change(batch.area, batch.layout, earlier.area);
  const auto seen = vm::decode_batch(batch.area, batch.layout);
  return seen ? std::nullopt : std::optional(seen.error());
}

std::vector<Fault> answer_faults() {
  const auto guest = Part::guest;
  using Area = std::span<std::byte>;
  using Earlier = std::span<const std::byte>;
  return {
      {"answers-an-earlier-batch", guest, "the guest repeats its answer to the batch before",
       "ours", Misanswers{[](Area area, const vm::BatchLayout&, Earlier earlier) {
         std::ranges::copy(earlier, area.begin());
       }}},
      {"answers-another-nonce", guest, "the guest answers for a batch that nobody sent", "ours",
       Misanswers{[](Area area, const vm::BatchLayout&, Earlier) {
         header(area).completed_nonce = header(area).nonce + 1;
       }}},
      {"answers-nothing", guest, "the guest says that it completed a batch of no jobs", "ours",
       Misanswers{[](Area area, const vm::BatchLayout&, Earlier) {
         header(area).completed_jobs = 0U;
         header(area).completion_word = wire::completion_word(header(area).nonce, 0);
       }}},
      {"dies-before-its-word", guest, "all jobs have results, and the guest's last word is missing",
       "ours", Misanswers{[](Area area, const vm::BatchLayout&, Earlier) {
         header(area).completion_word = 0U;
       }}},
      {"skips-a-job", guest, "a complete batch in which a job was not run", "ours",
       Misanswers{[](Area area, const vm::BatchLayout& layout, Earlier) {
         result(area, layout, 1).nonce = 0U;
       }}},
      {"result-of-another-job", guest, "a job has the result of the one before", "ours",
       Misanswers{[](Area area, const vm::BatchLayout& layout, Earlier) {
         result(area, layout, 1) = result(area, layout, 0);
       }}},
  };
}

}  // namespace farcall::faults

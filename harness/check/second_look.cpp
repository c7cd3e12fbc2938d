#include "check/second_look.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "check/garbage.hpp"

namespace farcall::check {

Ended ended(const model::Cell& cell, const model::Verdict& verdict,
            const model::Observations& observed) {
  Ended ended{.end = {.ending = observed.ending},
              .told = verdict.findings.empty()
                          ? std::string(name(verdict.outcome))
                          : fmt::format("{}: {}", name(verdict.findings.front().code),
                                        verdict.findings.front().text)};
  if (observed.ending == model::Ending::out_of_budget) {
    return ended;  // where an endless loop was stopped, and what it had done by then, is chance
  }
  End& end = ended.end;
  for (const model::JobRegion& region : observed.memory) {
    if (std::ranges::find(cell.memory, region.address, &bpf::MemoryRegion::address) !=
        cell.memory.end()) {
      end.memory.push_back(region);
    }
  }
  if (observed.fault) {
    end.fault = observed.fault->address;
  }
  if (!cell.expected.no_result) {
    end.result = verdict.result;
  }
  for (const model::Finding& finding : verdict.findings) {
    end.findings.emplace_back(finding.code, finding.site);
  }
  return ended;
}

SecondLook::SecondLook(Ended first, model::Job job, model::Job other)
    : first_(std::move(first)), job_(std::move(job)), other_(std::move(other)) {}

std::optional<model::Job> SecondLook::next_job() {
  if (over_) {
    return std::nullopt;
  }
  if (!repeated_) {
    return job_;
  }
  if (differs_ && *differs_ - same_ <= 1) {
    over_ = true;
    return std::nullopt;
  }
  asked_ = differs_ ? same_ + (*differs_ - same_) / 2 : garbage_pieces(job_);
  return with_garbage(job_, other_, asked_);
}

void SecondLook::take(Ended seen) {
  const bool same = seen.end == first_.end;
  if (!repeated_) {
    repeated_ = same;
    over_ = !same;
  } else if (same && !differs_) {
    over_ = true;  // what nobody has written does not matter
  } else if (same) {
    same_ = asked_;
    return;
  } else {
    const bool is_first = !differs_;
    differs_ = asked_;
    if (!is_first) {
      return;
    }
  }
  told_ = std::move(seen.told);
}

void SecondLook::conclude(model::Verdict& verdict, std::uint64_t other_seed) const {
  if (!repeated_) {
    verdict = {
        .findings = {model::as_finding(
            {.code = ErrorCode::machine_bad_answer,
             .message = fmt::format("the same job did not end the same twice: first it {}, then {}",
                                    first_.told, told_)})}};
  } else if (differs_) {
    verdict.findings.insert(
        verdict.findings.begin(),
        {ErrorCode::guest_unwritten_value, "",
         fmt::format("the code reads {} before anybody has written it; with --seed {} it ends "
                     "otherwise: {}",
                     garbage_name(job_, same_), other_seed, told_)});
  }
}

}  // namespace farcall::check

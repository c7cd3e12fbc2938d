#include "conformance/plugin/service.hpp"

#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "conformance/plugin/call.hpp"
#include "process/file_descriptor.hpp"
#include "run/machine_run.hpp"
#include "run/pipeline.hpp"

namespace farcall::conformance {
namespace {

// The suite's runner takes 1 to 2 ms from one call to the next: the guest is awake for the next
// one.
constexpr std::chrono::microseconds kBetweenCalls{5000};

}  // namespace

Result<std::uint64_t> Service::run(std::string_view memory, std::string_view program) {
  FARCALL_TRY(cell, called_cell(options_, memory, program));
  if (!options_.jit) {
    FARCALL_TRY(run, run::interpreted(cell));
    return run.r0;
  }
  std::vector<model::Document> documents;
  documents.push_back({.cell = std::move(cell)});
  model::Verdict verdict;
  const auto done = run::run_on_machine(
      machine_, std::move(documents), {.images = images_},
      {.next = run::each_of(1),
       .finish = [&](run::FinishedCell finished) { verdict = std::move(finished.verdict); },
       .stopped = [] { return false; }});
  if (machine_) {
    machine_->stay_awake(kBetweenCalls);
  }
  FARCALL_TRYV(done);
  if (verdict.outcome != model::Outcome::pass || !verdict.result) {
    return verdict.findings.empty()
               ? Error{.code = ErrorCode::machine_lost, .message = "the program gave no result"}
               : as_error(verdict.findings.front());
  }
  return *verdict.result;
}

}  // namespace farcall::conformance

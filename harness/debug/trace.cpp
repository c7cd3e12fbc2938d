#include "debug/trace.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <span>

#include "base/byte_order.hpp"
#include "check/findings.hpp"
#include "run/machine_run.hpp"
#include "run/pipeline.hpp"
#include "vm/machine.hpp"
#include "wire/mailbox.hpp"

namespace farcall::debug {
namespace {

// Of one job: an area of the mailbox holds them, and the job.
constexpr std::uint32_t kStepsAtOnce = 16'384;

// What the guest's handler executes for a step, generously.
constexpr std::uint64_t kInstructionsEachStep = 128;

constexpr std::uint32_t kInstructionStorage = 0x400;
constexpr std::uint32_t kInstructionSegment = 0x480;

// All steps of the job, put together from as many runs as it takes: each is like the others.
Result<model::Observations> run_steps(vm::Machine& machine, model::Job job) {
  job.watch = model::Watch::instructions;
  job.steps = kStepsAtOnce;
  job.budget_instructions =
      std::min(wire::kMaxBudget, job.budget_instructions * kInstructionsEachStep);
  model::Observations all;
  do {
    job.steps_skipped = all.steps.size();
    FARCALL_TRYV(machine.submit(std::span(&job, 1)));
    FARCALL_TRY(seen, machine.collect());
    std::vector<model::Step> steps = std::move(all.steps);
    std::ranges::move(seen.front().steps, std::back_inserter(steps));
    all = std::move(seen.front());
    all.steps = std::move(steps);
  } while (all.steps.size() < std::min(all.step_count, kMostSteps));
  return all;
}

// Whether every function of the program has its lines; what it calls besides needs none.
bool has_lines_of(const bpf::Program& program, const model::CodeImage& image) {
  const std::size_t functions = program.functions.size();
  return image.functions.size() >= functions &&
         std::ranges::none_of(std::span(image.functions).first(functions),
                              [](const model::CodeFunction& code) { return code.lines.empty(); });
}

// A place in the run: the step before the instruction at its address, or the entry.
StopPoint stop_at(const Trace& trace, std::size_t step, std::string why) {
  const std::vector<model::Step>& steps = trace.testimony.observations->steps;
  const GuestAddress address = steps[step].address;
  const auto before = std::span(steps).first(step);
  const auto earlier = std::ranges::count(before, address, &model::Step::address) +
                       (trace.testimony.job->entry_point == address ? 1 : 0);
  return {
      .address = address, .earlier = static_cast<std::uint64_t>(earlier), .why = std::move(why)};
}

}  // namespace

Result<Trace> take_trace(const model::Document& document, const std::filesystem::path& images,
                         vm::Host& host) {
  Trace trace{.testimony = run::prepare(document, 0)};
  if (!trace.testimony.job) {
    return run::no_image(document, trace.testimony);
  }
  FARCALL_TRY(machine, vm::Machine::start(run::machine_spec(document.cell.axes, images), host));
  FARCALL_TRY(seen, run_steps(machine, *trace.testimony.job));
  trace.testimony.observations = without_direct_branches(
      *trace.testimony.job, byte_order(document.cell.axes.endian), std::move(seen));
  const model::CodeImage& image = *trace.testimony.image;
  const bool has_lines = document.cell.program && has_lines_of(*document.cell.program, image);
  if (has_lines && !image.bpf_registers.empty()) {
    trace.comparison = check::compare_steps(
        *document.cell.program, image, run::interpreter_steps(document.cell, kMostInstructions),
        trace.testimony.observations->steps);
  }
  return trace;
}

std::optional<StopPoint> failure_point(const Trace& trace) {
  const std::vector<model::Step>& steps = trace.testimony.observations->steps;
  const model::CodeImage& image = *trace.testimony.image;
  // What is noticed first, and if two things are at once, the one that is named first.
  std::optional<std::size_t> noticed_first;
  StopPoint point;
  const auto consider = [&](std::size_t noticed, std::size_t step, std::string why) {
    if (step < steps.size() && (!noticed_first || noticed < *noticed_first)) {
      noticed_first = noticed;
      point = stop_at(trace, step, std::move(why));
    }
  };
  for (std::size_t i = 1; i < steps.size(); ++i) {
    const auto call = std::ranges::find(image.calls, steps[i].from, &model::CodeCall::at);
    if (call != image.calls.end() && call->callee && steps[i].address != call->callee->target) {
      consider(i, i - 1,
               fmt::format("Here {} goes astray: it should land at {} and lands at {}.",
                           site_name(image, call->site), to_string(call->callee->target),
                           to_string(steps[i].address)));
      break;
    }
  }
  const auto& fault = trace.testimony.observations->fault;
  if (fault && !steps.empty()) {
    const bool fetch = fault->vector == kInstructionStorage || fault->vector == kInstructionSegment;
    const std::size_t back = fetch && steps.size() > 1 ? 2 : 1;
    const auto findings =
        check::ending_findings(image, *trace.testimony.observations, *trace.testimony.job);
    consider(steps.size() - 1, steps.size() - back,
             fmt::format("This ends in {}.", findings.front().text));
  }
  if (trace.comparison && trace.comparison->difference) {
    const auto& pairs = trace.comparison->pairs;
    const std::size_t at = trace.comparison->difference->pair;
    std::size_t pair = at;
    while (pair > 0 && !pairs[pair - 1].cpu) {
      --pair;
    }
    if (pair > 0) {
      consider(pairs[at].cpu ? pairs[at].cpu->number : steps.size(), pairs[pair - 1].cpu->number,
               fmt::format("After this BPF instruction, {}.", trace.comparison->difference->what));
    }
  }
  return noticed_first ? std::optional(point) : std::nullopt;
}

}  // namespace farcall::debug

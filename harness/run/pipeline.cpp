#include "run/pipeline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "decode/call_sites.hpp"
#include "jit/compile.hpp"
#include "link/link.hpp"
#include "model/rules.hpp"
#include "run/guarded.hpp"

namespace farcall::run {
namespace {

// The guest's budget for one instruction of the interpreter's run: the longest sequence that the
// JIT makes for one, with a branch trace interrupt for every branch in it, and room to spare.
constexpr std::uint64_t kGuestInstructionsEach = 512;
constexpr std::uint64_t kGuestInstructionsAtLeast = 50'000;

// Room in the trace for calls that should not be, so that they can be shown.
constexpr std::size_t kSpareTraceEvents = 64;

Result<check::Interpretation> interpret(const bpf::Program& program, const model::Cell& cell,
                                        const bpf::InterpreterLimits& limits = {}) {
  bpf::AddressSpace memory(cell.memory, byte_order(cell.axes.endian));
  FARCALL_TRY(run, bpf::interpret(program, cell.placement.functions, cell.arguments,
                                  cell.placement.stack + model::kStackBytes, memory, limits));
  check::Interpretation result{.run = std::move(run), .memory = memory.regions()};
  result.memory.pop_back();  // the stack
  return result;
}

// Links and compiles as far as it goes; the reason for going no further is a refusal.
Result<void> make_image(const model::Document& document, Prepared& prepared) {
  if (document.linked) {
    prepared.linked = document.linked;
  } else {
    FARCALL_TRY(linked, link::link_program(document.cell));
    prepared.linked = std::move(linked);
  }
  FARCALL_TRY(image, jit::compile(*prepared.linked, document.cell.axes));
  prepared.testimony.image = std::move(image);
  return success();
}

}  // namespace

std::vector<bpf::InterpreterStep> interpreter_steps(const model::Cell& cell, std::size_t at_most) {
  std::vector<bpf::InterpreterStep> steps;
  (void)interpret(
      *cell.program, cell,
      {.instructions = std::min<std::uint64_t>(at_most, bpf::InterpreterLimits{}.instructions),
       .watch = [&steps](const bpf::InterpreterStep& step) { steps.push_back(step); }});
  return steps;
}

Prepared prepare(const model::Document& document, std::uint64_t seed) {
  Prepared prepared;
  const model::Cell& cell = document.cell;
  check::Testimony& testimony = prepared.testimony;
  if (document.image || document.linked) {  // from anywhere
    if (auto kept = check_document(document, cell.case_path); !kept) {
      testimony.refusal = std::move(kept).error();
      return prepared;
    }
  }
  if (cell.program) {
    testimony.source = interpret(*cell.program, cell);
    if (!*testimony.source || !objections(cell, testimony.source->value()).empty()) {
      return prepared;  // the case is wrong: nothing of it is run
    }
  }
  if (document.image) {
    testimony.image = document.image;
  } else if (auto made = guarded([&] { return make_image(document, prepared); }); !made) {
    testimony.refusal = std::move(made).error();
  }
  if (prepared.linked) {
    // Linking may add an instruction to each call.
    testimony.linked = interpret(interpreter_view(*prepared.linked), cell,
                                 {.instructions = 2 * bpf::InterpreterLimits{}.instructions});
  }
  if (!testimony.image) {
    return prepared;
  }
  testimony.decoded =
      decode::call_sites(*testimony.image, {.endian = cell.axes.endian, .toc = cell.placement.toc});
  prepared.job = make_job(cell, *testimony.image, seed);
  if (testimony.source) {
    const bpf::InterpreterRun& run = testimony.source->value().run;
    prepared.job->budget_instructions =
        kGuestInstructionsAtLeast + (kGuestInstructionsEach * run.instructions);
    prepared.job->trace_events =
        static_cast<std::uint32_t>((2 * run.calls.size()) + kSpareTraceEvents);
  }
  return prepared;
}

Error no_image(const model::Document& document, const Prepared& prepared) {
  if (prepared.testimony.refusal) {
    return *prepared.testimony.refusal;
  }
  return {.code = ErrorCode::case_contradicts_interpreter,
          .message = fmt::format("{} does not come to code", document.cell.name),
          .where = {document.cell.case_path},
          .hint = "farcall dump --stage=verdict says why"};
}

Result<bpf::InterpreterRun> interpreted(const model::Cell& cell) {
  FARCALL_TRY(source, interpret(*cell.program, cell));
  return std::move(source.run);
}

void expect_calls_as_interpreted(model::Cell& cell) {
  const std::vector<bpf::PseudoCall> calls = pseudo_calls(*cell.program);
  if (calls.empty()) {
    return;
  }
  const auto source = interpret(*cell.program, cell);
  if (!source) {
    return;
  }
  for (const bpf::PseudoCall& call : calls) {
    const auto count =
        std::ranges::count(source.value().run.calls, call.site, &bpf::PseudoCall::site);
    cell.expected.calls.push_back(
        {.site = call.site, .callee = call.callee, .count = static_cast<std::uint64_t>(count)});
  }
}

}  // namespace farcall::run

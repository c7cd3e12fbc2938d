#include "run/pipeline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "bpf/instruction.hpp"
#include "decode/call_sites.hpp"
#include "model/code_map.hpp"
#include "model/rules.hpp"

namespace farcall::run {
namespace {

// The guest's budget for one instruction of the interpreter's run: the longest sequence that the
// JIT makes for one, with a branch trace interrupt for every branch in it, and room to spare. The
// same for one access to memory: functions that a program calls go over it in loops.
constexpr std::uint64_t kGuestInstructionsEach = 512;
constexpr std::uint64_t kGuestInstructionsAtLeast = 50'000;

// Room in the trace for calls that should not be, so that they can be shown.
constexpr std::size_t kSpareTraceEvents = 64;
constexpr std::uint64_t kMostTraceEvents = std::uint64_t{1} << 16;

Result<check::Interpretation> interpret(const bpf::Program& program, const model::Cell& cell,
                                        const bpf::InterpreterLimits& limits) {
  bpf::AddressSpace memory(cell.memory, byte_order(cell.axes.endian));
  FARCALL_TRY(run, bpf::interpret(program, cell.placement.functions, cell.arguments,
                                  cell.placement.stack + model::kStackBytes, memory, limits));
  const std::uint64_t accesses = memory.accesses();
  check::Interpretation result{
      .run = std::move(run), .memory = std::move(memory).regions(), .accesses = accesses};
  result.memory.pop_back();  // the stack
  return result;
}

// Whether the JIT is to make an image: else there is one, or none is wanted.
bool interpret_source(const model::Document& document, check::Testimony& testimony) {
  const model::Cell& cell = document.cell;
  if (document.image || document.linked) {  // from anywhere
    if (auto kept = check_document(document, cell.case_path); !kept) {
      testimony.refusal = std::move(kept).error();
      return false;
    }
  }
  if (cell.program) {
    testimony.source = interpret(*cell.program, cell, {.instructions = cell.budget});
    if (!*testimony.source || !objections(cell, testimony.source->value()).empty()) {
      return false;  // the case is wrong: nothing of it is run
    }
  }
  testimony.linked_program = document.linked;
  testimony.image = document.image;
  return !document.image;
}

// What is left once there is an image, or a reason why there is none.
void finish(const model::Document& document, std::uint64_t seed, check::Testimony& testimony) {
  const model::Cell& cell = document.cell;
  if (testimony.linked_program) {
    // Linking may add an instruction to each call.
    testimony.linked = interpret(interpreter_view(*testimony.linked_program), cell,
                                 {.instructions = 2 * cell.budget});
  }
  if (!testimony.image) {
    return;
  }
  if (cell.program) {
    if (auto placed = place_code_pointers(*cell.program, *testimony.image); !placed) {
      testimony.refusal = std::move(placed).error();
      testimony.image.reset();
      return;
    }
  }
  testimony.decoded =
      decode::call_sites(*testimony.image, {.endian = cell.axes.endian, .toc = cell.placement.toc});
  if (cell.program) {
    decode::find_calls(*cell.program, testimony.decoded, *testimony.image);
  }
  testimony.job = make_job(cell, *testimony.image, seed, check::left_frames(testimony));
  if (testimony.source) {
    const bpf::InterpreterRun& run = testimony.source->value().run;
    testimony.job->budget_instructions =
        kGuestInstructionsAtLeast +
        (kGuestInstructionsEach * (run.instructions + testimony.source->value().accesses));
    // Direct branches to where a `gotox` went are recorded too: a loop has as many as instructions.
    const std::uint64_t direct = testimony.image->code_pointers.empty() ? 0 : run.instructions;
    testimony.job->trace_events = static_cast<std::uint32_t>(std::min<std::uint64_t>(
        (2 * run.calls.size()) + kSpareTraceEvents + direct, kMostTraceEvents));
  }
  const std::uint64_t times = std::max<std::uint64_t>(cell.budget / bpf::kDefaultBudget, 1);
  testimony.job->budget_instructions =
      std::min(wire::kMaxBudget, testimony.job->budget_instructions * times);
}

}  // namespace

std::vector<bpf::InterpreterStep> interpreter_steps(const model::Cell& cell, std::size_t at_most) {
  std::vector<bpf::InterpreterStep> steps;
  (void)interpret(*cell.program, cell,
                  {.instructions = std::min<std::uint64_t>(at_most, cell.budget),
                   .watch = [&steps](const bpf::InterpreterStep& step) { steps.push_back(step); }});
  return steps;
}

std::vector<check::Testimony> prepare(std::span<const ToPrepare> cells,
                                      engine::Compiler& compiler) {
  std::vector<check::Testimony> all(cells.size());
  std::vector<std::size_t> wanted;
  std::vector<const model::Document*> documents;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (interpret_source(*cells[i].document, all[i])) {
      wanted.push_back(i);
      documents.push_back(cells[i].document);
    }
  }
  std::vector<engine::Compiled> compiled = compiler.compile(documents);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    check::Testimony& testimony = all[wanted[i]];
    testimony.linked_program = std::move(compiled[i].linked);
    if (compiled[i].image) {
      testimony.image = std::move(compiled[i].image).value();
    } else {
      testimony.refusal = std::move(compiled[i].image).error();
    }
  }
  for (std::size_t i = 0; i < cells.size(); ++i) {
    finish(*cells[i].document, cells[i].seed, all[i]);
  }
  return all;
}

check::Testimony prepare(const model::Document& document, std::uint64_t seed,
                         engine::Compiler& compiler) {
  const ToPrepare one{.document = &document, .seed = seed};
  return std::move(prepare(std::span(&one, 1), compiler).front());
}

check::Testimony prepare(const model::Document& document, std::uint64_t seed) {
  return prepare(document, seed, *engine::farcall_jit().start({}));
}

Error no_image(const model::Document& document, const check::Testimony& prepared) {
  if (prepared.refusal) {
    return *prepared.refusal;
  }
  return {.code = ErrorCode::case_contradicts_interpreter,
          .message = fmt::format("{} ends before there is code", document.cell.name),
          .where = {document.cell.case_path},
          .hint = "farcall dump --stage=verdict says why"};
}

Result<check::Interpretation> interpretation(
    const model::Cell& cell, const std::function<void(const bpf::InterpreterStep&)>& watch) {
  return interpret(*cell.program, cell, {.instructions = cell.budget, .watch = watch});
}

Result<bpf::InterpreterRun> interpreted(const model::Cell& cell) {
  FARCALL_TRY(source, interpretation(cell));
  return std::move(source.run);
}

void expect_calls_as_interpreted(model::Cell& cell) {
  const std::vector<bpf::PseudoCall> calls = pseudo_calls(*cell.program);
  if (calls.empty()) {
    return;
  }
  const auto source = interpret(*cell.program, cell, {.instructions = cell.budget});
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

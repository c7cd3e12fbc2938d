#include "debug/trace.hpp"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Error.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "bpf/disassembler.hpp"
#include "check/branches.hpp"
#include "check/findings.hpp"
#include "command/commands.hpp"
#include "command/options.hpp"
#include "model/code_map.hpp"
#include "model/json.hpp"
#include "selection/select.hpp"

namespace farcall::command {
namespace {

using Registers = std::array<std::uint64_t, bpf::kRegisterCount>;

struct TraceArguments {
  std::string cell;  // FILE@CELL
  std::string from;  // instead of it
  bool branches = false;
  bool json = false;
  std::filesystem::path images;
  vm::Host* host = &vm::direct_host();
};

std::string hex(std::uint64_t value) {
  return fmt::format("{:#x}", value);
}

// `main+3`.
std::string position(const bpf::Program& program, bpf::SlotIndex slot) {
  const bpf::Function& function = program.functions[bpf::function_at(program, slot).value_or(0)];
  return fmt::format("{}+{}", function.name, slot - function.begin);
}

// ` r0=0x1 r6=0x28`: what is in the mask and not as it was in `before`.
std::string changed(const Registers& now, const std::optional<Registers>& before,
                    std::uint32_t mask) {
  std::string text;
  for (std::size_t i = 0; i < now.size(); ++i) {
    if ((mask >> i & 1) != 0 && (!before || now[i] != (*before)[i])) {
      text += fmt::format(" r{}={:#x}", i, now[i]);
    }
  }
  return text;
}

std::string ending(const debug::Trace& trace) {
  const auto findings = check::ending_findings(*trace.testimony.image,
                                               *trace.testimony.observations, *trace.testimony.job);
  return findings.empty()
             ? fmt::format("the CPU returned {:#x}", trace.testimony.observations->registers.gpr[3])
             : "the CPU ended by " + findings.front().text;
}

void print_instructions(const bpf::Program& program, const debug::Trace& trace) {
  const check::StepComparison& comparison = *trace.comparison;
  std::optional<Registers> before;
  for (std::size_t i = 0; i < comparison.pairs.size(); ++i) {
    const check::StepPair& pair = comparison.pairs[i];
    const bool differs = comparison.difference && comparison.difference->pair == i;
    const bpf::SlotIndex slot = pair.interpreter.slot;
    fmt::print("{} {:>5}  {:<12} {:<28} {}", differs ? "✗" : " ", i, position(program, slot),
               bpf::disassemble_instruction(program, slot),
               pair.cpu ? to_string(pair.cpu->address) : std::string(16, '-'));
    if (pair.cpu) {
      fmt::print(" {}", changed(pair.cpu->registers, before, pair.defined));
      before = pair.cpu->registers;
    }
    fmt::print("\n");
    if (differs) {
      fmt::print("         interpreter:{}\n         {}\n",
                 changed(pair.interpreter.registers, std::nullopt, pair.defined),
                 comparison.difference->what);
    }
  }
}

// The text of a place: its function, and the BPF instruction if that is known.
std::string place(const debug::Trace& trace, const model::CodeMap& map, const bpf::Program* program,
                  GuestAddress address) {
  const model::PlacedInstruction* const placed = map.at(address);
  const std::string ppc64 = check::describe(*trace.testimony.image, address);
  return placed == nullptr ? ppc64 : fmt::format("{} {}", ppc64, position(*program, placed->slot));
}

// The branches that were taken; beside the interpreter's as far as the image lets that be known.
std::vector<check::BranchPair> branches(const bpf::Program* program, const debug::Trace& trace) {
  const std::vector<model::Step>& steps = trace.testimony.observations->steps;
  if (trace.comparison) {
    return check::compare_branches(*program, *trace.testimony.image, *trace.comparison, steps);
  }
  std::vector<check::BranchPair> all;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].from != GuestAddress{}) {
      all.push_back({.step = i, .interpreter = {}});
    }
  }
  return all;
}

const model::CodeCall* call_at(const model::CodeImage& image, const model::Step& step) {
  const auto call = std::ranges::find(image.calls, step.from, &model::CodeCall::at);
  return call == image.calls.end() ? nullptr : &*call;
}

void print_branches(const bpf::Program* program, const debug::Trace& trace) {
  const model::CodeImage& image = *trace.testimony.image;
  const model::CodeMap map = program != nullptr ? code_map(*program, image) : model::CodeMap{};
  std::optional<Registers> before;
  for (const check::BranchPair& branch : branches(program, trace)) {
    const std::string wanted =
        branch.interpreter ? position(*program, *branch.interpreter) : std::string();
    if (!branch.step) {
      fmt::print("✗        the CPU takes no branch; interpreter: {}\n         {}\n", wanted,
                 trace.comparison->difference->what);
      break;
    }
    const model::Step& step = trace.testimony.observations->steps[*branch.step];
    const model::CodeCall* const call = call_at(image, step);
    const bool astray = call != nullptr && call->callee && call->callee->target != step.address;
    const bool differs = astray || branch.differs;
    fmt::print("{} {:>5}  {} → {}", differs ? "✗" : " ", *branch.step,
               place(trace, map, program, step.from), place(trace, map, program, step.address));
    if (!wanted.empty()) {
      fmt::print("  interpreter: {}", wanted);
    }
    if (!image.bpf_registers.empty()) {
      Registers now;
      std::ranges::transform(image.bpf_registers, now.begin(),
                             [&step](std::uint8_t gpr) { return step.gpr[gpr]; });
      fmt::print(" {}", changed(now, before, ~0U));
      before = now;
    }
    fmt::print("\n");
    if (astray) {
      fmt::print("         {}: expected {}\n", site_name(image, call->site),
                 check::describe(image, call->callee->target));
    } else if (differs) {
      fmt::print("         {}\n", trace.comparison->difference->what);
    }
    if (differs) {
      break;
    }
  }
}

model::Json registers_json(const Registers& registers) {
  model::Json json = model::Json::array();
  std::ranges::transform(registers, std::back_inserter(json), hex);
  return json;
}

model::Json instructions_json(const bpf::Program& program, const debug::Trace& trace) {
  model::Json all = model::Json::array();
  for (const check::StepPair& pair : trace.comparison->pairs) {
    model::Json differing = model::Json::array();
    for (std::size_t i = 0; i < bpf::kRegisterCount; ++i) {
      if ((pair.differing >> i & 1) != 0) {
        differing.push_back(fmt::format("r{}", i));
      }
    }
    const bpf::SlotIndex slot = pair.interpreter.slot;
    all.push_back(
        {{"at", position(program, slot)},
         {"instruction", bpf::disassemble_instruction(program, slot)},
         {"interpreter", registers_json(pair.interpreter.registers)},
         {"address", pair.cpu ? model::Json(hex(pair.cpu->address.value)) : model::Json(nullptr)},
         {"cpu", pair.cpu ? registers_json(pair.cpu->registers) : model::Json(nullptr)},
         {"differing", std::move(differing)}});
  }
  return all;
}

model::Json branches_json(const bpf::Program* program, const debug::Trace& trace) {
  model::Json all = model::Json::array();
  const model::CodeImage& image = *trace.testimony.image;
  for (const check::BranchPair& branch : branches(program, trace)) {
    model::Json row = {
        {"from", nullptr}, {"to", nullptr}, {"site", nullptr}, {"expected", nullptr}};
    if (branch.step) {
      const model::Step& step = trace.testimony.observations->steps[*branch.step];
      row["from"] = hex(step.from.value);
      row["to"] = hex(step.address.value);
      if (const model::CodeCall* const call = call_at(image, step)) {
        row["site"] = site_name(image, call->site);
        row["expected"] =
            call->callee ? model::Json(hex(call->callee->target.value)) : model::Json(nullptr);
      }
      row["gpr"] = model::Json::array();
      std::ranges::transform(step.gpr, std::back_inserter(row["gpr"]), hex);
    }
    row["interpreter"] = branch.interpreter ? model::Json(position(*program, *branch.interpreter))
                                            : model::Json(nullptr);
    row["differs"] = branch.differs;
    all.push_back(std::move(row));
  }
  return all;
}

Result<ExitCode> trace(const TraceArguments& arguments) {
  FARCALL_TRY(document, arguments.from.empty() ? selection::select_cell(arguments.cell)
                                               : selection::read_document_file(arguments.from));
  FARCALL_TRY(trace, debug::take_trace(document, arguments.images, *arguments.host));
  const bpf::Program* const program = document.cell.program.get();
  if (!trace.comparison && !arguments.branches) {
    return Error{.code = ErrorCode::usage_bad_argument,
                 .message =
                     "the image says too little for a trace of BPF instructions; expected a "
                     "program, lines and bpf_registers",
                 .where = {document.cell.case_path},
                 .hint = "--branches shows every branch that was taken"};
  }
  const bool differs = trace.comparison && trace.comparison->difference;
  const bool astray = debug::failure_point(trace).has_value();
  if (arguments.json) {
    model::Json json = model::document_header();
    json["cell"] = document.cell.name;
    if (arguments.branches) {
      json["branches"] = branches_json(program, trace);
    } else {
      json["instructions"] = instructions_json(*program, trace);
    }
    json["difference"] = nullptr;
    if (differs) {
      json["difference"] = {{"instruction", trace.comparison->difference->pair},
                            {"text", trace.comparison->difference->what}};
    }
    json["ending"] = ending(trace);
    fmt::print("{}\n", model::json_text(json, 1));
  } else {
    fmt::print("{}\n", document.cell.name);
    if (arguments.branches) {
      print_branches(program, trace);
    } else {
      print_instructions(*program, trace);
    }
    fmt::print("\n{}; {}\n", ending(trace),
               differs ? "the interpreter went another way, see ✗"
               : trace.comparison
                   ? fmt::format("interpreter and CPU agree at {} BPF instructions",
                                 trace.comparison->pairs.size())
                   : fmt::format("{} branches", trace.testimony.observations->taken_branches));
  }
  return astray ? ExitCode::failed : ExitCode::passed;
}

}  // namespace

Command trace_command(CLI::App& app, const Invocation& invocation) {
  const auto arguments = std::make_shared<TraceArguments>();
  arguments->images = invocation.images;
  CLI::App* const trace_app = app.add_subcommand(
      "trace", "A cell's run instruction by instruction, interpreter and CPU side by side");
  auto* const cell = trace_app->add_option("CELL", arguments->cell,
                                           "FILE@CELL, such as cases/scheme/beyond-2g.case@imm32");
  trace_app->add_option("--from", arguments->from, "A stage document instead of a cell")
      ->type_name("FILE")
      ->excludes(cell);
  trace_app->add_flag("--branches", arguments->branches, "Taken branches, not BPF instructions");
  trace_app->add_flag("--json", arguments->json, "As JSON");
  trace_app->parse_complete_callback([arguments] {
    if (arguments->cell.empty() && arguments->from.empty()) {
      throw CLI::RequiredError("CELL or --from");
    }
  });
  return {trace_app, with_host(*trace_app, arguments->host, [arguments] {
            const auto code = trace(*arguments);
            return code ? code.value() : report_error(code.error());
          })};
}

}  // namespace farcall::command

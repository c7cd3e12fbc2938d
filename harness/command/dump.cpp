#include <fmt/format.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Error.hpp>
#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "bpf/disassembler.hpp"
#include "check/findings.hpp"
#include "command/commands.hpp"
#include "command/interruption.hpp"
#include "command/listing_stages.hpp"
#include "command/options.hpp"
#include "jit/call_target.hpp"
#include "model/json.hpp"
#include "report/report.hpp"
#include "run/machine_run.hpp"
#include "run/pipeline.hpp"
#include "run/runner.hpp"
#include "selection/select.hpp"

namespace farcall::command {
namespace {

struct DumpArguments {
  std::string cell;  // FILE@CELL
  std::string stage;
  bool json = false;
  std::string jit = engine::farcall_jit().name;
  ListingOptions listing;
  run::RunnerOptions runner;
};

// What is known of the cell at the stage that is dumped.
struct View {
  run::FinishedCell finished;
  ListingOptions listing;

  const model::Document& document() const { return *finished.document; }
  const model::Cell& cell() const { return finished.document->cell; }
  const check::Testimony& testimony() const { return finished.testimony; }
};

void print_placement(std::string_view what, GuestAddress address) {
  fmt::print("  {:<20} {}\n", what, to_string(address));
}

void print_cell(const View& view) {
  const model::Cell& cell = view.cell();
  fmt::print("{}  ({})\n\naxes\n", cell.name, cell.case_path);
  for (std::size_t i = 0; i < model::kAxisCount; ++i) {
    const auto axis = static_cast<model::Axis>(i);
    fmt::print("  {:<20} {}\n", name(axis), value_name(cell.axes, axis));
  }
  fmt::print("\nplacement\n");
  for (std::size_t i = 0; i < cell.placement.functions.size(); ++i) {
    print_placement(callee_name(*cell.program, static_cast<std::uint32_t>(i)),
                    cell.placement.functions[i]);
  }
  for (const bpf::MemoryRegion& region : cell.memory) {
    print_placement(fmt::format("{} ({} bytes)", region.name, region.bytes.size()), region.address);
  }
  print_placement("stack", cell.placement.stack);
  print_placement("callbase", cell.placement.call_base);
  print_placement("toc", cell.placement.toc);
  fmt::print("\nprogram\n{}", bpf::disassemble(*cell.program));
}

void print_linked(const View& view) {
  const model::LinkedProgram& linked = *view.testimony().linked_program;
  const auto scheme =
      model::value_names(model::Axis::call)[static_cast<std::size_t>(linked.scheme)];
  fmt::print("{} linked by {}, call base {}\n", view.cell().name, scheme,
             to_string(linked.call_base));
  for (std::size_t i = 0; i < linked.program.functions.size(); ++i) {
    const bpf::Function& function = linked.program.functions[i];
    fmt::print("\n{} {}\n", to_string(linked.addresses[i]), function.name);
    for (bpf::SlotIndex at = function.begin; at < function.end; ++at) {
      const bpf::Slot& slot = linked.program.slots[at];
      fmt::print("  {:>5}: {:02x} dst={} src={} off={} imm={:#x}\n", at, slot.opcode, slot.dst,
                 slot.src, slot.offset, static_cast<std::uint32_t>(slot.imm));
    }
  }
  fmt::print("\ncalls\n");
  for (std::size_t i = 0; i < linked.calls.size(); ++i) {
    const model::LinkedCall& call = linked.calls[i];
    fmt::print("  {:<12} slot {:<5} → {:<16} placed at {}, the JIT reads {}\n",
               bpf::to_string(linked.program, call.site), call.slot,
               callee_name(linked.program, call.callee), to_string(call.target),
               to_string(jit::call_target(linked, i)));
  }
}

void print_image(const View& view) {
  const check::Testimony& testimony = view.testimony();
  fmt::print("{}\n\n", view.cell().name);
  for (const model::CodeFunction& function : testimony.image->functions) {
    fmt::print("{} <{}>: {} words, passes {}\n", to_string(function.address), function.name,
               function.words.size(), fmt::join(function.pass_words, " "));
    const std::vector<std::string> texts = listing(function);
    for (std::size_t i = 0; i < function.words.size(); ++i) {
      const GuestAddress at = function.address + i * 4;
      const auto call = std::ranges::find(testimony.decoded, at, &model::DecodedCall::at);
      const std::string note =
          call == testimony.decoded.end()
              ? ""
              : fmt::format("  # {} → {}", site_name(*testimony.image, call->site),
                            call->target ? to_string(*call->target) : "no fixed address");
      fmt::print("  {}  {:08x}  {}{}\n", to_string(at), function.words[i], texts[i], note);
    }
    fmt::print("\n");
  }
}

void print_observations(const View& view) {
  const model::Observations& observed = *view.testimony().observations;
  static constexpr std::array kEndings = {"returned", "faulted", "out of budget"};
  fmt::print("{}: {}, r3 = {:#x}, {} branches taken\n\ncalls and returns\n", view.cell().name,
             kEndings[static_cast<std::size_t>(observed.ending)], observed.registers.gpr[3],
             observed.taken_branches);
  const auto place = [&view](GuestAddress address) {
    return check::describe(*view.testimony().image, address);
  };
  for (const model::TakenBranch& branch : observed.trace) {
    fmt::print("  {:<6} {} → {}  {}\n",
               branch.is_call()     ? "call"
               : branch.is_return() ? "return"
                                    : "jump",
               place(branch.from), place(branch.to), to_string(branch.to - branch.from));
  }
  if (observed.fault) {
    fmt::print("\nfault: interrupt {:#x} at {}\n", observed.fault->vector,
               place(observed.fault->address));
  }
}

void print_verdict(const View& view) {
  report::text_report(stdout, {})->cell(cell_report(view.finished, ""));
}

model::Json with(const View& view, std::string_view stage, model::Json value) {
  model::Json json = to_json(model::Document{.cell = view.cell()}, stage);
  json[std::string(stage)] = std::move(value);
  return json;
}

bool is_linked(const View& view) {
  return view.testimony().linked_program.has_value();
}

bool has_image(const View& view) {
  return view.testimony().image.has_value();
}

// A stage: whether this cell came to it, how it looks to people, and as JSON.
struct Stage {
  std::string name;
  bool needs_guest;
  std::function<bool(const View&)> reached;
  std::function<void(const View&)> print;
  std::function<model::Json(const View&)> json;
};

const std::vector<Stage>& stages() {
  static const std::vector<Stage> kStages = {
      {"cell", false, [](const View&) { return true; }, print_cell,
       [](const View& view) { return to_json(view.document(), "cell"); }},
      {"linked", false, is_linked, print_linked,
       [](const View& view) {
         return model::to_json(
             model::Document{.cell = view.cell(), .linked = view.testimony().linked_program},
             "linked");
       }},
      {"image", false, has_image, print_image,
       [](const View& view) {
         return model::to_json(
             model::Document{.cell = view.cell(), .image = view.testimony().image}, "image");
       }},
      {"xlated", false, is_linked,
       [](const View& view) {
         fmt::print("{}", xlated_text(view.document(), view.testimony(), view.listing));
       },
       [](const View& view) {
         return with(view, "xlated", xlated_json(view.document(), view.testimony(), view.listing));
       }},
      {"jited", false, has_image,
       [](const View& view) {
         fmt::print("{}", jited_text(view.document(), view.testimony(), view.listing));
       },
       [](const View& view) {
         return with(view, "jited", jited_json(view.document(), view.testimony(), view.listing));
       }},
      {"layout", false, has_image,
       [](const View& view) {
         fmt::print("{}", layout_text(view.document(), view.testimony(), view.listing));
       },
       [](const View& view) {
         return with(view, "layout", layout_json(view.document(), view.testimony()));
       }},
      {"observations", true,
       [](const View& view) { return view.testimony().observations.has_value(); },
       print_observations,
       [](const View& view) {
         return with(view, "observations", model::to_json(*view.testimony().observations));
       }},
      {"verdict", true, [](const View&) { return true; }, print_verdict,
       [](const View& view) {
         return with(view, "verdict", model::to_json(view.finished.verdict));
       }},
  };
  return kStages;
}

// Runs the cell as far as the stage needs.
run::FinishedCell look_at(model::Document document, bool needs_guest,
                          const run::RunnerOptions& runner) {
  run::FinishedCell finished;
  if (!needs_guest) {
    finished.testimony = run::prepare(document, 0, *runner.jit.start({}));
    finished.document = std::make_shared<const model::Document>(std::move(document));
    return finished;
  }
  std::optional<vm::Machine> machine;
  const auto finish = [&finished](run::FinishedCell cell) { finished = std::move(cell); };
  // Why a machine failed is in the verdict, too.
  (void)run::run_on_machine(
      machine, std::vector{std::move(document)},
      {.images = runner.images, .host = *runner.host, .jit = runner.jit},
      {.next = run::each_of(1), .finish = finish, .stopped = [] { return false; }});
  return finished;
}

// In the order of the pipeline.
std::vector<std::string> stage_names() {
  std::vector<std::string> names;
  for (const Stage& stage : stages()) {
    names.push_back(stage.name);
  }
  return names;
}

ExitCode dump(const DumpArguments& arguments) {
  auto document = selection::select_cell(arguments.cell);
  if (!document) {
    return report_error(document.error());
  }
  const Stage& stage = *std::ranges::find(stages(), arguments.stage, &Stage::name);
  auto jit = [&] {
    const EarlyInterruption early;
    return engine::jit_named(arguments.jit, arguments.runner.images, until_signal());
  }();
  if (!jit) {
    return report_error(jit.error());
  }
  run::RunnerOptions runner = arguments.runner;
  runner.jit = std::move(jit).value();
  View view{.finished = look_at(std::move(document).value(), stage.needs_guest, runner),
            .listing = arguments.listing};
  view.listing.colour = isatty(STDOUT_FILENO) != 0;
  if (!stage.reached(view)) {
    if (view.testimony().refusal) {
      return report_error(*view.testimony().refusal);
    }
    return report_error({.code = view.finished.verdict.findings.empty()
                                     ? ErrorCode::case_no_outcome
                                     : view.finished.verdict.findings.front().code,
                         .message = fmt::format("the cell ends before the stage {}", stage.name),
                         .where = {view.cell().case_path},
                         .hint = "farcall dump --stage=verdict says why"});
  }
  if (arguments.json) {
    fmt::print("{}\n", model::json_text(stage.json(view), 1));
  } else {
    stage.print(view);
  }
  return ExitCode::passed;
}

}  // namespace

Command dump_command(CLI::App& app, const Invocation& invocation) {
  const auto arguments = std::make_shared<DumpArguments>();
  arguments->runner = default_runner(invocation);
  CLI::App* const dump_app = app.add_subcommand("dump", "Show one cell at one stage of its way");
  dump_app
      ->add_option("CELL", arguments->cell, "FILE@CELL, such as cases/scheme/beyond-2g.case@imm32")
      ->required();
  dump_app->add_option("--stage", arguments->stage, "The stage")
      ->required()
      ->check(one_of(stage_names()));
  add_jit(*dump_app, arguments->jit);
  add_listing_options(*dump_app, arguments->listing);
  dump_app->add_flag("--json", arguments->json, "As JSON, which `farcall run --from` reads")
      ->excludes(dump_app->get_option("--svg"))
      ->excludes(dump_app->get_option("--jited-annotations"));
  dump_app->parse_complete_callback([arguments, dump_app] {
    // Nobody shall believe that an option had an effect that it has not.
    static const std::map<std::string, std::set<std::string>> kStagesOf = {
        {"--reader", {"xlated"}},
        {"--names", {"xlated", "jited"}},
        {"--tag-hash", {"xlated", "jited"}},
        {"--svg", {"layout"}},
        {"--jited-annotations", {"jited"}}};
    for (const auto& [option, stages] : kStagesOf) {
      if (dump_app->get_option(option)->count() > 0 && !stages.contains(arguments->stage)) {
        throw CLI::ValidationError(
            option,
            fmt::format("is for --stage={}, not {}", fmt::join(stages, " and "), arguments->stage));
      }
    }
  });
  return {dump_app,
          with_host(*dump_app, arguments->runner.host, [arguments] { return dump(*arguments); })};
}

}  // namespace farcall::command

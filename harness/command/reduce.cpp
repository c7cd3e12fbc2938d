#include "campaign/reduce.hpp"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/files.hpp"
#include "command/commands.hpp"
#include "command/interruption.hpp"
#include "command/options.hpp"
#include "command/shell_word.hpp"
#include "model/json.hpp"
#include "selection/select.hpp"

namespace farcall::command {
namespace {

struct ReduceArguments {
  std::string subject;  // FILE@CELL, or a document
  std::string jit = engine::farcall_jit().name;
  std::string output;
  std::uint64_t seed = 0;
  run::RunnerOptions runner;
};

Result<model::Document> load_subject(const std::string& subject) {
  return subject.ends_with(".json") ? selection::read_document_file(subject)
                                    : selection::select_cell(subject);
}

Result<std::string> reduced_text(const ReduceArguments& arguments) {
  FARCALL_TRY(document, load_subject(arguments.subject));
  FARCALL_TRY(jit, engine::jit_named(arguments.jit, arguments.runner.images, until_signal()));
  run::RunnerOptions runner = arguments.runner;
  runner.jit = std::move(jit);
  runner.stopped = [] { return Interruption::signal() != 0; };
  campaign::Trial trial(runner);
  if (document.image || document.linked) {
    FARCALL_TRY(reduced, campaign::reduce_document(trial, document, arguments.seed));
    note(fmt::format("{}", to_string(reduced.kind)));
    return model::json_text(
               model::to_json(reduced.document, reduced.document.image ? "image" : "linked"), 1) +
           "\n";
  }
  FARCALL_TRY(sketch, campaign::sketch_of(document.cell));
  FARCALL_TRY(reduced, campaign::reduce(trial, sketch, arguments.seed));
  note(fmt::format("{}: {} of {} instructions, {} candidates run", to_string(reduced.kind),
                   instruction_count(reduced.sketch), reduced.from, reduced.candidates));
  std::string options = reduced.seed == 0 ? "" : fmt::format(" --seed {}", reduced.seed);
  for (const ErrorCode code : runner.allowed) {
    options += fmt::format(" --allow {}", farcall::name(code));
  }
  return campaign::reduced_case(
      reduced, trial.jit(),
      {fmt::format("{}, reduced from {}.", to_string(reduced.kind), document.cell.name),
       fmt::format("farcall run FILE --jit {}{}", shell_word(arguments.jit), options)});
}

ExitCode reduce(const ReduceArguments& arguments) {
  const Interruption interruption;
  const auto text = reduced_text(arguments);
  if (Interruption::signal() != 0) {
    if (!text) {
      return Interruption::report("no case was written");
    }
    const ExitCode written = write_or_report(arguments.output, text.value());
    return written == ExitCode::passed
               ? Interruption::report("the case fails in the same way, and may not be the smallest")
               : written;
  }
  return text ? write_or_report(arguments.output, text.value()) : report_error(text.error());
}

}  // namespace

Command reduce_command(CLI::App& app, const Invocation& invocation) {
  const auto arguments = std::make_shared<ReduceArguments>();
  arguments->runner = default_runner(invocation);
  CLI::App* const reduce_app =
      app.add_subcommand("reduce", "Write the smallest case that still fails in the same way");
  reduce_app
      ->add_option(
          "CELL", arguments->subject,
          "FILE@CELL, such as cases/scheme/beyond-2g.case@imm32, or a stage document, FILE.json")
      ->required();
  add_jit(*reduce_app, arguments->jit);
  add_allow(*reduce_app, arguments->runner);
  reduce_app->add_option("--seed", arguments->seed,
                         "The seed with which the cell fails; 0 by default");
  reduce_app->add_option("--output,-o", arguments->output, "The case file; else standard output")
      ->type_name("FILE");
  return {reduce_app, with_host(*reduce_app, arguments->runner.host,
                                [arguments] { return reduce(*arguments); })};
}

}  // namespace farcall::command

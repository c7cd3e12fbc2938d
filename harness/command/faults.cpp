#include <fmt/format.h>

#include <CLI/App.hpp>
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "command/commands.hpp"
#include "command/interruption.hpp"
#include "command/nearest.hpp"
#include "command/options.hpp"
#include "coverage/matrix.hpp"
#include "model/json.hpp"

namespace farcall::command {
namespace {

enum class FaultsFormat : std::uint8_t { text, json, markdown };

const std::map<std::string, FaultsFormat> kFaultsFormats = {{"text", FaultsFormat::text},
                                                            {"json", FaultsFormat::json},
                                                            {"markdown", FaultsFormat::markdown}};

struct FaultsArguments {
  std::vector<std::string> names;
  bool list = false;
  FaultsFormat format = FaultsFormat::text;
  std::string output;
  selection::Selection selection;
  std::vector<std::string> jits = {"farcall"};
  run::RunnerOptions runner;
};

Result<std::vector<const faults::Fault*>> faults_named(const std::vector<std::string>& names) {
  std::vector<const faults::Fault*> found;
  std::vector<std::string> known;
  for (const faults::Fault& fault : faults::all_faults()) {
    known.push_back(fault.name);
    if (names.empty()) {
      found.push_back(&fault);
    }
  }
  for (const std::string& name : names) {
    const faults::Fault* const fault = faults::fault_named(name);
    if (fault == nullptr) {
      const auto near = nearest(name, known);
      return Error{.code = ErrorCode::usage_bad_argument,
                   .message = fmt::format("there is no fault {}{}", name,
                                          near ? fmt::format("; did you mean {}?", *near) : ""),
                   .hint = "farcall faults --list shows what there is"};
    }
    found.push_back(fault);
  }
  return found;
}

std::string fault_list(const std::vector<const faults::Fault*>& all) {
  std::string text;
  for (const faults::Fault* const fault : all) {
    text += fmt::format("{:<32} {:<7} {} ({})\n", fault->name, name(fault->part), fault->what,
                        fault->source);
  }
  return text;
}

// The matrix of each JIT, and at the end the number of each.
std::string text_of(const std::vector<coverage::FaultMatrix>& matrices, FaultsFormat format) {
  if (format == FaultsFormat::json) {
    model::Json json = {{"jits", model::Json::array()}};
    for (const coverage::FaultMatrix& matrix : matrices) {
      json["jits"].push_back(matrix_json(matrix));
    }
    return model::json_text(json, 1) + "\n";
  }
  std::string text;
  std::string numbers;
  for (const coverage::FaultMatrix& matrix : matrices) {
    text += (format == FaultsFormat::text ? matrix_text(matrix) : matrix_markdown(matrix)) + "\n";
    numbers += summary(matrix);
  }
  return text + numbers;
}

ExitCode run_faults(const FaultsArguments& arguments) {
  const auto wanted = faults_named(arguments.names);
  if (!wanted) {
    return report_error(wanted.error());
  }
  if (arguments.list) {
    return write_or_report(arguments.output, fault_list(wanted.value()));
  }
  const auto named = [&] {
    const EarlyInterruption early;
    return engine::jits_named(arguments.jits, arguments.runner.images, until_signal());
  }();
  if (!named) {
    return report_error(named.error());
  }
  const std::vector<engine::Jit>& jits = named.value();
  auto selected = selection::select_cells(arguments.selection);
  if (!selected) {
    return report_error(selected.error());
  }
  if (!selected.value().bad.empty()) {
    return report_error(selected.value().bad.front().error);
  }
  // Some have a fault already.
  std::erase_if(selected.value().documents,
                [](const model::Document& document) { return document.cell.control.has_value(); });
  std::vector<coverage::FaultMatrix> matrices;
  const Interruption interruption;
  for (const engine::Jit& jit : jits) {
    run::RunnerOptions runner = arguments.runner;
    runner.stopped = [] { return Interruption::signal() != 0; };
    runner.jit = jit;
    auto matrix = coverage::try_faults(wanted.value(), selected.value().documents, runner);
    if (!matrix && Interruption::signal() != 0) {
      return Interruption::report("not all faults were tried, and no matrix is shown");
    }
    if (!matrix) {
      note(to_string(matrix.error()));
      return ExitCode::harness_failed;
    }
    matrices.push_back(std::move(matrix).value());
  }
  const auto written = write_output(arguments.output, text_of(matrices, arguments.format));
  if (!written) {
    return report_error(written.error());
  }
  return std::ranges::all_of(matrices, &coverage::FaultMatrix::good) ? ExitCode::passed
                                                                     : ExitCode::failed;
}

}  // namespace

Command faults_command(CLI::App& app, const Invocation& invocation) {
  const auto arguments = std::make_shared<FaultsArguments>();
  arguments->runner = default_runner(invocation);
  CLI::App* const faults_app = app.add_subcommand(
      "faults",
      "Put known faults into linker, JIT, guest and dump, and say which witness sees each");
  faults_app
      ->add_option("--jit", arguments->jits,
                   "Whose code they are put into, as `run --jit` has it: farcall (the default), "
                   "exec:COMMAND, kernel:VERSION or kernel:DIR; several, one matrix each")
      ->type_name("JIT");
  add_allow(*faults_app, arguments->runner);
  faults_app->add_option("NAME", arguments->names, "Only these faults");
  faults_app->add_flag("--list", arguments->list, "Show them, and run nothing");
  faults_app
      ->add_option("--cases", arguments->selection.paths,
                   "Put them into cells of these instead of the cases that farcall comes with")
      ->type_name("PATH");
  add_choice(*faults_app, "--format", arguments->format, kFaultsFormats, "text, json or markdown",
             "FORMAT");
  faults_app->add_option("--output", arguments->output, "Into this file")->type_name("FILE");
  add_jobs(*faults_app, arguments->runner);
  auto action = with_host(*faults_app, arguments->runner.host, [arguments, invocation] {
    if (arguments->selection.paths.empty()) {
      std::error_code none;
      arguments->selection.paths = {
          std::filesystem::weakly_canonical(invocation.images.parent_path() / "case-files", none)
              .string()};
    }
    return run_faults(*arguments);
  });
  return {faults_app, std::move(action)};
}

}  // namespace farcall::command

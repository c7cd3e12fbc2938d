#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Validators.hpp>
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
#include "command/options.hpp"
#include "model/json.hpp"
#include "scheme/measure.hpp"
#include "scheme/policy.hpp"

namespace farcall::command {
namespace {

enum class SchemesFormat : std::uint8_t { text, json, html };

const std::map<std::string, SchemesFormat> kSchemesFormats = {
    {"text", SchemesFormat::text}, {"json", SchemesFormat::json}, {"html", SchemesFormat::html}};

struct SchemesArguments {
  SchemesFormat format = SchemesFormat::text;
  std::string output;
  std::string explain;
  std::vector<std::string> policies;
  show::TagHash tag_hash = show::TagHash::sha1;
  std::filesystem::path cases;
  run::RunnerOptions runner;
};

std::vector<std::string> scheme_names() {
  const auto names = model::value_names(model::Axis::call);
  return {names.begin(), names.end()};
}

// A failed entry is a finding about farcall, and one that was not run is not an answer.
ExitCode exit_code(const scheme::SchemeStudy& study) {
  ExitCode code = ExitCode::passed;
  for (const scheme::SchemeFindings& findings : study.schemes) {
    for (const auto* const trials : {&findings.regions, &findings.limits}) {
      for (const scheme::Trial& trial : *trials) {
        if (trial.outcome == scheme::TrialOutcome::not_run) {
          return ExitCode::harness_failed;
        }
        if (trial.outcome == scheme::TrialOutcome::failed) {
          code = ExitCode::failed;
        }
      }
    }
  }
  return code;
}

Result<std::string> compare_policies(const std::vector<std::string>& texts) {
  std::vector<scheme::Policy> policies;
  for (const std::string& text : texts) {
    FARCALL_TRY(policy, scheme::read_policy(text));
    policies.push_back(std::move(policy));
  }
  return scheme::policy_text(policies);
}

std::string contents(const SchemesArguments& arguments, const scheme::SchemeStudy& study) {
  if (!arguments.explain.empty()) {
    const auto names = scheme_names();
    const auto number = std::ranges::find(names, arguments.explain) - names.begin();
    return scheme_explanation(study.schemes[static_cast<std::size_t>(number)]);
  }
  switch (arguments.format) {
    case SchemesFormat::json:
      return model::json_text(scheme_json(study), 1) + "\n";
    case SchemesFormat::html:
      return scheme_html(study);
    case SchemesFormat::text:
      break;
  }
  return scheme_text(study);
}

ExitCode schemes(const SchemesArguments& arguments) {
  if (!arguments.policies.empty()) {
    const auto text = compare_policies(arguments.policies);
    return text ? write_or_report(arguments.output, text.value()) : report_error(text.error());
  }
  const Interruption interruption;
  run::RunnerOptions runner = arguments.runner;
  runner.stopped = [] { return Interruption::signal() != 0; };
  const auto study = scheme::study_schemes(arguments.cases, runner, arguments.tag_hash);
  if (!study && Interruption::signal() != 0) {
    return Interruption::report("not all schemes were run, and nothing is shown of them");
  }
  if (!study) {
    return report_error(study.error());
  }
  const auto written = write_output(arguments.output, contents(arguments, study.value()));
  return written ? exit_code(study.value()) : report_error(written.error());
}

}  // namespace

Command schemes_command(CLI::App& app, const Invocation& invocation) {
  const auto arguments = std::make_shared<SchemesArguments>();
  arguments->runner = default_runner(invocation);
  // Beside the images, wherever the build or an installation put them; said as the user would.
  std::error_code none;
  arguments->cases =
      std::filesystem::weakly_canonical(invocation.images.parent_path() / "case-files", none);
  CLI::App* const schemes_app = app.add_subcommand(
      "schemes", "The ways for a call to carry its callee's address, each by running it");
  add_choice(*schemes_app, "--format", arguments->format, kSchemesFormats, "text, json or html",
             "FORMAT");
  schemes_app->add_option("--output", arguments->output, "Into this file")->type_name("FILE");
  auto* const explain =
      schemes_app->add_option("--explain", arguments->explain, "Ten lines about one scheme")
          ->type_name("SCHEME")
          ->check(one_of(scheme_names()));
  explain->excludes(schemes_app->get_option("--format"));
  auto* const policy =
      schemes_app
          ->add_option(
              "--policy", arguments->policies,
              "Which architecture uses which scheme, as ppc64=table,others=imm32, and where "
              "that breaks; several are compared")
          ->type_name("RULES")
          ->excludes(explain);
  add_tag_hash(*schemes_app, arguments->tag_hash);
  add_jobs(*schemes_app, arguments->runner);
  auto action =
      with_host(*schemes_app, arguments->runner.host, [arguments] { return schemes(*arguments); });
  // It is a text, and nothing of it is run.
  for (const auto* const ignored : {"--format", "--tag-hash", "--jobs", "--vm", "--connect"}) {
    policy->excludes(schemes_app->get_option(ignored));
  }
  return {schemes_app, std::move(action)};
}

}  // namespace farcall::command

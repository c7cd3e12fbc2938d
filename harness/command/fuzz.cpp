#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Validators.hpp>
#include <algorithm>
#include <cctype>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "campaign/campaign.hpp"
#include "campaign/numbers.hpp"
#include "campaign/report.hpp"
#include "command/commands.hpp"
#include "command/interruption.hpp"
#include "command/options.hpp"
#include "model/json.hpp"

namespace farcall::command {
namespace {

struct FuzzArguments {
  std::vector<std::string> jits = {"farcall"};
  campaign::CampaignOptions campaign;
  std::string folder;              // --corpus; empty: nothing is kept
  std::vector<std::string> merge;  // folders of other campaigns
  run::RunnerOptions runner;
};

// How often the report is written anew.
constexpr std::chrono::seconds kReportEvery{5};

// `90`, `90s`, `10m`, `8h`.
std::chrono::duration<double> time_of(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string unit(end, text.data() + text.size());
  const double each = unit.empty() || unit == "s" ? 1 : unit == "m" ? 60 : unit == "h" ? 3600 : 0;
  if (error != std::errc() || each == 0 || number <= 0) {
    throw CLI::ValidationError("--for", fmt::format("'{}': expected 90s, 10m or 8h", text));
  }
  return std::chrono::duration<double>(number * each);
}

// `result.mismatch-3.case`: as few as there are, numbered. Nothing is written twice, whoever found it.
Result<void> write_case(const std::filesystem::path& folder,
                        const campaign::StoredFinding& finding) {
  for (int number = 1;; ++number) {
    const std::string path = (folder / fmt::format("{}-{}.case", finding.code, number)).string();
    if (!std::filesystem::exists(path)) {
      return write_output(path, finding.text);
    }
    FARCALL_TRY(there, read_file(path, "farcall fuzz keeps its findings there"));
    if (there == finding.text) {
      return success();
    }
  }
}

Result<void> write_reports(const std::filesystem::path& folder, const campaign::Store& store,
                           bool running) {
  FARCALL_TRYV(write_output((folder / "report.html").string(), campaign::html(store, running)));
  return write_output((folder / "report.json").string(),
                      model::json_text(campaign::to_json(store), 1) + "\n");
}

Result<ExitCode> fuzz(FuzzArguments& arguments) {
  const std::filesystem::path folder = arguments.folder;
  const bool keeps = !folder.empty();
  if (keeps) {
    std::error_code failed;
    std::filesystem::create_directories(folder / "findings", failed);
    if (failed) {
      return Error{.code = ErrorCode::file_unwritable,
                   .message = "the folder cannot be made: " + failed.message(),
                   .where = {folder.string()}};
    }
  }
  FARCALL_TRY(store,
              campaign::Store::open(keeps ? folder / "campaign.sqlite" : std::filesystem::path()));
  for (const std::string& other : arguments.merge) {
    FARCALL_TRYV(store.merge(std::filesystem::path(other) / "campaign.sqlite"));
  }
  if (keeps) {
    for (const campaign::DistinctFinding& one : campaign::distinct_findings(store)) {
      FARCALL_TRYV(write_case(folder / "findings", one.finding));
    }
  }
  campaign::CampaignOptions& options = arguments.campaign;
  FARCALL_TRY(jits, engine::jits_named(arguments.jits, arguments.runner.images, until_signal()));
  options.jits = std::move(jits);
  options.runner = arguments.runner;
  options.runner.stopped = [] { return Interruption::signal() != 0; };
  options.found = [&](const campaign::StoredFinding& finding) {
    fmt::print("{:.1f} s, {}: {} at {}, {} instructions: {}\n{}\n", finding.seconds, finding.jit,
               finding.code, finding.site, finding.instructions, finding.shape, finding.text);
    std::fflush(stdout);
    if (keeps) {
      if (const auto written = write_case(folder / "findings", finding); !written) {
        report_error(written.error());
      }
    }
  };
  auto last = std::chrono::steady_clock::now();
  options.block_done = [&](campaign::Store& so_far) {
    const auto now = std::chrono::steady_clock::now();
    if (keeps && now - last >= kReportEvery) {
      last = now;
      if (const auto written = write_reports(folder, so_far, true); !written) {
        report_error(written.error());
      }
    }
  };
  options.machine_lost = [](const Error& error) {
    note(fmt::format("{} [{}]; these programs run once more on a new machine", error.message,
                     name(error.code)));
  };
  const bool runs = !options.programs || *options.programs != 0;
  auto done = runs ? campaign::run_campaign(store, options) : Result<void>(success());
  if (keeps) {
    FARCALL_TRYV(write_reports(folder, store, false));
  }
  fmt::print("{}", campaign::summary(store));
  if (!done) {
    return std::move(done).error();
  }
  if (Interruption::signal() != 0) {
    return Interruption::report(keeps ? "the same command goes on from here"
                                      : "without --corpus, nothing is kept");
  }
  return store.findings().empty() ? ExitCode::passed : ExitCode::failed;
}

}  // namespace

Command fuzz_command(CLI::App& app, const Invocation& invocation) {
  const auto arguments = std::make_shared<FuzzArguments>();
  arguments->runner = default_runner(invocation);
  CLI::App* const fuzz_app = app.add_subcommand(
      "fuzz", "Run generated programs, and reduce each distinct finding to a case");
  fuzz_app
      ->add_option("--jit", arguments->jits,
                   "Who makes the code: farcall (the default), exec:COMMAND, or kernel:DIR, the "
                   "JIT of a Linux source tree; several, one block each in turn")
      ->type_name("JIT");
  fuzz_app->add_option("--seed", arguments->campaign.seed,
                       "Which programs: the same seed gives the same ones anywhere; 0 by default");
  auto* const time = fuzz_app->add_option_function<std::string>(
      "--for", [arguments](const std::string& text) { arguments->campaign.time = time_of(text); },
      "Stop after this time: 90s, 10m, 8h");
  time->type_name("TIME");
  auto* const programs = fuzz_app->add_option(
      "--programs", arguments->campaign.programs,
      fmt::format("So many with each JIT, in blocks of {}", campaign::kBlockPrograms));
  fuzz_app
      ->add_option("--corpus", arguments->folder,
                   "Where the campaign is kept: its state (campaign.sqlite), from which it goes "
                   "on, its report and the cases of its findings")
      ->type_name("DIR");
  fuzz_app
      ->add_option("--merge", arguments->merge,
                   "Take over what campaigns in other folders have; with --programs 0, only that")
      ->type_name("DIR...");
  add_shard(*fuzz_app, arguments->campaign.shard,
            "Part I of N, by blocks: for several machines, merged afterwards");
  add_allow(*fuzz_app, arguments->runner);
  add_jobs(*fuzz_app, arguments->runner);
  fuzz_app->parse_complete_callback([time, programs] {
    if (time->empty() && programs->empty()) {
      throw CLI::RequiredError("--for or --programs");
    }
  });
  return {fuzz_app, with_host(*fuzz_app, arguments->runner.host, [arguments] {
            const Interruption interruption;
            const auto code = fuzz(*arguments);
            if (!code && code.error().code == ErrorCode::jit_timeout && until_signal()()) {
              return Interruption::report("no program was run");
            }
            return code ? code.value() : report_error(code.error());
          })};
}

}  // namespace farcall::command

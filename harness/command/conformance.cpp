#include "conformance/conformance.hpp"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <memory>

#include "case/find.hpp"
#include "command/commands.hpp"
#include "command/interruption.hpp"
#include "command/options.hpp"
#include "command/reporting.hpp"
#include "command/shell_word.hpp"

namespace farcall::command {
namespace {

struct Arguments {
  std::vector<std::string> paths;
  conformance::Wanted wanted;
  ReportOptions reports;
  std::string program;
  run::RunnerOptions runner;
};

std::string name_of(const conformance::Way& way) {
  return fmt::format("{} {}", way.endian == model::Endian::big ? "big-endian" : "little-endian",
                     way.engine == conformance::Engine::jit ? "JIT" : "interpreter");
}

// The ways of a file in which it is not a pass, those with one reason together.
void print_file(const conformance::FileReport& report) {
  std::vector<bool> printed(report.ways.size());
  for (std::size_t i = 0; i < report.ways.size(); ++i) {
    const conformance::Judgement& judgement = report.ways[i].judgement;
    if (printed[i] || judgement.standing == conformance::Standing::pass) {
      continue;
    }
    std::string ways;
    std::size_t count = 0;
    for (std::size_t k = i; k < report.ways.size(); ++k) {
      const conformance::Judgement& other = report.ways[k].judgement;
      if (other.standing == judgement.standing && other.text == judgement.text) {
        ways += fmt::format("{}{}", ways.empty() ? "" : ", ", name_of(report.ways[k].way));
        printed[k] = true;
        ++count;
      }
    }
    fmt::print("{:15} {}{}\n                {}\n", name(judgement.standing), report.path,
               count == report.ways.size() ? "" : fmt::format(" ({})", ways), judgement.text);
  }
}

// How many files came to what: by way and standing.
class Table {
 public:
  void add(const conformance::FileReport& report) {
    ++files_;
    for (const conformance::WayReport& way : report.ways) {
      const auto row =
          static_cast<std::size_t>(std::ranges::find_if(conformance::kWays,
                                                        [&way](const conformance::Way& one) {
                                                          return one.endian == way.way.endian &&
                                                                 one.engine == way.way.engine;
                                                        }) -
                                   conformance::kWays.begin());
      ++counts_[row][static_cast<std::size_t>(way.judgement.standing)];
    }
  }

  std::size_t files() const { return files_; }
  std::size_t ways(conformance::Standing standing) const {
    std::size_t sum = 0;
    for (const auto& row : counts_) {
      sum += row[static_cast<std::size_t>(standing)];
    }
    return sum;
  }

  void print() const {
    fmt::print("\n{:28}", fmt::format("{} files", files_));
    for (std::size_t standing = 0; standing < conformance::kStandingCount; ++standing) {
      fmt::print("{:>16}", name(static_cast<conformance::Standing>(standing)));
    }
    fmt::print("\n");
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      fmt::print("{:28}{:16}\n", name_of(conformance::kWays[i]), fmt::join(counts_[i], ""));
    }
  }

 private:
  std::size_t files_ = 0;
  std::array<std::array<std::size_t, conformance::kStandingCount>, conformance::kWays.size()>
      counts_{};
};

// What a report says of a way: a pass is one only if the way was really gone.
model::Verdict verdict_of(const conformance::WayReport& way) {
  using conformance::Standing;
  const auto verdict = [&way](model::Outcome outcome, ErrorCode code) {
    return model::Verdict{.outcome = outcome,
                          .findings = {{code, "", way.judgement.text}},
                          .sites = way.sites,
                          .result = {}};
  };
  switch (way.judgement.standing) {
    case Standing::pass:
      return {.outcome = model::Outcome::pass, .findings = {}, .sites = way.sites, .result = {}};
    case Standing::refused:
    case Standing::not_applicable:
    case Standing::consistent:
      return verdict(model::Outcome::skip, way.judgement.code);
    case Standing::fail:
      return verdict(model::Outcome::fail, way.judgement.code);
    case Standing::error:
      return verdict(model::Outcome::error, way.judgement.code);
  }
  return {};
}

void tell(Reporting& reporting, const Arguments& arguments, const conformance::FileReport& report) {
  for (const conformance::WayReport& way : report.ways) {
    model::Document document;
    document.cell.case_path = report.path;
    document.cell.name = way.name;
    document.cell.axes = arguments.wanted.target.axes;
    document.cell.axes.endian = way.way.endian;
    const model::Verdict verdict = verdict_of(way);
    reporting.cell(
        {.cell = document.cell,
         .verdict = verdict,
         .replay = fmt::format("{} conformance {} --filter {}", shell_word(arguments.program),
                               shell_word(report.path), shell_word(way.name))});
  }
}

ExitCode conclusion(const Table& table, bool harness_failed) {
  using conformance::Standing;
  if (harness_failed) {
    return ExitCode::harness_failed;
  }
  if (table.ways(Standing::fail) != 0) {
    return ExitCode::failed;
  }
  if (table.ways(Standing::error) != 0) {
    return ExitCode::bad_input;
  }
  if (table.ways(Standing::pass) + table.ways(Standing::refused) +
          table.ways(Standing::consistent) ==
      0) {
    return report_error({.code = ErrorCode::usage_nothing_selected,
                         .message = fmt::format("none of {} files can be run", table.files())});
  }
  return ExitCode::passed;
}

ExitCode conformance(const Arguments& arguments) {
  const auto since = std::chrono::steady_clock::now();
  const auto [files, errors] = cases::find_data_files(arguments.paths);
  for (const Error& error : errors) {
    report_error(error);
  }
  if (!errors.empty()) {
    return ExitCode::bad_input;
  }
  // The table is the text for people, unless another form of it is wanted at the terminal.
  const bool own_text = arguments.reports.formats.size() <= arguments.reports.outputs.size();
  auto reporting = Reporting::open(arguments.reports, since,
                                   own_text ? Terminal::somebody_else : Terminal::text);
  if (!reporting) {
    return report_error(reporting.error());
  }
  const Interruption interruption;
  run::RunnerOptions runner = arguments.runner;
  runner.stopped = [] { return Interruption::signal() != 0; };
  Table table;
  bool harness_failed = false;
  const auto done = conformance::run_conformance(
      files, arguments.wanted, runner, [&](std::size_t ways) { reporting.value().begin(ways, {}); },
      [&](const conformance::FileReport& report) {
        harness_failed = harness_failed || report.harness_failed;
        table.add(report);
        tell(reporting.value(), arguments, report);
        if (own_text) {
          print_file(report);
        }
      });
  if (!done) {
    return report_error(done.error());
  }
  if (own_text) {
    table.print();
  }
  const ExitCode reported = reporting.value().end();
  return reported == ExitCode::passed ? conclusion(table, harness_failed) : reported;
}

}  // namespace

Command conformance_command(CLI::App& app, const Invocation& invocation) {
  const auto arguments = std::make_shared<Arguments>();
  arguments->program = invocation.program;
  arguments->runner = default_runner(invocation);
  CLI::App* const command = app.add_subcommand(
      "conformance", "Run files of the public conformance suite: interpreter and JIT, both orders");
  command->add_option("PATH", arguments->paths, ".data files, or folders to search for them")
      ->required();
  command
      ->add_option("--filter", arguments->wanted.filter,
                   "Only ways whose name, as be16-high@be-jit, matches this pattern")
      ->type_name("GLOB");
  one_each(command->add_option("--where", arguments->wanted.where,
                               "Only ways with these values of an axis, as endian=be"))
      ->type_name("AXIS=VALUES");
  static const std::map<std::string, model::Cpu> kCpus = [] {
    std::map<std::string, model::Cpu> cpus;
    for (const std::string_view name : model::value_names(model::Axis::cpu)) {
      cpus.emplace(name, static_cast<model::Cpu>(cpus.size()));
    }
    return cpus;
  }();
  command
      ->add_option_function<std::string>(
          "--cpu",
          [arguments](const std::string& word) {
            conformance::set_cpu(arguments->wanted.target.axes, kCpus.at(word));
          },
          "The CPU that runs them; power9 by default")
      ->type_name("CPU")
      ->check(one_of(kCpus));
  static const std::map<std::string, bool> kPlacements = {{"near", false}, {"far", true}};
  add_choice(*command, "--placement", arguments->wanted.target.far, kPlacements,
             "Functions 64 KiB apart (near, the default), or every other one 2 PiB away (far)",
             "PLACEMENT");
  add_formats(*command, arguments->reports);
  add_jobs(*command, arguments->runner);
  return {command, with_host(*command, arguments->runner.host,
                             [arguments] { return conformance(*arguments); })};
}

}  // namespace farcall::command

#include "command/bless.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <utility>

#include "case/bless.hpp"
#include "case/find.hpp"
#include "case/matrix.hpp"
#include "command/commands.hpp"
#include "run/pipeline.hpp"
#include "selection/code_layout.hpp"

namespace farcall::command {
namespace {

// A case file on its way.
struct BlessedFile {
  std::string path;
  std::string text;
  cases::Case parsed;
  std::vector<cases::PlacedCell> cells;
  std::vector<cases::SeenCell> seen;
  std::string objection;  // why it cannot be blessed: what comes first
};

// Those without a fault in them.
Result<std::vector<cases::PlacedCell>> right_cells(const cases::Case& parsed) {
  FARCALL_TRY(cells, cases::placed_cells(parsed, selection::code_layout()));
  std::erase_if(cells, [](const auto& placed) { return placed.cell.control.has_value(); });
  return std::move(cells);
}

Result<BlessedFile> read_file_to_bless(const std::string& path) {
  BlessedFile file{.path = path};
  FARCALL_TRY(text, cases::read_text(path));
  file.text = std::move(text);
  FARCALL_TRY(parsed, cases::parse_case(file.text, path));
  file.parsed = std::move(parsed);
  FARCALL_TRY(cells, right_cells(file.parsed));
  file.cells = std::move(cells);
  return file;
}

// The cell without what may be blessed; a cell that is to fail keeps all it says.
model::Document document_of(const cases::PlacedCell& placed) {
  model::Document document{.cell = placed.cell};
  if (!document.cell.expected.failure) {
    document.cell.expected.result.reset();
    document.cell.expected.calls.clear();
    run::expect_calls_as_interpreted(document.cell);
  }
  return document;
}

void look_at(BlessedFile& file, const cases::PlacedCell& placed,
             const run::FinishedCell& finished) {
  const model::Verdict& verdict = finished.verdict;
  if (verdict.outcome != model::Outcome::pass) {
    if (file.objection.empty()) {
      file.objection = fmt::format(
          "{} does not pass with any expectation: {}", placed.cell.name,
          verdict.findings.empty() ? "nothing was found" : verdict.findings.front().text);
    }
    return;
  }
  if (placed.cell.expected.failure) {
    return;
  }
  const auto run = run::interpreted(placed.cell);
  file.seen.push_back({.axes = placed.cell.axes,
                       .placement = placed.placement,
                       .result = verdict.result.value(),
                       .calls = run.value().calls});
}

// Whether every cell of the new text expects what was seen.
Result<void> expects_what_was_seen(const BlessedFile& file, const std::string& text) {
  FARCALL_TRY(parsed, cases::parse_case(text, file.path));
  FARCALL_TRY(cells, right_cells(parsed));
  auto seen = file.seen.begin();
  for (const cases::PlacedCell& placed : cells) {
    const model::Expectation& expected = placed.cell.expected;
    if (expected.failure) {
      continue;
    }
    const auto& came = *seen++;
    const auto bad = [&placed](std::string what) {
      return Error{.code = ErrorCode::case_contradicts_interpreter,
                   .message = fmt::format("{}: {}", placed.cell.name, what),
                   .hint = "cells with different results need sections of their own"};
    };
    if (expected.result && *expected.result != came.result) {
      return bad(
          fmt::format("its section '-- result' is for other cells, too, and stays {:#x}; "
                      "it comes to {:#x}",
                      *expected.result, came.result));
    }
    for (const model::ExpectedCall& call : expected.calls) {
      const auto count = std::ranges::count_if(came.calls, [&call](const bpf::PseudoCall& one) {
        return one.site == call.site && one.callee == call.callee;
      });
      if (static_cast<std::uint64_t>(count) != call.count) {
        return bad(
            fmt::format("{} is called {} times; its line in '-- calls' is for other cells, "
                        "too, and stays at {}",
                        bpf::callee_name(*placed.cell.program, call.callee), count, call.count));
      }
    }
  }
  return success();
}

// A file that is there as a whole, or as it was.
Result<void> replace_file(const std::string& path, const std::string& text) {
  const std::string beside = path + ".blessed";
  const auto failed = [&] {
    std::error_code ignored;
    std::filesystem::remove(beside, ignored);
    return Error{.code = ErrorCode::file_unwritable,
                 .message = "cannot be written; it is as it was",
                 .where = {path}};
  };
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> out(std::fopen(beside.c_str(), "wb"),
                                                      std::fclose);
  const bool written = out && std::fwrite(text.data(), 1, text.size(), out.get()) == text.size();
  if (!out || std::fclose(out.release()) != 0 || !written) {
    return failed();
  }
  std::error_code problem;
  std::filesystem::permissions(beside, std::filesystem::status(path).permissions(), problem);
  std::filesystem::rename(beside, std::filesystem::canonical(path, problem), problem);
  return problem ? Result<void>(failed()) : success();
}

ExitCode conclude(const BlessedFile& file) {
  const auto refused = [&file](const std::string& why) {
    fmt::print("{}: not blessed: {}\n", file.path, why);
    return ExitCode::failed;
  };
  if (!file.objection.empty()) {
    return refused(file.objection);
  }
  const std::string text = cases::blessed(file.text, file.parsed, file.seen);
  if (const auto checked = expects_what_was_seen(file, text); !checked) {
    return refused(fmt::format("{}; {}", checked.error().message, checked.error().hint));
  }
  if (text == file.text) {
    return ExitCode::passed;
  }
  fmt::print("{}", cases::line_diff(file.path, file.text, text));
  if (const auto written = replace_file(file.path, text); !written) {
    return report_error(written.error());
  }
  return ExitCode::passed;
}

}  // namespace

ExitCode bless(const std::vector<std::string>& paths, const run::RunnerOptions& runner) {
  const auto found = cases::find_case_files(paths);
  std::vector<BlessedFile> files;
  ExitCode worst = ExitCode::passed;
  for (const Error& error : found.errors) {
    worst = std::max(worst, report_error(error));
  }
  for (const std::string& path : found.files) {
    auto file = read_file_to_bless(path);
    if (file) {
      files.push_back(std::move(file).value());
    } else {
      worst = std::max(worst, report_error(file.error()));
    }
  }
  std::vector<model::Document> documents;
  std::vector<std::pair<BlessedFile*, const cases::PlacedCell*>> owners;
  for (BlessedFile& file : files) {
    for (const cases::PlacedCell& placed : file.cells) {
      documents.push_back(document_of(placed));
      owners.emplace_back(&file, &placed);
    }
  }
  std::size_t next = 0;
  bool harness_failed = false;
  run::run_all(std::move(documents), runner, [&](const run::FinishedCell& finished) {
    const auto [file, placed] = owners[next++];
    harness_failed = harness_failed || is_harness_failure(finished.verdict);
    look_at(*file, *placed, finished);
  });
  for (const BlessedFile& file : files) {
    worst = std::max(worst, conclude(file));
  }
  return harness_failed ? ExitCode::harness_failed : worst;
}

}  // namespace farcall::command

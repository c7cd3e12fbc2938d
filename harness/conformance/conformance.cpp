#include "conformance/conformance.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "case/case_file.hpp"
#include "case/wanted.hpp"
#include "selection/select.hpp"

namespace farcall::conformance {
namespace {

// A file on its way: what is known before anything runs.
struct File {
  std::string path;
  std::string name;
  std::array<bool, kWays.size()> wanted{};
  std::optional<Judgement> verdict = {};  // the same for all ways: nothing of the file is run
  std::optional<std::uint64_t> result = {};
  std::optional<std::uint64_t> big_result = {};  // from the overlay
  std::string error = {};                        // what it is to be refused with
};

Judgement of_error(const Error& error) {
  return {Standing::error, to_string(error), error.code};
}

std::optional<std::uint64_t> from_overlay(const std::string& name, std::uint64_t little) {
  for (const OverlayRow& row : overlay()) {
    if (row.file == name && row.little == little) {
      return row.big;
    }
  }
  return std::nullopt;
}

// What a program is refused with, or faults with, in place of `as_expected`.
Judgement against(const std::string& expected, const Error& seen, Judgement as_expected) {
  if (expected == seen.message) {
    return as_expected;
  }
  return {Standing::fail, fmt::format("expected the error '{}'; seen: {}", expected, seen.message),
          seen.code};
}

// What becomes of a file whose program is not run.
Judgement unread(const Error& error) {
  if (error.code == ErrorCode::bpf_unknown_function) {
    return {Standing::not_applicable,
            fmt::format("neither farcall nor the suite has that function: {}", error.message),
            error.code};
  }
  return of_error(error);
}

// The file's cell, little-endian; none if there is nothing to run.
std::optional<model::Cell> read_file(const Wanted& wanted, File& file) {
  auto parsed = [&file]() -> Result<cases::Case> {
    FARCALL_TRY(text, cases::read_text(file.path));
    return cases::parse_case(text, file.path, suite_helpers());
  }();
  if (!parsed) {
    file.verdict = unread(parsed.error());
    return std::nullopt;
  }
  cases::Case& read = parsed.value();
  file.error = read.error;
  if (read.refusal) {
    file.verdict = against(file.error, *read.refusal,
                           {Standing::refused, "as expected, before it ran", read.refusal->code});
    return std::nullopt;
  }
  if (!read.axes.empty() || !read.placements.empty()) {
    file.verdict = Judgement{Standing::not_applicable,
                             "it has cells of its own, as a .case file: farcall run is for those",
                             ErrorCode::case_unsupported};
    return std::nullopt;
  }
  if (!file.error.empty() && read.results.empty()) {
    read.results.push_back({});  // a cell needs an outcome; the error is the only one that counts
  }
  if (file.error.empty() && !read.results.empty()) {
    const std::optional<cases::Value>& stated = read.results.front().value.value;
    if (const auto* const number = stated ? std::get_if<std::uint64_t>(&*stated) : nullptr) {
      file.result = *number;
      file.big_result = from_overlay(file.name, *number);
    } else {
      file.verdict = Judgement{Standing::not_applicable, "its result depends on a placement",
                               ErrorCode::case_unsupported};
      return std::nullopt;
    }
  }
  auto cell = suite_cell(read, wanted.target);
  if (!cell) {
    file.verdict = of_error(cell.error());
    return std::nullopt;
  }
  return std::move(cell).value();
}

// What comes of a program that may not do what it did, and not for want of time.
bool is_fault(ErrorCode code) {
  return code == ErrorCode::interpreter_bad_access || code == ErrorCode::interpreter_bad_call ||
         code == ErrorCode::interpreter_call_depth;
}

Judgement judge_result(const File& file, model::Endian endian, std::uint64_t r0, bool both_agree) {
  if (!file.error.empty()) {
    return {Standing::fail, fmt::format("expected the error '{}'; r0 = {:#x}", file.error, r0),
            ErrorCode::expected_failure_missing};
  }
  const bool big = endian == model::Endian::big;
  const std::uint64_t expected = big && file.big_result ? *file.big_result : file.result.value();
  if (r0 == expected) {
    return {Standing::pass, "", {}};
  }
  std::string text = fmt::format("expected {:#x}; r0 = {:#x}", expected, r0);
  if (big && !file.big_result && both_agree) {
    return {Standing::consistent, text + ", in interpreter and CPU alike",
            ErrorCode::result_mismatch};
  }
  return {Standing::fail, std::move(text), ErrorCode::result_mismatch};
}

// A program that the interpreter does not run to its end; it is not run on the CPU.
std::array<Judgement, 2> judge_fault(const File& file, const Error& fault) {
  if (file.error.empty() || !is_fault(fault.code)) {
    const Judgement both{Standing::fail, fault.message, fault.code};
    return {both, both};
  }
  return {against(file.error, fault, {Standing::pass, "", {}}),
          against(file.error, fault,
                  {Standing::refused,
                   "it faults in the interpreter, as expected; the CPU did not "
                   "run it",
                   fault.code})};
}

// Both engines on one document.
std::array<Judgement, 2> judge(const File& file, const run::FinishedCell& finished) {
  const model::Verdict& verdict = finished.verdict;
  const model::Endian endian = finished.document->cell.axes.endian;
  if (verdict.outcome == model::Outcome::pass) {
    const Judgement both = judge_result(file, endian, *verdict.result, true);
    return {both, both};
  }
  const Error found = verdict.findings.empty()
                          ? Error{.message = "it did not pass, and no finding says why"}
                          : as_error(verdict.findings.front());
  if (is_harness_failure(verdict)) {
    return {of_error(found), of_error(found)};
  }
  const auto& source = finished.testimony.source;
  if (!source) {
    const Judgement both{Standing::error, found.message, found.code};
    return {both, both};
  }
  if (!*source) {
    return judge_fault(file, source->error());
  }
  return {judge_result(file, endian, source->value().run.r0, false),
          {Standing::fail,
           file.error.empty()
               ? std::string(found.message)
               : fmt::format("expected the error '{}'; seen: {}", file.error, found.message),
           found.code}};
}

std::string way_name(const File& file, Way way) {
  return fmt::format("{}@{}-{}", file.name, way.endian == model::Endian::big ? "be" : "le",
                     way.engine == Engine::jit ? "jit" : "interpreter");
}

Result<std::vector<File>> select_files(std::span<const std::string> paths, const Wanted& wanted) {
  FARCALL_TRY(conditions, cases::read_conditions(wanted.where));
  std::vector<File> files;
  for (const std::string& path : paths) {
    File file{.path = path, .name = std::filesystem::path(path).stem()};
    for (std::size_t i = 0; i < kWays.size(); ++i) {
      model::AxisValues axes = wanted.target.axes;
      axes.endian = kWays[i].endian;
      file.wanted[i] = cases::all_hold(conditions, axes) &&
                       cases::matches(wanted.filter, way_name(file, kWays[i]));
    }
    if (std::ranges::find(file.wanted, true) != file.wanted.end()) {
      files.push_back(std::move(file));
    }
  }
  if (files.empty()) {
    return Error{.code = ErrorCode::usage_nothing_selected,
                 .message = fmt::format("no way of {} files is selected", paths.size()),
                 .hint =
                     "ways are called FILE@le-interpreter, FILE@le-jit, FILE@be-interpreter and "
                     "FILE@be-jit"};
  }
  return files;
}

bool wants(const File& file, model::Endian endian) {
  for (std::size_t i = 0; i < kWays.size(); ++i) {
    if (file.wanted[i] && kWays[i].endian == endian) {
      return true;
    }
  }
  return false;
}

// A document that runs, and whose it is.
struct Errand {
  std::size_t file = 0;
  model::Endian endian{};
};

}  // namespace

std::string_view name(Standing standing) {
  constexpr std::array<std::string_view, kStandingCount> kNames = {
      "pass", "refused", "consistent", "FAIL", "not applicable", "ERROR"};
  return kNames[static_cast<std::size_t>(standing)];
}

Result<void> run_conformance(std::span<const std::string> paths, const Wanted& wanted,
                             const run::RunnerOptions& options,
                             const std::function<void(std::size_t)>& begin,
                             const std::function<void(const FileReport&)>& sink) {
  FARCALL_TRY(files, select_files(paths, wanted));
  std::vector<model::Document> documents;
  std::vector<Errand> errands;
  std::vector<FileReport> reports;
  std::vector<std::size_t> missing;  // documents of each file that have yet to end
  std::size_t ways = 0;
  for (File& file : files) {
    FileReport& report = reports.emplace_back(FileReport{.path = file.path, .ways = {}});
    for (std::size_t i = 0; i < kWays.size(); ++i) {
      if (file.wanted[i]) {
        report.ways.push_back({.way = kWays[i], .name = way_name(file, kWays[i]), .judgement = {}});
      }
    }
    ways += report.ways.size();
    missing.push_back(0);
    std::optional<model::Cell> cell = read_file(wanted, file);
    for (WayReport& way : report.ways) {
      way.judgement = file.verdict.value_or(Judgement{});
    }
    for (const model::Endian endian : {model::Endian::little, model::Endian::big}) {
      if (cell && wants(file, endian)) {
        cell->axes.endian = endian;
        documents.push_back({.cell = *cell});
        errands.push_back({.file = missing.size() - 1, .endian = endian});
        ++missing.back();
      }
    }
  }
  begin(ways);
  std::size_t next = 0;  // file to be reported
  const auto report_ready = [&] {
    for (; next < files.size() && missing[next] == 0; ++next) {
      sink(reports[next]);
    }
  };
  report_ready();
  std::size_t done = 0;
  run::run_all(std::move(documents), options, [&](const run::FinishedCell& finished) {
    const Errand& errand = errands[done++];
    FileReport& report = reports[errand.file];
    const auto judgements = judge(files[errand.file], finished);
    report.harness_failed = report.harness_failed || is_harness_failure(finished.verdict);
    for (WayReport& way : report.ways) {
      if (way.way.endian == errand.endian) {
        way.judgement = judgements[static_cast<std::size_t>(way.way.engine)];
        if (way.way.engine == Engine::jit) {
          way.sites = finished.verdict.sites;
        }
      }
    }
    --missing[errand.file];
    report_ready();
  });
  return success();
}

}  // namespace farcall::conformance

#include "conformance/conformance.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "case/case_file.hpp"
#include "case/matrix.hpp"
#include "conformance/suite_case.hpp"
#include "run/pipeline.hpp"

namespace farcall::conformance {
namespace {

// A file on its way: what is known before anything runs, and which documents are its own.
struct File {
  std::string path;
  std::optional<Judgement> verdict;  // the same for all ways: nothing of the file is run
  std::optional<std::uint64_t> result;
  std::optional<std::uint64_t> big_result;  // from the overlay
  std::string error;                        // what it is to be refused with
};

Judgement of_error(const Error& error) {
  return {Standing::error, to_string(error)};
}

// A program that is refused: an error of the file, unless it expects just that.
Judgement refused(const std::string& expected, const Error& error) {
  if (expected.empty()) {
    return of_error(error);
  }
  if (expected == error.message) {
    return {Standing::pass, ""};
  }
  return {Standing::consistent,
          fmt::format("expected the error '{}'; it is refused with '{}'", expected, error.message)};
}

std::optional<std::uint64_t> from_overlay(const std::string& name, std::uint64_t little) {
  for (const OverlayRow& row : overlay()) {
    if (row.file == name && row.little == little) {
      return row.big;
    }
  }
  return std::nullopt;
}

// `-- error` of a file whose program cannot be read: the reader never came to that section.
std::string expected_error(std::string_view text) {
  constexpr std::string_view kHeader = "\n-- error\n";
  const std::size_t at = text.find(kHeader);
  if (at == std::string_view::npos) {
    return {};
  }
  text.remove_prefix(at + kHeader.size());
  return std::string(text.substr(0, text.find('\n')));
}

// Reads a file; adds its documents, a little-endian and a big-endian one, unless there is no need.
File read_file(const std::string& path, std::vector<model::Document>& documents) {
  File file{.path = path};
  const auto text = cases::read_text(path);
  if (!text) {
    file.verdict = of_error(text.error());
    return file;
  }
  auto parsed = parse_suite_case(text.value(), path);
  if (!parsed) {
    const Error& error = parsed.error();
    file.verdict =
        error.code == ErrorCode::bpf_unknown_function
            ? Judgement{Standing::not_applicable,
                        fmt::format("neither it nor the suite has it: {}", error.message)}
            : refused(expected_error(text.value()), error);
    return file;
  }
  cases::Case& read = parsed.value();
  if (!read.axes.empty() || !read.placements.empty()) {
    file.verdict = Judgement{Standing::not_applicable,
                             "it has cells of its own, as a .case file: farcall run is for those"};
    return file;
  }
  file.error = read.error;
  if (!read.error.empty() && read.results.empty()) {
    // What comes of it is a refusal or a fault; cells need an outcome.
    read.results.push_back({.selector = {}, .where = {}, .value = std::uint64_t{0}});
  }
  auto cells = cases::cells(read);
  if (!cells) {
    file.verdict = of_error(cells.error());
    return file;
  }
  model::Cell& cell = cells.value().front();
  if (file.error.empty()) {
    file.result = cell.expected.result;
    file.big_result = file.result ? from_overlay(read.name, *file.result) : std::nullopt;
  }
  cell.expected.result.reset();  // interpreter and CPU are judged one by one
  run::expect_calls_as_interpreted(cell);
  for (const model::Endian endian : {model::Endian::little, model::Endian::big}) {
    cell.axes.endian = endian;
    documents.push_back({.cell = cell});
  }
  return file;
}

// What an engine came to: r0, or why there is none.
using Came = Result<std::uint64_t>;

Judgement judge(const File& file, model::Endian endian, const Came& came, bool both_agree) {
  if (!file.error.empty()) {
    return came ? Judgement{Standing::fail, fmt::format("expected the error '{}'; r0 = {:#x}",
                                                        file.error, came.value())}
                : refused(file.error, came.error());
  }
  if (!came) {
    return {Standing::fail, came.error().message};
  }
  const bool big = endian == model::Endian::big;
  const std::uint64_t expected = big && file.big_result ? *file.big_result : file.result.value();
  if (came.value() == expected) {
    return {Standing::pass, ""};
  }
  std::string text = fmt::format("expected {:#x}; r0 = {:#x}", expected, came.value());
  if (big && !file.big_result && both_agree) {
    return {Standing::consistent, text + ", in interpreter and CPU alike"};
  }
  return {Standing::fail, std::move(text)};
}

// Both engines on one document.
std::array<Judgement, 2> judge(const File& file, const run::Outcome& outcome) {
  const model::Verdict& verdict = outcome.verdict;
  const model::Endian endian = outcome.document.cell.axes.endian;
  if (verdict.outcome == model::Outcome::pass) {
    const Judgement both = judge(file, endian, *verdict.result, true);
    return {both, both};
  }
  const Error found = verdict.findings.empty()
                          ? Error{.message = "nothing was found and it did not pass"}
                          : as_error(verdict.findings.front());
  if (is_harness_failure(verdict)) {
    return {of_error(found), of_error(found)};
  }
  const auto& source = outcome.testimony.source;
  const Came interpreted = !source               ? Came(found)
                           : source->has_value() ? Came(source->value().run.r0)
                                                 : Came(source->error());
  // A program that the interpreter cannot run to its end is not run on the CPU.
  return {judge(file, endian, interpreted, false), judge(file, endian, found, false)};
}

}  // namespace

std::string_view name(Standing standing) {
  constexpr std::array<std::string_view, kStandingCount> kNames = {"pass", "consistent", "FAIL",
                                                                   "not applicable", "ERROR"};
  return kNames[static_cast<std::size_t>(standing)];
}

void run_conformance(std::span<const std::string> paths, const run::RunnerOptions& options,
                     const std::function<void(const FileReport&)>& sink) {
  std::vector<File> files;
  std::vector<model::Document> documents;
  for (const std::string& path : paths) {
    files.push_back(read_file(path, documents));
  }
  std::vector<FileReport> reports(files.size());
  std::size_t next = 0;  // file whose documents come next
  const auto skip_those_without = [&] {
    for (; next < files.size() && files[next].verdict; ++next) {
      reports[next].path = files[next].path;
      reports[next].ways.fill(*files[next].verdict);
      sink(reports[next]);
    }
  };
  skip_those_without();
  run::run_all(std::move(documents), options, [&](const run::Outcome& outcome) {
    const auto [interpreter, jit] = judge(files[next], outcome);
    const bool big = outcome.document.cell.axes.endian == model::Endian::big;
    FileReport& report = reports[next];
    report.path = files[next].path;
    report.harness_failed = report.harness_failed || is_harness_failure(outcome.verdict);
    report.ways[big ? 2 : 0] = interpreter;
    report.ways[big ? 3 : 1] = jit;
    if (big) {
      sink(report);
      ++next;
      skip_those_without();
    }
  });
}

}  // namespace farcall::conformance

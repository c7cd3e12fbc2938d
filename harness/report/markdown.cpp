#include <fmt/format.h>

#include <array>
#include <map>
#include <string>
#include <vector>

#include "report/evidence.hpp"
#include "report/report.hpp"

namespace farcall::report {
namespace {

// GitHub takes a summary of 1 MiB at most.
constexpr std::size_t kFailuresShown = 50;

struct Count {
  std::size_t cells = 0;
  std::size_t bad = 0;
};

// Cell names, and texts in tables: what would be markup is not.
std::string plain(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '|' || c == '<' || c == '`' || c == '*' || c == '_') {
      result += '\\';
    }
    result += c == '\n' ? ' ' : c;
  }
  return result;
}

// A summary for people: totals, what failed by axis, and the evidence of each failure folded away.
class MarkdownReport : public Report {
 public:
  explicit MarkdownReport(std::FILE* out) : out_(out) {}

  void begin(std::size_t /*cells*/) override {}

  void cell(const CellReport& report) override {
    const model::Outcome outcome = report.verdict.outcome;
    const bool bad = outcome == model::Outcome::fail || outcome == model::Outcome::error;
    for (std::size_t i = 0; i < model::kAxisCount; ++i) {
      Count& count = counts_[i][model::value_of(report.cell.axes, static_cast<model::Axis>(i))];
      ++count.cells;
      count.bad += bad ? 1 : 0;
    }
    if (bad && ++failures_ <= kFailuresShown) {
      // No line of the evidence begins with a fence.
      details_ += fmt::format(
          "<details><summary>{} — {}</summary>\n\n```text\n{}```\n\n</details>\n",
          plain(report.cell.name), plain(first_finding(report.verdict)), evidence(report));
    }
  }

  void end(const Totals& totals) override {
    const bool good = totals.failed + totals.errors + totals.not_run == 0;
    fmt::print(out_, "## farcall: {}{}\n\n", good ? "all cells passed" : "not all cells passed",
               totals.interrupted.empty() ? "" : ", not complete: ended by " + totals.interrupted);
    fmt::print(out_,
               "| cells | passed | failed | errors | skipped | not run | call sites that agree | "
               "seconds |\n|---|---|---|---|---|---|---|---|\n"
               "| {} | {} | {} | {} | {} | {} | {} of {} | {:.2f} |\n\n",
               totals.cells(), totals.passed, totals.failed, totals.errors, totals.skipped,
               totals.not_run, totals.agreed_sites, totals.sites, totals.seconds);
    if (failures_ == 0) {
      return;
    }
    fmt::print(out_, "| axis | not passed |\n|---|---|\n");
    for (std::size_t i = 0; i < model::kAxisCount; ++i) {
      print_axis(static_cast<model::Axis>(i));
    }
    fmt::print(out_, "\n{}", details_);
    if (failures_ > kFailuresShown) {
      fmt::print(out_, "\n… and {} more\n", failures_ - kFailuresShown);
    }
  }

 private:
  // An axis whose values do not differ in what failed says nothing.
  void print_axis(model::Axis axis) {
    const std::map<std::size_t, Count>& counts = counts_[static_cast<std::size_t>(axis)];
    if (counts.size() < 2) {
      return;
    }
    std::vector<std::string> values;
    for (const auto& [value, count] : counts) {
      values.push_back(
          fmt::format("{} {}/{}", model::value_names(axis)[value], count.bad, count.cells));
    }
    fmt::print(out_, "| {} | {} |\n", name(axis), fmt::join(values, ", "));
  }

  std::FILE* out_;
  std::array<std::map<std::size_t, Count>, model::kAxisCount> counts_;
  std::string details_;
  std::size_t failures_ = 0;
};

}  // namespace

std::unique_ptr<Report> markdown_report(std::FILE* out) {
  return std::make_unique<MarkdownReport>(out);
}

}  // namespace farcall::report

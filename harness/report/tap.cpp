#include <fmt/format.h>

#include "report/report.hpp"

namespace farcall::report {
namespace {

// TAP version 13: https://testanything.org/tap-version-13-specification.html
class TapReport : public Report {
 public:
  explicit TapReport(std::FILE* out) : out_(out) {}

  void begin(std::size_t cells) override { fmt::print(out_, "TAP version 13\n1..{}\n", cells); }

  void cell(const CellReport& report) override {
    const model::Outcome outcome = report.verdict.outcome;
    const bool good = outcome == model::Outcome::pass || outcome == model::Outcome::skip;
    const std::string reason =
        report.verdict.findings.empty() ? "" : report.verdict.findings.front().text;
    fmt::print(out_, "{} {} - {}{}\n", good ? "ok" : "not ok", ++number_, report.cell.name,
               outcome == model::Outcome::skip ? fmt::format(" # SKIP {}", reason) : "");
    if (good) {
      return;
    }
    for (const model::Finding& finding : report.verdict.findings) {
      fmt::print(out_, "# {}\n", to_string(finding));
    }
    fmt::print(out_, "# replay: {}\n", report.replay);
  }

  void end(const Totals& totals) override {
    if (totals.not_run > 0) {
      fmt::print(out_, "Bail out! {} cells were not run{}{}\n", totals.not_run,
                 totals.interrupted.empty() ? "" : ": ended by ", totals.interrupted);
    }
  }

 private:
  std::FILE* out_;
  std::size_t number_ = 0;
};

}  // namespace

std::unique_ptr<Report> tap_report(std::FILE* out) {
  return std::make_unique<TapReport>(out);
}

}  // namespace farcall::report

#include <fmt/format.h>

#include <string_view>

#include "report/evidence.hpp"
#include "report/report.hpp"
#include "report/source_line.hpp"

namespace farcall::report {
namespace {

// A workflow command's text: GitHub's toolkit escapes these, and `:` and `,` in properties.
std::string escaped(std::string_view text, bool property) {
  std::string result;
  for (const char c : text) {
    const bool special = c == '%' || c == '\r' || c == '\n' || (property && (c == ':' || c == ','));
    result += special ? fmt::format("%{:02X}", static_cast<unsigned>(c)) : std::string(1, c);
  }
  return result;
}

// What did not pass, with its evidence, and an annotation of its place:
// https://docs.github.com/actions/reference/workflow-commands-for-github-actions
class GithubReport : public Report {
 public:
  explicit GithubReport(std::FILE* out) : out_(out), text_(text_report(out, {})) {}

  void begin(std::size_t /*cells*/) override {}

  void cell(const CellReport& report) override {
    if (report.verdict.outcome == model::Outcome::pass) {
      return;
    }
    text_->cell(report);
    const bool skipped = report.verdict.outcome == model::Outcome::skip;
    fmt::print(out_, "::{} file={},line={},title={}::{}\n", skipped ? "notice" : "error",
               escaped(report.cell.case_path, true), source_line(report.cell, report.verdict),
               escaped(report.cell.name, true),
               escaped(fmt::format("{}\nreplay: {}", first_finding(report.verdict), report.replay),
                       false));
  }

  void end(const Totals& totals) override { text_->end(totals); }

 private:
  std::FILE* out_;
  std::unique_ptr<Report> text_;
};

}  // namespace

std::unique_ptr<Report> github_report(std::FILE* out) {
  return std::make_unique<GithubReport>(out);
}

}  // namespace farcall::report

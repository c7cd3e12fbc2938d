#include <fmt/format.h>

#include <pugixml.hpp>
#include <sstream>

#include "report/report.hpp"

namespace farcall::report {
namespace {

// One test suite; a case file is a class, a cell a test case of it, as GitLab and Jenkins group
// them.
class JunitReport : public Report {
 public:
  explicit JunitReport(std::FILE* out) : out_(out) {
    suite_ = document_.append_child("testsuites").append_child("testsuite");
    suite_.append_attribute("name").set_value("farcall");
  }

  void begin(std::size_t /*cells*/) override {}

  void cell(const CellReport& report) override {
    pugi::xml_node test = suite_.append_child("testcase");
    test.append_attribute("classname").set_value(report.cell.case_path.c_str());
    test.append_attribute("name").set_value(report.cell.name.c_str());
    test.append_attribute("file").set_value(report.cell.case_path.c_str());
    if (const char* const element = element_of(report.verdict.outcome)) {
      describe(test.append_child(element), report);
    }
  }

  void end(const Totals& totals) override {
    suite_.append_attribute("tests").set_value(totals.cells());
    suite_.append_attribute("failures").set_value(totals.failed);
    suite_.append_attribute("errors").set_value(totals.errors);
    suite_.append_attribute("skipped").set_value(totals.skipped);
    suite_.append_attribute("time").set_value(fmt::format("{:.3f}", totals.seconds).c_str());
    std::ostringstream text;
    document_.save(text, " ");
    fmt::print(out_, "{}", text.str());
  }

 private:
  static const char* element_of(model::Outcome outcome) {
    switch (outcome) {
      case model::Outcome::pass:
        return nullptr;
      case model::Outcome::fail:
        return "failure";
      case model::Outcome::skip:
        return "skipped";
      case model::Outcome::error:
        break;
    }
    return "error";
  }

  static void describe(pugi::xml_node element, const CellReport& report) {
    std::string text;
    for (const model::Finding& finding : report.verdict.findings) {
      text += fmt::format("{}{}{} [{}]\n", finding.site, finding.site.empty() ? "" : ": ",
                          finding.text, name(finding.code));
    }
    if (!report.verdict.findings.empty()) {
      const model::Finding& first = report.verdict.findings.front();
      element.append_attribute("type").set_value(std::string(name(first.code)).c_str());
      element.append_attribute("message").set_value(first.text.c_str());
    }
    if (!report.replay.empty()) {
      text += "replay: " + report.replay + "\n";
    }
    element.text().set(text.c_str());
  }

  std::FILE* out_;
  pugi::xml_document document_;
  pugi::xml_node suite_;
};

}  // namespace

std::unique_ptr<Report> junit_report(std::FILE* out) {
  return std::make_unique<JunitReport>(out);
}

}  // namespace farcall::report

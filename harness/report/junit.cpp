#include "report/junit.hpp"

#include <fmt/format.h>

#include <pugixml.hpp>
#include <sstream>

#include "base/utf8.hpp"
#include "report/report.hpp"

namespace farcall::report {
namespace {

// One test suite; a case file is a class, a cell a test case of it, as GitLab and Jenkins group
// them.
void add_property(pugi::xml_node properties, const char* name, const std::string& value) {
  pugi::xml_node property = properties.append_child("property");
  property.append_attribute("name").set_value(name);
  property.append_attribute("value").set_value(value.c_str());
}

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
    test.append_attribute("time").set_value(fmt::format("{:.6f}", report.seconds).c_str());
    pugi::xml_node properties = test.append_child("properties");
    if (!report.jit.empty()) {
      add_property(properties, "farcall.jit", report.jit);
    }
    for (const std::string& note : report.verdict.notes) {
      add_property(properties, "farcall.note", note);
    }
    if (!properties.first_child()) {
      test.remove_child(properties);
    }
    if (const char* const element = element_of(report.verdict.outcome)) {
      describe(test.append_child(element), report);
    }
  }

  void end(const Totals& totals) override {
    finish_junit(suite_, totals);
    std::ostringstream text;
    document_.save(text, " ");
    fmt::print(out_, "{}", valid_utf8(text.str()));
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
      text += to_string(finding) + "\n";
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

void finish_junit(pugi::xml_node suite, const Totals& totals) {
  suite.append_attribute("tests").set_value(totals.cells());
  suite.append_attribute("failures").set_value(totals.failed);
  suite.append_attribute("errors").set_value(totals.errors);
  suite.append_attribute("skipped").set_value(totals.skipped);
  suite.append_attribute("time").set_value(fmt::format("{:.3f}", totals.seconds).c_str());
  // What merge() needs to know beside the test cases.
  const pugi::xml_node properties = suite.prepend_child("properties");
  add_property(properties, "farcall.shard",
               fmt::format("{}/{}", totals.shard.index, totals.shard.count));
  add_property(properties, "farcall.harness-failed", totals.harness_failed ? "true" : "false");
  add_property(properties, "farcall.not-run", fmt::format("{}", totals.not_run));
  add_property(properties, "farcall.interrupted", totals.interrupted);
  add_property(properties, "farcall.call-sites", fmt::format("{}", totals.sites));
  add_property(properties, "farcall.agreed-call-sites", fmt::format("{}", totals.agreed_sites));
  add_property(properties, "farcall.machines-lost", fmt::format("{}", totals.machines_lost));
}

std::unique_ptr<Report> junit_report(std::FILE* out) {
  return std::make_unique<JunitReport>(out);
}

}  // namespace farcall::report

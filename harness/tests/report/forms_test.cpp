// Forms for the CI of others: annotations, summaries, one page, bundles.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "bpf/assembler.hpp"
#include "model/json.hpp"
#include "report/bundle.hpp"
#include "report/report.hpp"
#include "report/source_line.hpp"
#include "tests/report/sample.hpp"

namespace farcall::report::forms_test {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string report_of(const Sample& sample,
                      const std::function<std::unique_ptr<Report>(std::FILE*)>& make) {
  return written([&](std::FILE* out) {
    const auto report = make(out);
    report->begin(1);
    report->cell({.cell = sample.cell,
                  .verdict = sample.verdict,
                  .image = &sample.image,
                  .replay = "farcall run it"});
    const bool passed = sample.verdict.outcome == model::Outcome::pass;
    report->end({.passed = passed ? 1U : 0U, .failed = passed ? 0U : 1U, .sites = 1});
  });
}

TEST(SourceLine, IsThatOfTheCall) {
  Sample sample;
  sample.fail();
  EXPECT_EQ(source_line(sample.cell, sample.verdict), 1);  // nothing is known of the program
  sample.cell.program = std::make_shared<bpf::Program>(
      bpf::assemble("mov %r0, 1\ncall local f\nexit\nf: exit\n", {.file = "far.case", .line = 5})
          .value());
  EXPECT_EQ(source_line(sample.cell, sample.verdict), 6);
  sample.verdict.findings[0].site.clear();
  EXPECT_EQ(source_line(sample.cell, sample.verdict), 5);
  sample.cell.case_path = "other.case";  // the program is an object's
  EXPECT_EQ(source_line(sample.cell, sample.verdict), 1);
}

TEST(GithubReport, AnnotatesWhatDidNotPassOnly) {
  Sample sample;
  EXPECT_THAT(report_of(sample, github_report), Not(HasSubstr("far@aux64")));
  sample.fail();
  sample.cell.name = "a,b:c%";
  EXPECT_THAT(report_of(sample, github_report),
              HasSubstr("::error file=far.case,line=1,title=a%2Cb%3Ac%25::main[0]: it goes astray "
                        "[call.decoded-elsewhere]%0Areplay: farcall run it\n"));
}

TEST(MarkdownReport, SaysWhatFailedAndFoldsTheEvidence) {
  Sample sample;
  EXPECT_THAT(report_of(sample, markdown_report), StartsWith("## farcall: all cells passed"));
  sample.fail();
  sample.cell.name = "a|<b>";
  const std::string text = report_of(sample, markdown_report);
  EXPECT_THAT(text, StartsWith("## farcall: not all cells passed"));
  EXPECT_THAT(text, HasSubstr("<details><summary>a\\|\\<b>"));
  EXPECT_THAT(text, HasSubstr("bctrl"));
}

TEST(HtmlReport, HoldsItsDataSoThatNothingEndsTheScript) {
  Sample sample;
  sample.fail();
  sample.cell.name = "</script><b>";
  const std::string text = report_of(sample, html_report);
  EXPECT_THAT(text, StartsWith("<!DOCTYPE html>"));
  EXPECT_THAT(text, HasSubstr("\\u003c/script>\\u003cb>"));
  EXPECT_THAT(text, Not(HasSubstr("</script><b>")));
  EXPECT_THAT(text, Not(HasSubstr("@DATA@")));
}

TEST(BundleReport, HoldsDocumentsThatAreReadBack) {
  Sample sample;
  sample.cell.expected.result = 42;
  const auto bundle = [](std::FILE* out) { return bundle_report(out, "QEMU 7"); };
  EXPECT_TRUE(model::Json::parse(report_of(sample, bundle)).at("cells").empty());
  sample.fail();
  const model::Json json = model::Json::parse(report_of(sample, bundle));
  EXPECT_EQ(json.at("qemu"), "QEMU 7");
  const model::Json& packed = json.at("cells").at(0);
  EXPECT_THAT(packed.at("listing").at("main").at(1).get<std::string>(), HasSubstr("bctrl"));
  EXPECT_EQ(packed.at("document").at("stage"), "image");
  EXPECT_EQ(packed.at("verdict").at("findings").at(0).at("code"), "call.decoded-elsewhere");

  const auto read = read_bundle(report_of(sample, bundle), "some.bundle");
  ASSERT_TRUE(read) << to_string(read.error());
  EXPECT_EQ(read.value().qemu, "QEMU 7");
  ASSERT_EQ(read.value().cells.size(), 1U);
  EXPECT_EQ(read.value().cells[0].document.cell.name, sample.cell.name);
  EXPECT_EQ(read.value().cells[0].code, "call.decoded-elsewhere");
}

// Deeper than the stack has room for: whoever walks over it may not be asked to.
TEST(BundleReport, IsRefusedIfItIsNestedDeeperThanAny) {
  constexpr std::size_t kDeep = 200'000;
  const std::string deep = std::string(kDeep, '[') + std::string(kDeep, ']');
  const auto read = read_bundle(
      fmt::format(
          R"({{"farcall": {{"version": "1"}}, "qemu": "7", "cells": [{{"document": {}}}]}})", deep),
      "deep.bundle");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::json_malformed);
  EXPECT_EQ(read.error().where.file, "deep.bundle");
  for (const char* const text : {"", "[]", "{", R"({"cells": 1})",
                                 R"({"farcall": {"version": 1}, "qemu": "", "cells": []})"}) {
    const auto bad = read_bundle(text, "bad.bundle");
    ASSERT_FALSE(bad) << text;
    EXPECT_EQ(bad.error().code, ErrorCode::json_malformed) << text;
  }
}

}  // namespace
}  // namespace farcall::report::forms_test

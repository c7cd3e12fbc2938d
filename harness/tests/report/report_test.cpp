#include "report/report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "model/json.hpp"
#include "tests/report/sample.hpp"

namespace farcall::report::report_test {
namespace {

using model::Outcome;
using testing::HasSubstr;
using testing::Not;

TEST(TextReport, APassIsOneLineAndOneForEachCallSite) {
  const std::string text = Sample().text();
  EXPECT_THAT(text, HasSubstr("pass   far@aux64"));
  EXPECT_THAT(text, HasSubstr("r0 = 0x2a"));
  EXPECT_THAT(text, HasSubstr("main[0] → callee"));
  EXPECT_THAT(text, HasSubstr("c00800000012a468    +2.0 PiB   interpreter 1×"));
  EXPECT_EQ(std::ranges::count(text, '\n'), 2);
  EXPECT_THAT(text, Not(HasSubstr("replay")));
  EXPECT_THAT(text, Not(HasSubstr("\033")));
}

TEST(TextReport, AFunctionWithoutAResultShowsNone) {
  Sample sample;
  sample.cell.expected.no_result = true;
  EXPECT_THAT(sample.text(), AllOf(HasSubstr("no result"), Not(HasSubstr("r0 ="))));
}

TEST(TextReport, AFailureShowsFindingsCodeAndReplay) {
  Sample sample;
  sample.fail();
  const std::string text = sample.text();
  EXPECT_THAT(text, HasSubstr("FAIL   far@aux64"));
  EXPECT_THAT(text, HasSubstr("bytes c00000000012a468"));
  EXPECT_THAT(text, HasSubstr("main[0]: it goes astray [call.decoded-elsewhere]"));
  EXPECT_THAT(text, HasSubstr("→ c000000000010004  4e800421  bctrl"));
  EXPECT_THAT(text, HasSubstr("replay: farcall run it"));
}

TEST(TextReport, ColoursOnlyWhereAskedTo) {
  EXPECT_THAT(Sample().text({.colour = true}), HasSubstr("\033[32mpass \033[0m"));
}

TEST(TextReport, AFaultShowsTheRegisters) {
  Sample sample;
  sample.fail();
  model::Observations seen{.ending = model::Ending::faulted};
  seen.fault = {.vector = 0x400};
  seen.registers.gpr[12] = 0x1234'5678'9abc'def0;
  const std::string text = written([&](std::FILE* out) {
    text_report(out, {})->cell({.cell = sample.cell,
                                .verdict = sample.verdict,
                                .image = &sample.image,
                                .observations = &seen});
  });
  EXPECT_THAT(text, HasSubstr("r12 123456789abcdef0"));
}

TEST(TextReport, AFaultShowsTheLastBranchesByName) {
  Sample sample;
  sample.fail();
  model::Observations seen{.ending = model::Ending::faulted};
  seen.fault = {.vector = 0x400};
  seen.registers.lr = kMain.value + 8;
  seen.last = {{.from = kMain + 4, .to = kCallee, .link = kMain + 8},
               {.from = kCallee, .to = kTruncated, .link = kMain + 8}};
  const std::vector<model::Landmark> landmarks = {{"main", kMain, kMain + 12},
                                                  {"callee", kCallee, kCallee + 4}};
  const std::string text = written([&](std::FILE* out) {
    text_report(out, {})->cell({.cell = sample.cell,
                                .verdict = sample.verdict,
                                .observations = &seen,
                                .landmarks = landmarks});
  });
  EXPECT_THAT(text, HasSubstr("lr c000000000010008 (main+0x8)\n"));
  EXPECT_THAT(text, HasSubstr("last branches:\n"
                              "         c000000000010004 (main+0x4)      → c00800000012a468 "
                              "(callee)\n"
                              "         c00800000012a468 (callee)        → c00000000012a468\n"));
}

TEST(TextReport, ManyCellsAreToldByFileAndFailuresInFull) {
  Sample good;
  Sample bad;
  bad.fail();
  bad.cell.name = "far@imm32";
  Sample other;
  other.cell.case_path = "near.case";
  const std::string text = written([&](std::FILE* out) {
    const auto report = text_report(out, {});
    report->begin(kMostCellsShown + 1);
    for (const Sample* const sample : {&good, &bad, &other, &other}) {
      report->cell({.cell = sample->cell, .verdict = sample->verdict});
    }
    report->end({});
  });
  EXPECT_THAT(text, testing::StartsWith("FAIL   far@imm32"));
  EXPECT_THAT(text, HasSubstr("\nFAIL   far.case                                     "
                              "1 of 2 cells passed; 1 of 2 call sites agree\n"
                              "pass   near.case                                    "
                              "2 cells; 2 of 2 call sites agree\n"));
  EXPECT_THAT(text, Not(HasSubstr("far@aux64")));
}

TEST(TextReport, AMachinesErrorIsToldOnceAmongManyCells) {
  Sample lost;
  lost.verdict = {.findings = {{ErrorCode::machine_lost, "", "QEMU ended"}}};
  const std::string text = written([&](std::FILE* out) {
    const auto report = text_report(out, {});
    report->begin(kMostCellsShown + 1);
    report->cell({.cell = lost.cell, .verdict = lost.verdict});
    report->cell({.cell = lost.cell, .verdict = lost.verdict});
    report->end({});
  });
  const auto first = text.find("QEMU ended");
  EXPECT_NE(first, std::string::npos);
  EXPECT_EQ(text.find("QEMU ended", first + 1), std::string::npos);
  EXPECT_THAT(text, HasSubstr("0 of 2 cells passed"));
}

TEST(TextReport, EndsWithTheSummary) {
  const std::string text = written([](std::FILE* out) {
    text_report(out, {})->end(
        {.passed = 3, .failed = 1, .sites = 5, .agreed_sites = 4, .seconds = 0.25});
  });
  EXPECT_EQ(
      text,
      "\n4 cells: 3 passed, 1 failed, 0 errors; at 4 of 5 call sites interpreter, bytes and CPU "
      "agree; 0.25 s\n");
}

TEST(JsonReport, IsOneDocumentOfTheCurrentFormat) {
  Sample sample;
  sample.fail();
  const std::string text = written([&](std::FILE* out) {
    const auto report = json_report(out);
    report->begin(1);
    report->cell({.cell = sample.cell, .verdict = sample.verdict, .replay = "farcall run it"});
    report->end({.failed = 1, .sites = 1});
  });
  const model::Json json = model::Json::parse(text);
  EXPECT_EQ(json.at("farcall").at("format"), model::kJsonFormat);
  EXPECT_EQ(json.at("totals").at("failed"), 1);
  const model::Json& cell = json.at("cells").at(0);
  EXPECT_EQ(cell.at("cell"), "far@aux64");
  EXPECT_EQ(cell.at("outcome"), "fail");
  EXPECT_EQ(cell.at("findings").at(0).at("code"), "call.decoded-elsewhere");
  EXPECT_EQ(cell.at("sites").at(0).at("decoded"), "0xc00000000012a468");
  EXPECT_EQ(cell.at("replay"), "farcall run it");
}

TEST(JunitReport, HasOneTestCaseACellAndEscapesWhatItMust) {
  Sample sample;
  sample.fail();
  sample.verdict.findings[0].text = "a < b & c";
  const std::string text = written([&](std::FILE* out) {
    const auto report = junit_report(out);
    report->begin(2);
    report->cell({.cell = sample.cell, .verdict = sample.verdict, .replay = "farcall run it"});
    report->cell({.cell = sample.cell, .verdict = Sample().verdict});
    report->end({.passed = 3, .failed = 1, .seconds = 0.5});
  });
  EXPECT_THAT(text,
              HasSubstr("<testsuite name=\"farcall\" tests=\"4\" failures=\"1\" errors=\"0\""));
  EXPECT_THAT(text, HasSubstr("<testcase classname=\"far.case\" name=\"far@aux64\""));
  EXPECT_THAT(text, HasSubstr("type=\"call.decoded-elsewhere\" message=\"a &lt; b &amp; c\""));
  EXPECT_THAT(text, HasSubstr("replay: farcall run it"));
}

TEST(Reports, TellANoteOnceACellOrOnceAFile) {
  Sample sample;
  sample.verdict.notes = {"9 frames at the same time"};
  const auto both_of = [&sample](auto* make, std::size_t cells) {
    return written([&](std::FILE* out) {
      const std::unique_ptr<Report> report = make(out);
      report->begin(cells);
      report->cell({.cell = sample.cell, .verdict = sample.verdict});
      report->cell({.cell = sample.cell, .verdict = sample.verdict});
      report->end({.passed = 2});
    });
  };
  const auto times = [](const std::string& text) {
    std::size_t count = 0;
    for (std::size_t at = text.find("9 frames"); at != std::string::npos;
         at = text.find("9 frames", at + 1)) {
      ++count;
    }
    return count;
  };
  constexpr auto kText = +[](std::FILE* out) { return text_report(out, {}); };
  EXPECT_EQ(times(both_of(kText, 2)), 2U);
  EXPECT_EQ(times(both_of(kText, kMostCellsShown + 1)), 1U);
  EXPECT_EQ(times(both_of(&json_report, 2)), 2U);
  EXPECT_EQ(times(both_of(&junit_report, 2)), 2U);
}

TEST(TapReport, CountsItsCells) {
  Sample sample;
  const std::string text = written([&](std::FILE* out) {
    const auto report = tap_report(out);
    report->begin(3);
    report->cell({.cell = sample.cell, .verdict = sample.verdict});
    sample.fail();
    report->cell({.cell = sample.cell, .verdict = sample.verdict, .replay = "farcall run it"});
    report->end({.passed = 1, .failed = 1, .not_run = 1});
  });
  EXPECT_EQ(text,
            "TAP version 13\n1..3\nok 1 - far@aux64\nnot ok 2 - far@aux64\n"
            "# main[0]: it goes astray [call.decoded-elsewhere]\n# replay: farcall run it\n"
            "Bail out! 1 cells were not run\n");
}

TEST(Agreement, NeedsEveryWitness) {
  const model::SiteStory good = Sample().verdict.sites[0];
  EXPECT_TRUE(agrees(good));
  model::SiteStory story = good;
  story.decoded.reset();
  EXPECT_FALSE(agrees(story));
  story = good;
  story.reached = {kCallee, kTruncated};
  EXPECT_FALSE(agrees(story));
  story = good;
  story.interpreted = 2;
  EXPECT_FALSE(agrees(story));
  story = good;
  story.executed.reset();
  EXPECT_FALSE(agrees(story));
  story = good;
  story.interpreted.reset();  // no program, no such witness
  EXPECT_TRUE(agrees(story));
  story.interpreted = story.executed = 0;
  story.reached = {};
  EXPECT_TRUE(agrees(story)) << "never called, and rightly so";
}

}  // namespace
}  // namespace farcall::report::report_test

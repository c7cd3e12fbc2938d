#include "report/merge.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "model/json.hpp"
#include "tests/report/sample.hpp"

namespace farcall::report::merge_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using Maker = std::unique_ptr<Report> (*)(std::FILE* out);

class Merge : public testing::TestWithParam<Maker> {
 protected:
  // The report of a shard with one cell.
  static Part part(Shard shard, bool fails = false, const std::string& cell = "") {
    Sample sample;
    sample.cell.name = cell.empty() ? fmt::format("cell{}", shard.index) : cell;
    if (fails) {
      sample.fail();
    }
    const Totals totals{.passed = fails ? 0U : 1U,
                        .failed = fails ? 1U : 0U,
                        .sites = 1,
                        .agreed_sites = fails ? 0U : 1U,
                        .seconds = 0.5,
                        .shard = shard};
    return {fmt::format("part{}", shard.index), written([&](std::FILE* out) {
              const auto report = GetParam()(out);
              report->begin(1);
              report->cell({.cell = sample.cell, .verdict = sample.verdict});
              report->end(totals);
            })};
  }
};

INSTANTIATE_TEST_SUITE_P(Forms, Merge, testing::Values(json_report, junit_report));

TEST_P(Merge, SumsUpAndKeepsEveryCell) {
  const auto merged = merge({part({1, 3}), part({3, 3}), part({2, 3}, true)});
  ASSERT_TRUE(merged);
  EXPECT_THAT(merged.value().trouble, IsEmpty());
  EXPECT_EQ(merged.value().totals.passed, 2);
  EXPECT_EQ(merged.value().totals.failed, 1);
  EXPECT_DOUBLE_EQ(merged.value().totals.seconds, 1.5);
  for (const char* const cell : {"cell1", "cell2", "cell3"}) {
    EXPECT_THAT(merged.value().text, HasSubstr(cell));
  }
  EXPECT_TRUE(merge({{"all", merged.value().text}}));
}

TEST_P(Merge, NamesShardsThatAreMissingOrDoubled) {
  const auto merged = merge({part({1, 3}), part({1, 3})});
  ASSERT_TRUE(merged);
  EXPECT_THAT(merged.value().trouble, ElementsAre("shard 1/3 is doubled: part1 and part1",
                                                  "shard 2/3 is missing", "shard 3/3 is missing"));
  EXPECT_EQ(merged.value().totals.cells(), 1);
}

TEST_P(Merge, RunsThatAreNoShardsNeedNoOthers) {
  const auto merged = merge({part({1, 1}, false, "one"), part({1, 1}, false, "other")});
  ASSERT_TRUE(merged);
  EXPECT_THAT(merged.value().trouble, IsEmpty());
  EXPECT_EQ(merged.value().totals.cells(), 2);
}

TEST_P(Merge, NamesACellOfTwoParts) {
  const auto runs = merge({part({1, 1}), part({1, 1})});
  ASSERT_TRUE(runs);
  EXPECT_THAT(runs.value().trouble, ElementsAre("part1 and part1 both have the cell cell1"));
  // As if one had counted the shards in another way.
  const auto shards = merge({part({1, 2}), part({2, 2}), part({1, 1}, false, "cell2")});
  ASSERT_TRUE(shards);
  EXPECT_THAT(shards.value().trouble, ElementsAre("part2 and part1 both have the cell cell2"));
}

TEST_P(Merge, RefusesWhatIsNoReport) {
  for (const char* const text : {"", "[]", "{}", "<testsuites/>", "<oops", "{\"cells\": []}"}) {
    const auto merged = merge({{"some", text}});
    ASSERT_FALSE(merged) << text;
    EXPECT_EQ(merged.error().code, ErrorCode::json_malformed) << text;
    EXPECT_EQ(merged.error().where.file, "some") << text;
  }
}

// A cell's evidence is written anew: what is nested too deep for that is not taken along.
TEST(MergeForms, MayNotBeNestedDeeperThanAnyReport) {
  Sample sample;
  const std::string good = written([&](std::FILE* out) {
    const auto report = json_report(out);
    report->begin(1);
    report->cell({.cell = sample.cell, .verdict = sample.verdict});
    report->end({.passed = 1});
  });
  constexpr std::size_t kDeep = 200'000;
  model::Json json = model::Json::parse(good);
  json["cells"][0]["replay"] = "HERE";
  std::string deep = json.dump();
  deep.replace(deep.find("\"HERE\""), 6, std::string(kDeep, '[') + std::string(kDeep, ']'));
  const auto merged = merge({{"deep", deep}});
  ASSERT_TRUE(merged);
  EXPECT_EQ(merged.value().totals.passed, 1U);
  EXPECT_LT(merged.value().text.size(), kDeep);
}

TEST(MergeForms, MayNotDiffer) {
  EXPECT_FALSE(merge({{"a", "<testsuites/>"}, {"b", "{}"}}));
}

}  // namespace
}  // namespace farcall::report::merge_test

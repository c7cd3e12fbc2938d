// What a program shows is new once for each JIT.
#include "campaign/coverage.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "campaign/numbers.hpp"
#include "run/pipeline.hpp"

namespace farcall::campaign::coverage_test {
namespace {

using testing::Contains;
using testing::Field;

run::FinishedCell compiled(const Sketch& sketch) {
  auto document = std::make_shared<model::Document>();
  document->cell = std::move(cell_of(sketch)).value();
  run::FinishedCell cell;
  cell.testimony = run::prepare(*document, 0);
  cell.document = std::move(document);
  return cell;
}

TEST(Coverage, IsNewOnceForEachJit) {
  Store store = std::move(Store::open("")).value();
  Coverage coverage({"a", "b"}, store);
  const run::FinishedCell cell = compiled(program_of_campaign(5, 3));
  const std::vector<StoredCoverage> news = coverage.news(0, cell);
  EXPECT_THAT(news, Contains(Field(&StoredCoverage::kind, "code")));
  EXPECT_THAT(news, Contains(Field(&StoredCoverage::kind, "call")));
  EXPECT_EQ(coverage.news(0, cell).size(), 0U);
  EXPECT_EQ(coverage.news(1, cell).size(), news.size());

  store.add(StoredBlock{.id = {.jit = "a"}, .coverage = news});
  EXPECT_EQ(Coverage({"a"}, store).news(0, cell).size(), 0U) << "known from the stopped campaign";
  EXPECT_EQ(Coverage({"b"}, store).news(0, cell).size(), news.size());
}

TEST(Coverage, WhatHasNoCodeShowsNothing) {
  Store store = std::move(Store::open("")).value();
  Coverage coverage({"a"}, store);
  run::FinishedCell cell = compiled(program_of_campaign(5, 3));
  cell.testimony.image.reset();
  EXPECT_EQ(coverage.news(0, cell).size(), 0U);
}

}  // namespace
}  // namespace farcall::campaign::coverage_test

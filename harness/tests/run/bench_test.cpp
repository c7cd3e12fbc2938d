// `farcall bench --picture`: what is measured is what is drawn.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <pugixml.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tests/farcall_process.hpp"
#include "tests/paths.hpp"
#include "tests/program.hpp"

namespace farcall::run::bench_test {
namespace {

using namespace tests;

using testing::HasSubstr;
using tests::contents;
using tests::Finished;
using tests::ScratchFolder;

// The words "… 44: 1234 a second" that farcall printed, as `44 1234`.
std::vector<std::string> printed(const std::string& out) {
  std::vector<std::string> points;
  std::istringstream lines(out);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t end = line.rfind(" a second");
    const std::size_t rate = line.rfind(": ", end);
    const std::size_t value = line.rfind(": ", rate - 1);
    points.push_back(line.substr(value + 2, rate - value - 2) + ' ' +
                     line.substr(rate + 2, end - rate - 2));
  }
  return points;
}

// All points of a picture in the same form: each label of a rate is followed by what was varied.
std::vector<std::string> drawn(const pugi::xml_node& svg) {
  std::vector<std::string> points;
  for (const pugi::xml_node& circle : svg.children("circle")) {
    const pugi::xml_node rate = circle.next_sibling("text");
    points.push_back(std::string(rate.next_sibling("text").text().get()) + ' ' + rate.text().get());
  }
  return points;
}

TEST(Bench, DrawsWhatItMeasured) {
  const ScratchFolder folder;
  const std::string path = (folder.path() / "rates.svg").string();
  const Finished run =
      run_farcall({"bench", "--programs", "200", "--jobs", "1", "--picture", path});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  pugi::xml_document picture;
  ASSERT_TRUE(picture.load_file(path.c_str()));
  const auto points = drawn(picture.child("svg"));
  EXPECT_EQ(points, printed(run.out));
  // One number of machines; 11, 44, 176 and 704 instructions; 100 and 200 programs.
  ASSERT_EQ(points.size(), 7U);
  EXPECT_THAT(points[4], testing::StartsWith("704 "));
  EXPECT_THAT(points[6], testing::StartsWith("200 "));
}

TEST(Bench, APageHasThePictureAndTheFigures) {
  const ScratchFolder folder;
  const std::string path = (folder.path() / "rates.html").string();
  const Finished run = run_farcall({"bench", "--programs", "10", "--jobs", "1", "--picture", path});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const std::string page = contents(path);
  EXPECT_THAT(page, HasSubstr("<svg xmlns"));
  EXPECT_THAT(page, HasSubstr("<td>instructions in a program<td>704<td>"));
}

TEST(Bench, APictureThatCannotBeWrittenIsSaid) {
  const Finished run =
      run_farcall({"bench", "--programs", "10", "--jobs", "1", "--picture", "/nonexistent/a.svg"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("/nonexistent/a.svg"));
}

}  // namespace
}  // namespace farcall::run::bench_test

#include "case/find.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace farcall::cases::find_test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

// A folder of its own for each test, gone afterwards.
class FindCases : public testing::Test {
 protected:
  FindCases() {
    std::string pattern = (fs::temp_directory_path() / "farcall-find-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
  }
  ~FindCases() override { fs::remove_all(root_); }

  std::string path(std::string_view name) const { return root_ + "/" + std::string{name}; }

  void make(std::string_view name) const {
    fs::create_directories(fs::path{path(name)}.parent_path());
    std::ofstream{path(name)} << "-- asm\n";
  }

  std::string root_;
};

Result<std::vector<std::string>> find(const std::vector<std::string>& paths) {
  return find_case_files(paths);
}

TEST_F(FindCases, FoldersAreSearchedAtAnyDepthAndSorted) {
  for (const auto* name : {"b.case", "a/z.case", "a/deep/er/x.case", "a.case", "a/x.txt", "case",
                           "reject/bad.case", "a/reject/bad.case", "rejected/y.case"}) {
    make(name);
  }
  EXPECT_THAT(find({root_}).value(),
              ElementsAre(path("a.case"), path("a/deep/er/x.case"), path("a/z.case"),
                          path("b.case"), path("rejected/y.case")));
}

TEST_F(FindCases, PathsKeepTheirOrderAndFilesComeOnce) {
  make("b.case");
  make("a/x.case");
  EXPECT_THAT(find({path("b.case"), path("a"), path("b.case"), path("a/x.case")}).value(),
              ElementsAre(path("b.case"), path("a/x.case")));
}

TEST_F(FindCases, AMalformedCaseIsFoundWhereItIsAskedFor) {
  make("reject/bad.case");
  EXPECT_THAT(find({path("reject")}).value(), ElementsAre(path("reject/bad.case")));
  EXPECT_THAT(find({path("reject/bad.case")}).value(), ElementsAre(path("reject/bad.case")));
}

TEST_F(FindCases, NothingFoundIsAnError) {
  make("reject/bad.case");
  const auto found = find({root_});
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::usage_nothing_selected);
  EXPECT_EQ(found.error().where.file, root_);
  EXPECT_EQ(find({}).error().code, ErrorCode::usage_nothing_selected);
}

TEST_F(FindCases, OneGoodPathDoesNotHideABadOne) {
  make("a.case");
  make("b.txt");
  const auto missing = find({path("a.case"), path("missing.case")});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::file_unreadable);
  EXPECT_EQ(missing.error().where.file, path("missing.case"));
  const auto other = find({path("a.case"), path("b.txt")});
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::usage_bad_argument);
  EXPECT_EQ(other.error().where.file, path("b.txt"));
}

}  // namespace
}  // namespace farcall::cases::find_test

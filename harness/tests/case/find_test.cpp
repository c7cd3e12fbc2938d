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

FoundFiles find(const std::vector<std::string>& paths) {
  return find_case_files(paths);
}

TEST_F(FindCases, FoldersAreSearchedAtAnyDepthAndSorted) {
  for (const auto* name : {"b.case", "a/z.case", "a/deep/er/x.case", "a.case", "a/x.txt", "case",
                           "reject/bad.case", "a/reject/bad.case", "rejected/y.case"}) {
    make(name);
  }
  EXPECT_THAT(find({root_}).files,
              ElementsAre(path("a.case"), path("a/deep/er/x.case"), path("a/z.case"),
                          path("b.case"), path("rejected/y.case")));
}

TEST_F(FindCases, PathsKeepTheirOrderAndFilesComeOnce) {
  make("b.case");
  make("a/x.case");
  EXPECT_THAT(find({path("b.case"), path("a"), path("b.case"), path("a/x.case")}).files,
              ElementsAre(path("b.case"), path("a/x.case")));
}

TEST_F(FindCases, AMalformedCaseIsFoundWhereItIsAskedFor) {
  make("reject/bad.case");
  EXPECT_THAT(find({path("reject")}).files, ElementsAre(path("reject/bad.case")));
  EXPECT_THAT(find({path("reject/bad.case")}).files, ElementsAre(path("reject/bad.case")));
}

TEST_F(FindCases, NothingFoundIsAnError) {
  make("reject/bad.case");
  const auto found = find({root_});
  ASSERT_EQ(found.errors.size(), 1U);
  EXPECT_EQ(found.errors[0].code, ErrorCode::usage_nothing_selected);
  EXPECT_EQ(found.errors[0].where.file, root_);
}

TEST_F(FindCases, GoodAndBadPathsDoNotHideEachOther) {
  make("a.case");
  make("b.txt");
  const auto found = find({path("missing.case"), path("a.case"), path("b.txt")});
  EXPECT_THAT(found.files, ElementsAre(path("a.case")));
  ASSERT_EQ(found.errors.size(), 2U);
  EXPECT_EQ(found.errors[0].code, ErrorCode::file_unreadable);
  EXPECT_EQ(found.errors[0].where.file, path("missing.case"));
  EXPECT_EQ(found.errors[1].code, ErrorCode::usage_bad_argument);
  EXPECT_EQ(found.errors[1].where.file, path("b.txt"));
}

}  // namespace
}  // namespace farcall::cases::find_test

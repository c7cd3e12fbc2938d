// Random edits of good files: whatever comes in, out come cells or an error that says where.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <random>

#include "case/find.hpp"
#include "support.hpp"
#include "tests/paths.hpp"

namespace farcall::cases {
namespace {

constexpr std::uint32_t kSeed = 20180305;
constexpr int kEditsOfAFile = 300;

// What an edit may put in: pieces of the grammar, and of what is almost it.
constexpr std::array<std::string_view, 40> kPieces = {
    "-- ",   "--",     "\n",      "\r\n",     "\r",       "#",        "=",     ",",
    " ",     "\t",     "+",       "-",        "*",        "[",        "]",     "[0]",
    ":",     "0",      "-1",      "0x",       "4K",       "8191P",    "text",  "vmalloc",
    "main",  "callee", "stack",   "mem",      "callbase", "place=",   "call=", "imm32",
    "aux64", "be",     "sweep {", "-- place", "-- fail",  "-- calls", "\xff",  "%r10"};

class Mutator {
 public:
  std::string edit(std::string text) {
    const int edits = pick(1, 4);
    for (int i = 0; i < edits && !text.empty(); ++i) {
      edit_once(text);
    }
    return text;
  }

 private:
  int pick(int low, int high) { return std::uniform_int_distribution{low, high}(random_); }
  std::size_t position(const std::string& text) {
    return static_cast<std::size_t>(pick(0, static_cast<int>(text.size()) - 1));
  }

  void edit_once(std::string& text) {
    const std::size_t at = position(text);
    const auto length = static_cast<std::size_t>(pick(1, 12));
    switch (pick(0, 5)) {
      case 0:
        text[at] = static_cast<char>(pick(0, 255));
        break;
      case 1:
        text.erase(at, length);
        break;
      case 2:
        text.insert(at, kPieces[static_cast<std::size_t>(pick(0, kPieces.size() - 1))]);
        break;
      case 3:
        text.insert(position(text), text.substr(at, length));
        break;
      case 4:  // a line goes
        text.erase(at, text.find('\n', at) - at);
        break;
      default:  // all from here on goes
        text.resize(at);
    }
  }

  std::mt19937 random_{kSeed};
};

std::string contents(const std::string& path) {
  std::ifstream file{path};
  return {std::istreambuf_iterator<char>{file}, {}};
}

TEST(CaseMutations, GiveCellsOrALocatedError) {
  const auto files = find_case_files(std::vector<std::string>{tests::source_dir() / "cases"});
  ASSERT_TRUE(files);
  Mutator mutator;
  int good_ones = 0;
  int bad_ones = 0;
  for (const std::string& file : files.value()) {
    const std::string text = contents(file);
    ASSERT_FALSE(text.empty());
    for (int i = 0; i < kEditsOfAFile; ++i) {
      const std::string edited = mutator.edit(text);
      const auto parsed = parse_case(edited, file);
      const auto made = parsed ? cells(parsed.value()) : parsed.error();
      if (made) {
        EXPECT_FALSE(made.value().empty());
        ++good_ones;
        continue;
      }
      ++bad_ones;
      const Error& error = made.error();
      SCOPED_TRACE(to_string(error) + "\n" + edited);
      EXPECT_FALSE(error.message.empty());
      EXPECT_EQ(error.where.file, file);
      const bool whole_file =
          error.code == ErrorCode::file_empty || error.code == ErrorCode::case_missing_section;
      EXPECT_TRUE(whole_file || (error.where.line > 0 && error.where.column > 0));
      EXPECT_LE(error.where.line, std::ranges::count(edited, '\n') + 1);
    }
  }
  EXPECT_GT(good_ones, 500);
  EXPECT_GT(bad_ones, 500);
}

}  // namespace
}  // namespace farcall::cases

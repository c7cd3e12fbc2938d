// cases/reject: one tiny file for each diagnostic of the reader. The first line says what must come
// of it: `# expect: CODE LINE:COLUMN TEXT`, 0:0 if it is about the file as a whole; TEXT is
// somewhere in the message or its hint.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "bpf/address_space.hpp"
#include "bpf/interpreter.hpp"
#include "case/case_file.hpp"
#include "case/matrix.hpp"
#include "check/check.hpp"
#include "tests/paths.hpp"

namespace farcall::cases::reject_test {
namespace {

constexpr std::string_view kExpect = "# expect: ";

constexpr std::array kCodes = {
#define FARCALL_TEST_NAME(name, text, blame) std::string_view{text},
    FARCALL_ERROR_CODES(FARCALL_TEST_NAME)
#undef FARCALL_TEST_NAME
};

std::vector<std::string> rejects() {
  std::vector<std::string> files;
  for (const auto& entry :
       std::filesystem::directory_iterator(tests::source_dir() / "cases/reject")) {
    files.push_back(entry.path().string());
  }
  std::ranges::sort(files);
  return files;
}

std::string first_line(const std::string& path) {
  std::ifstream file{path};
  std::string line;
  std::getline(file, line);
  return line;
}

// What a file comes to.
struct Outcome {
  std::string code_and_place;  // `CODE LINE:COLUMN`
  std::string text;
};

Outcome outcome_of(const Error& error) {
  return {.code_and_place =
              fmt::format("{} {}:{}", name(error.code), error.where.line, error.where.column),
          .text = error.message + "\n" + error.hint};
}

// What is wrong with a case that reads well: what it says is not what its program does.
Outcome objection(const model::Cell& cell) {
  bpf::AddressSpace memory{cell.memory, model::byte_order(cell.axes.endian)};
  auto run = bpf::interpret(*cell.program, cell.placement.functions, cell.arguments,
                            cell.placement.stack + model::kStackBytes, memory);
  if (!run) {
    return outcome_of(run.error());
  }
  const auto found =
      check::objections(cell, {.run = std::move(run).value(), .memory = cell.memory});
  if (found.empty()) {
    return {.code_and_place = "nothing", .text = {}};
  }
  const model::Finding& first = found.front();
  return outcome_of({.code = first.code, .message = first.site + ' ' + first.text});
}

Outcome outcome(const std::string& path) {
  const auto parsed = read_case(path);
  const auto made = parsed ? cells(parsed.value()) : parsed.error();
  if (made) {
    return objection(made.value().front());
  }
  EXPECT_EQ(made.error().where.file, path);
  return outcome_of(made.error());
}

TEST(Rejects, ComeToWhatTheirFirstLineSays) {
  for (const std::string& file : rejects()) {
    SCOPED_TRACE(file);
    const std::string line = first_line(file);
    ASSERT_TRUE(line.starts_with(kExpect));
    const std::string expected = line.substr(kExpect.size());
    const std::size_t end = expected.find(' ', expected.find(' ') + 1);
    ASSERT_NE(end, std::string::npos) << "expected CODE LINE:COLUMN TEXT";
    const Outcome come = outcome(file);
    EXPECT_EQ(come.code_and_place, expected.substr(0, end));
    EXPECT_THAT(come.text, testing::HasSubstr(expected.substr(end + 1)));
  }
}

TEST(Rejects, EveryCodeOfTheReaderHasAFile) {
  std::set<std::string, std::less<>> there;
  for (const std::string& file : rejects()) {
    const std::string line = first_line(file);
    const std::size_t begin = std::min(kExpect.size(), line.size());
    there.insert(line.substr(begin, line.find(' ', begin) - begin));
  }
  for (const std::string_view code : kCodes) {
    // Slots come whole and functions divide the program, however it is written.
    // Where an image lies does not concern the case file.
    const bool never =
        code == "bpf.truncated-slot" || code == "bpf.bad-functions" || code == "place.elsewhere";
    if (!never && (code.starts_with("case.") || code.starts_with("place.") ||
                   code.starts_with("asm.") || code.starts_with("bpf."))) {
      EXPECT_TRUE(there.contains(code)) << "no file in cases/reject expects " << code;
    }
  }
}

}  // namespace
}  // namespace farcall::cases::reject_test

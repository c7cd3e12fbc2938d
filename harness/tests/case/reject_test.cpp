// cases/reject: one tiny file for each diagnostic of the reader. The first line says what must come
// of it: `# expect: CODE LINE:COLUMN`, 0:0 if it is about the file as a whole.
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

namespace farcall::cases {
namespace {

constexpr std::string_view kExpect = "# expect: ";

constexpr std::array kCodes = {
#define FARCALL_TEST_NAME(name, text) std::string_view{text},
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

// What is wrong with a case that reads well: what it says is not what its program does.
std::string objection(const model::Cell& cell) {
  std::vector<bpf::MemoryRegion> regions = cell.memory;
  regions.push_back({.name = "stack",
                     .address = cell.placement.stack,
                     .bytes = std::vector<std::byte>(model::kStackBytes),
                     .writable = true});
  bpf::AddressSpace memory{std::move(regions), model::byte_order(cell.axes.endian)};
  auto run = bpf::interpret(*cell.program, cell.placement.functions, cell.arguments,
                            cell.placement.stack + model::kStackBytes, memory);
  if (!run) {
    return std::string{name(run.error().code)};
  }
  const auto found =
      check::objections(cell, {.run = std::move(run).value(), .memory = cell.memory});
  return found.empty() ? "nothing" : std::string{name(found.front().code)};
}

// `CODE LINE:COLUMN` of what the file comes to.
std::string outcome(const std::string& path) {
  const auto located = [](const Error& error) {
    return std::string{name(error.code)} + ' ' + std::to_string(error.where.line) + ':' +
           std::to_string(error.where.column);
  };
  const auto parsed = read_case(path);
  if (!parsed) {
    return located(parsed.error());
  }
  const auto made = cells(parsed.value());
  return made ? objection(made.value().front()) + " 0:0" : located(made.error());
}

TEST(Rejects, ComeToWhatTheirFirstLineSays) {
  for (const std::string& file : rejects()) {
    const std::string line = first_line(file);
    ASSERT_TRUE(line.starts_with(kExpect)) << file;
    EXPECT_EQ(outcome(file), line.substr(kExpect.size())) << file;
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
    if (code.starts_with("case.") || code.starts_with("place.") || code.starts_with("asm.")) {
      EXPECT_TRUE(there.contains(code)) << "no file in cases/reject expects " << code;
    }
  }
}

}  // namespace
}  // namespace farcall::cases

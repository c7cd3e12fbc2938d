// The cases of the product: every file loads, and what it expects is what the interpreter does.
// Objects that they name are made by the target farcall_cases.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "bpf/address_space.hpp"
#include "bpf/interpreter.hpp"
#include "case/case_file.hpp"
#include "case/find.hpp"
#include "case/matrix.hpp"
#include "tests/paths.hpp"

namespace farcall::cases::shipped_cases_test {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> shipped() {
  auto files = find_case_files(std::vector<std::string>{tests::source_dir() / "cases"});
  EXPECT_TRUE(files.errors.empty());
  return files.files;
}

void expect_what_the_interpreter_does(const model::Cell& cell) {
  bpf::AddressSpace memory{cell.memory, model::byte_order(cell.axes.endian)};
  const auto run = bpf::interpret(*cell.program, cell.placement.functions, cell.arguments,
                                  cell.placement.stack + model::kStackBytes, memory);
  ASSERT_TRUE(run) << to_string(run.error());
  if (cell.expected.failure) {
    return;
  }
  if (!cell.expected.no_result) {
    EXPECT_EQ(run.value().r0, cell.expected.result);
    EXPECT_FALSE(run.value().undefined_result);
  }

  // Every call site is spoken of, with the count that it has.
  for (const bpf::PseudoCall& call : bpf::pseudo_calls(*cell.program)) {
    const auto said = std::ranges::find(cell.expected.calls, call.site, &model::ExpectedCall::site);
    ASSERT_NE(said, cell.expected.calls.end()) << to_string(*cell.program, call.site);
    const auto made = std::ranges::count(run.value().calls, call.site, &bpf::PseudoCall::site);
    EXPECT_EQ(said->count, static_cast<std::uint64_t>(made)) << to_string(*cell.program, call.site);
  }

  // Of memory that a case speaks of, it says all.
  for (std::size_t i = 0; i < cell.memory.size(); ++i) {
    const std::string& region = cell.memory[i].name;
    if (std::ranges::find(cell.expected.memory, region, &model::ExpectedMemory::region) ==
        cell.expected.memory.end()) {
      continue;
    }
    std::vector<std::byte> expected = cell.memory[i].bytes.to_vector();
    for (const model::ExpectedMemory& piece : cell.expected.memory) {
      if (piece.region == region) {
        std::ranges::copy(piece.bytes,
                          expected.begin() + static_cast<std::ptrdiff_t>(piece.offset));
      }
    }
    EXPECT_EQ(memory.regions()[i].bytes, expected);
  }
}

// No JIT is here; what a program computes does not depend on where its calls are.
Result<GuestAddress> some_address(const bpf::Program& /*program*/,
                                  const model::AxisValues& /*axes*/, bpf::CallSite /*site*/,
                                  GuestAddress function) {
  return function + 64;
}

TEST(ShippedCases, SayWhatTheInterpreterDoes) {
  std::size_t cells_seen = 0;
  for (const std::string& file : shipped()) {
    SCOPED_TRACE(file);
    const auto parsed = read_case(file);
    ASSERT_TRUE(parsed) << to_string(parsed.error());
    EXPECT_FALSE(parsed.value().summary.empty());
    const auto made = cells(parsed.value(), {.site = some_address, .sizes = {}});
    ASSERT_TRUE(made) << to_string(made.error());
    for (const model::Cell& cell : made.value()) {
      SCOPED_TRACE(cell.name);
      expect_what_the_interpreter_does(cell);
      ++cells_seen;
    }
  }
  EXPECT_GE(cells_seen, 60U);
}

TEST(ShippedCases, TheReadmeShowsOneAsItIs) {
  const auto contents = [](const std::string& path) {
    std::ifstream file{path};
    return std::string{std::istreambuf_iterator<char>{file}, {}};
  };
  const std::string shown = contents(tests::source_dir() / "cases/scheme/beyond-2g.case");
  ASSERT_FALSE(shown.empty());
  EXPECT_THAT(contents(tests::source_dir() / "cases/README.md"),
              testing::HasSubstr("```\n" + shown + "```\n"));
}

TEST(ShippedCases, HaveNamesThatAreTheirOwn) {
  std::set<std::string> stems;
  for (const std::string& file : shipped()) {
    EXPECT_TRUE(stems.insert(fs::path{file}.stem().string()).second) << file;
  }
  EXPECT_GE(stems.size(), 16U);
}

}  // namespace
}  // namespace farcall::cases::shipped_cases_test

#include "selection/code_layout.hpp"

#include <gtest/gtest.h>

#include "case/case_file.hpp"
#include "case/find.hpp"
#include "case/matrix.hpp"
#include "selection/select.hpp"
#include "tests/paths.hpp"

namespace farcall::selection::code_layout_test {
namespace {

// Where that much room is, nobody asks how long the code is: too little would hide an overlap.
TEST(CodeLayout, NoCodeIsLongerThanAtMost) {
  const cases::CodeLayout layout = code_layout();
  std::size_t compared = 0;
  const std::vector<std::string> folders = {(tests::source_dir() / "cases").string()};
  for (const std::string& file : cases::find_case_files(folders).files) {
    const auto parsed = cases::read_case(file);
    if (!parsed || !parsed.value().program) {
      continue;
    }
    const bpf::Program& program = *parsed.value().program;
    const std::vector<std::uint64_t> most = layout.at_most(program);
    for (const model::Abi abi : {model::Abi::elfv1, model::Abi::elfv2}) {
      for (const model::CallScheme scheme :
           {model::CallScheme::aux64, model::CallScheme::pair64, model::CallScheme::table}) {
        for (const model::Reach reach : {model::Reach::abs64, model::Reach::pcrel}) {
          const auto sizes = layout.sizes(program, {.endian = model::Endian::big,
                                                    .cpu = model::Cpu::power10,
                                                    .abi = abi,
                                                    .call = scheme,
                                                    .reach = reach});
          for (std::size_t i = 0; sizes && i < sizes.value().size(); ++i) {
            EXPECT_LE(sizes.value()[i], most.at(i)) << file << ", function " << i;
            ++compared;
          }
        }
      }
    }
  }
  EXPECT_GT(compared, 1000U);
}

TEST(CodeLayout, IsNotAskedHowLongCodeIsThatHasRoom) {
  cases::CodeLayout layout = code_layout();
  std::size_t asked = 0;
  layout.sizes = [&asked](const bpf::Program&, const model::AxisValues&) {
    ++asked;
    return std::vector<std::uint64_t>();
  };
  // A function of 32,764 instructions lies 1 MiB before the next one.
  const auto parsed =
      cases::read_case((tests::source_dir() / "cases/c/distance-last.case").string());
  ASSERT_TRUE(parsed) << to_string(parsed.error());
  EXPECT_TRUE(cases::cells(parsed.value(), layout));
  EXPECT_EQ(asked, 0U);
}

TEST(SelectCells, ToBeNamedCellsNeedNoMemory) {
  const Selection selection{.paths = {(tests::source_dir() / "cases/maps").string()}};
  const auto all = select_cells(selection);
  const auto named = select_cells(selection, cases::Contents::none);
  ASSERT_TRUE(all && named);
  ASSERT_EQ(named.value().documents.size(), all.value().documents.size());
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < all.value().documents.size(); ++i) {
    const model::Cell& cell = all.value().documents[i].cell;
    const model::Cell& only_named = named.value().documents[i].cell;
    EXPECT_EQ(only_named.name, cell.name);
    EXPECT_EQ(only_named.placement, cell.placement) << cell.name;
    ASSERT_EQ(only_named.memory.size(), cell.memory.size()) << cell.name;
    for (std::size_t k = 0; k < cell.memory.size(); ++k) {
      bytes += cell.memory[k].bytes.size();
      EXPECT_TRUE(only_named.memory[k].bytes.empty()) << cell.name;
    }
  }
  EXPECT_GT(bytes, 0U);
}

}  // namespace
}  // namespace farcall::selection::code_layout_test

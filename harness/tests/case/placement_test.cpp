#include <gtest/gtest.h>

#include "case/hardware.hpp"
#include "case/region.hpp"
#include "model/translation.hpp"
#include "support.hpp"

namespace farcall::cases::placement_test {
namespace {

// Three functions: main, one, two.
constexpr std::string_view kThreeFunctions =
    "-- asm\n"
    "call local one\n"
    "call local two\n"
    "exit\n"
    "one:\n"
    "exit\n"
    "two:\n"
    "exit\n"
    "-- result\n"
    "0\n";

model::Cell placed(std::string_view sections) {
  auto made = good(std::string{kThreeFunctions} + std::string{sections});
  EXPECT_EQ(made.size(), 1U);
  return made.empty() ? model::Cell{} : std::move(made.front());
}

std::vector<std::uint64_t> functions(const model::Cell& cell) {
  std::vector<std::uint64_t> all;
  all.reserve(cell.placement.functions.size());
  for (const GuestAddress address : cell.placement.functions) {
    all.push_back(address.value);
  }
  return all;
}

using Addresses = std::vector<std::uint64_t>;

TEST(CasePlacement, EverythingHasADefault) {
  const model::Cell cell = placed("-- mem\n00\n");
  EXPECT_EQ(functions(cell),
            (Addresses{0xc008000000010000, 0xc008000000020000, 0xc008000000030000}));
  EXPECT_EQ(cell.placement.call_base.value, 0xc000000000100000U);
  EXPECT_EQ(cell.memory.at(0).address.value, 0xc000000001000000U);
  EXPECT_EQ(cell.placement.toc.value, 0xc000000001800000U);
  EXPECT_EQ(cell.placement.stack.value, 0xc000000002000000U);
}

TEST(CasePlacement, AFunctionFollowsTheOneBeforeWhereverThatIs) {
  EXPECT_EQ(functions(placed("-- place\none = text+1G\n")),
            (Addresses{0xc008000000010000, 0xc000000040000000, 0xc000000040010000}));
  EXPECT_EQ(functions(placed("-- place\nmain = two-1T\ntwo = vmemmap\n")),
            (Addresses{0xc00bff0000000000, 0xc00bff0000010000, 0xc00c000000000000}));
}

TEST(CasePlacement, RegionsNamesAndNumbersAreBases) {
  const model::Cell cell = placed(
      "-- place\n"
      "main = 0xc000000000001000\n"
      "one  = main + 4K - 0x10 + 4   # in any order, with blanks or without\n"
      "two  = callbase-2G\n"
      "callbase = io+2G\n"
      "toc  = user+32K\n"
      "stack = vmalloc+1P-4K\n");
  EXPECT_EQ(functions(cell),
            (Addresses{0xc000000000001000, 0xc000000000001ff4, 0xc00a000000000000}));
  EXPECT_EQ(cell.placement.call_base.value, 0xc00a000080000000U);
  EXPECT_EQ(cell.placement.toc.value, 0x8000U);
  EXPECT_EQ(cell.placement.stack.value, 0xc00bfffffffff000U);
}

TEST(CasePlacement, UnitsArePowersOf1024) {
  EXPECT_EQ(functions(placed("-- place\nmain = user+3K\none = user+3M\ntwo = user+3G\n")),
            (Addresses{0xc00, 0x300000, 0xc0000000}));
  EXPECT_EQ(functions(placed("-- place\nmain = user+3T\none = user+3P\ntwo = user+0x10K\n")),
            (Addresses{0x30000000000, 0xc000000000000, 0x4000}));
  EXPECT_EQ(functions(placed("-- place\nmain = 64K\none = 1M-4\ntwo = 0x10M\n")),
            (Addresses{0x10000, 0xffffc, 0x1000000}));
}

TEST(CasePlacement, CallBaseAndTocAreNumbersThatNeedNoMemory) {
  const model::Cell cell = placed("-- place\ncallbase = 0x1\ntoc = main\n");
  EXPECT_EQ(cell.placement.call_base.value, 1U);
  EXPECT_EQ(cell.placement.toc.value, cell.placement.functions[0].value);
}

TEST(CasePlacement, TheLastAddressesThatRadixMapsAreGood) {
  EXPECT_EQ(functions(placed("-- place\nmain = 0xc00ffffffffffffc\none = text\n"
                             "two = 0x000ffffffffffffc\n")),
            (Addresses{0xc00ffffffffffffc, 0xc000000000000000, 0x000ffffffffffffc}));
  EXPECT_EQ(placed("-- place\nstack = 0xc00fffffffffa000\n").placement.stack.value,
            0xc00fffffffffa000U);
}

TEST(CasePlacement, NeighboursDoNotOverlap) {
  placed("-- place\nmain = text\none = text+4\ntwo = text+8\n");
  placed("-- mem\n00\n-- place\nmem = stack+24K\nmain = stack-4\none = mem+4K\n");
}

void expect_ambiguity(const std::string& name) {
  const std::string program =
      "-- asm\ncall local " + name + "\nexit\n" + name + ":\nexit\n-- result\n0\n";
  EXPECT_TRUE(load(program));
  const auto expect_refused = [](const std::string& text) {
    const auto made = load(text);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, ErrorCode::case_syntax);
    EXPECT_EQ(made.error().where.line, 9U);
    EXPECT_EQ(made.error().hint, "give the function another name");
  };
  expect_refused(program + "-- place\n" + name + " = io\n");
  expect_refused(program + "-- place\nmain = " + name + "\n");
}

TEST(CasePlacement, AFunctionCalledLikeAWordOfTheGrammarCannotBePlaced) {
  for (const auto* name : {"text", "stack", "toc", "user"}) {
    SCOPED_TRACE(name);
    expect_ambiguity(name);
  }
}

TEST(CasePlacement, ASiteIsWhereWhoeverKnowsSaysThatItIs) {
  const auto parsed = parse_case(std::string{kThreeFunctions} +
                                     "-- matrix\nreach bl toc\n"
                                     "-- place\n"
                                     "main = text+64K\n"
                                     "two = site(main[1])-4\n"
                                     "one = site( main[0] )+sweep { 0..4 step 4 }\n",
                                 "test.case");
  ASSERT_TRUE(parsed) << to_string(parsed.error());
  const CodeLayout layout{
      .site = [](const bpf::Program& program, const model::AxisValues& axes, bpf::CallSite site,
                 GuestAddress function) -> Result<GuestAddress> {
        EXPECT_EQ(program.functions[site.function].name, "main");
        EXPECT_EQ(function.value, 0xc000000000010000);
        return function + (axes.reach == model::Reach::bl ? 0x1000 : 0x2000) + site.ordinal * 0x100;
      },
      .sizes = {}};
  const auto made = cells(parsed.value(), layout);
  ASSERT_TRUE(made) << to_string(made.error());
  ASSERT_EQ(made.value().size(), 4U);
  constexpr std::uint64_t kMain = 0xc000000000010000;
  EXPECT_EQ(functions(made.value()[0]), (Addresses{kMain, kMain + 0x1000, kMain + 0x10fc}));
  EXPECT_EQ(functions(made.value()[1]), (Addresses{kMain, kMain + 0x1004, kMain + 0x10fc}));
  EXPECT_EQ(functions(made.value()[3]), (Addresses{kMain, kMain + 0x2004, kMain + 0x20fc}));
}

TEST(CasePlacement, CodeIsAsLongAsWhoeverKnowsSaysThatItIs) {
  const CodeLayout layout{
      .site = {},
      .sizes = [](const bpf::Program& program,
                  const model::AxisValues& /*axes*/) -> Result<std::vector<std::uint64_t>> {
        return std::vector<std::uint64_t>(program.functions.size(), 64);
      }};
  const auto placed_at = [&](const std::string& lines) {
    const auto parsed =
        parse_case(std::string{kThreeFunctions} + "-- place\n" + lines, "test.case");
    return cells(parsed.value(), layout);
  };
  EXPECT_TRUE(placed_at("one = text+64\nmain = text\n"));
  const auto overlapping = placed_at("one = text+60\nmain = text\n");
  ASSERT_FALSE(overlapping);
  EXPECT_EQ(to_string(overlapping.error()).substr(0, 28), "test.case:13:1: error: main ");
  EXPECT_EQ(name(overlapping.error().code), "place.overlap");
  EXPECT_FALSE(placed_at("one = text+4K-4\nmem = text+4K\n-- mem\n00\n"));
  EXPECT_TRUE(placed_at("two = text\none = 0xc00fffffffffffc0\n"));
  const auto outside = placed_at("two = text\none = 0xc00fffffffffffc4\n");
  ASSERT_FALSE(outside);
  EXPECT_EQ(name(outside.error().code), "place.unmappable");
}

TEST(CasePlacement, WhyASiteIsNotKnownIsSaidWhereItIsAskedFor) {
  const std::string text = std::string{kThreeFunctions} + "-- place\ntwo = site(main[1])\n";
  const auto made = load(text);  // nobody is there who knows
  ASSERT_FALSE(made);
  EXPECT_EQ(name(made.error().code), "case.unsupported");
  EXPECT_EQ(made.error().where.line, 12U);
}

TEST(CasePlacement, AFunctionMayBeCalledSite) {
  const auto made = good(
      "-- asm\ncall local site\nexit\nsite:\nexit\n-- result\n0\n"
      "-- place\nmain = site+64K\nsite = text\n");
  ASSERT_EQ(made.size(), 1U);
  EXPECT_EQ(functions(made[0]), (Addresses{0xc000000000010000, 0xc000000000000000}));
}

// Which addresses each MMU translates.
TEST(CaseRegion, RadixMapsTwoQuadrantsOf52Bits) {
  using model::Mmu;
  EXPECT_TRUE(admits(Mmu::radix, {0}, 1));
  EXPECT_TRUE(admits(Mmu::radix, {0x000fffffffffffff}, 1));
  EXPECT_FALSE(admits(Mmu::radix, {0x000fffffffffffff}, 2));
  EXPECT_FALSE(admits(Mmu::radix, {0x0010000000000000}, 1));
  EXPECT_FALSE(admits(Mmu::radix, {0xbfffffffffffffff}, 1));
  EXPECT_TRUE(admits(Mmu::radix, {0xc000000000000000}, 0x10000000000000));
  EXPECT_FALSE(admits(Mmu::radix, {0xc000000000000000}, 0x10000000000001));
  EXPECT_FALSE(admits(Mmu::radix, {0xffffffffffffffff}, 2));
  EXPECT_EQ(region_start(Mmu::radix, "vmalloc"), GuestAddress{0xc008000000000000});
  EXPECT_EQ(region_start(Mmu::radix, "nowhere"), std::nullopt);
}

TEST(CaseRegion, HashMapsEveryAddress) {
  using model::Mmu;
  EXPECT_TRUE(admits(Mmu::hash, {0x0010000000000000}, 1));
  EXPECT_TRUE(admits(Mmu::hash, {0xffffffffffffffff}, 1));
  EXPECT_FALSE(admits(Mmu::hash, {0xffffffffffffffff}, 2));
  EXPECT_EQ(region_start(Mmu::hash, "vmalloc"), GuestAddress{0xc0003d0000000000});
  EXPECT_EQ(region_start(Mmu::hash, "vmalloc_64k"), GuestAddress{0xc008000000000000});
  EXPECT_EQ(region_start(Mmu::hash, "vmalloc_2018"), GuestAddress{0xd000000000000000});
  EXPECT_EQ(region_start(Mmu::radix, "vmalloc_2018"), std::nullopt);
}

TEST(CaseHardware, SomeCombinationsAreNone) {
  using namespace model;
  EXPECT_TRUE(is_possible({}));
  EXPECT_FALSE(is_possible({.cpu = Cpu::power8, .mmu = Mmu::radix}));
  EXPECT_TRUE(is_possible({.cpu = Cpu::power8, .mmu = Mmu::hash}));
  EXPECT_FALSE(is_possible({.endian = Endian::little, .abi = Abi::elfv1}));
  EXPECT_TRUE(is_possible({.endian = Endian::big, .abi = Abi::elfv1}));
  EXPECT_TRUE(is_possible({.endian = Endian::big, .abi = Abi::elfv2}));
  EXPECT_FALSE(is_possible({.cpu = Cpu::power9, .reach = Reach::pcrel}));
  EXPECT_TRUE(is_possible({.cpu = Cpu::power10, .reach = Reach::pcrel}));
}

TEST(CaseHardware, DefaultsAreSupportedAndPossible) {
  const model::AxisValues defaults;
  EXPECT_TRUE(is_possible(defaults));
  for (std::size_t i = 0; i < model::kAxisCount; ++i) {
    const auto axis = static_cast<model::Axis>(i);
    EXPECT_TRUE(is_supported(axis, value_of(defaults, axis))) << name(axis);
  }
}

}  // namespace
}  // namespace farcall::cases::placement_test

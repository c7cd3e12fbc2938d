#include "show/layout.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <pugixml.hpp>
#include <set>

#include "tests/show/support.hpp"

namespace farcall::show::layout_test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

Layout of_two() {
  model::CodeImage image = image_of_two();
  image.calls = {
      {.site = {0, 0}, .at = kMainAddress + 4, .callee = model::CodeCallee{1, kCalleeAddress}},
      {.site = {0, 1}, .at = kMainAddress + 8, .callee = model::CodeCallee{1, kCalleeAddress}}};
  return layout("two", {}, image, {});
}

// `count` functions, each of which calls the next two.
Layout of_many(std::uint32_t count) {
  model::CodeImage image;
  for (std::uint32_t i = 0; i < count; ++i) {
    image.functions.push_back({.name = "f" + std::to_string(i),
                               .address = kMainAddress + std::uint64_t{i} * 0x1000,
                               .words = {0x4e800020}});
    for (const std::uint32_t callee : {i + 1, i + 2}) {
      if (callee < count) {
        image.calls.push_back(
            {.site = {i, 0},
             .at = kMainAddress + std::uint64_t{i} * 0x1000,
             .callee = model::CodeCallee{callee, kMainAddress + std::uint64_t{callee} * 0x1000}});
      }
    }
  }
  return layout("many", {}, image, {});
}

TEST(Layout, RowsAreInOrderOfAddressesAndArrowsFollow) {
  const Layout two = of_two();
  ASSERT_EQ(two.rows.size(), 2U);
  EXPECT_EQ(two.rows[0].name, "callee");
  EXPECT_EQ(two.rows[0].region, "text");
  EXPECT_EQ(two.rows[1].name, "main");
  EXPECT_EQ(two.rows[1].region, "vmalloc");
  ASSERT_EQ(two.arrows.size(), 1U);
  EXPECT_EQ(two.arrows[0].from, 1U);
  EXPECT_EQ(two.arrows[0].to, 0U);
  EXPECT_EQ(two.arrows[0].sites, 2U);
  EXPECT_EQ(two.arrows[0].distance, kCalleeAddress - (kMainAddress + 4));
}

TEST(Layout, NoTwoArrowsLieOnEachOther) {
  const Layout many = of_many(40);
  std::set<std::pair<std::size_t, std::size_t>> taken;  // lane and row
  for (const LayoutArrow& arrow : many.arrows) {
    for (std::size_t row = arrow.from; row <= arrow.to; ++row) {
      EXPECT_TRUE(taken.emplace(arrow.lane, row).second) << arrow.from << " → " << arrow.to;
    }
  }
  EXPECT_EQ(many.arrows.size(), 39U + 38U);
  EXPECT_LE(many.lanes, 6U);  // at most five arrows pass a row; one lane more is not worth a search
}

TEST(Layout, TextDrawsTheArrowAndTheDistance) {
  EXPECT_EQ(layout_text(of_two()),
            "two: 2 functions, 1 arrow, reach abs64\n"
            "\n"
            "text     c000000000010000  callee       4 B ─◄┐\n"
            "           ⋮ 2.0 PiB                          │\n"
            "vmalloc  c008000000020000  main        12 B ──┘\n"
            "\n"
            "main    → callee    -2.0 PiB by abs64, 2 call sites\n");
}

TEST(Layout, SvgIsXmlWithEveryFunctionAndArrow) {
  for (const Layout& picture : {of_two(), of_many(40)}) {
    const std::string svg = layout_svg(picture);
    pugi::xml_document document;
    ASSERT_TRUE(document.load_string(svg.c_str()));
    EXPECT_EQ(document.select_nodes("//g/path").size(), picture.arrows.size());
    EXPECT_EQ(document.select_nodes("//rect[@rx]").size(), picture.rows.size());
    for (const LayoutFunction& row : picture.rows) {
      EXPECT_THAT(svg, HasSubstr(">" + row.name + "<"));
    }
    // Nothing is drawn beyond the right edge.
    const int width = document.child("svg").attribute("width").as_int();
    for (const auto& path : document.select_nodes("//g/path")) {
      const std::string data = path.node().attribute("d").value();
      EXPECT_LT(std::stoi(data.substr(data.find('H') + 1)), width);
    }
  }
}

TEST(Layout, NamesAreEscaped) {
  model::CodeImage image = image_of_two();
  image.functions[0].name = "<b>&\"";
  const std::string svg = layout_svg(layout("<title>", {}, image, {}));
  EXPECT_THAT(svg, HasSubstr("&lt;b&gt;&amp;&quot;"));
  EXPECT_THAT(svg, Not(HasSubstr("<b>")));
  EXPECT_THAT(svg, HasSubstr("&lt;title&gt;"));
}

TEST(Layout, TailCallsAndCallsThroughARegisterAreDrawnAsTheRunMadeThem) {
  model::CodeImage image = image_of_two();
  image.calls = {{.site = {0, 0}, .at = kMainAddress + 4, .callee = {}, .is_tail = true},
                 {.site = {0, 1}, .at = kMainAddress + 8, .callee = {}}};
  EXPECT_TRUE(layout("none", {}, image, {}).arrows.empty());
  const std::vector<bpf::PseudoCall> made = {{.site = {0, 0}, .slot = 0, .callee = 1},
                                             {.site = {0, 0}, .slot = 0, .callee = 1},
                                             {.site = {0, 1}, .slot = 1, .callee = 0}};
  const Layout drawn = layout("drawn", {}, image, made);
  ASSERT_EQ(drawn.arrows.size(), 2U);
  EXPECT_THAT(layout_text(drawn),
              AllOf(HasSubstr("main    → callee    -2.0 PiB by a tail call\n"),
                    HasSubstr("main    → main    "), HasSubstr("through a register\n")));
  EXPECT_THAT(layout_svg(drawn), AllOf(HasSubstr("stroke-dasharray"), HasSubstr("by a tail call")));
  EXPECT_EQ(layout_json(drawn).at("arrows").at(0).at("kind"), "tail call");
}

TEST(Layout, AFunctionThatCallsItselfHasALoop) {
  model::CodeImage image = image_of_two();
  image.calls = {
      {.site = {0, 0}, .at = kMainAddress, .callee = model::CodeCallee{0, kMainAddress}}};
  const Layout loop = layout("loop", {}, image, {});
  EXPECT_EQ(loop.lanes, 0U);
  EXPECT_THAT(layout_text(loop), HasSubstr("main    → main"));
  EXPECT_THAT(layout_svg(loop), HasSubstr("main → main"));
}

TEST(Layout, AGapMayBeMoreThanADisplacementHolds) {
  model::CodeImage image = image_of_two();
  image.functions[1].address = {0x1000};
  image.functions[0].address = {0xc000000000000000};
  EXPECT_EQ(gap_after(layout("gap", {}, image, {}), 0), "12.0 EiB");
}

}  // namespace
}  // namespace farcall::show::layout_test

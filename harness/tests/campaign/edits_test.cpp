#include "campaign/edits.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace farcall::campaign {
namespace {

Sketch sketch_of_lines(std::vector<std::string> lines) {
  return {.programs = {{.functions = {{.name = "main", .lines = std::move(lines)}}}}};
}

const std::vector<std::string>& lines(const Sketch& sketch) {
  return sketch.programs.front().functions.front().lines;
}

// What each of the edits makes of the sketch's first line.
std::vector<std::string> first_lines(const Sketch& sketch, const std::vector<Edit>& edits) {
  std::vector<std::string> seen;
  for (const Edit& edit : edits) {
    Sketch changed = sketch;
    edit(changed);
    seen.push_back(lines(changed).front());
  }
  return seen;
}

TEST(Edits, FewerLinesGoInBlocksFromTheEndAndLeaveLabels) {
  const Sketch sketch = sketch_of_lines({"mov %r0, 1", "again:", "add %r0, 1", "exit"});
  const std::vector<Edit> edits = fewer_lines(sketch, 2);
  ASSERT_EQ(edits.size(), 2);
  Sketch changed = sketch;
  edits[0](changed);
  EXPECT_EQ(lines(without_empty_lines(changed)),
            (std::vector<std::string>{"mov %r0, 1", "again:"}));
  edits[1](changed);
  EXPECT_EQ(lines(without_empty_lines(changed)), std::vector<std::string>{"again:"});
}

TEST(Edits, SimplerLinesAreMovesJumpsAndSmallerNumbers) {
  const auto simpler = [](const std::string& line) {
    const Sketch sketch = sketch_of_lines({line});
    return first_lines(sketch, simpler_lines(sketch));
  };
  using Lines = std::vector<std::string>;
  EXPECT_EQ(simpler("jeq %r1, 7, out"), Lines{"ja out"});
  EXPECT_EQ(simpler("call f"), Lines{"mov %r0, 0"});
  EXPECT_EQ(simpler("add %r3, %r4"), (Lines{"mov %r3, %r4", "mov %r3, 0", "mov %r3, -1"}));
  EXPECT_EQ(simpler("lddw %r1, 0x10"),
            (Lines{"mov %r1, 0", "mov %r1, 1", "mov %r1, -1", "mov %r1, 8"}));
  EXPECT_EQ(simpler("mov %r1, %r2"), Lines{"mov %r1, 0"});
  EXPECT_EQ(simpler(".table t a, b"), Lines{".table t a"});
  // -1 would be beyond the width.
  EXPECT_EQ(simpler("lsh %r1, 4"),
            (Lines{"mov %r1, 0", "mov %r1, -1", "lsh %r1, 0", "lsh %r1, 1", "lsh %r1, 2"}));
}

// Else the reducer would go round in circles.
TEST(Edits, NothingIsSimplerThanZeroAndAnExit) {
  const Sketch sketch = sketch_of_lines({"mov %r0, 0", "exit"});
  EXPECT_EQ(first_lines(sketch, simpler_lines(sketch)), std::vector<std::string>());
  EXPECT_TRUE(simpler_axes(sketch).empty());
  EXPECT_TRUE(rounder_places(sketch).empty());
}

TEST(Edits, AFunctionAloneBecomesMain) {
  Sketch sketch = sketch_of_lines({"call f", "exit"});
  sketch.programs.front().functions.push_back({.name = "f", .lines = {"mov %r0, 3", "exit"}});
  const std::vector<Edit> edits = single_functions(sketch);
  ASSERT_EQ(edits.size(), 2);  // as it is, and with a result set first
  for (const Edit& edit : edits) {
    Sketch changed = sketch;
    edit(changed);
    EXPECT_EQ(changed.programs.front().functions.front().name, "main");
    EXPECT_EQ(lines(changed)[lines(changed).size() - 2], "mov %r0, 3");
    edit(changed);  // there is no second function any more
    EXPECT_EQ(changed.programs.front().functions.size(), 1);
  }
}

TEST(Edits, DeclarationsAreFoundByWhatTheyAre) {
  Sketch sketch = sketch_of_lines({"exit"});
  sketch.data = {{.name = "a", .bytes = {std::byte{1}}}, {.name = "b", .bytes = {std::byte{2}}}};
  sketch.registers[1] = "a";
  Sketch changed = sketch;
  for (const Edit& edit : fewer_declarations(sketch)) {
    edit(changed);
  }
  EXPECT_TRUE(changed.data.empty());
  EXPECT_FALSE(changed.registers[1]);
}

TEST(Edits, BytesAreThoseOfMemoryThenOfRegions) {
  Sketch sketch = sketch_of_lines({"exit"});
  sketch.data = {{.name = "a", .bytes = std::vector<std::byte>(5, std::byte{7})}};
  EXPECT_EQ(count_of_bytes(sketch), 1);
  sketch.mem = std::vector<std::byte>(4, std::byte{9});
  ASSERT_EQ(count_of_bytes(sketch), 2);
  half_the_bytes(0)(sketch);
  half_the_bytes(1)(sketch);
  EXPECT_EQ(sketch.mem->size(), 2);
  EXPECT_EQ(sketch.data.front().bytes.size(), 3);
  one_byte_less(1)(sketch);
  zeroed_bytes(1)(sketch);
  EXPECT_EQ(sketch.data.front().bytes, std::vector<std::byte>(2));
  EXPECT_EQ(*sketch.mem, std::vector<std::byte>(2, std::byte{9}));
  one_byte_less(2)(sketch);  // there is none
}

TEST(Edits, PlacesLoseDigitsFromTheEnd) {
  Sketch sketch = sketch_of_lines({"exit"});
  sketch.places = {{"main", "vmalloc+0x12345678"}, {"f", "text"}};
  const std::vector<Edit> edits = rounder_places(sketch);
  ASSERT_FALSE(edits.empty());
  Sketch first = sketch;
  edits.front()(first);
  EXPECT_EQ(first.places.front().second, "vmalloc+0x10000000");
  Sketch last = sketch;
  edits.back()(last);
  EXPECT_EQ(last.places.front().second, "vmalloc+0x12345670");
  EXPECT_EQ(last.places.back(), sketch.places.back());
}

}  // namespace
}  // namespace farcall::campaign

// What a campaign is made of: choices, programs, their sketches, its state.
#include "campaign/campaign.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "bpf/assembler.hpp"
#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"
#include "campaign/choices.hpp"
#include "campaign/finding.hpp"
#include "campaign/generator.hpp"
#include "campaign/numbers.hpp"
#include "campaign/report.hpp"
#include "campaign/sketch.hpp"
#include "campaign/store.hpp"
#include "case/case_file.hpp"
#include "case/find.hpp"
#include "case/matrix.hpp"
#include "run/pipeline.hpp"
#include "selection/code_layout.hpp"
#include "tests/paths.hpp"
#include "tests/program.hpp"

namespace farcall::campaign::campaign_test {
namespace {

TEST(Choices, OfBytesEndInZeros) {
  const std::array bytes = {std::byte{7}, std::byte{0x34}, std::byte{0x12}};
  Choices choices(bytes);
  EXPECT_EQ(choices.below(5), 2U);  // 7 mod 5, of one byte
  EXPECT_EQ(choices.below(0x10000), 0x1234U);
  EXPECT_EQ(choices.below(1), 0U);  // nothing to choose: takes no byte
  EXPECT_EQ(choices.any(), 0U);
  EXPECT_FALSE(choices.one_in(2));
}

TEST(Choices, StreamsOfASeedDiffer) {
  std::set<std::uint64_t> seen;
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    for (std::uint64_t number = 0; number < 8; ++number) {
      seen.insert(Choices(seed, number).any());
      EXPECT_EQ(Choices(seed, number).any(), Choices(seed, number).any());
    }
  }
  EXPECT_EQ(seen.size(), 64U);
}

TEST(Choices, OfSomebodyWhoIsAsked) {
  std::vector<std::uint64_t> asked;
  Choices choices([&](std::uint64_t most) {
    asked.push_back(most);
    return most / 2;
  });
  EXPECT_EQ(choices.below(7), 3U);
  EXPECT_EQ(choices.below(1), 0U);  // nothing to choose: nobody is asked
  EXPECT_EQ(choices.any(), UINT64_MAX / 2);
  EXPECT_THAT(asked, testing::ElementsAre(6U, UINT64_MAX));
}

TEST(Choices, AMutantIsAlmostTheSame) {
  Choices itself(1, 2);
  Choices same(1, 2, 0);
  Choices mutant(1, 2, 3);
  Choices another(1, 2, 4);
  int equal = 0;
  int equal_mutants = 0;
  for (int i = 0; i < 1600; ++i) {
    const std::uint64_t choice = itself.any();
    const std::uint64_t mutated = mutant.any();
    EXPECT_EQ(same.any(), choice);
    equal += mutated == choice ? 1 : 0;
    equal_mutants += another.any() == mutated ? 1 : 0;
  }
  EXPECT_NEAR(equal, 1500, 60);
  EXPECT_LT(equal_mutants, equal);
}

TEST(Generator, MutantsOfAProgramAreTheSameAnywhere) {
  constexpr std::uint64_t kParent = 77;
  const Sketch parent = program_of_campaign(5, kParent);
  std::set<std::string> texts;
  for (std::uint64_t mutant = 1; mutant < 50; ++mutant) {
    const std::uint64_t number = mutant << 40 | kParent;
    const Sketch sketch = program_of_campaign(5, number);
    EXPECT_EQ(sketch, program_of_campaign(5, number));
    EXPECT_EQ(sketch.axes.cpu, parent.axes.cpu);  // a block is of one machine
    EXPECT_EQ(sketch.axes.endian, parent.axes.endian);
    texts.insert(case_text(sketch));
  }
  EXPECT_GT(texts.size(), 40U);
}

// Every program is a case that the interpreter has nothing to object to: it ends, and depends on
// nothing that nobody wrote.
TEST(Generator, MakesProgramsThatMeanSomething) {
  std::set<std::string> mnemonics;
  std::set<SiteKind> calls;
  for (std::uint64_t number = 0; number < 3000; ++number) {
    const Sketch sketch = program_of_campaign(5, number);
    const auto cell = cell_of(sketch);
    ASSERT_TRUE(cell) << to_string(cell.error()) << "\n" << case_text(sketch);
    const auto run = run::interpreted(cell.value());
    ASSERT_TRUE(run) << to_string(run.error()) << "\n" << case_text(sketch);
    ASSERT_FALSE(run.value().undefined_result) << case_text(sketch);
    const bpf::Program& program = *cell.value().program;
    for (const bpf::SlotIndex at : instructions(program)) {
      mnemonics.insert(std::string(bpf::find(program.slots[at])->mnemonic));
    }
    for (const bpf::PseudoCall& call : run.value().calls) {
      calls.insert(site_kind(program, to_string(program, call.site)));
    }
  }
  for (const bpf::InstructionInfo& info : bpf::kInstructions) {
    EXPECT_TRUE(mnemonics.contains(std::string(info.mnemonic))) << info.mnemonic;
  }
  EXPECT_EQ(calls, (std::set{SiteKind::local, SiteKind::helper, SiteKind::kfunc,
                             SiteKind::through_register, SiteKind::tail, SiteKind::callback}));
}

TEST(Generator, MakesTheSimplestProgramOfNothing) {
  Choices nothing(std::span<const std::byte>{});
  const Sketch sketch = generate(nothing, {});
  ASSERT_EQ(sketch.programs.size(), 1U);
  EXPECT_EQ(assembly(sketch.programs.front()), "mov %r0, 0\nexit\n");
  EXPECT_TRUE(cell_of(sketch));
}

TEST(Generator, MakesProgramsOfLocalCallsAlone) {
  std::set<SiteKind> calls;
  for (std::uint64_t number = 0; number < 300; ++number) {
    Choices choices(6, number);
    const std::string text = assembly(generate_program(choices, {.memory_bytes = number % 9}));
    const bpf::Program program = bpf::assemble(text, {.file = "text", .line = 1}).value();
    EXPECT_TRUE(program.externals.empty() && program.maps.empty()) << text;
    for (const bpf::CallInstruction& call : bpf::call_instructions(program)) {
      calls.insert(site_kind(program, to_string(program, call.site)));
    }
  }
  EXPECT_EQ(calls, std::set{SiteKind::local});
}

// The cells of all cases, as sketches and back, are the same programs in the same places.
TEST(Sketch, SaysWhatACellIs) {
  const cases::FoundFiles files =
      cases::find_case_files(std::vector{(tests::source_dir() / "cases").string()});
  std::size_t count = 0;
  for (const std::string& path : files.files) {
    const auto parsed = cases::read_case(path);
    if (!parsed) {
      continue;
    }
    const auto cells = cases::cells(parsed.value(), selection::code_layout());
    if (!cells || cells.value().front().expected.failure) {
      continue;
    }
    const model::Cell& cell = cells.value().front();
    if (!run::interpreted(cell)) {
      continue;  // a case that expects a fault
    }
    const auto sketch = sketch_of(cell);
    if (!sketch) {
      EXPECT_EQ(sketch.error().code, ErrorCode::case_unsupported) << path;
      continue;
    }
    const auto again = cell_of(sketch.value());
    ASSERT_TRUE(again) << path << ": " << to_string(again.error()) << "\n"
                       << case_text(sketch.value());
    EXPECT_EQ(again.value().axes, cell.axes) << path;
    EXPECT_EQ(again.value().placement, cell.placement) << path;
    EXPECT_EQ(again.value().arguments, cell.arguments) << path;
    EXPECT_EQ(again.value().program->slots, cell.program->slots) << path;
    const auto mine = run::interpreted(cell);
    const auto theirs = run::interpreted(again.value());
    ASSERT_TRUE(theirs) << path << ": " << to_string(theirs.error());
    EXPECT_EQ(theirs.value().r0, mine.value().r0) << path;
    EXPECT_EQ(theirs.value().calls.size(), mine.value().calls.size()) << path;
    ++count;
  }
  EXPECT_GT(count, 100U);
}

TEST(Sketch, HasTablesWhereTheirInstructionsAre) {
  const auto parsed =
      cases::read_case((tests::source_dir() / "cases/extensions/gotox.case").string());
  ASSERT_TRUE(parsed);
  const auto cells = cases::cells(parsed.value(), selection::code_layout());
  ASSERT_TRUE(cells);
  const auto sketch = sketch_of(cells.value().front());
  ASSERT_TRUE(sketch) << to_string(sketch.error());
  const auto& functions = sketch.value().programs.front().functions;
  ASSERT_EQ(functions.size(), 2U);
  EXPECT_TRUE(functions[0].lines.front().starts_with(".table steps "));
  EXPECT_TRUE(functions[1].lines.front().starts_with(".table signs "));
  EXPECT_EQ(tidied(sketch.value()), sketch.value());  // a table's labels are named
}

TEST(Sketch, TidyingDropsTablesThatNothingJumpsThrough) {
  Sketch sketch;
  sketch.registers[2] = "addr(jumps)";
  sketch.places = {{"jumps", "text+8K"}};
  sketch.programs = {{{{"main", {".table jumps L1, L2", "L1:", "mov %r0, 0", "L2:", "exit"}}}}};
  const Sketch tidy = tidied(sketch);
  EXPECT_EQ(tidy.programs.front().functions.front().lines,
            (std::vector<std::string>{"mov %r0, 0", "exit"}));
  EXPECT_FALSE(tidy.registers[2]);
  EXPECT_TRUE(tidy.places.empty());
}

TEST(Sketch, TidyingDropsWhatNothingNames) {
  Sketch sketch;
  sketch.programs = {{{{"main", {"call local f", "L1:", "mov %r0, 0", "exit"}},
                       {"f", {"jeq %r1, 0, L2", "L2:", "mov %r0, 0", "exit"}},
                       {"g", {"call 7", "exit"}}}}};
  sketch.externals = {{.id = 7, .native = "weighted_sum"}};
  sketch.places = {{"g", "text+4K"}, {"f", "text+8K"}, {"weighted_sum", "text+12K"}};
  const Sketch tidy = tidied(sketch);
  ASSERT_EQ(tidy.programs.front().functions.size(), 2U);
  EXPECT_EQ(tidy.programs.front().functions[0].lines.size(), 3U);  // L1 is gone, L2 is not
  EXPECT_EQ(tidy.programs.front().functions[1].lines.size(), 4U);
  EXPECT_TRUE(tidy.externals.empty());
  ASSERT_EQ(tidy.places.size(), 1U);
  EXPECT_EQ(tidy.places.front().first, "f");
}

// What is in front of the address, or between its parts, is of other instructions.
TEST(Finding, ShapeOfACallIsWhatLoadsItsTarget) {
  model::CodeImage image;
  image.functions.push_back({.name = "main",
                             .address = {0xc000'0000'0000'0000},
                             .words = {0x38600001,     // li r3,1
                                       0x3d82ffff,     // addis r12,r2,-1
                                       0x398c0010,     // addi r12,r12,16
                                       0x60000000,     // nop
                                       0x7d8903a6,     // mtctr r12
                                       0x4e800421,     // bctrl
                                       0x60000000,     // nop
                                       0x48000001}});  // bl
  EXPECT_EQ(call_shape(image, {0xc000'0000'0000'0014}), "addis addi nop mtctr bctrl");
  EXPECT_EQ(call_shape(image, {0xc000'0000'0000'001c}), "bl");
}

TEST(Finding, LayoutExplainsNothing) {
  const model::Finding layout{.code = ErrorCode::code_size, .site = "", .text = ""};
  const model::Finding result{.code = ErrorCode::result_mismatch, .site = "", .text = ""};
  const model::Finding memory{.code = ErrorCode::memory_mismatch, .site = "", .text = ""};
  EXPECT_EQ(most_telling({.findings = {layout, result, memory}}).code, ErrorCode::result_mismatch);
  EXPECT_EQ(most_telling({.findings = {layout}}).code, ErrorCode::code_size);
}

StoredBlock block(std::uint64_t seed, std::uint64_t number, std::uint64_t failed) {
  return {.id = {.jit = "farcall", .seed = seed, .block = number},
          .programs = 256,
          .passed = 256 - failed,
          .failed = failed,
          .seconds = 0.5,
          .ended = 1000.0 + 60.0 * static_cast<double>(number),
          .seen = {{"result.mismatch|no call|arsh32 32…63", failed}},
          .coverage = {{"code", "neg", "neg"}},
          .corpus = {{1, "neg: neg", "text"}}};
}

const StoredFinding kFinding = {.jit = "farcall",
                                .code = "result.mismatch",
                                .site = "no call",
                                .shape = "arsh32 32…63",
                                .culprit = "",
                                .text = ""};

TEST(Store, KeepsWhatWasWritten) {
  const tests::ScratchFolder folder;
  {
    Store store = Store::open(folder.path() / "a.sqlite").value();
    store.add(kFinding);
    store.add(block(1, 0, 3));
    store.add(block(1, 2, 4));
  }
  const Store store = Store::open(folder.path() / "a.sqlite").value();
  EXPECT_EQ(store.blocks().size(), 2U);
  ASSERT_EQ(store.totals().size(), 1U);
  EXPECT_EQ(store.totals().front().programs, 512U);
  EXPECT_EQ(store.totals().front().failed, 7U);
  ASSERT_EQ(store.findings().size(), 1U);
  EXPECT_EQ(store.times(store.findings().front()), 7U);
  EXPECT_THAT(store.throughput(), testing::ElementsAre(256, 0, 256));
}

// A block that both have done counts once, with what the first says of it.
TEST(Store, MergingCountsNothingTwice) {
  const tests::ScratchFolder folder;
  Store one = Store::open(folder.path() / "one.sqlite").value();
  one.add(kFinding);
  one.add(block(1, 0, 3));
  {
    Store other = Store::open(folder.path() / "other.sqlite").value();
    StoredBlock same = block(1, 0, 5);
    same.seen = {{"another|no call|x", 5}};
    other.add(same);
    other.add(block(2, 0, 10));
    other.add(kFinding);
  }
  for (int times = 0; times < 2; ++times) {
    ASSERT_TRUE(one.merge(folder.path() / "other.sqlite"));
    EXPECT_EQ(one.totals().front().programs, 512U);
    EXPECT_EQ(one.totals().front().failed, 13U);
    EXPECT_EQ(one.times(kFinding), 13U);
    EXPECT_EQ(one.findings().size(), 1U);
    EXPECT_EQ(one.coverage("farcall").size(), 1U);
  }
  StoredFinding another = kFinding;
  another.code = "another";
  another.shape = "x";
  EXPECT_EQ(one.times(another), 0U);
  EXPECT_EQ(one.merge(folder.path() / "missing.sqlite").error().code, ErrorCode::file_unreadable);
}

// What was reduced while nothing simpler was known is the same as what is simpler.
TEST(Report, HasTheSimplestOfFindings) {
  Store store = Store::open({}).value();
  const auto finding = [](const std::string& jit, const std::string& shape,
                          const std::string& culprit) {
    StoredFinding made = kFinding;
    made.jit = jit;
    made.shape = shape;
    made.culprit = culprit;
    return made;
  };
  const StoredFinding two = finding("farcall", "a; b", "a\nb");
  const StoredFinding one = finding("farcall", "b", "b");
  const StoredFinding other = finding("farcall", "c; d", "c\nd");
  const StoredFinding of_another_jit = finding("exec:x", "c", "c");
  StoredBlock done = block(1, 0, 3);
  done.seen = {{two.key(), 1}, {one.key(), 2}};
  store.add(done);
  for (const StoredFinding& each : {two, one, other, of_another_jit}) {
    store.add(each);
  }
  const auto json = to_json(store);
  ASSERT_EQ(json["findings"].size(), 3U);
  std::map<std::string, std::uint64_t> times;
  for (const auto& each : json["findings"]) {
    times[each["shape"].get<std::string>()] = each["times"].get<std::uint64_t>();
  }
  EXPECT_EQ(times, (std::map<std::string, std::uint64_t>{{"b", 3}, {"c; d", 0}, {"c", 0}}));
  EXPECT_NE(summary(store).find("2 distinct findings"), std::string::npos);
}

TEST(Store, RefusesWhatIsNoDatabase) {
  const tests::ScratchFolder folder;
  std::filesystem::create_directory(folder.path() / "folder");
  EXPECT_EQ(Store::open(folder.path() / "folder").error().code, ErrorCode::file_unwritable);
}

}  // namespace
}  // namespace farcall::campaign::campaign_test

// Every single-bit error in the code of a call, and in the descriptor that it goes through, over
// every reach, ABI, CPU and byte order: it is caught, or is in the table below with the reason why
// it makes no difference.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "case/case_file.hpp"
#include "case/matrix.hpp"
#include "model/json.hpp"
#include "run/pipeline.hpp"
#include "run/runner.hpp"
#include "tests/farcall_process.hpp"

namespace farcall::run::bit_flip_test {
namespace {

using namespace tests;

constexpr const char* kCase =
    "-- matrix\n"
    "endian le be\n"
    "cpu power8 power9 power10\n"
    "mmu hash radix\n"
    "abi elfv1 elfv2\n"
    "reach bl toc abs64 pcrel\n"
    "-- asm\n"
    "mov %r1, 41\n"
    "call local callee\n"
    "exit\n"
    "callee:\n"
    "mov %r0, %r1\n"
    "add %r0, 1\n"
    "exit\n"
    "-- place\n"
    "callee = 0xc00800012345a468\n"
    "toc = callee-0x12348004\n"
    "-- place far reach=toc,abs64\n"
    "main = text+64K\n"
    "-- place near reach=bl,pcrel\n"
    "main = callee-0x123458\n"
    "-- result\n"
    "42\n";

// Bits that may be wrong in the instruction whose text begins so, in the second half of a pla, or
// in a word of the callee's descriptor. All else is caught.
struct Survivor {
  std::string_view word;
  std::uint32_t bits;
  std::string_view reason;
};

constexpr std::array kSurvivors = {
    Survivor{"bctrl", 0x01000000, "BO: another way to say always"},
    Survivor{"bctrl", 0x00600000, "BO: hints"},
    Survivor{"bctrl", 0x001f0000, "BI: no condition is asked for"},
    Survivor{"bctrl", 0x00001800, "BH: hints"},
    Survivor{"ori     r12", 0x08000000, "xori: the bits under it are zero"},
    Survivor{"oris    r12", 0x08000000, "xoris: the bits under it are zero"},
    Survivor{"ori     r11", 0x08000000, "xori: the bits under it are zero"},
    Survivor{"oris    r11", 0x08000000, "xoris: the bits under it are zero"},
    Survivor{"sldi", 0x00000001, "Rc: CR0 is anybody's"},
    Survivor{"nop", 0x40000000, "subfic r0: anybody's"},
    Survivor{"nop", 0x10000000, "andi. r0, and CR0: anybody's"},
    Survivor{"nop", 0x0c000000, "oris r0, xori r0: anybody's"},
    Survivor{"nop", 0x03e00000, "another register's value in r0: anybody's"},
    Survivor{"nop", 0x000c0000, "r0's value in r4, r8: anybody's across a call with one argument"},
    Survivor{"nop", 0x0000ffff, "other bits in r0: anybody's"},
    // r2 is the same in all functions here, and none of them reads it.
    Survivor{"std     r2,40(r1)", 0x00000002, "stq: r3 is after it, in what is free of the frame"},
    Survivor{"ld      r2,8(r11)", 0x80000000, "xori r11: nobody's any more; r2 is right as it is"},
    Survivor{"ld      r2,8(r11)", 0x40000000, "lha r2: no callee reads it, and we load it again"},
    Survivor{"ld      r2,8(r11)", 0x01c00000, "r10, r6, r0: anybody's; r2 is right as it is"},
    Survivor{"ld      r2,8(r11)", 0x00000fff, "no callee reads r2, and we load it again"},
    Survivor{"ld      r2,40(r1)", 0x20000000, "lfd f2: anybody's; r2 is right as it is"},
    Survivor{"ld      r2,40(r1)", 0x10000000, "std: what it stores is there already"},
    Survivor{"ld      r2,40(r1)", 0x04000000, "fsubs f2: anybody's; r2 is right as it is"},
    Survivor{"ld      r2,40(r1)", 0x01c00000, "r10, r6, r0: anybody's; r2 is right as it is"},
    Survivor{"descriptor word 2", 0xffffffff, "TOC pointer: no callee reads r2"},
    Survivor{"descriptor word 3", 0xffffffff, "TOC pointer: no callee reads r2"},
    Survivor{"descriptor word 4", 0xffffffff, "environment pointer: not for C or BPF"},
    Survivor{"descriptor word 5", 0xffffffff, "environment pointer: not for C or BPF"},
};

// What may be wrong in `word`; notes in `used` which rows say so.
std::uint32_t bits_without_effect(std::string_view word,
                                  std::array<bool, kSurvivors.size()>& used) {
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < kSurvivors.size(); ++i) {
    if (word.starts_with(kSurvivors[i].word)) {
      EXPECT_EQ(bits & kSurvivors[i].bits, 0U) << "two reasons for one bit of " << word;
      bits |= kSurvivors[i].bits;
      used[i] = true;
    }
  }
  return bits;
}

// A word that is spoiled: number `index` of the function `function`.
struct Word {
  std::size_t function;
  std::size_t index;
  std::string text;
};

// The words that bring a call about: from the first that belongs to it up to the branch-and-link,
// what brings r2 back after it, and the callee's descriptor if it is read.
std::vector<Word> words_of_call(const model::CodeImage& image, const model::AxisValues& axes) {
  const bool reads_descriptor = axes.abi == model::Abi::elfv1 && axes.reach == model::Reach::abs64;
  std::size_t before = 0;  // words before the branch-and-link
  switch (axes.reach) {
    case model::Reach::bl:
      break;
    case model::Reach::toc:
      before = 3;
      break;
    case model::Reach::abs64:
      before = reads_descriptor ? 9 : 6;
      break;
    case model::Reach::pcrel:
      before = 4;
      break;
  }
  const model::CodeFunction& main = image.functions[0];
  const std::vector<std::string> listing = model::listing(main);
  const std::size_t branch = (image.calls.front().at.value - main.address.value) / 4;
  const std::size_t last = branch + (reads_descriptor ? 1 : 0);
  std::vector<Word> words;
  for (std::size_t i = branch - before; i <= last; ++i) {
    words.push_back({0, i, listing[i].empty() ? "suffix of pla" : listing[i]});
  }
  for (std::size_t i = 0; reads_descriptor && i < model::kDescriptorWords; ++i) {
    words.push_back({1, i, fmt::format("descriptor word {}", i)});
  }
  return words;
}

// A document as `run --from` would read it, compiled.
model::Document compiled(const model::Cell& cell) {
  model::Document document{.cell = cell};
  document.image = prepare(document, 1).image;
  const auto read = model::read_document(to_json(document, "image").dump(), "flip.json");
  EXPECT_TRUE(read.has_value()) << to_string(read.error());
  return read ? read.value() : document;
}

TEST(BitFlip, IsCaughtOrOneOfThoseThatMakeNoDifference) {
  const auto parsed = cases::parse_case(kCase, "flip.case");
  ASSERT_TRUE(parsed.has_value()) << to_string(parsed.error());
  auto made = cases::cells(parsed.value());
  ASSERT_TRUE(made.has_value()) << to_string(made.error());
  std::vector<model::Cell> cells = std::move(made).value();
  // The MMU changes nothing in the code: hash only where there is no other.
  std::erase_if(cells, [](const model::Cell& cell) {
    return (cell.axes.mmu == model::Mmu::hash) != (cell.axes.cpu == model::Cpu::power8);
  });

  std::array<bool, kSurvivors.size()> used{};
  std::vector<model::Document> flipped;
  std::vector<bool> survives;  // by the table
  std::size_t words = 0;
  for (const model::Cell& cell : cells) {
    const model::Document good = compiled(cell);
    flipped.push_back(good);
    survives.push_back(true);
    for (const Word& word : words_of_call(*good.image, cell.axes)) {
      ++words;
      const std::uint32_t without_effect = bits_without_effect(word.text, used);
      for (unsigned bit = 0; bit < 32; ++bit) {
        model::Document& one = flipped.emplace_back(good);
        one.image->functions[word.function].words[word.index] ^= 1U << bit;
        one.cell.name += fmt::format(": bit {} of {}", bit, word.text);
        survives.push_back((without_effect >> bit & 1) != 0);
      }
    }
  }
  for (std::size_t i = 0; i < used.size(); ++i) {
    EXPECT_TRUE(used[i]) << "there is no such word: " << kSurvivors[i].word;
  }

  std::size_t index = 0;
  std::size_t survivors = 0;
  run_all(flipped, {.machines = 2, .images = farcall_binary().parent_path() / "images"},
          [&](const FinishedCell& finished) {
            const model::Verdict& verdict = finished.verdict;
            const std::string& name = finished.document->cell.name;
            ASSERT_NE(verdict.outcome, model::Outcome::error) << name;
            const bool passed = verdict.outcome == model::Outcome::pass;
            EXPECT_EQ(passed, survives[index++]) << name;
            if (!passed) {
              EXPECT_FALSE(verdict.findings.empty()) << name;
              return;
            }
            ++survivors;
            ASSERT_EQ(verdict.sites.size(), 1U);
            const GuestAddress target = finished.document->image->calls.front().callee->target;
            EXPECT_EQ(verdict.result, 42U) << name;
            EXPECT_EQ(verdict.sites[0].decoded, target) << name;
            EXPECT_EQ(verdict.sites[0].reached, std::vector{target}) << name;
          });
  EXPECT_EQ(index, flipped.size());
  fmt::print("{} words, {} images, {} of them without effect\n", words,
             flipped.size() - cells.size(), survivors - cells.size());
}

}  // namespace
}  // namespace farcall::run::bit_flip_test

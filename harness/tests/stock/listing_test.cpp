#include "stock/listing.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace farcall::stock::listing_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::uint32_t kId = 7;

// A program without BTF: `mov r0, 1`, `exit`.
ListedProgram program() {
  ListedProgram one;
  one.question.slots = {{.opcode = 0xb7, .imm = 1}, {.opcode = 0x95}};
  one.functions = {{.name = "main", .begin = 0}};
  return one;
}

std::string tag() {
  const bpf::Program loaded{.slots = program().question.slots, .functions = {}};
  return to_string(show::tags(loaded, std::endian::little, show::TagHash::sha1).program);
}

std::string head() {
  return "7: syscall  name main  tag " + tag() + "  gpl\n";
}

// What a bpftool says that agrees; each test spoils one thing.
kernel::Listings sound() {
  kernel::Listings listings{
      .outputs = {}, .symbols = {}, .ids = {kId}, .answers = {{}}, .trouble = {}};
  listings.answers[0].outcome = wire::KernelOutcome::done;
  listings.answers[0].program = program().question.slots;
  listings.outputs[0] = {true, head() +
                                   "\tloaded_at 2026-11-27T06:35:38+0000  uid 0\n"
                                   "\txlated 16B  not jited  memlock 65536B\n"};
  listings.outputs[1] = {true, head() + "   0: (b7) r0 = 1\n   1: (95) exit\n"};
  listings.outputs[2] = {false, "Error: No libbfd support\n"};
  return listings;
}

constexpr Series kFirst = {6, 1};

// What differs, by the names of known rows, but for that of the disassembler, and `new`.
std::vector<std::string> differences(const ListedProgram& of, const kernel::Listings& listings,
                                     Series series = kFirst,
                                     wire::ListingReader reader = wire::ListingReader::jit_on) {
  std::vector<std::string> names;
  for (const ListingDifference& one :
       compare_listings(std::vector{of}, listings, reader, series, show::TagHash::sha1)
           .differences) {
    names.emplace_back(one.known ? kListingDifferences[*one.known].name : "new");
  }
  std::erase(names, "no-disassembler");
  return names;
}

// What is new in them.
std::vector<ListingDifference> fresh(const kernel::Listings& listings) {
  auto found = compare_listings(std::vector{program()}, listings, wire::ListingReader::jit_off,
                                kFirst, show::TagHash::sha1)
                   .differences;
  std::erase_if(found, [](const ListingDifference& one) { return one.known.has_value(); });
  return found;
}

void replace(std::string& text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  ASSERT_NE(at, std::string::npos);
  text.replace(at, from.size(), to);
}

TEST(Listing, EqualListingsHaveNoNewDifference) {
  EXPECT_THAT(fresh(sound()), IsEmpty());
}

TEST(Listing, AnotherInstructionTagSizeOrIdIsNew) {
  for (const auto& [output, from, to] :
       std::vector<std::tuple<std::size_t, std::string, std::string>>{
           {1, "r0 = 1", "r0 = 2"},
           {1, "   1:", "   2:"},
           {1, tag(), "0123456789abcdef"},
           {0, "xlated 16B", "xlated 24B"},
           {0, "not jited", "jited 16B"},
           {0, "uid 0", "uid 1"},
           {1, "   1: (95) exit\n", "   1: (95) exit\n   2: (95) exit\n"}}) {
    kernel::Listings spoilt = sound();
    replace(spoilt.outputs[output].text, from, to);
    EXPECT_THAT(fresh(spoilt), SizeIs(1)) << from;
  }
}

TEST(Listing, AProgramTooManyOrTooFewIsNew) {
  kernel::Listings more = sound();
  more.outputs[1].text += "\n8: syscall  name main  tag " + tag() + "  gpl\n   0: (95) exit\n";
  EXPECT_THAT(fresh(more), SizeIs(1));
  kernel::Listings less = sound();
  less.outputs[1].text.clear();
  EXPECT_FALSE(fresh(less).empty());
}

TEST(Listing, ABpftoolThatFailsOrHasADisassemblerIsNew) {
  kernel::Listings failed = sound();
  failed.outputs[1].succeeded = false;
  EXPECT_THAT(fresh(failed), SizeIs(1));
  kernel::Listings with = sound();
  with.outputs[2] = {true, "0xc008000000000000:\n"};
  EXPECT_THAT(fresh(with), SizeIs(1));
}

TEST(Listing, ADifferenceHasBothLines) {
  kernel::Listings spoilt = sound();
  replace(spoilt.outputs[1].text, "r0 = 1", "r0 = 2");
  const auto found = fresh(spoilt);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].program, kId);
  EXPECT_EQ(found[0].ours, "0: (b7) r0 = 1");
  EXPECT_EQ(found[0].theirs, "0: (b7) r0 = 2");
}

// The program as a JIT has made it: two words at `kCode`, with a line for each slot.
constexpr std::uint64_t kCode = 0xc008'0000'0000'1000;
constexpr const char* kRefusal = "error in processing bpf_line_info.  continue without it.\n";

kernel::Listings jited(std::vector<kernel::LineRow> lines) {
  kernel::Listings listings = sound();
  replace(listings.outputs[0].text, "not jited", "jited 16B");
  listings.answers[0].functions = {{.address = {kCode}, .symbol = {}, .words = {0, 0, 0, 0}}};
  listings.answers[0].lines = std::move(lines);
  return listings;
}

// As libbpf says it; it asks nothing of the lines of the last function but where they begin.
TEST(Listing, LinesAreRefusedIfTheFirstIsNotWhereTheCodeBegins) {
  const kernel::Listings taken = jited({{0, {kCode}}, {1, {kCode}}});
  EXPECT_THAT(differences(program(), taken), IsEmpty());
  kernel::Listings refused = jited({{0, {kCode + 4}}, {1, {kCode + 8}}});
  EXPECT_THAT(differences(program(), refused), ElementsAre("new")) << "a refusal that is missing";
  replace(refused.outputs[1].text, "gpl\n", std::string("gpl\n") + kRefusal);
  EXPECT_THAT(differences(program(), refused), ElementsAre("lines-refused"));
  EXPECT_THAT(differences(program(), refused, {6, 0}), ElementsAre("new", "new"))
      << "nothing is known of that series, not even that there is no disassembler";
}

TEST(Listing, LinesThatAreRefusedWithoutAReasonAreNew) {
  kernel::Listings refused = jited({{0, {kCode}}, {1, {kCode + 8}}});
  EXPECT_THAT(differences(program(), refused), IsEmpty());
  replace(refused.outputs[1].text, "gpl\n", std::string("gpl\n") + kRefusal);
  EXPECT_THAT(differences(program(), refused), ElementsAre("new"));
  // Only the reader who sees addresses can be refused.
  kernel::Listings hidden = jited({{0, {kCode + 4}}, {1, {kCode + 8}}});
  EXPECT_THAT(differences(program(), hidden, kFirst, wire::ListingReader::restricted), IsEmpty());
}

// main: call f, exit; f: exit; each instruction is a line.
TEST(Listing, LinesOfAFunctionBeforeTheLastAscendAndAreWithinItsCode) {
  ListedProgram one;
  one.question.slots = {{.opcode = 0x85, .src = 1, .imm = 1}, {.opcode = 0x95}, {.opcode = 0x95}};
  one.functions = {{.name = "main", .begin = 0}, {.name = "f", .begin = 2}};
  constexpr std::uint64_t kSecond = kCode + 0x100;
  const auto found = [&](std::vector<kernel::LineRow> lines, bool refused) {
    const bpf::Program loaded{
        .slots = one.question.slots,
        .functions = {{.name = "main", .begin = 0, .end = 2}, {.name = "f", .begin = 2, .end = 3}}};
    const auto tags = show::tags(loaded, std::endian::little, show::TagHash::sha1);
    kernel::Listings listings = sound();
    const std::string head = "7: syscall  name main  tag " + to_string(tags.program) + "  gpl\n";
    listings.answers[0].program = one.question.slots;
    listings.answers[0].program[0].offset = 1;
    listings.answers[0].functions = {{.address = {kCode}, .symbol = {}, .words = {0, 0}},
                                     {.address = {kSecond}, .symbol = {}, .words = {0, 0}}};
    listings.answers[0].lines = std::move(lines);
    listings.outputs[0].text = head +
                               "\tloaded_at 2026-11-27T06:35:38+0000  uid 0\n"
                               "\txlated 24B  jited 16B  memlock 65536B\n";
    listings.outputs[1].text = head + (refused ? kRefusal : "") + "   0: (85) call pc+1#bpf_prog_" +
                               to_string(tags.functions[1]) +
                               "_F\n   1: (95) exit\n   2: (95) exit\n";
    return differences(one, listings);
  };
  EXPECT_THAT(found({{0, {kCode}}, {1, {kCode + 4}}, {2, {kSecond}}}, false), IsEmpty());
  EXPECT_THAT(found({{0, {kCode}}, {1, {kCode}}, {2, {kSecond}}}, true),
              ElementsAre("lines-refused"));
  EXPECT_THAT(found({{0, {kCode}}, {1, {kCode + 8}}, {2, {kSecond}}}, true),
              ElementsAre("lines-refused"));
  EXPECT_THAT(found({{0, {kCode}}, {1, {kCode + 4}}, {2, {kSecond + 4}}}, true),
              ElementsAre("lines-refused"));
}

// main calls f, which is further away than 16 bits say.
struct FarCall {
  static constexpr std::int32_t kDistance = 40'000;

  ListedProgram one;
  std::string tag_of_main;
  std::string symbol;

  FarCall() {
    one.question.slots = {{.opcode = 0x85, .src = 1, .imm = kDistance}};
    one.question.slots.resize(kDistance, {.opcode = 0xb7, .imm = 1});
    one.question.slots.push_back({.opcode = 0x95});
    one.question.slots.push_back({.opcode = 0x95});
    one.functions = {{.name = "main", .begin = 0}, {.name = "f", .begin = kDistance + 1}};
    const bpf::Program loaded{
        .slots = one.question.slots,
        .functions = {{.name = "main", .begin = 0, .end = kDistance + 1},
                      {.name = "f", .begin = kDistance + 1, .end = kDistance + 2}}};
    const auto tags = show::tags(loaded, std::endian::little, show::TagHash::sha1);
    tag_of_main = to_string(tags.program);
    symbol = "bpf_prog_" + to_string(tags.functions[1]) + "_F";
  }

  // If the dump has that imm, and bpftool that after `call pc`.
  std::vector<std::string> found(Series series, std::int32_t imm, const std::string& call) const {
    kernel::Listings listings = sound();
    const std::string head = "7: syscall  name main  tag " + tag_of_main + "  gpl\n";
    listings.answers[0].program = one.question.slots;
    listings.answers[0].program[0].imm = imm;
    listings.outputs[0].text = head + "\tloaded_at 2026  uid 0\n\txlated " +
                               std::to_string(one.question.slots.size() * 8) +
                               "B  not jited  memlock 65536B\n";
    listings.outputs[1].text = head + "   0: (85) call pc" + call + "\n";
    for (std::int32_t i = 1; i < kDistance; ++i) {
      listings.outputs[1].text += "   " + std::to_string(i) + ": (b7) r0 = 1\n";
    }
    for (std::int32_t i = kDistance; i < kDistance + 2; ++i) {
      listings.outputs[1].text += "   " + std::to_string(i) + ": (95) exit\n";
    }
    return differences(one, listings, series);
  }
};

TEST(Listing, ACallThatIsTooFarIsKnownAsItsSeriesPrintsIt) {
  const FarCall far;
  const std::string cut = "-25536#";
  EXPECT_THAT(far.found({6, 12}, 1, "+40000#" + far.symbol), IsEmpty());
  EXPECT_THAT(far.found({6, 12}, -2, cut + "0xc0000000002f0c9e"), ElementsAre("far-call-cut-off"));
  EXPECT_THAT(far.found({6, 12}, 1, cut + far.symbol), ElementsAre("far-call-cut-off"));
  EXPECT_THAT(far.found({7, 2}, 1, "+0#" + far.symbol), ElementsAre("far-call-zero"));
}

TEST(Listing, ACallThatIsTooFarIsNewAsNoKernelPrintsIt) {
  const FarCall far;
  const std::string cut = "-25536#";
  EXPECT_THAT(far.found({7, 2}, 1, cut + far.symbol), ElementsAre("new")) << "another series";
  EXPECT_THAT(far.found({6, 12}, 1, "+0#" + far.symbol), ElementsAre("new")) << "another series";
  EXPECT_THAT(far.found({6, 12}, 1, cut + "0xc0000000002f0c9e"), ElementsAre("new"))
      << "the dump has a callee";
  EXPECT_THAT(far.found({6, 12}, -2, "-25535#0xc0000000002f0c9e"), ElementsAre("new"))
      << "another distance";
  EXPECT_THAT(far.found({7, 2}, 1, "+0#bpf_prog_0123456789abcdef_F"), ElementsAre("new"))
      << "another callee";
}

// main calls f, whose address is that of a symbol of the kernel's modulo 2^32.
TEST(Listing, ANameOfASymbolWithTheSameLowAddressIsKnown) {
  ListedProgram one;
  one.question.slots = {{.opcode = 0x85, .src = 1, .imm = 1}, {.opcode = 0x95}, {.opcode = 0x95}};
  one.functions = {{.name = "main", .begin = 0}, {.name = "f", .begin = 2}};
  const bpf::Program loaded{
      .slots = one.question.slots,
      .functions = {{.name = "main", .begin = 0, .end = 2}, {.name = "f", .begin = 2, .end = 3}}};
  const auto tags = show::tags(loaded, std::endian::little, show::TagHash::sha1);
  const std::string callee = "bpf_prog_" + to_string(tags.functions[1]) + "_F";
  const auto found = [&](const std::string& named, Series series = kFirst) {
    kernel::Listings listings = sound();
    const std::string head = "7: syscall  name main  tag " + to_string(tags.program) + "  gpl\n";
    listings.symbols =
        "c000000000001000 T kernfs_get\n"
        "c000000000001004 T kernfs_put\n"
        "c008000000001000 t " +
        callee + "\t[bpf]\n";
    listings.answers[0].program = one.question.slots;
    listings.answers[0].functions = {
        {.address = {kCode + 0x1000}, .symbol = "bpf_prog_main", .words = {0, 0}},
        {.address = {kCode}, .symbol = callee, .words = {0, 0}}};
    listings.outputs[0].text =
        head + "\tloaded_at 2026  uid 0\n\txlated 24B  jited 16B  memlock 65536B\n";
    listings.outputs[1].text =
        head + "   0: (85) call pc+1#" + named + "\n   1: (95) exit\n   2: (95) exit\n";
    return differences(one, listings, series);
  };
  EXPECT_THAT(found(callee), IsEmpty());
  EXPECT_THAT(found("kernfs_get"), ElementsAre("names-collide"));
  EXPECT_THAT(found("kernfs_put"), ElementsAre("new")) << "of another address";
  EXPECT_THAT(found("kernfs_get", {6, 0}), testing::Contains("new")) << "of no known series";
}

TEST(Listing, OfAProgramWithoutItsFunctionsInstructionsAreNotCompared) {
  ListedProgram one = program();
  one.functions.push_back({.name = "f", .begin = 1});
  kernel::Listings listings = sound();
  listings.answers[0].program = {{.opcode = 0x95}};
  replace(listings.outputs[0].text, "xlated 16B", "xlated 8B");
  EXPECT_THAT(differences(one, listings), ElementsAre("rewritten", "functions-removed"));
  const auto found = compare_listings(std::vector{one}, listings, wire::ListingReader::jit_on,
                                      kFirst, show::TagHash::sha1);
  EXPECT_EQ(found.programs, 1);
  EXPECT_EQ(found.listed, 0);
}

}  // namespace
}  // namespace farcall::stock::listing_test

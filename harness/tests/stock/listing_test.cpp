#include "stock/listing.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace farcall::stock::listing_test {
namespace {

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
  kernel::Listings listings{.outputs = {}, .ids = {kId}, .answers = {{}}, .trouble = {}};
  listings.answers[0].outcome = wire::KernelOutcome::done;
  listings.answers[0].program = program().question.slots;
  listings.outputs[0] = {true, head() +
                                   "\tloaded_at 2026-11-27T06:35:38+0000  uid 0\n"
                                   "\txlated 16B  not jited  memlock 65536B\n"};
  listings.outputs[1] = {true, head() + "   0: (b7) r0 = 1\n   1: (95) exit\n"};
  listings.outputs[2] = {false, "Error: No libbfd support\n"};
  return listings;
}

// What is new in them.
std::vector<ListingDifference> fresh(const kernel::Listings& listings) {
  auto found = compare_listings(std::vector{program()}, listings, wire::ListingReader::jit_off,
                                show::TagHash::sha1)
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

TEST(Listing, LinesThatAreRefusedWithoutAReasonAreNew) {
  kernel::Listings refused = sound();
  replace(refused.outputs[1].text, "gpl\n",
          "gpl\nerror in processing bpf_line_info.  continue without it.\n");
  EXPECT_THAT(fresh(refused), SizeIs(1));
}

}  // namespace
}  // namespace farcall::stock::listing_test

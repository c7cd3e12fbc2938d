#include "decode/call_sites.hpp"

#include <gtest/gtest.h>

#include <random>

#include "ppc64/encoder.hpp"

namespace farcall::decode::call_sites_test {
namespace {

using ppc64::CrBit;
using ppc64::encode;
using ppc64::kZero;
using ppc64::Op;
using enum ppc64::Gpr;

constexpr std::uint64_t kAt = 0xc008000000001000;
constexpr std::uint32_t kBctrl = 0x4e800421;
constexpr std::uint32_t kBlrl = 0x4e800021;
constexpr std::uint32_t kBlr = 0x4e800020;
constexpr std::uint32_t kMtctrR12 = 0x7d8903a6;
constexpr std::uint32_t kUnknownWord = 0;

using Words = std::vector<std::uint32_t>;

std::vector<model::DecodedCall> sites_of(const Words& words) {
  model::CodeImage image;
  image.functions.push_back({"f", {kAt}, words, {}});
  return call_sites(image, {});
}

std::string text(const std::optional<GuestAddress>& target) {
  return target ? to_string(*target) : "unknown";
}

TEST(MadePointers, AreAddressesOfFunctionsInRegisters) {
  model::CodeImage image;
  image.functions.push_back({"f",
                             {kAt},
                             {encode<Op::addis>(r4, kZero, -16376),
                              encode<Op::rldicr>(r4, r4, 32, 31), encode<Op::ori>(r4, r4, 0x2000),
                              encode<Op::addi>(r5, r4, 4), encode<Op::addi>(r6, r5, -4), kBlr},
                             {}});
  image.functions.push_back({"g", {0xc008000000002000}, {kBlr}, {}});
  EXPECT_EQ(made_pointers(image, {}),
            (std::vector<MadePointer>{{.function = 0, .at = {kAt + 8}, .gpr = 4, .pointee = 1},
                                      {.function = 0, .at = {kAt + 16}, .gpr = 6, .pointee = 1}}));
}

// The target of the only call in `words`.
std::string only_target(const Words& words) {
  const auto sites = sites_of(words);
  return sites.size() == 1 ? text(sites[0].target) : std::to_string(sites.size()) + " sites";
}

Words operator+(Words first, const Words& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

const Words kLoad = {encode<Op::addis>(r12, kZero, -16376), encode<Op::rldicr>(r12, r12, 32, 31),
                     encode<Op::oris>(r12, r12, 57), encode<Op::ori>(r12, r12, 25196)};
const Words kCall = {kMtctrR12, kBctrl};
constexpr const char* kLoaded = "c00800000039626c";

// The sequence that Linux 6.1 emits for a call.
TEST(CallSites, LinuxSequence) {
  const auto sites = sites_of(kLoad + Words{0x60000000} + kCall);
  ASSERT_EQ(sites.size(), 1U);
  EXPECT_EQ(sites[0].at, GuestAddress{kAt + 24});
  EXPECT_EQ(sites[0].site, (bpf::CallSite{0, 0}));
  EXPECT_EQ(text(sites[0].target), kLoaded);
}

TEST(CallSites, AnyWayToMakeTheAddress) {
  const Words halves = {encode<Op::addis>(r3, kZero, -16376), encode<Op::ori>(r3, r3, 1),
                        encode<Op::addis>(r4, kZero, 0x12),   encode<Op::addi>(r4, r4, -4),
                        encode<Op::rldicr>(r3, r3, 32, 31),   encode<Op::add>(r12, r3, r4)};
  EXPECT_EQ(only_target(halves + kCall), "c00800010011fffc");
  const Words masked = {encode<Op::addi>(r5, kZero, -4), encode<Op::rldicl>(r12, r5, 0, 32)};
  EXPECT_EQ(only_target(masked + kCall), "00000000fffffffc");
  const Words xored = {encode<Op::addi>(r12, kZero, -1), encode<Op::xori>(r12, r12, 3),
                       encode<Op::xoris>(r12, r12, 0xffff)};
  EXPECT_EQ(only_target(xored + kCall), "ffffffff0000fffc");
  EXPECT_EQ(
      only_target(kLoad + Words{encode<Op::or_>(r11, r12, r12), encode<Op::addi>(r12, kZero, 0),
                                encode<Op::mtctr>(r11), kBctrl}),
      kLoaded);
  EXPECT_EQ(only_target(kLoad + Words{encode<Op::mtlr>(r12), kBlrl}), kLoaded);
  EXPECT_EQ(only_target(kLoad + Words{encode<Op::mtctr>(r12), encode<Op::mfctr>(r9),
                                      encode<Op::mtlr>(r9), kBlrl}),
            kLoaded);
}

// At a word that a jump table leads to, r12 may be anything.
TEST(CallSites, WhereATableLeadsNothingIsKnown) {
  model::CodeImage image;
  image.functions.push_back({"f", {kAt}, kLoad + kCall, {}});
  ASSERT_EQ(text(call_sites(image, {}).at(0).target), kLoaded);
  image.code_pointers.push_back({.region = "t", .offset = 0, .address = {kAt + 16}});
  EXPECT_EQ(text(call_sites(image, {}).at(0).target), "unknown");
}

// The CPU drops them, who reads the bytes does not: check/ compares.
TEST(CallSites, TheLowestTwoBitsAreTold) {
  EXPECT_EQ(only_target(Words{encode<Op::addi>(r12, kZero, 0x1003)} + kCall), "0000000000001003");
}

TEST(CallSites, R0AsBaseIsZero) {
  EXPECT_EQ(only_target({encode<Op::addi>(r3, kZero, 8), encode<Op::or_>(r0, r3, r3),
                         encode<Op::addi>(r12, kZero, 16), kMtctrR12, kBctrl}),
            "0000000000000010");
}

TEST(CallSites, DirectBranches) {
  EXPECT_EQ(only_target({encode<Op::bl>(-8)}), "c008000000000ff8");
  EXPECT_EQ(only_target({encode<Op::bla>(-4)}), "fffffffffffffffc");
  EXPECT_EQ(only_target({encode<Op::bla>(0x100)}), "0000000000000100");
  EXPECT_EQ(only_target({encode<Op::bcl>(20, CrBit{2}, 0x100)}), "c008000000001100");
  EXPECT_EQ(only_target({encode<Op::bcla>(20, CrBit{2}, -4)}), "fffffffffffffffc");
}

TEST(CallSites, ConditionalOnesAreSitesToo) {
  EXPECT_EQ(only_target({encode<Op::bcl>(12, CrBit{2}, 0x100)}), "unknown");
  EXPECT_EQ(only_target(kLoad + Words{kMtctrR12, encode<Op::bcctrl>(12, CrBit{2}, 0)}), "unknown");
  EXPECT_EQ(only_target(kLoad + Words{kMtctrR12, encode<Op::bcctrl>(16, CrBit{2}, 0)}), "unknown");
  EXPECT_EQ(only_target(kLoad + Words{kMtctrR12, encode<Op::bcctrl>(20, CrBit{0}, 1)}), kLoaded);
}

TEST(CallSites, BranchesWithoutLinkAreNone) {
  EXPECT_TRUE(sites_of({kBlr, encode<Op::b>(8), encode<Op::bc>(12, CrBit{0}, 8)}).empty());
}

TEST(CallSites, ButATailCallIsOne) {
  constexpr std::uint32_t kBctr = 0x4e800420;
  EXPECT_EQ(only_target({kBctr}), "unknown");
  EXPECT_EQ(only_target(kLoad + Words{kMtctrR12, kBctr}), kLoaded);
  EXPECT_EQ(sites_of({kBctr, encode<Op::bl>(8), kBctr}).size(), 3U);
}

TEST(CallSites, ReadingOnesOwnAddressIsNone) {
  // bcl 20,31,$+4; mflr r11; addi r12,r11,0x100
  const Words words = {0x429f0005, encode<Op::mflr>(r11), encode<Op::addi>(r12, r11, 0x100)};
  EXPECT_EQ(only_target(words + kCall), "c008000000001104");
}

TEST(CallSites, WhatTheBytesDoNotFix) {
  EXPECT_EQ(only_target(kCall), "unknown");
  EXPECT_EQ(only_target(Words{encode<Op::ld>(r12, 8, r3)} + kCall), "unknown");
  EXPECT_EQ(only_target(kLoad + Words{encode<Op::add>(r12, r12, r3)} + kCall), "unknown");
  EXPECT_EQ(only_target(kLoad + Words{encode<Op::isel>(r12, r12, r3, CrBit{2})} + kCall),
            "unknown");
  EXPECT_EQ(only_target(kLoad + Words{encode<Op::divdu>(r12, r12, r12)} + kCall), "unknown");
  EXPECT_EQ(only_target(kLoad + Words{encode<Op::ldu>(r3, 8, r12)} + kCall), "unknown");
}

TEST(CallSites, UnknownWordsMakeEverythingUnknown) {
  EXPECT_EQ(only_target(kLoad + Words{kUnknownWord} + kCall), "unknown");
  EXPECT_EQ(only_target(kLoad + kCall), kLoaded);
}

// plwz r12,… of power10, which the table does not have: its second half looks like lwz r12.
TEST(CallSites, HalfOfAPrefixedInstructionIsNoInstruction) {
  const Words plwz = {0x06100000, encode<Op::lwz>(r12, 0x100, kZero)};
  EXPECT_EQ(only_target(kLoad + plwz + kCall), "unknown");
  EXPECT_EQ(only_target({0x06100000, encode<Op::bl>(8)}), "0 sites");
  // Unless something jumps right into it.
  EXPECT_EQ(only_target({encode<Op::bc>(12, CrBit{0}, 8), 0x06100000, encode<Op::bl>(8)}),
            "c008000000001010");
  EXPECT_TRUE(sites_of({0x06100000}).empty());
}

// Words by hand from Power ISA 3.1: prefix 000001 10 000 R .. d0, suffix of addi.
constexpr std::uint32_t kPla = 0x06100000;
constexpr std::uint32_t kAddiR12 = 0x39800000;

TEST(CallSites, PcRelative) {
  EXPECT_EQ(only_target(Words{kPla, kAddiR12 | 0x100} + kCall), "c008000000001100");
  EXPECT_EQ(only_target(Words{kPla | 0x3ffff, kAddiR12 | 0xfffc} + kCall), "c008000000000ffc");
  EXPECT_EQ(only_target(Words{kPla | 0x1ffff, kAddiR12 | 0xfffc} + kCall), "c008000200000ffc");
  EXPECT_EQ(only_target(Words{kPla | 0x20000, kAddiR12} + kCall), "c007fffe00001000");
  // From where it stands, not from the function.
  EXPECT_EQ(only_target(kLoad + Words{kPla, kAddiR12 | 0x100} + kCall), "c008000000001110");
  // pli r12, and paddi r12,r12.
  EXPECT_EQ(only_target(Words{0x06000001, kAddiR12 | 0x8000} + kCall), "0000000000018000");
  EXPECT_EQ(only_target(kLoad + Words{0x06000001, 0x398c8000} + kCall), "c0080000003ae26c");
  EXPECT_EQ(only_target(Words{0x06000001, 0x398c8000} + kCall), "unknown");
  // R and RA together are not an instruction.
  EXPECT_EQ(only_target(kLoad + Words{kPla, 0x398c0000} + kCall), "unknown");
}

TEST(CallSites, APrefixedInstructionThatCrosses64BytesIsNone) {
  constexpr std::uint32_t kNop = 0x60000000;
  const Words nops(14, kNop);
  EXPECT_EQ(only_target(nops + Words{kPla, kAddiR12} + kCall), "c008000000001038");
  EXPECT_EQ(only_target(nops + Words{kNop, kPla, kAddiR12} + kCall), "unknown");
  EXPECT_EQ(only_target(nops + Words{kNop, kNop, kPla, kAddiR12} + kCall), "c008000000001040");
}

std::string only_target_with_toc(const Words& words, std::uint64_t toc) {
  model::CodeImage image;
  image.functions.push_back({"f", {kAt}, words, {}});
  const auto sites = call_sites(image, {.toc = GuestAddress{toc}});
  return text(sites.back().target);
}

TEST(CallSites, RelativeToTheToc) {
  const Words far = {encode<Op::addis>(r12, r2, 0x7fff), encode<Op::addi>(r12, r12, 0x7fff)};
  const Words below = {encode<Op::addis>(r12, r2, -0x8000), encode<Op::addi>(r12, r12, -0x8000)};
  EXPECT_EQ(only_target(far + kCall), "unknown");
  EXPECT_EQ(only_target_with_toc(far + kCall, 0xc000000001800000), "c0000000817f7fff");
  EXPECT_EQ(only_target_with_toc(below + kCall, 0xc000000001800000), "bfffffff817f8000");
  // Behind a call, and where other code jumps to: r2 is the same everywhere.
  EXPECT_EQ(only_target_with_toc(far + kCall + far + kCall, 0x1000), "000000007fff8fff");
  EXPECT_EQ(only_target_with_toc(Words{encode<Op::bc>(12, CrBit{0}, 4)} + far + kCall, 0x1000),
            "000000007fff8fff");
  // What is written there stays through a call, but is not known where other code jumps to.
  const Words writes = {encode<Op::addi>(r2, r2, 4)};
  const Words join = {encode<Op::bc>(12, CrBit{0}, 4)};
  EXPECT_EQ(only_target_with_toc(writes + far + kCall, 0x1000), "000000007fff9003");
  EXPECT_EQ(only_target_with_toc(writes + far + kCall + far + kCall, 0x1000), "000000007fff9003");
  EXPECT_EQ(only_target_with_toc(writes + join + far + kCall, 0x1000), "unknown");
  EXPECT_EQ(only_target_with_toc(join + far + kCall + writes + join, 0x1000), "unknown");
  EXPECT_EQ(only_target_with_toc(Words{encode<Op::or_>(r2, r2, r2)} + join + far + kCall, 0x1000),
            "000000007fff8fff");
}

// Around a call through a descriptor, r2 is in the frame.
TEST(CallSites, ASavedTocComesBack) {
  const Words far = {encode<Op::addis>(r12, r2, 0x7fff), encode<Op::addi>(r12, r12, 0x7fff)};
  const Words join = {encode<Op::bc>(12, CrBit{0}, 4)};
  const Words save = {encode<Op::std_>(r2, 40, r1)};
  const Words other = {encode<Op::ld>(r2, 8, r11)};
  const Words restore = {encode<Op::ld>(r2, 40, r1)};
  const Words with_other = save + other + kCall;
  const auto then_far = [&](const Words& words) {
    return only_target_with_toc(words + far + kCall, 0x1000);
  };
  EXPECT_EQ(then_far(with_other), "unknown");
  EXPECT_EQ(then_far(with_other + restore), "000000007fff8fff");
  EXPECT_EQ(then_far(with_other + restore + join), "000000007fff8fff");
  EXPECT_EQ(then_far(with_other + join + restore), "unknown");  // a way to it that did not save
  EXPECT_EQ(then_far(with_other + Words{encode<Op::ld>(r2, 48, r1)}), "unknown");
  EXPECT_EQ(then_far(with_other + Words{encode<Op::std_>(r11, 40, r1)} + restore), "unknown");
  EXPECT_EQ(then_far(save + Words{encode<Op::stdu>(r1, -64, r1)} + other + kCall + restore),
            "unknown");
  EXPECT_EQ(then_far(kCall + restore), "unknown");
}

// f calls g by its descriptor, as compilers do it for ELFv1.
TEST(CallSites, ThroughADescriptor) {
  constexpr std::uint64_t kG = 0xc00800000012a468;
  const Words load = {encode<Op::addis>(r11, kZero, -16376), encode<Op::rldicr>(r11, r11, 32, 31),
                      encode<Op::oris>(r11, r11, 0x12),      encode<Op::ori>(r11, r11, 0xa468),
                      encode<Op::ld>(r12, 0, r11),           encode<Op::ld>(r2, 8, r11)};
  const Words relative = {encode<Op::addis>(r12, r2, 1), encode<Op::addi>(r12, r12, -4)};
  model::CodeImage image;
  image.functions.push_back({"f", {kAt}, load + kCall, {}});
  image.functions.push_back(
      {"g",
       {kG},
       Words{0xc0080000, 0x0012a480, 0xc0000000, 0x01800000, 0, 0} + relative + kCall,
       {},
       model::kDescriptorWords});
  auto sites = call_sites(image, {.endian = model::Endian::big, .toc = GuestAddress{0x1000}});
  ASSERT_EQ(sites.size(), 2U);
  EXPECT_EQ(text(sites[0].target), "c00800000012a480");
  // g's own r2 is what its descriptor says.
  EXPECT_EQ(text(sites[1].target), "c00000000180fffc");
  EXPECT_EQ(sites[1].at, GuestAddress{kG + 24 + 12});
  // The same bytes mean another doubleword to a little-endian CPU.
  sites = call_sites(image, {.endian = model::Endian::little});
  EXPECT_EQ(text(sites[0].target), "0012a480c0080000");
  // What is outside the image may be anything.
  image.functions[1].address = {kG + 4};
  sites = call_sites(image, {.endian = model::Endian::big});
  EXPECT_EQ(text(sites[0].target), "unknown");
}

// The words of a descriptor are data, whatever they look like.
TEST(CallSites, ADescriptorHoldsNoCode) {
  model::CodeImage image;
  image.functions.push_back(
      {"f", {kAt}, Words{kBctrl, kBctrl, kBctrl, kBctrl, 0, 0} + Words{kBctrl}, {}, 6});
  const auto sites = call_sites(image, {.endian = model::Endian::big});
  ASSERT_EQ(sites.size(), 1U);
  EXPECT_EQ(sites[0].at, GuestAddress{kAt + 24});
}

TEST(CallSites, NothingIsKnownWhereOtherCodeJumpsTo) {
  // beq over one of the words: r12 has two possible values.
  const Words skips = {encode<Op::addi>(r12, kZero, 0x100), encode<Op::bc>(12, CrBit{2}, 8),
                       encode<Op::addi>(r12, kZero, 0x200)};
  EXPECT_EQ(only_target(skips + kCall), "unknown");
  // The same branch to somewhere else leaves only one.
  const Words leaves = {encode<Op::addi>(r12, kZero, 0x100), encode<Op::bc>(12, CrBit{2}, 0x1000),
                        encode<Op::addi>(r12, kZero, 0x200)};
  EXPECT_EQ(only_target(leaves + kCall), "0000000000000200");
  // From after the call, and from another function.
  EXPECT_EQ(only_target(kLoad + kCall + Words{encode<Op::b>(-8)}), "unknown");
  model::CodeImage image;
  image.functions.push_back({"f", {kAt}, kLoad + kCall, {}});
  image.functions.push_back({"g", {kAt + 0x100}, {encode<Op::b>(-0x100 + 16)}, {}});
  EXPECT_EQ(text(call_sites(image, {}).at(0).target), "unknown");
}

TEST(CallSites, NothingIsKnownAfterABranchThatIsAlwaysTaken) {
  EXPECT_EQ(only_target(kLoad + Words{encode<Op::b>(0x1000)} + kCall), "unknown");
  EXPECT_EQ(only_target(kLoad + Words{kBlr} + kCall), "unknown");
  EXPECT_EQ(only_target(kLoad + Words{encode<Op::bclr>(12, CrBit{2}, 0)} + kCall), kLoaded);
}

TEST(CallSites, CallsKeepOnlyWhatTheAbiPreserves) {
  const Words first = kLoad + Words{encode<Op::or_>(r30, r12, r12)} + kCall;
  auto sites = sites_of(first + kCall);
  ASSERT_EQ(sites.size(), 2U);
  EXPECT_EQ(text(sites[1].target), "unknown");
  EXPECT_EQ(sites[1].site, (bpf::CallSite{0, 1}));
  sites = sites_of(first + Words{kBctrl});
  EXPECT_EQ(text(sites[1].target), "unknown");
  sites = sites_of(first + Words{encode<Op::mtctr>(r30), kBctrl});
  EXPECT_EQ(text(sites[1].target), kLoaded);
}

TEST(CallSites, CountingDownCtrChangesIt) {
  const Words counts = kLoad + Words{kMtctrR12, encode<Op::bc>(16, CrBit{0}, 0x1000), kBctrl};
  EXPECT_EQ(only_target(counts), "unknown");
}

TEST(CallSites, FunctionsDoNotShareKnowledge) {
  model::CodeImage image;
  image.functions.push_back({"f", {kAt}, kLoad, {}});
  image.functions.push_back({"g", {kAt + 16}, kCall, {}});
  const auto sites = call_sites(image, {});
  ASSERT_EQ(sites.size(), 1U);
  EXPECT_EQ(sites[0].site, (bpf::CallSite{1, 0}));
  EXPECT_FALSE(sites[0].target);
}

TEST(CallSites, AnyWordsAreDecoded) {
  std::mt19937 random(7);
  std::size_t sites = 0;
  std::size_t known = 0;
  for (int run = 0; run < 300; ++run) {
    model::CodeImage image;
    for (std::uint64_t f = 0; f < 3; ++f) {
      Words words(random() % 200);
      for (std::uint32_t& word : words) {
        // Half of them instructions of the table, with random operands.
        const ppc64::Instruction& row =
            ppc64::kInstructions[random() % ppc64::kInstructions.size()];
        const auto bits = static_cast<std::uint32_t>(random());
        word = random() % 2 == 0 ? bits : row.encoding.match | (bits & ~row.encoding.mask);
      }
      image.functions.push_back({"f", {random() * f * 0x123456789U}, words, {}});
    }
    std::optional<model::DecodedCall> before;
    for (const model::DecodedCall& call : call_sites(image, {})) {
      const model::CodeFunction& in = image.functions.at(call.site.function);
      const std::uint32_t word = in.words.at((call.at.value - in.address.value) / 4);
      EXPECT_TRUE((word & 1) != 0 || ppc64::find(word)->op == Op::bcctr);  // LK, or a tail call
      EXPECT_TRUE(!before || before->site < call.site);
      before = call;
      ++sites;
      known += call.target.has_value();
    }
  }
  EXPECT_GT(sites, 1000U);
  EXPECT_GT(known, 100U);
}

}  // namespace
}  // namespace farcall::decode::call_sites_test

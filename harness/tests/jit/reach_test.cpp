// Every reach, at and beyond its limits: what compile() says of each target, and where the words
// that it emits go, by the decoder.
#include "jit/reach.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "decode/call_sites.hpp"
#include "jit/compile.hpp"
#include "support.hpp"

namespace farcall::jit::reach_test {
namespace {

using model::Abi;
using model::Cpu;
using model::Endian;
using model::Reach;

constexpr std::string_view kCaller =
    "mov %r6, %r1\n"
    "call local callee\n"
    "add %r0, %r6\n"
    "exit\n"
    "callee:\n"
    "mov %r0, 1\n"
    "exit\n";

// Worked out from the instructions' fields, not taken from the table; in bytes from the origin,
// word aligned.
struct Limits {
  Reach reach;
  std::int64_t lowest;
  std::int64_t highest;
};
constexpr std::array kLimits = {
    Limits{Reach::bl, -33'554'432, 33'554'428},
    Limits{Reach::toc, -2'147'516'416, 2'147'450'876},
    Limits{Reach::pcrel, -8'589'934'592, 8'589'934'588},
};

constexpr std::uint64_t kToc = 0xc008'1000'0000'0000;

struct Variant {
  Endian endian;
  Abi abi;
};
constexpr std::array kVariants = {Variant{Endian::little, Abi::elfv2},
                                  Variant{Endian::big, Abi::elfv2},
                                  Variant{Endian::big, Abi::elfv1}};

model::AxisValues axes_of(Reach reach, const Variant& variant) {
  return {.endian = variant.endian, .cpu = Cpu::power10, .abi = variant.abi, .reach = reach};
}

std::uint64_t code_offset(const Variant& variant) {
  return variant.abi == Abi::elfv1 ? 24 : 0;
}

Result<model::CodeImage> compiled(const model::AxisValues& axes, std::uint64_t caller,
                                  std::uint64_t callee) {
  model::LinkedProgram program = linked(kCaller, {{caller}, {callee}});
  program.toc = {kToc};
  return compile(program, axes);
}

// The address that `reach` counts from, in a caller at `caller`, found in the words of one whose
// callee is near: bl itself, the prefix of pla, or the TOC pointer.
std::uint64_t origin_of(const model::AxisValues& axes, std::uint64_t caller) {
  if (axes.reach == Reach::toc) {
    return kToc;
  }
  const auto image = compiled(axes, caller, caller + 0x1000);
  const model::CodeFunction& function = image.value().functions[0];
  for (std::size_t i = function.descriptor_words; i < function.words.size(); ++i) {
    const std::uint32_t opcode = function.words[i] >> 26;
    if (opcode == (axes.reach == Reach::bl ? 18U : 1U)) {
      return caller + i * 4;
    }
  }
  throw std::runtime_error("no call");
}

// Nine targets around a limit: the callee's code there, or refused there.
void check_limit(const Limits& limits, std::int64_t limit, const Variant& variant,
                 std::uint64_t caller) {
  const model::AxisValues axes = axes_of(limits.reach, variant);
  const std::uint64_t origin = origin_of(axes, caller);
  int refused = 0;
  for (std::int64_t step = -4; step <= 4; ++step) {
    const std::int64_t distance = limit + step * 4;
    const std::uint64_t target = origin + static_cast<std::uint64_t>(distance);
    const auto image = compiled(axes, caller, target - code_offset(variant));
    const bool in_reach = distance >= limits.lowest && distance <= limits.highest;
    const std::string what = fmt::format("{:#x} from {:#x}", distance, origin);
    ASSERT_EQ(image.has_value(), in_reach) << what;
    if (!in_reach) {
      ++refused;
      EXPECT_EQ(image.error().code, ErrorCode::call_out_of_range);
      EXPECT_EQ(image.error().site, "main[0]");
      const std::string& message = image.error().message;
      EXPECT_NE(message.find(to_string(GuestAddress{target})), std::string::npos) << message;
      EXPECT_NE(message.find(to_string(GuestAddress{origin})), std::string::npos) << message;
      continue;
    }
    EXPECT_EQ(image.value().calls.at(0).callee->target, GuestAddress{target});
    const auto sites =
        decode::call_sites(image.value(), {.endian = variant.endian, .toc = GuestAddress{kToc}});
    ASSERT_EQ(sites.size(), 1U) << what;
    EXPECT_EQ(sites[0].at, image.value().calls[0].at) << what;
    EXPECT_EQ(sites[0].target, GuestAddress{target}) << what;
  }
  EXPECT_EQ(refused, 4);
}

TEST(Reach, EveryTargetAroundEveryLimit) {
  for (const Variant& variant : kVariants) {
    for (const Limits& limits : kLimits) {
      // pla is padded by where it stands: 16 places cover all.
      for (std::uint64_t at = 0; at < 64; at += 4) {
        const std::uint64_t caller = 0xc008'0100'0001'0000 + at;
        check_limit(limits, limits.lowest, variant, caller);
        check_limit(limits, limits.highest, variant, caller);
      }
    }
  }
}

// Row 48 of FAULTS.md: the high half would wrap.
TEST(Reach, TheTocReachEndsWhereTheCarryWraps) {
  const model::AxisValues axes = axes_of(Reach::toc, kVariants[0]);
  for (const std::uint64_t distance : {0x7fff8000ULL, 0x7fffc000ULL, 0x7ffffffcULL}) {
    EXPECT_FALSE(compiled(axes, 0xc008'0000'0001'0000, kToc + distance)) << distance;
  }
}

// Every 16-bit field of an address and of a distance: 0, small, negative as a signed one, all ones.
TEST(Reach, EveryFieldOfAnAddress) {
  constexpr std::array<std::uint64_t, 5> kFields = {0, 0x14, 0x7ffc, 0x8000, 0xfffc};
  for (const Variant& variant : kVariants) {
    for (const ReachInfo& reach : kReaches) {
      const model::AxisValues axes = axes_of(reach.reach, variant);
      std::size_t reached = 0;
      for (std::size_t mix = 0; mix < 625; ++mix) {
        const std::uint64_t callee = kFields[mix % 5] | kFields[mix / 5 % 5] << 16 |
                                     kFields[mix / 25 % 5] << 32 | kFields[mix / 125] << 48;
        const auto image = compiled(axes, 0xc008'0fff'ffff'0000, callee);
        if (!image) {
          continue;  // out of reach, or where the caller is
        }
        ++reached;
        const auto sites = decode::call_sites(
            image.value(), {.endian = variant.endian, .toc = GuestAddress{kToc}});
        ASSERT_EQ(sites.size(), 1U);
        ASSERT_EQ(sites[0].target, GuestAddress{callee + code_offset(variant)});
      }
      // None of the fields is 0xc008, so only the reach that gets anywhere gets there.
      EXPECT_EQ(reached > 600, reach.reach == Reach::abs64);
    }
  }
}

TEST(Reach, DistancesWrapAtTheEndOfTheAddressSpace) {
  const model::AxisValues axes = axes_of(Reach::bl, kVariants[0]);
  const auto image = compiled(axes, 0x1000, 0xffff'ffff'ffff'0000);
  ASSERT_TRUE(image);
  EXPECT_EQ(decode::call_sites(image.value(), {}).at(0).target, GuestAddress{0xffffffffffff0000});
}

// The sequences word by word, written down by hand.
TEST(Reach, Sequences) {
  const auto call_of = [](Reach reach, const Variant& variant, std::uint64_t at,
                          std::uint64_t callee) {
    const auto image = compiled(axes_of(reach, variant), at, callee);
    const model::CodeFunction& function = image.value().functions[0];
    const auto end = (image.value().calls[0].at.value - at) / 4 + 1;
    const std::uint32_t words =
        reach_info(reach, variant.abi).words + (reach == Reach::abs64 ? 1 : 0);
    std::vector<std::string> lines = listing(function);
    const auto first =
        lines.begin() + static_cast<std::ptrdiff_t>(end) - reach_info(reach, variant.abi).words;
    return std::vector<std::string>(first, first + words);
  };
  using Lines = std::vector<std::string>;
  const Variant little{Endian::little, Abi::elfv2};
  const Variant elfv1{Endian::big, Abi::elfv1};
  EXPECT_EQ(call_of(Reach::bl, little, 0x10000, 0x11000), Lines{"bl      0x11000"});
  EXPECT_EQ(call_of(Reach::toc, little, 0x10000, kToc + 0x18004),
            (Lines{"addis   r12,r2,2", "addi    r12,r12,-32764", "mtctr   r12", "bctrl"}));
  // mflr, std, stdu, std, mr: pla is at 0x14, then at 0x3c, which is moved to 0x40.
  EXPECT_EQ(call_of(Reach::pcrel, little, 0x10000, 0x20000),
            (Lines{"pla     r12,65516\t# 20000", "", "nop", "mtctr   r12", "bctrl"}));
  EXPECT_EQ(call_of(Reach::pcrel, little, 0x10028, 0x20000),
            (Lines{"nop", "pla     r12,65472\t# 20000", "", "mtctr   r12", "bctrl"}));
  EXPECT_EQ(
      call_of(Reach::abs64, elfv1, 0x10000, 0xc00800000012a468),
      (Lines{"std     r2,40(r1)", "lis     r11,-16376", "ori     r11,r11,0", "sldi    r11,r11,32",
             "oris    r11,r11,18", "ori     r11,r11,42088", "ld      r12,0(r11)",
             "ld      r2,8(r11)", "mtctr   r12", "bctrl", "ld      r2,40(r1)"}));
}

TEST(Descriptor, StandsInFrontOfEveryFunction) {
  for (const ReachInfo& reach : kReaches) {
    const auto image =
        compiled(axes_of(reach.reach, {Endian::big, Abi::elfv1}), kToc - 0x10000, kToc + 0x10000);
    ASSERT_TRUE(image);
    EXPECT_EQ(image.value().entry, GuestAddress{kToc - 0x10000});
    for (const model::CodeFunction& function : image.value().functions) {
      EXPECT_EQ(function.descriptor_words, 6U);
      EXPECT_EQ(function.code(), function.address + 24);
      const std::vector<std::uint32_t> descriptor(function.words.begin(),
                                                  function.words.begin() + 6);
      EXPECT_EQ(descriptor,
                (std::vector<std::uint32_t>{0xc0081000 - (function.address.value < kToc ? 1U : 0U),
                                            static_cast<std::uint32_t>(function.address.value) + 24,
                                            0xc0081000, 0, 0, 0}));
      const bool calls = &function == &image.value().functions.front();
      EXPECT_EQ(function.words.at(6), calls ? 0x7c0802a6U : 0x39000001U);  // mflr r0, li r8,1
      EXPECT_EQ(function.pass_words.back(), function.words.size());
    }
    EXPECT_EQ(image.value().calls.at(0).callee->target, GuestAddress{kToc + 0x10000 + 24});
  }
}

// ELFv1, section 3.2.2: 48 bytes of header and 64 to save arguments in below the BPF stack.
TEST(Descriptor, TheFrameHasRoomForWhatCalleesMaySave) {
  const auto image = compiled(axes_of(Reach::bl, {Endian::big, Abi::elfv1}), 0x10000, 0x20000);
  const auto lines = listing(image.value().functions[0]);
  EXPECT_EQ(lines.at(8), "stdu    r1,-672(r1)");
  EXPECT_EQ(lines.at(9), "std     r27,632(r1)");
}

TEST(Reach, ATargetBetweenWordsIsRefused) {
  for (const ReachInfo& reach : kReaches) {
    model::LinkedProgram program = linked(kCaller, {{0x10000}, {0x20000}});
    program.toc = {0x18000};
    program.side_table[0] = {0x20002};
    const auto image = compile(program, axes_of(reach.reach, kVariants[0]));
    ASSERT_FALSE(image);
    EXPECT_EQ(image.error().code, ErrorCode::place_misaligned);
    EXPECT_EQ(image.error().site, "main[0]");
  }
}

TEST(Reach, HowLongCodeIsIsKnownBeforeAnythingIsPlaced) {
  for (const ReachInfo& reach : kReaches) {
    for (const Variant& variant : kVariants) {
      const model::AxisValues axes = axes_of(reach.reach, variant);
      const auto sizes = code_sizes(linked(kCaller, {{0}, {0}}), axes);
      ASSERT_TRUE(sizes.has_value()) << to_string(sizes.error());
      const auto image = compiled(axes, kToc + 0x3c, kToc + 0x1000);
      ASSERT_TRUE(image.has_value()) << to_string(image.error());
      ASSERT_EQ(sizes.value().size(), 2U);
      for (std::size_t i = 0; i < 2; ++i) {
        EXPECT_EQ(sizes.value()[i], image.value().functions[i].words.size() * 4);
      }
    }
  }
}

// Whatever lies around it, and wherever the function lies: pla has its nop before it or after it.
TEST(Reach, WhereACallBeginsIsKnownBeforeAnythingElseIsPlaced) {
  for (const auto& [reach, lowest, highest] : kLimits) {
    for (const Variant& variant : kVariants) {
      for (std::uint64_t offset = 0; offset < 128; offset += 4) {
        const std::uint64_t caller = 0xc008'0000'0000'0000 + offset;
        const model::AxisValues axes = axes_of(reach, variant);
        const auto known = call_address(linked(kCaller, {{caller}, {0}}), axes, {0, 0});
        ASSERT_TRUE(known.has_value()) << to_string(known.error());
        if (reach != Reach::toc) {
          EXPECT_EQ(known.value().value, origin_of(axes, caller)) << offset;
          continue;
        }
        // addis, addi, mtctr, bctrl
        const auto image = compiled(axes, caller, kToc);
        EXPECT_EQ(known.value() + 12, image.value().calls.front().at) << offset;
      }
    }
  }
}

}  // namespace
}  // namespace farcall::jit::reach_test

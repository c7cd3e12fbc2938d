#include "ppc64/disassembler.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_order.hpp"
#include "ppc64/encoder.hpp"
#include "ppc64/prefixed.hpp"

namespace farcall::ppc64::disassembler_test {
namespace {

using enum Gpr;

TEST(Disassembler, ExtendedMnemonics) {
  const auto text = [](std::uint32_t word) { return disassemble(word, {0x1000}); };
  EXPECT_EQ(text(0x38600005), "li      r3,5");
  EXPECT_EQ(text(0x3d80c008), "lis     r12,-16376");
  EXPECT_EQ(text(0x798c07c6), "sldi    r12,r12,32");
  EXPECT_EQ(text(0x7d034378), "mr      r3,r8");
  EXPECT_EQ(text(0x60000000), "nop");
  EXPECT_EQ(text(0x4e800020), "blr");
  EXPECT_EQ(text(0x4e800421), "bctrl");
  EXPECT_EQ(text(0x7d8903a6), "mtctr   r12");
  EXPECT_EQ(text(0x7c0802a6), "mflr    r0");
  EXPECT_EQ(text(0x41820008), "beq     0x1008");
  EXPECT_EQ(text(0x409efffc), "bne     cr7,0xffc");
  EXPECT_EQ(text(0x4bfffffd), "bl      0xffc");
  EXPECT_EQ(text(0xe8610010), "ld      r3,16(r1)");
  EXPECT_EQ(text(0x7fe00008), "trap");
  EXPECT_EQ(text(0x7c632a15), "add.    r3,r3,r5");
}

TEST(Disassembler, TargetsAreWholeAddresses) {
  EXPECT_EQ(disassemble(0x48000004, {0xc00800000012a468}), "b       0xc00800000012a46c");
  EXPECT_EQ(disassemble(0x4bffffff, {0}), "bla     0xfffffffffffffffc");
}

TEST(Disassembler, WordsThatAreNoInstruction) {
  EXPECT_EQ(disassemble(0, {0}), ".long 0x0");
  EXPECT_EQ(disassemble(0x06100000, {0}), ".long 0x6100000");
}

// What objdump makes of `words`, laid at address 0: one line each, without address and bytes.
// The second half of a prefixed instruction has no line.
std::vector<std::string> objdump(const std::vector<std::uint32_t>& words, std::endian order) {
  std::vector<std::byte> bytes(words.size() * 4);
  for (std::size_t i = 0; i < words.size(); ++i) {
    store(&bytes[i * 4], words[i], order);
  }
  std::string path = "/tmp/farcall-objdump-XXXXXX";
  const int file = mkstemp(path.data());
  EXPECT_EQ(write(file, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  close(file);
  const std::string command =
      fmt::format("powerpc64-linux-gnu-objdump -D -z -b binary -m powerpc:common64 {} -Mpower10 {}",
                  order == std::endian::big ? "-EB" : "-EL", path);
  std::vector<std::string> lines;
  FILE* const pipe = popen(command.c_str(), "r");
  std::array<char, 256> buffer{};
  while (fgets(buffer.data(), buffer.size(), pipe) != nullptr) {
    const std::string_view line = buffer.data();
    const std::size_t bytes_end = line.find('\t', line.find('\t') + 1);
    if (bytes_end != std::string_view::npos) {
      std::string_view text = line.substr(bytes_end + 1);
      text.remove_suffix(1);
      if (!text.empty()) {
        lines.emplace_back(text.substr(0, text.find_last_not_of(' ') + 1));
      }
    }
  }
  EXPECT_EQ(pclose(pipe), 0);
  unlink(path.c_str());
  return lines;
}

// The lowest and highest values of a field, those next to them, and random ones.
std::int64_t some_value(Operand operand, std::mt19937& random) {
  // The ISA reserves the other BO values.
  static constexpr std::array kBo = {0, 2, 4, 6, 7, 8, 10, 12, 14, 15, 16, 18, 20, 24, 25, 26, 27};
  if (operand == Operand::bo) {
    return kBo[random() % kBo.size()];
  }
  const OperandInfo info = operand_info(operand);
  const std::int64_t step = std::int64_t{1} << info.zero_bits;
  const std::int64_t count = std::int64_t{1} << info.bits();
  std::int64_t lowest = info.is_signed ? -count / 2 : 0;
  std::int64_t highest = lowest + count - 1;
  if (info.kind == OperandKind::absolute) {
    lowest = 0;  // objdump writes only the lower half of a negative one
  }
  switch (random() % 6) {
    case 0:
      return lowest * step;
    case 1:
      return highest * step;
    case 2:
      return std::clamp<std::int64_t>(0, lowest, highest);
    case 3:
      return (info.is_signed && lowest < 0 ? -1 : 1) * step;
    default:
      return (lowest + static_cast<std::int64_t>(
                           random() % static_cast<std::uint64_t>(highest - lowest + 1))) *
             step;
  }
}

TEST(Disassembler, WritesEveryRowAsObjdumpDoes) {
  std::mt19937 random(20180301);
  std::vector<std::uint32_t> words;
  for (const Instruction& row : kInstructions) {
    for (int i = 0; i < 300; ++i) {
      std::vector<std::int64_t> values;
      for (std::size_t k = 0; k < row.operand_count; ++k) {
        values.push_back(some_value(row.operands[k], random));
      }
      // Loads and stores with update are invalid without a base, or if they load it.
      if (row.operand_count == 3 && row.operands[2] == Operand::ra_update &&
          (values[2] == 0 || (row.op == Op::ldu && values[0] == values[2]))) {
        continue;
      }
      words.push_back(encode(row.op, values));
      if (row.encoding.record_bit) {
        words.push_back(words.back() | 1);
      }
    }
  }
  // Rotates have an extended mnemonic for many pairs of counts: all of them.
  for (const Op op : {Op::rldicl, Op::rldicr, Op::rldic}) {
    for (std::int64_t sh = 0; sh < 64; ++sh) {
      for (std::int64_t mb = 0; mb < 64; ++mb) {
        words.push_back(encode(op, std::array<std::int64_t, 4>{3, 4, sh, mb}));
      }
    }
  }
  // Moves of a register to itself are hints, and some have names.
  for (std::int64_t n = 0; n < 32; ++n) {
    words.push_back(encode(Op::or_, std::array{n, n, n}));
    words.push_back(encode(Op::ori, std::array<std::int64_t, 3>{n, n, 0}));
  }
  for (const std::int64_t edge : {0, 1, 15, 31}) {
    for (std::int64_t a = 0; a < 32; ++a) {
      for (std::int64_t b = 0; b < 32; ++b) {
        words.push_back(encode(Op::rlwinm, std::array<std::int64_t, 5>{3, 4, a, b, edge}));
        words.push_back(encode(Op::rlwinm, std::array<std::int64_t, 5>{3, 4, a, edge, b}));
      }
    }
  }
  for (const std::endian order : {std::endian::little, std::endian::big}) {
    const std::vector<std::string> expected = objdump(words, order);
    ASSERT_EQ(expected.size(), words.size());
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < words.size() && wrong < 10; ++i) {
      const std::string text = disassemble(words[i], {i * 4});
      wrong += text != expected[i];
      EXPECT_EQ(text, expected[i]) << fmt::format("{:08x}", words[i]);
    }
  }
}

TEST(Disassembler, WritesEveryPrefixedRowAsObjdumpDoes) {
  std::mt19937 random(20180302);
  std::vector<std::uint32_t> words;
  constexpr std::int64_t kLimit = std::int64_t{1} << 33;
  for (const PrefixedInstruction& row : kPrefixedInstructions) {
    for (int i = 0; i < 500; ++i) {
      const auto any = static_cast<std::int64_t>(random() * 4ULL) - kLimit;
      const std::array<std::int64_t, 9> edges = {-kLimit, kLimit - 1, 0,       -1, 0x7fff,
                                                 0x8000,  -0x8001,    0x10000, any};
      const bool pc_relative = random() % 2 == 0;
      const auto ra = pc_relative || random() % 4 == 0 ? r0 : static_cast<Gpr>(random() % 32);
      const PrefixedWords encoded = encode(row.op, {.rt = static_cast<Gpr>(random() % 32),
                                                    .ra = ra,
                                                    .displacement = edges[random() % edges.size()],
                                                    .pc_relative = pc_relative});
      words.push_back(encoded.prefix);
      words.push_back(encoded.suffix);
    }
  }
  for (const std::endian order : {std::endian::little, std::endian::big}) {
    std::vector<std::string> expected = objdump(words, order);
    ASSERT_EQ(expected.size(), words.size() / 2);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const GuestAddress at{i * 8};
      EXPECT_EQ(disassemble(std::span(words).subspan(2 * i), at), expected[i]);
    }
  }
}

TEST(Disassembler, PrefixesThatAreNoInstruction) {
  const std::array<std::uint32_t, 3> words = {0x06100000, 0x398c0000, 0x60000000};
  EXPECT_EQ(disassemble(std::span(words), {0}), ".long 0x6100000,0x398c0000");
  EXPECT_EQ(instruction_words(words), 2U);
  EXPECT_EQ(disassemble(std::span(words).first(1), {0}), ".long 0x6100000");
  EXPECT_EQ(instruction_words(std::span(words).first(1)), 1U);
  EXPECT_EQ(disassemble(std::span(words).subspan(2), {0}), "nop");
}

}  // namespace
}  // namespace farcall::ppc64::disassembler_test

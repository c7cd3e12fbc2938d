#include "bpf/instruction.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace farcall::bpf::instruction_test {
namespace {

std::string mnemonic_of(const Slot& slot) {
  const InstructionInfo* info = find(slot);
  return info == nullptr ? "" : std::string(info->mnemonic);
}

// RFC 9669 section 4: the ALU opcode is code << 4 | source << 3 | class, with class 4 for 32 bits
// and 7 for 64 bits; a jump's likewise with class 5 for 64 bits and 6 for 32 bits.
TEST(Instruction, OpcodesAreMadeAsTheRfcSays) {
  const std::map<std::string, unsigned> alu = {
      {"add", 0x0}, {"sub", 0x1}, {"mul", 0x2}, {"div", 0x3}, {"or", 0x4},  {"and", 0x5},
      {"lsh", 0x6}, {"rsh", 0x7}, {"mod", 0x9}, {"xor", 0xa}, {"mov", 0xb}, {"arsh", 0xc}};
  const std::map<std::string, unsigned> jumps = {
      {"jeq", 0x1},  {"jgt", 0x2}, {"jge", 0x3}, {"jset", 0x4}, {"jne", 0x5}, {"jsgt", 0x6},
      {"jsge", 0x7}, {"jlt", 0xa}, {"jle", 0xb}, {"jslt", 0xc}, {"jsle", 0xd}};
  const auto check = [](const std::map<std::string, unsigned>& codes, unsigned class64,
                        unsigned class32) {
    for (const auto& [name, code] : codes) {
      for (const unsigned register_bit : {0U, 8U}) {
        const unsigned bits = code << 4 | register_bit;
        const InstructionInfo* wide = find(static_cast<std::uint8_t>(bits | class64));
        const InstructionInfo* narrow = find(static_cast<std::uint8_t>(bits | class32));
        const Source source = register_bit != 0 ? Source::src_register : Source::immediate;
        ASSERT_NE(wide, nullptr) << name;
        ASSERT_NE(narrow, nullptr) << name;
        EXPECT_EQ(wide->mnemonic, name);
        EXPECT_EQ(wide->width, 64);
        EXPECT_EQ(wide->source, source) << name;
        EXPECT_EQ(narrow->mnemonic, name + "32");
        EXPECT_EQ(narrow->width, 32);
        EXPECT_EQ(narrow->source, source) << name;
        EXPECT_EQ(wide->operation, narrow->operation);
      }
    }
  };
  check(alu, 7, 4);
  check(jumps, 5, 6);
}

// RFC 9669 section 5: mode MEM is 0x60; sizes W, H, B, DW are 0x00, 0x08, 0x10, 0x18.
TEST(Instruction, LoadsAndStoresAreMadeAsTheRfcSays) {
  struct Size {
    std::string suffix;
    unsigned bits;
    unsigned bytes;
  };
  const std::vector<Size> sizes = {{"w", 0x00, 4}, {"h", 0x08, 2}, {"b", 0x10, 1}, {"dw", 0x18, 8}};
  struct Kind {
    std::string prefix;
    unsigned instruction_class;
    Operation operation;
  };
  const std::vector<Kind> kinds = {{"ldx", 1, Operation::load},
                                   {"st", 2, Operation::store_immediate},
                                   {"stx", 3, Operation::store_register}};
  for (const auto& size : sizes) {
    for (const auto& kind : kinds) {
      const auto opcode = static_cast<std::uint8_t>(0x60 | size.bits | kind.instruction_class);
      const InstructionInfo* info = find(opcode);
      ASSERT_NE(info, nullptr);
      EXPECT_EQ(info->mnemonic, kind.prefix + size.suffix);
      EXPECT_EQ(info->memory_bytes, size.bytes);
      EXPECT_EQ(info->operation, kind.operation);
    }
  }
}

TEST(Instruction, TheRestByHand) {
  EXPECT_EQ(mnemonic_of({.opcode = 0x87}), "neg");
  EXPECT_EQ(mnemonic_of({.opcode = 0x84}), "neg32");
  EXPECT_EQ(mnemonic_of({.opcode = 0x05}), "ja");
  EXPECT_EQ(mnemonic_of({.opcode = 0x95}), "exit");
  EXPECT_EQ(mnemonic_of({.opcode = 0x85, .src = 1}), "call");
  EXPECT_EQ(mnemonic_of({.opcode = 0x18}), "lddw");
  EXPECT_EQ(find(Slot{.opcode = 0x18})->operation, Operation::load_immediate64);
  EXPECT_EQ(find(Slot{.opcode = 0x18, .src = 1})->operation, Operation::load_map);
  EXPECT_EQ(find(Slot{.opcode = 0x18, .src = 2})->operation, Operation::load_map_value);
  EXPECT_EQ(find(Slot{.opcode = 0x18, .src = 4})->operation, Operation::load_function);
  EXPECT_EQ(mnemonic_of({.opcode = 0x8d}), "callx");
  EXPECT_EQ(mnemonic_of({.opcode = 0xd4, .imm = 16}), "le16");
  EXPECT_EQ(mnemonic_of({.opcode = 0xd4, .imm = 32}), "le32");
  EXPECT_EQ(mnemonic_of({.opcode = 0xd4, .imm = 64}), "le64");
  EXPECT_EQ(mnemonic_of({.opcode = 0xdc, .imm = 16}), "be16");
  EXPECT_EQ(mnemonic_of({.opcode = 0xdc, .imm = 32}), "be32");
  EXPECT_EQ(mnemonic_of({.opcode = 0xdc, .imm = 64}), "be64");
  EXPECT_EQ(mnemonic_of({.opcode = 0xd7, .imm = 16}), "swap16");
  EXPECT_EQ(mnemonic_of({.opcode = 0xd7, .imm = 64}), "swap64");
  EXPECT_EQ(mnemonic_of({.opcode = 0x06}), "ja32");
  EXPECT_EQ(mnemonic_of({.opcode = 0x91}), "ldxsb");
  EXPECT_EQ(mnemonic_of({.opcode = 0x89}), "ldxsh");
  EXPECT_EQ(mnemonic_of({.opcode = 0x81}), "ldxsw");
}

// RFC 9669 section 4.1, tables 4 and 5: offset 1 makes a division signed; 8, 16 or 32 is how many
// bits a move extends.
TEST(Instruction, OffsetsSelectVariants) {
  const std::map<std::string, unsigned> opcodes = {
      {"div32", 0x34}, {"div", 0x37}, {"mod32", 0x94}, {"mod", 0x97}};
  for (const auto& [name, opcode] : opcodes) {
    for (const unsigned source : {0U, 8U}) {
      const auto code = static_cast<std::uint8_t>(opcode | source);
      EXPECT_EQ(mnemonic_of({.opcode = code}), name);
      EXPECT_EQ(mnemonic_of({.opcode = code, .offset = 1}), "s" + name);
    }
  }
  EXPECT_EQ(mnemonic_of({.opcode = 0xbf}), "mov");
  EXPECT_EQ(mnemonic_of({.opcode = 0xbf, .offset = 8}), "movsx864");
  EXPECT_EQ(mnemonic_of({.opcode = 0xbf, .offset = 16}), "movsx1664");
  EXPECT_EQ(mnemonic_of({.opcode = 0xbf, .offset = 32}), "movsx3264");
  EXPECT_EQ(mnemonic_of({.opcode = 0xbc, .offset = 8}), "movsx832");
  EXPECT_EQ(mnemonic_of({.opcode = 0xbc, .offset = 16}), "movsx1632");
}

// RFC 9669 section 5.3, tables 11 and 12.
TEST(Instruction, AtomicsAreTheirImmediates) {
  const std::map<std::string, int> codes = {
      {"add", 0x00},       {"or", 0x40},       {"and", 0x50},       {"xor", 0xa0},
      {"fetch add", 0x01}, {"fetch or", 0x41}, {"fetch and", 0x51}, {"fetch xor", 0xa1},
      {"xchg", 0xe1},      {"cmpxchg", 0xf1}};
  for (const auto& [name, code] : codes) {
    EXPECT_EQ(mnemonic_of({.opcode = 0xdb, .imm = code}), "lock " + name);
    EXPECT_EQ(mnemonic_of({.opcode = 0xc3, .imm = code}), "lock " + name + "32");
  }
}

// include/uapi/linux/bpf.h of Linux: BPF_LOAD_ACQ, BPF_STORE_REL, BPF_JCOND; `offset` and `imm` of
// moves between address spaces are BPF_ADDR_SPACE_CAST and dst_as << 16 | src_as.
TEST(Instruction, WhatIsBeyondTheRfcByHand) {
  const std::map<std::string, unsigned> sizes = {
      {"b", 0xd3}, {"h", 0xcb}, {"w", 0xc3}, {"dw", 0xdb}};
  for (const auto& [size, opcode] : sizes) {
    const auto code = static_cast<std::uint8_t>(opcode);
    EXPECT_EQ(mnemonic_of({.opcode = code, .imm = 0x100}), "acquire ldx" + size);
    EXPECT_EQ(mnemonic_of({.opcode = code, .imm = 0x110}), "release stx" + size);
    EXPECT_TRUE(find(Slot{.opcode = code, .imm = 0x100})->writes_dst());
    EXPECT_FALSE(find(Slot{.opcode = code, .imm = 0x110})->writes_dst());
  }
  EXPECT_EQ(mnemonic_of({.opcode = 0xe5}), "may_goto");
  EXPECT_EQ(mnemonic_of({.opcode = 0xbf, .offset = 1, .imm = 1}), "cast_kernel");
  EXPECT_EQ(mnemonic_of({.opcode = 0xbf, .offset = 1, .imm = 0x10000}), "cast_user");
  EXPECT_EQ(mnemonic_of({.opcode = 0xbf, .offset = -1}), "mov_percpu");
}

TEST(Instruction, WhatIsNotThereIsNotFound) {
  EXPECT_EQ(find(Slot{.opcode = 0x85, .src = 3}), nullptr);  // calls are 0 to 2
  EXPECT_EQ(find(Slot{.opcode = 0x18, .src = 3}), nullptr);  // a variable of the platform
  EXPECT_EQ(find(Slot{.opcode = 0x18, .src = 5}), nullptr);  // a map by its place in a list
  EXPECT_EQ(find(Slot{.opcode = 0xdc, .imm = 8}), nullptr);  // no such width
  EXPECT_EQ(find(std::uint8_t{0x86}), nullptr);              // call, class JMP32
  EXPECT_EQ(find(std::uint8_t{0x96}), nullptr);              // exit, class JMP32
  EXPECT_EQ(find(std::uint8_t{0x99}), nullptr);              // MEMSX of a doubleword
  EXPECT_EQ(find(std::uint8_t{0x20}), nullptr);              // legacy packet access
  EXPECT_EQ(find(Slot{.opcode = 0x37, .offset = 2}), nullptr);
  EXPECT_EQ(find(Slot{.opcode = 0xbc, .offset = 32}), nullptr);  // no move of 32 to 32 bits
  EXPECT_EQ(find(Slot{.opcode = 0xdb, .imm = 0xe0}), nullptr);   // exchange always fetches
  EXPECT_EQ(find(Slot{.opcode = 0xdb, .imm = 0x10}), nullptr);   // no atomic subtraction
  EXPECT_EQ(find(std::uint8_t{0x00}), nullptr);
  // 12 ALU operations and 11 jumps in two widths and with two sources, neg in two widths, two byte
  // conversions, swap, 12 loads and stores, 3 loads with sign, 2 atomics, lddw, ja, ja32, call,
  // callx, exit; beyond the RFC loads and stores of a byte or halfword that order others, may_goto,
  // gotox.
  unsigned opcodes = 0;
  for (unsigned opcode = 0; opcode < 256; ++opcode) {
    opcodes += find(static_cast<std::uint8_t>(opcode)) != nullptr ? 1U : 0U;
  }
  EXPECT_EQ(opcodes, (12 + 11) * 4 + 2 + 3 + 12 + 3 + 2 + 6 + 4);
}

TEST(Instruction, CallSchemesMayUseTheOffsetOfACall) {
  EXPECT_NE(find(Slot{.opcode = 0x85, .src = 1, .offset = 7}), nullptr);
}

TEST(Instruction, OnlyTheWideLoadTakesTwoSlots) {
  for (unsigned opcode = 0; opcode < 256; ++opcode) {
    EXPECT_EQ(slots_of(static_cast<std::uint8_t>(opcode)), opcode == 0x18 ? 2 : 1);
  }
  EXPECT_EQ(immediate64({.imm = -2}, {.imm = 0x11223344}), 0x11223344fffffffe);
}

TEST(Instruction, WhoWritesTheirDestination) {
  const auto writes = [](std::uint8_t opcode) { return find(opcode)->writes_dst(); };
  EXPECT_TRUE(writes(0x07));   // add
  EXPECT_TRUE(writes(0x87));   // neg
  EXPECT_TRUE(writes(0x18));   // lddw
  EXPECT_TRUE(writes(0x79));   // ldxdw
  EXPECT_FALSE(writes(0x7b));  // stxdw: dst is an address
  EXPECT_FALSE(writes(0x1d));  // jeq
  const auto row = [](std::int32_t code) { return *find(Slot{.opcode = 0xdb, .imm = code}); };
  EXPECT_FALSE(row(0x00).writes_dst());  // atomic add: dst is an address
  EXPECT_FALSE(row(0x00).writes_src());
  EXPECT_TRUE(row(0x01).writes_src());   // fetch add
  EXPECT_TRUE(row(0xe1).writes_src());   // exchange
  EXPECT_FALSE(row(0xf1).writes_src());  // compare-exchange writes r0
}

}  // namespace
}  // namespace farcall::bpf::instruction_test

// gotox: BPF_JMP | BPF_X | BPF_JA of include/uapi/linux/bpf.h, 0x0d, with the register in dst.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "bpf/assembler.hpp"
#include "bpf/codec.hpp"
#include "bpf/disassembler.hpp"
#include "bpf/instruction.hpp"
#include "bpf/interpreter.hpp"
#include "bpf/object.hpp"
#include "bpf/validator.hpp"
#include "build.hpp"

namespace farcall::bpf::gotox_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr GuestAddress kTable{0xc000000002800000};
constexpr GuestAddress kStackTop{0xc000000000102000};

// Returns 5 for r2 = 0, 9 for 1, and 5 for 2.
constexpr const char* kChoice =
    ".table choices five, nine, five\n"
    "lsh %r2, 3\n"
    "add %r1, %r2\n"
    "ldxdw %r3, [%r1+0]\n"
    "gotox %r3\n"
    "nine: mov %r0, 9\n"
    "exit\n"
    "five: mov %r0, 5\n"
    "exit\n";

Result<InterpreterRun> run(const std::string& text, std::uint64_t second = 0,
                           std::endian order = std::endian::little) {
  AddressSpace memory({{.name = "choices",
                        .address = kTable,
                        .bytes = std::vector<std::byte>(24),
                        .writable = false}},
                      order);
  return interpret(valid_program_of(text), {}, {kTable.value, second, 0, 0, 0}, kStackTop, memory);
}

std::string refusal(const std::string& text, std::uint64_t second = 0) {
  const auto ran = run(text, second);
  return ran ? "no refusal" : to_string(ran.error());
}

TEST(Gotox, BytesByHand) {
  const Slot slot{.opcode = 0x0d, .dst = 3};
  const auto bytes = [&](std::endian order) {
    std::vector<int> found;
    for (const std::byte byte : encode(slot, order)) {
      found.push_back(std::to_integer<int>(byte));
    }
    return found;
  };
  EXPECT_THAT(bytes(std::endian::little), ElementsAre(0x0d, 0x03, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(bytes(std::endian::big), ElementsAre(0x0d, 0x30, 0, 0, 0, 0, 0, 0));
  EXPECT_EQ(program_of("gotox %r3\n").slots, std::vector<Slot>{slot});
  EXPECT_EQ(find(slot)->mnemonic, "gotox");
  EXPECT_FALSE(find(slot)->writes_dst());
}

TEST(Gotox, TablesAreAddressesOfInstructions) {
  const Program program = program_of(kChoice);
  EXPECT_THAT(program.code_pointers,
              ElementsAre(CodePointer{"choices", 0, 6}, CodePointer{"choices", 8, 4},
                          CodePointer{"choices", 16, 6}));
  const std::string text = disassemble(program);
  EXPECT_THAT(text, HasSubstr("gotox %r3\n"));
  EXPECT_THAT(text, HasSubstr(".table choices L2, L1, L2\n"));
  EXPECT_EQ(program_of(text), program);
}

TEST(Gotox, WhatTheAssemblerRefuses) {
  const auto error = [](const char* text) {
    const auto program = assemble(text, {.file = "f", .line = 1});
    return program ? "accepted" : to_string(program.error());
  };
  EXPECT_EQ(error(".table\nexit\n"),
            "f:1:7: error: expected the name of a table, found the line's end [asm.syntax]");
  EXPECT_EQ(error(".table t\nexit\n"),
            "f:1:9: error: expected a label, found the line's end [asm.syntax]");
  EXPECT_EQ(error(".table t a b\na: exit\n"),
            "f:1:12: error: expected ',' or the line's end, found 'b' [asm.syntax]");
  EXPECT_EQ(error(".table t a, b\na: exit\n"),
            "f:1:13: error: label 'b' is not defined [asm.unknown-label]");
  EXPECT_EQ(error(".table t a\n.table t a\na: exit\n"),
            "f:2:8: error: there is a table 't' already [asm.duplicate-label]");
  EXPECT_EQ(error("gotox 5\nexit\n"),
            "f:1:7: error: expected a register, %r0 to %r10, found '5' [asm.syntax]");
}

TEST(Gotox, WhatTheValidatorRefuses) {
  const Program good = program_of(kChoice);
  ASSERT_TRUE(validate(good));
  for (const auto& spoil : {+[](Slot& slot) { slot.src = 1; }, +[](Slot& slot) { slot.offset = 1; },
                            +[](Slot& slot) { slot.imm = 1; }}) {
    Program bad = good;
    spoil(bad.slots[3]);
    EXPECT_EQ(validate(bad).error().code, ErrorCode::bpf_reserved_field);
  }
  Program beyond = good;
  beyond.code_pointers[1].slot = 8;
  EXPECT_EQ(validate(beyond).error().code, ErrorCode::bpf_jump_target);
  Program second_half = program_of(".table t a\na: lddw %r0, 1\nexit\n");
  ASSERT_TRUE(validate(second_half));
  second_half.code_pointers[0].slot = 1;
  EXPECT_EQ(validate(second_half).error().message,
            "t+0 is the address of slot 1: no instruction begins there");
  Program overlapping = good;
  overlapping.code_pointers[1].offset = 7;
  EXPECT_EQ(validate(overlapping).error().code, ErrorCode::bpf_jump_target);
  EXPECT_TRUE(validate(program_of("gotox %r3\n"))) << "it may be the last";
}

TEST(Gotox, GoesWhereTheTableSays) {
  for (const std::endian order : {std::endian::little, std::endian::big}) {
    EXPECT_EQ(run(kChoice, 0, order).value().r0, 5U);
    EXPECT_EQ(run(kChoice, 1, order).value().r0, 9U);
    const auto last = run(kChoice, 2, order);
    ASSERT_TRUE(last) << to_string(last.error());
    EXPECT_EQ(last.value().r0, 5U);
    ASSERT_EQ(last.value().calls.size(), 1U);
    EXPECT_EQ(last.value().calls[0].site, (CallSite{0, 0}));
    EXPECT_EQ(last.value().calls[0].callee, 0U);
    EXPECT_EQ(last.value().calls[0].pointer, 2U);
  }
}

// Where code lies is the JIT's business: nothing else may depend on it, and no number is such an
// address.
TEST(Gotox, NothingElseMayDependOnWhereCodeIs) {
  const std::string load = ".table choices a, a, a\nldxdw %r3, [%r1+0]\n";
  EXPECT_THAT(refusal(load + "mov %r0, %r3\na: exit\n"), testing::StartsWith("no refusal"));
  EXPECT_TRUE(run(load + "mov %r0, %r3\na: exit\n").value().undefined_result);
  EXPECT_THAT(refusal(load + "jeq %r3, 0, a\na: exit\n"),
              HasSubstr("its condition, %r3, depends on where the code of main+2 begins"));
  EXPECT_THAT(refusal(load + "add %r3, 8\ngotox %r3\na: exit\n"),
              HasSubstr("where it goes, %r3, depends on where the code of main+3 begins"));
  EXPECT_THAT(refusal(".table choices a, a, a\nldxw %r3, [%r1+2]\ngotox %r3\na: exit\n"),
              HasSubstr("depends on where the code of main+2 begins"));
  EXPECT_THAT(refusal(".table choices a, a, a\nmov %r3, 4096\ngotox %r3\na: exit\n"),
              HasSubstr("jump through %r3 to 0000000000001000: that is not from a table"));
  EXPECT_THAT(refusal(".table choices a, a, a\ngotox %r7\na: exit\n"),
              HasSubstr("where it goes, %r7, depends on %r7, which main has not written"));
  EXPECT_THAT(refusal(".table choices a, a, a\nstdw [%r1+0], 1\na: exit\n"),
              HasSubstr("choices is read-only"));
}

TEST(Gotox, StaysInItsFunction) {
  const std::string text = refusal(
      ".table choices there, there, there\nldxdw %r3, [%r1+0]\ngotox %r3\ncall local f\nexit\n"
      "f: mov %r0, 1\nthere: exit\n");
  EXPECT_THAT(text, HasSubstr("jump through %r3 to f+1, which is in another function"));
  EXPECT_THAT(text, HasSubstr("interpreter.bad-call"));
}

// An element of a table, as LLVM 22 writes it: bytes from the beginning of the function's section,
// in the section `.jumptables`, which has no place in memory. `second` is not the first function of
// its section.
constexpr const char* kObject = R"(
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define GOTOX_R3 ".byte 0x0d, 0x30, 0, 0, 0, 0, 0, 0\n"
#else
#define GOTOX_R3 ".byte 0x0d, 0x03, 0, 0, 0, 0, 0, 0\n"
#endif
asm(
".globl first\n.type first,@function\nfirst:\nr0 = 1\nexit\n.size first, 16\n"
".globl second\n.type second,@function\nsecond:\n"
"r3 = BPF.JT.0.0 ll\n"
"r1 <<= 3\n"
"r3 += r1\n"
"r3 = *(u64 *)(r3 + 0)\n"
GOTOX_R3
"r0 = 7\nexit\n"
"r0 = 8\nexit\n"
".size second, 80\n"
".section .jumptables,\"\",@progbits\n"
".quad 0x55\n"
"BPF.JT.0.0:\n.globl BPF.JT.0.0\n.type BPF.JT.0.0,@object\n"
".quad LAST\n.quad 64\n"
".size BPF.JT.0.0, 16\n"
);
)";

Result<Object> compiled(const std::string& target, const std::string& last) {
  const std::string stem = testing::TempDir() + "farcall-gotox-" + std::to_string(getpid());
  std::string source = kObject;
  source.replace(source.find("LAST"), 4, last);
  std::ofstream(stem + ".c") << source;
  const std::string command =
      "clang -target " + target + " -c '" + stem + ".c' -o '" + stem + ".o'";
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
  auto object = read_object_file(stem + ".o", "second");
  std::filesystem::remove(stem + ".c");
  std::filesystem::remove(stem + ".o");
  return object;
}

TEST(Gotox, ObjectsHaveTheirTablesInASectionOfTheirOwn) {
  for (const char* const target : {"bpfel", "bpfeb"}) {
    const auto object = compiled(target, "80");
    ASSERT_TRUE(object) << to_string(object.error());
    const Program& program = object.value().program;
    ASSERT_TRUE(validate(program));
    EXPECT_EQ(program.slots[5].opcode, 0x0d);
    EXPECT_EQ(program.slots[5].dst, 3);
    // `second` begins at byte 16: its slots 8 and 6.
    EXPECT_THAT(program.code_pointers,
                ElementsAre(CodePointer{"BPF.JT.0.0", 0, 8}, CodePointer{"BPF.JT.0.0", 8, 6}));
    ASSERT_EQ(object.value().data.size(), 1U);
    EXPECT_EQ(object.value().data[0].name, "BPF.JT.0.0");
    EXPECT_EQ(object.value().data[0].bytes.size(), 16U);
    EXPECT_FALSE(object.value().data[0].writable);
    EXPECT_THAT(
        object.value().addresses,
        ElementsAre(ObjectAddress{
            .region = {}, .offset = 0, .kind = ObjectTarget::region, .target = 0, .addend = 0}));
  }
}

TEST(Gotox, AnElementThatLeadsNowhereIsRefused) {
  for (const char* const nowhere : {"96", "8", "81"}) {
    const auto object = compiled("bpfel", nowhere);
    ASSERT_FALSE(object) << nowhere;
    EXPECT_EQ(object.error().code, ErrorCode::elf_malformed);
    EXPECT_THAT(object.error().message, HasSubstr("element 0 of jump table 'BPF.JT.0.0'"));
  }
}

}  // namespace
}  // namespace farcall::bpf::gotox_test

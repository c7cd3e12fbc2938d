#include "bpf/disassembler.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"
#include "build.hpp"

namespace farcall::bpf::disassembler_test {
namespace {

TEST(Disassembler, WritesTheDialect) {
  const std::string text =
      "main:\n"
      "lddw %r1, 0x1122334455667788\n"
      "stxdw [%r10-8], %r1\n"
      "stb [%r10-9], -1\n"
      "ldxw %r0, [%r10-8]\n"
      "L1:\n"
      "jeq %r0, -5, main\n"
      "jsgt32 %r0, %r1, L1\n"
      "be16 %r0\n"
      "neg32 %r0\n"
      "call local callee\n"
      "ja L2\n"
      "add %r0, 1\n"
      "L2:\n"
      "exit\n"
      "callee:\n"
      "mov32 %r0, %r10\n"
      "exit\n";
  EXPECT_EQ(disassemble(valid_program_of(text)), text);
}

TEST(Disassembler, MapsByName) {
  const std::string text =
      "main:\nlddw %r1, map table\nlddw %r2, value table+12\nlddw %r3, value other+0\n"
      "mov %r0, 0\nexit\n";
  const std::vector<Map> maps = {{"other", 4}, {"table", 16}};
  Program program = assemble(text, {"test", 1}, maps).value();
  EXPECT_TRUE(validate(program));
  EXPECT_EQ(disassemble(program), text);
  EXPECT_EQ(program.slots[0], (Slot{.opcode = 0x18, .dst = 1, .src = 1, .imm = 1}));
  EXPECT_EQ(program.slots[1], Slot{});
  EXPECT_EQ(program.slots[2], (Slot{.opcode = 0x18, .dst = 2, .src = 2, .imm = 1}));
  EXPECT_EQ(program.slots[3], Slot{.imm = 12});
  program.maps.clear();
  EXPECT_EQ(disassemble_instruction(program, 0), "lddw %r1, map 1");
}

TEST(Disassembler, JumpLabelsKeepClearOfFunctionNames) {
  const Program program = valid_program_of("call local L1\nja x\nx: exit\nL1: exit\n");
  EXPECT_EQ(disassemble(program), "main:\ncall local L1\nja L2\nL2:\nexit\nL1:\nexit\n");
}

TEST(Disassembler, OneInstruction) {
  const Program program = valid_program_of(
      "lddw %r1, 5\njne %r1, 0, +1\ncall local f\nexit\nf: ldxb %r0, [%r1+0]\nexit\n");
  EXPECT_EQ(disassemble_instruction(program, 0), "lddw %r1, 0x5");
  EXPECT_EQ(disassemble_instruction(program, 2), "jne %r1, 0, +1");
  EXPECT_EQ(disassemble_instruction(program, 3), "call local f");
  EXPECT_EQ(disassemble_instruction(program, 5), "ldxb %r0, [%r1+0]");
}

TEST(Disassembler, WhatIsNoInstructionIsItsOpcode) {
  Program program = valid_program_of("mov %r0, 0\nexit\n");
  program.slots[0].opcode = 0xff;
  program.slots[1].opcode = 0x18;
  EXPECT_EQ(disassemble_instruction(program, 0), "opcode 0xff");
  EXPECT_EQ(disassemble_instruction(program, 1), "opcode 0x18");
  // A displacement that leads nowhere is still told.
  program.slots[0] = {.opcode = 0x85, .src = 1, .imm = 100};
  EXPECT_EQ(disassemble_instruction(program, 0), "call local +100");
}

const External kKfunc = {.name = "f", .kind = ExternalKind::kfunc, .id = 7};

// A random program that validate() accepts, whose functions are all called.
class RandomProgram {
 public:
  explicit RandomProgram(unsigned seed) : random_(seed) {}

  Program make() {
    const unsigned count = 1 + below(4);
    for (unsigned number = 0; number < count; ++number) {
      add_function(number == 0 ? "main" : fmt::format("f{}", number));
    }
    call_each_function();
    point_at_functions();
    program_.callx = Callx::address;
    program_.externals = {kKfunc};
    return program_;
  }

 private:
  unsigned below(unsigned limit) {
    return std::uniform_int_distribution<unsigned>(0, limit - 1)(random_);
  }

  std::int32_t any_imm() {
    constexpr std::array<std::int32_t, 5> kEdges = {0, 1, -1, INT32_MIN, INT32_MAX};
    return below(2) == 0 ? kEdges[below(5)] : static_cast<std::int32_t>(random_());
  }

  void add_function(const std::string& name) {
    const auto begin = static_cast<SlotIndex>(program_.slots.size());
    // The first instructions make room for the calls that reach all functions.
    for (unsigned i = 0; i < 4; ++i) {
      program_.slots.push_back({.opcode = 0xb7, .dst = 1, .imm = any_imm()});
    }
    std::vector<SlotIndex> starts = {begin, begin + 1, begin + 2, begin + 3};
    for (unsigned i = below(12); i > 0; --i) {
      starts.push_back(static_cast<SlotIndex>(program_.slots.size()));
      add_instruction();
    }
    starts.push_back(static_cast<SlotIndex>(program_.slots.size()));
    program_.slots.push_back({.opcode = 0x95});
    for (const SlotIndex at : starts) {
      Slot& slot = program_.slots[at];
      if (find(slot)->is_jump()) {
        const SlotIndex target = starts[below(static_cast<unsigned>(starts.size()))];
        const int distance = static_cast<int>(target) - static_cast<int>(at) - 1;
        if (find(slot)->form == Form::target32) {
          slot.imm = distance;
        } else {
          slot.offset = static_cast<std::int16_t>(distance);
        }
      }
    }
    program_.functions.push_back(
        {.name = name, .begin = begin, .end = static_cast<SlotIndex>(program_.slots.size())});
  }

  void add_instruction() {
    const InstructionInfo& info = kInstructions[below(kInstructions.size())];
    if (info.operation == Operation::call) {
      return;
    }
    if (info.operation == Operation::load_function) {
      pointers_.push_back(static_cast<SlotIndex>(program_.slots.size()));
    }
    if (info.names_map()) {
      return;  // which maps there are is not in the text: Disassembler.Maps
    }
    Slot slot{.opcode = info.opcode};
    const auto fill = [](const FieldRule& rule, auto& field, auto value) {
      using Field = std::remove_reference_t<decltype(field)>;
      if (rule.kind == FieldRule::Kind::operand) {
        field = static_cast<Field>(value);
      } else {
        field = static_cast<Field>(rule.value);
      }
    };
    fill(info.dst, slot.dst, below(10));
    fill(info.src, slot.src, below(info.writes_src() ? 10 : 11));
    fill(info.offset, slot.offset, any_imm());
    fill(info.imm, slot.imm, any_imm());
    if (info.operation == Operation::call_external) {
      slot.imm = info.form == Form::kfunc ? kKfunc.id : kTailCall;
    }
    program_.slots.push_back(slot);
    if (slots_of(slot.opcode) == 2) {
      program_.slots.push_back({.imm = info.form == Form::dst_function ? 0 : any_imm()});
    }
  }

  void point_at_functions() {
    for (const SlotIndex at : pointers_) {
      const auto function = below(static_cast<unsigned>(program_.functions.size()));
      program_.slots[at].imm =
          static_cast<std::int32_t>(program_.functions[function].begin - at - 1);
    }
  }

  // From the first slots of any function to each function.
  void call_each_function() {
    const auto count = static_cast<unsigned>(program_.functions.size());
    for (unsigned callee = 0; callee < count; ++callee) {
      const SlotIndex at = program_.functions[below(count)].begin + callee;
      const SlotIndex target = program_.functions[callee].begin;
      program_.slots[at] = {
          .opcode = 0x85, .src = 1, .imm = static_cast<std::int32_t>(target - at - 1)};
    }
  }

  std::mt19937 random_;
  Program program_;
  std::vector<SlotIndex> pointers_;  // loads of functions' addresses
};

TEST(Disassembler, AssemblingTheTextGivesTheSameProgram) {
  for (unsigned seed = 0; seed < 500; ++seed) {
    const Program program = RandomProgram(seed).make();
    const Result<void> valid = validate(program);
    ASSERT_TRUE(valid) << seed << ": " << to_string(valid.error());
    const std::string text = disassemble(program);
    Result<Program> again = assemble(text, {.file = "text", .line = 1});
    ASSERT_TRUE(again) << seed << ": " << to_string(again.error()) << "\n" << text;
    again.value().callx = program.callx;  // nothing that the text says
    again.value().externals = program.externals;
    ASSERT_EQ(again.value(), program) << seed << "\n" << text;
  }
}

// Every row of the table took part.
TEST(Disassembler, RandomProgramsUseTheWholeTable) {
  std::vector<bool> used(kInstructions.size(), false);
  for (unsigned seed = 0; seed < 500; ++seed) {
    const Program program = RandomProgram(seed).make();
    for (const SlotIndex at : instructions(program)) {
      used[static_cast<std::size_t>(find(program.slots[at]) - kInstructions.data())] = true;
    }
  }
  for (std::size_t i = 0; i < used.size(); ++i) {
    EXPECT_NE(used[i], kInstructions[i].names_map()) << kInstructions[i].mnemonic;
  }
}

}  // namespace
}  // namespace farcall::bpf::disassembler_test

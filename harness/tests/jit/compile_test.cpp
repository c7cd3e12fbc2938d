#include "jit/compile.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "bpf/instruction.hpp"
#include "jit/translate.hpp"
#include "ppc64/abi.hpp"
#include "support.hpp"

namespace farcall::jit::compile_test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

constexpr std::uint64_t kFar = 0xc00800000012a468;
constexpr std::string_view kCaller =
    "mov %r6, %r1\n"
    "call local callee\n"
    "add %r0, %r6\n"
    "exit\n"
    "callee:\n"
    "mov %r0, 1\n"
    "exit\n";

model::CodeImage compiled(const model::LinkedProgram& program, const model::AxisValues& axes = {}) {
  auto image = compile(program, axes);
  if (!image) {
    throw std::runtime_error(to_string(image.error()));
  }
  return image.value();
}

std::vector<std::string> listing_of(std::string_view assembly, const model::AxisValues& axes = {}) {
  const model::CodeImage image = compiled(linked(assembly, {{0x1000}}), axes);
  return listing(image.functions[0].words, image.functions[0].address);
}

// ELFv2, section 2.2: a function that calls nobody and saves nothing needs no frame.
TEST(Compile, ASmallFunction) {
  EXPECT_THAT(listing_of("mov %r0, 7\nexit\n"),
              ElementsAre("li      r8,7", "mr      r3,r8", "blr"));
}

// LR into the caller's frame, a back chain, everything undone in the epilogue.
TEST(Compile, AFunctionThatSwapsBytesInMemory) {
  EXPECT_THAT(
      listing_of("be64 %r1\nexit\n"),
      ElementsAre("mflr    r0", "std     r0,16(r1)", "stdu    r1,-592(r1)",      //
                  "addi    r9,r1,544", "std     r3,544(r1)", "ldbrx   r3,0,r9",  //
                  "mr      r3,r8", "addi    r1,r1,592", "ld      r0,16(r1)", "mtlr    r0", "blr"));
}

// Whoever has no frame does not touch what is above r1, which is the caller's, nor LR.
TEST(Compile, AFrameIsThereForWhatNeedsOne) {
  const auto has_frame = [](std::string_view assembly) {
    const std::vector<std::string> lines = listing_of(assembly);
    const bool makes_one = std::ranges::count(lines, "stdu    r1,-592(r1)") == 1 ||
                           std::ranges::count(lines, "stdu    r1,-608(r1)") == 1;
    if (!makes_one) {
      for (const std::string& line : lines) {
        EXPECT_THAT(line, Not(testing::AnyOf(testing::HasSubstr("r1)"), testing::HasSubstr("r1,"),
                                             testing::HasSubstr("lr "))));
      }
    }
    return makes_one;
  };
  for (const char* const with : {"mov %r6, 1", "mov %r0, %r9", "ldxb %r0, [%r10-1]",
                                 "stxb [%r10-1], %r0", "le16 %r1", "may_goto +0"}) {
    EXPECT_TRUE(has_frame(std::string(with) + "\nexit\n")) << with;
  }
  for (const char* const without :
       {"mov %r5, 1", "jeq %r1, 0, +0", "ldxb %r0, [%r1-1]", "lock add [%r1+0], %r2",
        "lddw %r0, 0x123456789abcdef", "sdiv %r1, 3"}) {
    EXPECT_FALSE(has_frame(std::string(without) + "\nexit\n")) << without;
  }
  const model::CodeImage image = compiled(linked(kCaller, {{0x10000}, {kFar}}));
  EXPECT_EQ(image.functions[0].frame_top_bytes, 48U);
  EXPECT_EQ(image.functions[0].frame_bytes, 592U);
  EXPECT_EQ(image.functions[1].frame_top_bytes, 0U);
}

// mtctr is mtspr 9 (Power ISA, 3.3.19): 31, RS = r5 or r27, spr = 9 with its halves exchanged, 467.
TEST(Compile, AJumpThroughATableIsABranchByCtr) {
  for (const auto& [text, move_word] :
       {std::pair("gotox %r3\nexit\n", 0x7ca903a6U), {"gotox %r6\nexit\n", 0x7f6903a6U}}) {
    const model::CodeImage image = compiled(linked(text, {{0x1000}}));
    const std::vector<std::uint32_t>& words = image.functions[0].words;
    const auto at = std::ranges::find(words, 0x4e800420U);  // bctr
    ASSERT_NE(at, words.end());
    EXPECT_EQ(*std::prev(at), move_word);
    ASSERT_EQ(image.calls.size(), 1U);
    EXPECT_TRUE(image.calls[0].is_jump);
    EXPECT_FALSE(image.calls[0].links());
    EXPECT_FALSE(image.calls[0].callee);
    EXPECT_EQ(image.calls[0].at,
              GuestAddress{0x1000} + static_cast<std::uint64_t>(at - words.begin()) * 4);
  }
}

TEST(Compile, SavesWhatItUsesOfTheNonvolatileRegisters) {
  EXPECT_THAT(listing_of("mov %r7, %r1\nstxdw [%r10-8], %r7\nexit\n"),
              ElementsAre("mflr    r0", "std     r0,16(r1)", "stdu    r1,-592(r1)",
                          "std     r28,560(r1)", "std     r31,584(r1)", "addi    r31,r1,544",  //
                          "mr      r28,r3", "std     r28,-8(r31)",                             //
                          "mr      r3,r8", "ld      r28,560(r1)", "ld      r31,584(r1)",
                          "addi    r1,r1,592", "ld      r0,16(r1)", "mtlr    r0", "blr"));
}

// The first word of each BPF instruction, held against the listing of each by itself.
TEST(Compile, LinesSayWhereEachInstructionBegins) {
  const model::LinkedProgram program = linked(
      "lddw %r6, 0x123456789\nle64 %r6\njeq %r6, 0, +1\nexit\nmov %r0, 7\nexit\n", {{0x1000}});
  const model::CodeImage image = compiled(program);
  const model::CodeFunction& code = image.functions[0];
  const std::vector<std::string> texts = listing(code.words, code.address);
  std::vector<std::string> first;
  for (const model::CodeLine& line : code.lines) {
    EXPECT_EQ(line.instruction, first.size());
    first.push_back(texts.at(line.word));
  }
  // le64 needs no code in a little-endian guest, and the last exit is the epilogue.
  EXPECT_THAT(first, ElementsAre("li      r27,1", "cmpdi   r27,0", "cmpdi   r27,0",
                                 testing::StartsWith("b "), "li      r8,7", "mr      r3,r8",
                                 "mr      r3,r8"));
  EXPECT_THAT(image.bpf_registers, ElementsAre(8, 3, 4, 5, 6, 7, 27, 28, 29, 30, 31));
}

TEST(Compile, ACall) {
  const model::CodeImage image = compiled(linked(kCaller, {{0x10000}, {kFar}}));
  ASSERT_EQ(image.functions.size(), 2U);
  EXPECT_EQ(image.entry, GuestAddress{0x10000});
  EXPECT_EQ(image.functions[1].address, GuestAddress{kFar});
  ASSERT_EQ(image.calls.size(), 1U);
  const model::CodeCall& call = image.calls[0];
  EXPECT_EQ(call.callee->function, 1U);
  EXPECT_EQ(call.callee->target, GuestAddress{kFar});
  const auto& words = image.functions[0].words;
  const std::size_t at = (call.at.value - 0x10000) / 4;
  EXPECT_EQ(words.at(at), 0x4e800421U);      // bctrl
  EXPECT_EQ(words.at(at - 1), 0x7d8903a6U);  // mtctr r12
  EXPECT_EQ(words.at(at + 1), 0x7c681b78U);  // mr r8,r3
  EXPECT_EQ(constant_of(std::span(words).subspan(at - 6, 5)), kFar);
}

// A pointer as linking leaves it: the address in the two halves. Always five words (FAULTS: rows 4
// and 7), and a call through it ends in r12, or goes through the descriptor.
TEST(Compile, APointerTakesFiveWordsWhateverItIs) {
  constexpr const char* kPointer = "lddw %r2, local callee\ncallx %r2\nexit\ncallee:\nexit\n";
  for (const std::uint64_t callee :
       {0x0ULL, 0x7ULL << 2, 0x8000ULL, 0xffff0000ULL, 0x800000000000ULL, 0xc008000000000000ULL,
        0xfffffffffff00000ULL, 0x123456789abcdef0ULL}) {
    model::LinkedProgram program = linked(kPointer, {{0x10000}, {callee}});
    program.program.slots[0].imm = static_cast<std::int32_t>(callee);
    program.program.slots[1].imm = static_cast<std::int32_t>(callee >> 32);
    for (const model::Abi abi : {model::Abi::elfv1, model::Abi::elfv2}) {
      const model::CodeImage image = compiled(program, {.endian = model::Endian::big, .abi = abi});
      const bool v1 = abi == model::Abi::elfv1;
      const auto& words = image.functions[0].words;
      const std::size_t first = v1 ? 6 + 3 : 3;  // descriptor, prologue
      EXPECT_EQ(constant_of(std::span(words).subspan(first, 5)), callee);
      const std::vector<std::string> texts =
          listing(std::span(words).subspan(first + 5, v1 ? 8 : 4), {0x10000});
      if (v1) {
        EXPECT_THAT(texts, ElementsAre("std     r2,40(r1)", "mr      r11,r4", "ld      r12,0(r11)",
                                       "ld      r2,8(r11)", "mtctr   r12", "bctrl",
                                       "ld      r2,40(r1)", "mr      r8,r3"));
      } else {
        EXPECT_THAT(texts, ElementsAre("mr      r12,r4", "mtctr   r12", "bctrl", "mr      r8,r3"));
      }
      ASSERT_EQ(image.calls.size(), 1U);
      EXPECT_FALSE(image.calls[0].callee);
      EXPECT_EQ(image.calls[0].at, GuestAddress{0x10000 + 4 * (first + 5 + (v1 ? 5 : 2))});
    }
  }
}

TEST(Compile, SizesDoNotDependOnAddresses) {
  const model::CodeImage first = compiled(linked(kCaller, {{0x10000}, {0x20000}}));
  for (const std::uint64_t callee :
       {0x0ULL, 0x8000ULL, 0xffff0000ULL, 0x800000000000ULL, 0xc008000000000000ULL,
        0xfffffffffff00000ULL, 0x123456789abcdef0ULL}) {
    const model::CodeImage image = compiled(linked(kCaller, {{0x10000}, {callee}}));
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(image.functions[i].words.size(), first.functions[i].words.size());
      const auto size = static_cast<std::uint32_t>(image.functions[i].words.size());
      EXPECT_THAT(image.functions[i].pass_words, ElementsAre(size, size));
    }
    const std::size_t at = (image.calls[0].at.value - 0x10000) / 4;
    EXPECT_EQ(constant_of(std::span(image.functions[0].words).subspan(at - 6, 5)), callee);
  }
}

// What the scheme says is where the code goes, be it right or not; `target` is where it should.
TEST(Compile, GoesWhereTheSchemeSays) {
  model::LinkedProgram program = linked(kCaller, {{0x10000}, {kFar}});
  program.side_table[0] = {0xc00000000012a468};
  const model::CodeImage image = compiled(program);
  EXPECT_EQ(image.calls[0].callee->target, GuestAddress{kFar});
  const std::size_t at = (image.calls[0].at.value - 0x10000) / 4;
  EXPECT_EQ(constant_of(std::span(image.functions[0].words).subspan(at - 6, 5)),
            0xc00000000012a468);
}

TEST(Compile, CallSitesAreCountedByFunction) {
  const model::CodeImage image = compiled(
      linked("call local a\ncall local b\nexit\na:\ncall local b\nexit\nb:\nmov %r0, 1\nexit\n",
             {{0x30000}, {0x10000}, {0x20000}}));
  ASSERT_EQ(image.calls.size(), 3U);
  EXPECT_EQ(image.calls[1].site, (bpf::CallSite{0, 1}));
  EXPECT_EQ(image.calls[2].site, (bpf::CallSite{1, 0}));
  EXPECT_EQ(image.calls[2].callee->target, GuestAddress{0x20000});
  for (const model::CodeCall& call : image.calls) {
    const model::CodeFunction& in = image.functions[call.site.function];
    EXPECT_EQ(in.words.at((call.at.value - in.address.value) / 4), 0x4e800421U);
  }
}

TEST(Reach, EndsInTheBranchAndLinkAndHasTheSizeOfTheTable) {
  for (const ReachInfo& reach : kReaches) {
    for (std::uint64_t at = 0; at < 256; at += 4) {
      for (const std::int64_t distance : {reach.lowest, std::int64_t{0}, reach.highest}) {
        const CallPlace place{.at = {kFar + at}, .toc = {0xc000000001800000}};
        Emitter out;
        reach.emit_call(out, place,
                        {(reach.origin(place) + static_cast<Displacement>(distance)).value &
                         ~std::uint64_t{3}});
        EXPECT_EQ(out.position(), reach.words);
        const bool is_bl = reach.reach == model::Reach::bl;
        EXPECT_EQ(out.words().back() >> 26, is_bl ? 18U : 19U);
        EXPECT_EQ(out.words().back() & 1, 1U);
      }
    }
  }
}

// All instructions of BPF: nothing that power8 lacks, no register that is not ours, and of the
// nonvolatile ones only those that the prologue saved.
TEST(Compile, EveryInstructionWritesOnlyItsRegisters) {
  for (const bpf::InstructionInfo& info : bpf::kInstructions) {
    if (info.operation == bpf::Operation::call || info.operation == bpf::Operation::call_external) {
      continue;
    }
    for (const std::int32_t imm : {0, 1, -1, 0x8000, 0x12345678, INT32_MIN}) {
      model::LinkedProgram program;
      program.scheme = model::CallScheme::aux64;
      program.addresses = {{0x1000}};
      program.maps = {{static_cast<std::uint64_t>(imm)}};
      bpf::Slot slot{.opcode = info.opcode, .dst = 6, .src = 7, .offset = 0, .imm = imm};
      if (info.src.kind != bpf::FieldRule::Kind::operand) {
        slot.src = 0;
      }
      if (info.form == bpf::Form::target32 || info.names_map()) {
        slot.imm = 0;
      }
      bpf::select(info, slot);
      program.program.slots = {slot, {.imm = imm}, {.opcode = 0x95}};
      if (info.form != bpf::Form::dst_imm64) {
        program.program.slots[1] = {.opcode = 0xbf};
      }
      program.program.functions = {{"main", 0, 3}};
      const model::CodeImage image = compiled(program, {.cpu = model::Cpu::power8});
      std::uint32_t saved = 0;
      for (const std::uint32_t word : image.functions[0].words) {
        const ppc64::Instruction* const row = ppc64::find(word);
        ASSERT_NE(row, nullptr) << info.mnemonic << std::hex << ' ' << word;
        EXPECT_EQ(row->since, ppc64::Isa::v2_07) << info.mnemonic;
        if (row->op == ppc64::Op::std_ && (word >> 16 & 31) == 1) {
          saved |= 1U << (word >> 21 & 31);
        }
        for (std::size_t i = 0; i < row->operand_count; ++i) {
          const ppc64::OperandInfo operand = ppc64::operand_info(row->operands[i]);
          const auto value = static_cast<std::uint32_t>(ppc64::extract(operand, word));
          if (operand.kind == ppc64::OperandKind::gpr && operand.writes) {
            const bool ours = value == 0 || value == 1 || (value >= 3 && value <= 12) ||
                              (value >= 27 && (saved >> value & 1) != 0);
            EXPECT_TRUE(ours) << info.mnemonic << " writes r" << value;
          }
          if (operand.kind == ppc64::OperandKind::cr_field) {
            EXPECT_EQ(value, 0U) << info.mnemonic;
          }
        }
      }
    }
  }
}

TEST(Compile, DoublewordsAtOddDisplacements) {
  EXPECT_THAT(listing_of("ldxdw %r2, [%r1+8]\nexit\n"), Contains("ld      r4,8(r3)"));
  EXPECT_THAT(listing_of("ldxdw %r2, [%r1+6]\nexit\n"), Contains("ldx     r4,r3,r9"));
  EXPECT_THAT(listing_of("ldxdw %r2, [%r1-32768]\nexit\n"), Contains("ld      r4,-32768(r3)"));
  EXPECT_THAT(listing_of("stxdw [%r1+32767], %r2\nexit\n"), Contains("stdx    r4,r3,r9"));
  EXPECT_THAT(listing_of("ldxw %r2, [%r1+3]\nexit\n"), Contains("lwz     r4,3(r3)"));
}

TEST(Compile, Power10SwapsInRegisters) {
  model::AxisValues power10{.cpu = model::Cpu::power10};
  EXPECT_THAT(listing_of("swap64 %r1\nexit\n", power10), Contains("brd     r3,r3"));
  EXPECT_THAT(listing_of("be16 %r1\nexit\n", power10), Contains("brh     r3,r3"));
  EXPECT_THAT(listing_of("swap64 %r1\nexit\n"), Contains("ldbrx   r3,0,r9"));
}

TEST(Compile, SwapsDependOnTheOrderOfTheCpu) {
  const model::AxisValues little;
  model::AxisValues big;
  big.endian = model::Endian::big;
  const std::string swap = "lwbrx   r3,0,r9";
  EXPECT_THAT(listing_of("be32 %r1\nexit\n", little), Contains(swap));
  EXPECT_THAT(listing_of("le32 %r1\nexit\n", little), Not(Contains(swap)));
  EXPECT_THAT(listing_of("be32 %r1\nexit\n", big), Not(Contains(swap)));
  EXPECT_THAT(listing_of("le32 %r1\nexit\n", big), Contains(swap));
  EXPECT_THAT(listing_of("le32 %r1\nexit\n", little), Contains("clrldi  r3,r3,32"));
}

Error error_of(const model::LinkedProgram& program, const model::AxisValues& axes = {}) {
  const auto image = compile(program, axes);
  return image ? Error{.code = ErrorCode::usage_bad_argument, .message = "it compiled"}
               : image.error();
}

TEST(Compile, RefusesCodeThatRunsIntoOtherCode) {
  const auto size = compiled(linked(kCaller, {{0x10000}, {kFar}})).functions[0].words.size() * 4;
  EXPECT_EQ(error_of(linked(kCaller, {{0x10000}, {0x10000 + size - 4}})).code,
            ErrorCode::place_overlap);
  EXPECT_EQ(error_of(linked(kCaller, {{0x10000}, {0x10000}})).code, ErrorCode::place_overlap);
  EXPECT_EQ(error_of(linked(kCaller, {{0x10000}, {0x10000 - 4}})).code, ErrorCode::place_overlap);
  EXPECT_TRUE(compile(linked(kCaller, {{0x10000}, {0x10000 + size}}), {}));
}

TEST(Compile, RefusesAddressesThatCannotBe) {
  EXPECT_EQ(error_of(linked(kCaller, {{0x10000}, {0x20002}})).code, ErrorCode::place_misaligned);
  EXPECT_EQ(error_of(linked(kCaller, {{0x10000}, {0xfffffffffffffffc}})).code,
            ErrorCode::place_unmappable);
  const auto size = compiled(linked(kCaller, {{0x10000}, {kFar}})).functions[1].words.size() * 4;
  EXPECT_TRUE(compile(linked(kCaller, {{0x10000}, {0 - size}}), {}));
}

TEST(Compile, RefusesWhatItDoesNotHave) {
  for (const model::Cpu cpu : {model::Cpu::power8, model::Cpu::power9, model::Cpu::power10}) {
    model::AxisValues axes{.cpu = cpu, .reach = model::Reach::pcrel};
    EXPECT_EQ(compile(linked(kCaller, {{0x10000}, {0x20000}}), axes).has_value(),
              cpu == model::Cpu::power10);
    axes = {.cpu = cpu, .abi = model::Abi::elfv1};
    EXPECT_EQ(error_of(linked(kCaller, {{0x10000}, {kFar}}), axes).code,
              ErrorCode::jit_unsupported);
  }
  model::LinkedProgram program = linked("mov %r0, 1\nexit\n", {{0x10000}});
  program.program.slots[0].opcode = 0xff;
  const Error error = error_of(program);
  EXPECT_EQ(error.code, ErrorCode::jit_unsupported);
  EXPECT_EQ(error.where.line, 1U);
}

TEST(Compile, RefusesACallThatWasNotLinked) {
  model::LinkedProgram program = linked(kCaller, {{0x10000}, {kFar}});
  program.calls.clear();
  const Error error = error_of(program);
  EXPECT_EQ(error.code, ErrorCode::call_unresolved);
  EXPECT_EQ(error.site, "main[0]");
}

TEST(Passes, TheEmittingOneMustKeepToTheLayout) {
  const model::LinkedProgram program = linked("mov %r0, 1\nexit\n", {{0x1000}});
  const Target target;
  const FunctionSource source{.linked = program,
                              .reach = reach_info(model::Reach::abs64, model::Abi::elfv2),
                              .target = target};
  Layout layout;
  Emitter out;
  ASSERT_TRUE(run_pass(Pass::sizing, source, layout, out));
  ASSERT_TRUE(run_pass(Pass::emitting, source, layout, out));
  layout.slots[1] += 1;
  const auto result = run_pass(Pass::emitting, source, layout, out);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::jit_size_changed);
}

}  // namespace
}  // namespace farcall::jit::compile_test

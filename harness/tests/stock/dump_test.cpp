#include "stock/dump.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "external/external.hpp"

namespace farcall::stock::dump_test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr GuestAddress kMain = {0xc008'0000'0010'0000};
constexpr GuestAddress kF = {0xc008'0000'0010'2000};
constexpr kernel::KernelFacts kFacts = {.toc = {0xc000'0000'0200'0000}};
constexpr GuestAddress kBase = {0xc000'0000'0030'0000};
constexpr GuestAddress kLoop = {0xc000'0000'0031'0000};

// main has bpf_loop call f back, and calls it.
bpf::Program loaded() {
  bpf::Program program;
  program.slots = {
      {.opcode = 0x18, .dst = 2, .src = 4, .imm = 4},  // lddw r2, local f
      {},
      {.opcode = 0x85, .imm = 181},          // call 181
      {.opcode = 0x85, .src = 1, .imm = 1},  // call local f
      {.opcode = 0x95},                      // exit
      {.opcode = 0xb7},                      // f: r0 = 0
      {.opcode = 0x95},
  };
  program.functions = {{.name = "main", .begin = 0, .end = 5}, {.name = "f", .begin = 5, .end = 7}};
  program.externals = {external::external(*external::find("loop"), bpf::ExternalKind::helper, 181)};
  return program;
}

// What Linux 6.1 says of it, with its JIT on. The code of main loads the address of f into r4.
kernel::Answer told() {
  kernel::Answer answer;
  answer.outcome = wire::KernelOutcome::done;
  answer.functions = {{.address = kMain,
                       .symbol = {},
                       .words = {0x3c80c008, 0x788407c6, 0x64840010, 0x60842000, 0x4e800020}},
                      {.address = kF, .symbol = {}, .words = {0x4e800020}}};
  answer.program = loaded().slots;
  answer.program[1].imm = 1;
  answer.program[2].imm = 0x1'0000;
  answer.program[3].offset = 1;
  answer.program[3].imm = 1;
  answer.function_types = {{.slot = 0, .type = 3}, {.slot = 5, .type = 4}};
  return answer;
}

const AskedKernel kKernel = {.name = "k",
                             .facts = kFacts,
                             .series = {6, 1},
                             .symbols = KernelSymbols({{kCallBaseSymbol, kBase},
                                                       {"bpf_loop", kLoop},
                                                       {"__bpf_prog_run_args32", kBase + 0x20},
                                                       {"__bpf_prog_run_args64", kBase + 0x40}})};

std::vector<model::Finding> dump_of(const kernel::Answer& answer,
                                    wire::KernelMode mode = wire::KernelMode::jit) {
  const auto dumped = as_source(loaded(), answer);
  EXPECT_TRUE(dumped);
  return dumped ? dump_findings(loaded(), *dumped, answer, mode, kKernel)
                : std::vector<model::Finding>{};
}

TEST(KernelDump, IsTheProgramAgainWhateverItsCallsHave) {
  kernel::Answer answer = told();
  const auto dumped = as_source(loaded(), answer);
  ASSERT_TRUE(dumped);
  EXPECT_EQ(dumped->slots[0], loaded().slots[0]);
  EXPECT_EQ(dumped->slots[1], loaded().slots[1]);
  EXPECT_EQ(dumped->slots[3], loaded().slots[3]);
  answer.program[3].offset = 77;  // leads nowhere: the functions are told apart from that
  EXPECT_EQ(as_source(loaded(), answer)->slots[3], loaded().slots[3]);
  answer.function_types.pop_back();
  EXPECT_FALSE(as_source(loaded(), answer));
  answer = told();
  answer.program[3] = {.opcode = 0xb7};
  EXPECT_FALSE(as_source(loaded(), answer));
}

// Whatever a guest says: nothing is read beyond it.
TEST(KernelDump, ThatItsFunctionsDoNotDivideIsNotTheProgram) {
  model::Cell cell;
  cell.program = std::make_shared<const bpf::Program>(loaded());
  const auto is_refused = [&](const kernel::Answer& answer) {
    return !as_source(loaded(), answer) && !as_rewritten(cell, answer, kKernel.symbols);
  };
  kernel::Answer cut = told();
  cut.program.pop_back();
  cut.program.back() = cut.program.front();  // f is the first half of a load
  EXPECT_TRUE(is_refused(cut));
  kernel::Answer within = told();
  within.function_types[1].slot = 1;  // the second half of the load
  EXPECT_TRUE(is_refused(within));
  kernel::Answer late = told();
  late.function_types[0].slot = 2;
  EXPECT_TRUE(is_refused(late));
  kernel::Answer beyond = told();
  beyond.function_types[1].slot = 7;
  EXPECT_TRUE(is_refused(beyond));
  kernel::Answer back = told();
  back.function_types[1].slot = 0;
  EXPECT_TRUE(is_refused(back));
  kernel::Answer other_order = told();
  std::swap(other_order.function_types[0].type, other_order.function_types[1].type);
  EXPECT_TRUE(is_refused(other_order));
}

// A load of memory is that of the line that the kernel says; one without a line is of nothing.
TEST(KernelDump, ALoadWithoutALineIsNotKnown) {
  model::Cell cell;
  bpf::Program program = loaded();
  program.slots[0] = {.opcode = 0x18, .dst = 2, .imm = 7};
  cell.program = std::make_shared<const bpf::Program>(program);
  kernel::Answer answer = told();
  answer.program[0] = {.opcode = 0x18, .dst = 2, .src = 2, .imm = 1};
  answer.lines = {{.slot = 0, .address = kMain, .loaded_slot = 0}};
  const auto known = as_rewritten(cell, answer, kKernel.symbols);
  ASSERT_TRUE(known);
  EXPECT_EQ(known->program.slots[0], program.slots[0]);
  answer.lines[0].loaded_slot = 0xffff'ffff;  // line 0
  EXPECT_FALSE(as_rewritten(cell, answer, kKernel.symbols));
}

TEST(KernelDump, OfASoundKernelIsAsDocumented) {
  EXPECT_THAT(dump_of(told()), IsEmpty());
}

TEST(KernelDump, EachFieldThatIsSpoiltIsFound) {
  const auto spoilt = [](std::size_t slot, std::int16_t offset, std::int32_t imm) {
    kernel::Answer answer = told();
    answer.program[slot].offset += offset;
    answer.program[slot].imm += imm;
    return dump_of(answer);
  };
  EXPECT_THAT(spoilt(0, 0, 1), SizeIs(1));  // of the load: the distance
  EXPECT_THAT(spoilt(0, 1, 0), SizeIs(1));  // what is to be 0
  EXPECT_THAT(spoilt(1, 0, 1), SizeIs(1));  // the number
  EXPECT_THAT(spoilt(2, 0, 8), SizeIs(1));  // of the helper: its address
  EXPECT_THAT(spoilt(3, 1, 0), SizeIs(1));  // of the call: the distance
  const auto number = spoilt(3, 0, -1);
  ASSERT_THAT(number, SizeIs(1));
  EXPECT_EQ(number[0].code, ErrorCode::dump_mismatch);
  EXPECT_EQ(number[0].site, "main[1]");
}

TEST(KernelDump, AnInterpretersAddressIsOfOneWithStackEnough) {
  bpf::Program program = loaded();
  program.slots[0] = {.opcode = 0xb7};
  program.slots[1] = {.opcode = 0xb7};
  program.slots[2] = {.opcode = 0xb7};
  program.slots[5] = {.opcode = 0x7b, .dst = 10, .src = 1, .offset = -40};
  kernel::Answer answer = told();
  answer.program = program.slots;
  answer.program[3].offset = 1;
  const auto found = [&](std::int32_t imm) {
    answer.program[3].imm = imm;
    return dump_findings(program, as_source(program, answer).value(), answer,
                         wire::KernelMode::interpreter, kKernel);
  };
  EXPECT_THAT(found(0x40), IsEmpty());
  const auto too_small = found(0x20);
  ASSERT_THAT(too_small, SizeIs(1));
  EXPECT_THAT(too_small[0].text, HasSubstr("with 40 bytes of stack or more"));
}

TEST(KernelDump, IsAProgramThatCouldBeLoadedWhateverTheVerifierDid) {
  model::Cell cell;
  cell.program = std::make_shared<const bpf::Program>(loaded());
  const auto same = as_rewritten(cell, told(), kKernel.symbols);
  ASSERT_TRUE(same);
  EXPECT_EQ(same->program, loaded());
  EXPECT_EQ(same->dumped.slots[2].imm, 0x1'0000);  // as the kernel's tag has it

  const auto spoilt = [&](std::size_t slot, std::int32_t imm) {
    kernel::Answer answer = told();
    answer.program[slot].imm = imm;
    return as_rewritten(cell, answer, kKernel.symbols);
  };
  EXPECT_FALSE(spoilt(2, 181));  // the address of no helper
  EXPECT_FALSE(spoilt(3, 2));    // the number of no function
  EXPECT_FALSE(spoilt(1, -1));
  // main alone, which the verifier has left nothing to call.
  kernel::Answer alone = told();
  alone.functions.pop_back();
  alone.function_types.pop_back();
  alone.program = {{.opcode = 0xb7}, {.opcode = 0xbc, .imm = 1}, {.opcode = 0x95}};
  const auto rest = as_rewritten(cell, alone, kKernel.symbols);
  ASSERT_TRUE(rest);
  EXPECT_EQ(rest->program.functions.size(), 1U);
  EXPECT_EQ(rest->program.slots[1].imm, 0);
  EXPECT_EQ(rest->dumped.slots[1].imm, 1);
}

TEST(KernelPointers, AFunctionThatIsRemovedHasNoAddress) {
  EXPECT_FALSE(removed_pointee(loaded(), told()));
  kernel::Answer alone = told();
  alone.functions.pop_back();
  alone.function_types.pop_back();
  alone.program = {{.opcode = 0x18, .dst = 2, .src = 4, .imm = 4}, {}, {.opcode = 0x95}};
  alone.lines = {{.slot = 0, .loaded_slot = 0}, {.slot = 2, .loaded_slot = 4}};
  EXPECT_EQ(removed_pointee(loaded(), alone), "f");
  // The load is gone, too.
  alone.program = {{.opcode = 0x95}};
  alone.lines = {{.slot = 0, .loaded_slot = 4}};
  EXPECT_FALSE(removed_pointee(loaded(), alone));
  alone.lines = {{.slot = 0, .loaded_slot = 0}};  // something else is in its place
  EXPECT_FALSE(removed_pointee(loaded(), alone));
}

TEST(KernelPointers, TheCodeLoadsWhatJitedKsymsHas) {
  EXPECT_THAT(pointer_findings(loaded(), told(), kFacts), IsEmpty());
  kernel::Answer beside = told();
  beside.functions[0].words[3] += 4;  // ori: four bytes after the beginning of f
  const auto found = pointer_findings(loaded(), beside, kFacts);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].code, ErrorCode::call_decoded_elsewhere);
  EXPECT_THAT(found[0].text, HasSubstr("the address of f, c008000000102000"));
  kernel::Answer other_register = told();
  for (std::size_t i = 0; i < 4; ++i) {
    const std::uint32_t both = i == 0 ? 1U << 21U : (1U << 21U | 1U << 16U);
    other_register.functions[0].words[i] += both;  // r5
  }
  EXPECT_THAT(pointer_findings(loaded(), other_register, kFacts), SizeIs(1));
}

TEST(KernelSymbols, AreWhatTheKernelAnswers) {
  const kernel::Question question = symbols_question(std::endian::little);
  ASSERT_EQ(question.regions.size(), 1U);
  kernel::Answer answer;
  answer.outcome = wire::KernelOutcome::done;
  answer.regions = {{.address = {}, .bytes = question.regions[0].bytes}};
  answer.regions[0].bytes[0] = std::byte{0x20};  // of the first name, little-endian
  const KernelSymbols known = symbols(kernel::Answered(answer), std::endian::little);
  EXPECT_EQ(known.find(kCallBaseSymbol), GuestAddress{0x20});
  EXPECT_FALSE(known.find("bpf_loop"));           // 0: the kernel has none
  EXPECT_FALSE(known.is_without_toc_at({0x20}));  // its code could not be read
  answer.regions[0].bytes[11] = std::byte{0x60};  // nop
  EXPECT_TRUE(symbols(kernel::Answered(answer), std::endian::little).is_without_toc_at({0x20}));
  answer.regions[0].bytes[10] = std::byte{0x4c};  // addis r2,r12,0
  answer.regions[0].bytes[11] = std::byte{0x3c};
  EXPECT_FALSE(symbols(kernel::Answered(answer), std::endian::little).is_without_toc_at({0x20}));
  answer.outcome = wire::KernelOutcome::rejected;
  EXPECT_FALSE(symbols(kernel::Answered(answer), std::endian::little).find(kCallBaseSymbol));
}

}  // namespace
}  // namespace farcall::stock::dump_test

#include "show/listing.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/show/support.hpp"

namespace farcall::show::listing_test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

model::LinkedProgram by_table() {
  model::LinkedProgram linked{
      .scheme = model::CallScheme::table,
      .program = caller_and_callee(),
      .addresses = {kMainAddress, kCalleeAddress},
      .calls = {{.site = {0, 0}, .slot = 0, .callee = 1, .target = kCalleeAddress}}};
  linked.program.slots[0].offset = 1;
  linked.program.slots[0].imm = 1;
  return linked;
}

std::string listing(JitMode mode, CallNames names, bpf::Program source = caller_and_callee()) {
  model::LinkedProgram linked = by_table();
  linked.program.functions = source.functions;
  return xlated_text(xlated(linked, source, mode, names, TagHash::sha1), {});
}

constexpr const char* kListing =
    "bpf_prog_b2715c0f7f689679_main:\n"
    "    0: (85) call pc+1#bpf_prog_8923dad831f6fb51_callee\n"
    "    1: (95) exit\n"
    "\n"
    "bpf_prog_8923dad831f6fb51_callee:\n"
    "    2: (b7) r0 = 7\n"
    "    3: (95) exit\n";

TEST(Listing, OfXlatedIsTheSameInEveryMode) {
  for (const JitMode mode : kJitModes) {
    EXPECT_EQ(listing(mode, CallNames::tag), kListing);
  }
}

TEST(Listing, OfAProgramWithoutNamesEndsInF) {
  bpf::Program source = caller_and_callee();
  source.functions[1].anonymous = true;
  EXPECT_THAT(listing(JitMode::on, CallNames::tag, source),
              HasSubstr("call pc+1#bpf_prog_8923dad831f6fb51_F\n"));
}

TEST(Listing, ByTagAndOffsetNamesTheProgramAndTheSlot) {
  for (const JitMode mode : kJitModes) {
    EXPECT_THAT(listing(mode, CallNames::tag_offset),
                HasSubstr("call pc+1#bpf_prog_b2715c0f7f689679+2\n"));
  }
}

TEST(Listing, OfTheKernelDiffersFromModeToMode) {
  EXPECT_THAT(listing(JitMode::on, CallNames::kernel),
              HasSubstr("call pc+1#bpf_prog_8923dad831f6fb51_callee\n"));
  EXPECT_THAT(listing(JitMode::off, CallNames::kernel),
              HasSubstr("call pc+1#__bpf_prog_run_args32\n"));
  EXPECT_THAT(listing(JitMode::restricted, CallNames::kernel), HasSubstr("call pc+1#0x0\n"));
}

TEST(Listing, OfTheKernelNamesTheInterpreterThatHasStackEnough) {
  for (const auto& [offset, name] :
       {std::pair{-32, "args32\n"}, std::pair{-33, "args64\n"}, std::pair{-512, "args512\n"}}) {
    bpf::Program source = caller_and_callee();
    source.slots[2] = {.opcode = 0x72, .dst = 10, .offset = static_cast<std::int16_t>(offset)};
    EXPECT_THAT(listing(JitMode::off, CallNames::kernel, source), HasSubstr(name));
  }
}

TEST(Listing, NamesTheFunctionsWhoseAddressesAreLoaded) {
  const bpf::Program source =
      bpf::assemble("lddw %r2, local callee\nexit\ncallee:\nmov %r0, 7\nexit\n", {"test", 1, 1})
          .value();
  model::LinkedProgram linked{.program = source, .addresses = {kMainAddress, kCalleeAddress}};
  linked.program.slots[0].imm = static_cast<std::int32_t>(kCalleeAddress.value);
  linked.program.slots[1].imm = static_cast<std::int32_t>(kCalleeAddress.value >> 32);
  const auto text = [&](JitMode mode, CallNames names) {
    return xlated_text(xlated(linked, source, mode, names, TagHash::sha1), {});
  };
  for (const JitMode mode : kJitModes) {
    EXPECT_THAT(text(mode, CallNames::tag),
                HasSubstr("0: (18) r2 = subprog[+2]#bpf_prog_8923dad831f6fb51_callee\n"));
    EXPECT_THAT(text(mode, CallNames::kernel), HasSubstr("0: (18) r2 = subprog[+2]\n"));
  }
}

TEST(Listing, HasColoursWhenAsked) {
  const auto functions =
      xlated(by_table(), caller_and_callee(), JitMode::on, CallNames::tag, TagHash::sha1);
  EXPECT_THAT(xlated_text(functions, {.colour = true}), HasSubstr("\033["));
  EXPECT_THAT(xlated_text(functions, {}), Not(HasSubstr("\033[")));
}

// lis r12 is 3d80, bctrl 4e800421, blr 4e800020 (Power ISA, Book I).
TEST(Listing, OfJitedHasSymbolsCallsAndBpfBetween) {
  model::CodeImage image = image_of_two();
  image.functions[0].lines = {{.instruction = 0, .word = 0}, {.instruction = 1, .word = 2}};
  image.functions[1].lines = {{.instruction = 0, .word = 0}};
  const bpf::Program source = caller_and_callee();
  const auto names = symbols(image, &source, model::Endian::little, TagHash::sha1);
  const auto functions = xlated(by_table(), source, JitMode::on, CallNames::tag, TagHash::sha1);
  const std::vector<model::DecodedCall> decoded = {
      {.site = {0, 0}, .at = kMainAddress + 4, .target = kCalleeAddress}};
  const JitedSource jited{
      .image = image, .symbols = names, .decoded = decoded, .functions = functions};
  EXPECT_EQ(jited_text(jited, {}),
            "c008000000020000 bpf_prog_b2715c0f7f689679_main:\n"
            ";   0: (85) call pc+1#bpf_prog_8923dad831f6fb51_callee\n"
            "     0: 3d80c008  lis     r12,-16376\n"
            "     4: 4e800421  bctrl  # → c000000000010000 bpf_prog_8923dad831f6fb51_callee\n"
            ";   1: (95) exit\n"
            "     8: 4e800020  blr\n"
            "\n"
            "c000000000010000 bpf_prog_8923dad831f6fb51_callee:\n"
            ";   2: (b7) r0 = 7\n"
            "     0: 4e800020  blr\n");
  const model::Json json = jited_json(jited);
  EXPECT_EQ(json[0]["instructions"][1]["symbol"], "bpf_prog_8923dad831f6fb51_callee");
  EXPECT_EQ(json[0]["instructions"][1]["target"], "0xc000000000010000");
  EXPECT_EQ(json[1]["instructions"][0]["bpf"][0]["slot"], 2);
}

}  // namespace
}  // namespace farcall::show::listing_test

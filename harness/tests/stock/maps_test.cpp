// Maps and tail calls in a stock kernel: what it is asked, and what is made of its answer.
#include "stock/maps.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/byte_order.hpp"
#include "model/json.hpp"
#include "selection/select.hpp"
#include "stock/capture.hpp"
#include "stock/linux_cells.hpp"
#include "stock/programs.hpp"
#include "tests/farcall_process.hpp"
#include "tests/stock/cells.hpp"
#include "tests/stock/stock_guest.hpp"

namespace farcall::stock::maps_test {
namespace {

using namespace tests;

using model::Json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::byte> bytes_of(std::initializer_list<unsigned> values) {
  std::vector<std::byte> bytes;
  for (const unsigned value : values) {
    bytes.push_back(static_cast<std::byte>(value));
  }
  return bytes;
}

// Looks up the second of two values, of twelve bytes, and adds 1 to its first byte.
constexpr const char* kLookup = R"(-- helper 1 map_lookup_elem
-- array numbers size=2 value=12
01 02 03 04 05 06 07 08 09 0a 0b 0c
11 12 13 14 15 16 17 18 19 1a 1b 1c
-- array flags size=2 value=1
05
-- asm
lddw %r1, map numbers
mov %r2, %r10
add %r2, -4
stw [%r10-4], 1
call 1
jeq %r0, 0, exit
ldxb %r6, [%r0+0]
add %r6, 1
stxb [%r0+0], %r6
lddw %r1, value flags
ldxb %r1, [%r1+0]
mov %r0, %r6
add %r0, %r1
exit
-- result
0x17
-- mem-after numbers
17: 0a 0b 0c 12
)";

TEST(Maps, AreTheKernelsOwnIfTheProgramNamesThem) {
  const LinuxCell cell = cell_of(kLookup);
  ASSERT_FALSE(cell.skipped) << cell.skipped->message;
  EXPECT_THAT(cell.kinds, ElementsAre(RegionKind::array, RegionKind::values));
  const kernel::Region& numbers = cell.question.regions[0];
  ASSERT_TRUE(numbers.map);
  EXPECT_EQ(numbers.map->type, wire::KernelMapType::array);
  EXPECT_EQ(numbers.map->key_bytes, 4U);
  EXPECT_EQ(numbers.map->value_bytes, 12U);
  EXPECT_EQ(numbers.map->entries, 2U);
  EXPECT_EQ(numbers.bytes.size(), 24U);
  EXPECT_EQ(numbers.bytes.front(), std::byte{1});
  // Two values whose address is loaded: one value of the kernel's, without farcall's header.
  EXPECT_FALSE(cell.question.regions[1].map);
  EXPECT_EQ(cell.question.regions[1].bytes, bytes_of({5, 0}));
  const auto load = std::ranges::find(cell.question.slots, bpf::kPseudoMap, &bpf::Slot::src);
  ASSERT_NE(load, cell.question.slots.end());
  EXPECT_EQ(load->imm, 0);
  EXPECT_EQ(cell.question.type, wire::KernelProgramType::syscall);
}

// What the interpreter of a kernel would say of kLookup, if the values are these.
kernel::Answer answer_with(const LinuxCell& cell, std::vector<std::byte> numbers) {
  kernel::Answer answer;
  answer.outcome = wire::KernelOutcome::done;
  answer.result = 0x17;
  answer.program = cell.question.slots;
  answer.function_types = {{.slot = 0, .type = kernel::kFirstFunctionType}};
  answer.regions = {{.address = {0xc000'0000'0500'0000}, .bytes = std::move(numbers)},
                    {.address = {0xc008'0000'0001'0000}, .bytes = bytes_of({5, 0})}};
  return answer;
}

const std::vector<std::byte> kNumbersAfter =
    bytes_of({0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c,
              0x12, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c});

TEST(Maps, AWrongValueInTheKernelsMapIsAFinding) {
  const LinuxCell cell = cell_of(kLookup);
  const auto findings = [&](std::vector<std::byte> numbers) {
    return captured(cell, wire::KernelMode::interpreter, answer_with(cell, std::move(numbers)),
                    {.name = "k"})
        .findings;
  };
  EXPECT_THAT(findings(kNumbersAfter), IsEmpty());
  for (const std::size_t at : {0U, 12U, 23U}) {
    std::vector<std::byte> wrong = kNumbersAfter;
    wrong[at] ^= std::byte{1};
    const auto found = findings(wrong);
    ASSERT_EQ(found.size(), 1U) << at;
    EXPECT_EQ(found[0].code, ErrorCode::memory_mismatch);
    EXPECT_THAT(found[0].text, HasSubstr("of numbers the interpreter leaves"));
  }
}

TEST(Maps, OfAnArrayTheKernelsLayoutHasTheSameValues) {
  const LinuxCell cell = cell_of(kLookup);
  const bpf::MemoryRegion& numbers = cell.cell.memory[0];
  constexpr std::uint32_t kValuesAt = 16;
  std::vector<std::byte> structure(kValuesAt + 2 * 16, std::byte{0xee});
  std::copy_n(&numbers.bytes[8], 12, &structure[kValuesAt]);
  std::copy_n(&numbers.bytes[20], 12, &structure[kValuesAt + 16]);
  const GuestAddress address = {0xc000'0000'0500'0000};
  const kernel::RegionAfter after{.address = address,
                                  .bytes = kNumbersAfter,
                                  .pieces = {{.address = address, .bytes = structure}},
                                  .values_at = kValuesAt};
  const auto laid_out = kernel_layout(numbers, after, std::endian::little);
  ASSERT_TRUE(laid_out);
  EXPECT_EQ(laid_out->address, address);
  EXPECT_EQ(laid_out->bytes, structure);
  structure[kValuesAt + 16] = std::byte{0x12};
  EXPECT_EQ(kernel_layout_after(numbers, after, std::endian::little), structure);
  // Six bytes from the ninth of the first value on.
  const model::ExpectedMemory expected{
      .region = "numbers", .offset = 8 + 9, .bytes = std::vector<std::byte>(6)};
  const auto pieces = in_kernel_layout(expected, numbers, after, std::endian::little);
  ASSERT_EQ(pieces.size(), 2U);
  EXPECT_EQ(pieces[0].offset, kValuesAt + 9U);
  EXPECT_EQ(pieces[0].bytes.size(), 3U);
  EXPECT_EQ(pieces[1].offset, kValuesAt + 16U);
  EXPECT_EQ(pieces[1].bytes.size(), 3U);

  kernel::RegionAfter untold = after;
  untold.pieces.clear();
  EXPECT_FALSE(kernel_layout(numbers, untold, std::endian::little));
}

// A hash table of farcall's with two slots, keys of 4 bytes and values of 2: key 7 is in the second.
std::vector<std::byte> table() {
  std::vector<std::byte> bytes(16 + 2 * 24);
  store(&bytes[4], std::uint32_t{2}, std::endian::little);
  store(&bytes[8], std::uint32_t{2}, std::endian::little);
  store(&bytes[12], std::uint32_t{4}, std::endian::little);
  bytes[40] = std::byte{1};
  bytes[48] = std::byte{7};
  bytes[56] = std::byte{0x55};
  return bytes;
}

TEST(Maps, OfAHashTableTheContentsCountAndNotThePlaces) {
  const bpf::MemoryRegion left{.name = "seen", .bytes = table()};
  const auto after = [&](std::initializer_list<unsigned> elements) {
    return bytes_after(left, {.address = {}, .bytes = bytes_of(elements)}, RegionKind::hash,
                       std::endian::little);
  };
  EXPECT_EQ(after({7, 0, 0, 0, 0x55, 0}), left.bytes);
  EXPECT_NE(after({7, 0, 0, 0, 0x56, 0}), left.bytes);
  EXPECT_NE(after({8, 0, 0, 0, 0x55, 0}), left.bytes);
  EXPECT_NE(after({}), left.bytes);
  EXPECT_NE(after({7, 0, 0, 0, 0x55, 0, 9, 0, 0, 0, 0, 0}), left.bytes);
  EXPECT_THAT(after({7, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0}), IsEmpty());
  EXPECT_THAT(after({7, 0, 0, 0, 0x55, 0, 7, 0, 0, 0, 0x55, 0}), IsEmpty());
  EXPECT_THAT(after({7, 0, 0, 0, 0x55, 0, 9}), IsEmpty());
}

TEST(Maps, AHashTableThatCodeOverwroteIsNotReadPastItsEnd) {
  const std::vector<std::byte> elements = bytes_of({7, 0, 0, 0, 0x55, 0});
  for (const std::uint32_t value : {0U, 3U, 1000U, 0x7fff'fff8U, 0xffff'ffffU}) {
    for (const std::size_t at : {4U, 8U, 12U}) {
      bpf::MemoryRegion left{.name = "seen", .bytes = table()};
      store(&left.bytes.own()[at], value, std::endian::little);
      const auto after = bytes_after(left, {.address = {}, .bytes = elements}, RegionKind::hash,
                                     std::endian::little);
      EXPECT_NE(after, left.bytes) << at << ' ' << value;
    }
  }
  const bpf::MemoryRegion cut{.name = "seen", .bytes = std::vector<std::byte>(9)};
  EXPECT_THAT(bytes_after(cut, {}, RegionKind::hash, std::endian::little), IsEmpty());
}

TEST(TailCalls, EachProgramIsLoadedByItself) {
  const LinuxCell cell = cell_of(kTailCall);
  ASSERT_FALSE(cell.skipped) << cell.skipped->message;
  const kernel::Question& question = cell.question;
  EXPECT_EQ(question.type, wire::KernelProgramType::raw_tracepoint);
  // r1 is the context, and no prologue sets it.
  EXPECT_EQ(question.context, bytes_of({0x28}));
  EXPECT_EQ(question.slots[0], (bpf::Slot{.opcode = 0x18, .dst = 2, .src = 1, .imm = 1}));
  EXPECT_EQ(question.slots.size(), 2U + 3U + 5U);
  ASSERT_EQ(question.targets.size(), 2U);
  EXPECT_EQ(question.targets[0].slots.size(), 6U);
  EXPECT_EQ(question.targets[0].types.functions.size(), 2U);
  EXPECT_EQ(question.targets[1].slots.size(), 2U);
  ASSERT_TRUE(question.regions[1].map);
  EXPECT_EQ(question.regions[1].map->type, wire::KernelMapType::programs);
  EXPECT_THAT(question.regions[1].map->programs, ElementsAre(wire::kNoKernelProgram, 1U, 0U));
}

TEST(TailCalls, TheArrayPointsToWhereTheKernelHasThePrograms) {
  const LinuxCell cell = cell_of(kTailCall);
  kernel::Answer answer;
  for (const std::uint64_t address : {0x1000U, 0x2000U, 0x3000U, 0x4000U}) {
    answer.functions.push_back({.address = {address}, .symbol = {}, .words = {}});
  }
  answer.regions = {{.address = {0x5000}, .bytes = {}}, {.address = {0x6000}, .bytes = {}}};
  const model::Cell placed = placed_by_kernel(cell, answer);
  EXPECT_EQ(placed.arguments[0], 0x5000U);
  EXPECT_EQ(placed.memory[1].address, GuestAddress{0x6000});
  const SharedBytes& jumps = placed.memory[1].bytes;
  EXPECT_EQ(load<std::uint64_t>(&jumps[8], std::endian::little), 0U);
  EXPECT_EQ(load<std::uint64_t>(&jumps[16], std::endian::little), 0x2000U);
  EXPECT_EQ(load<std::uint64_t>(&jumps[24], std::endian::little), 0x1000U);
}

// What is written there would not be read through r1.
TEST(TailCalls, AContextWithAnotherAddressIsNotAsked) {
  const model::Cell asked = documents_of(R"(-- regs
r1 = addr(d)
r4 = addr(e)
-- data d size=8
00
-- data e size=8
00
-- asm
lddw %r2, map jumps
mov %r3, 0
call 12
mov %r0, 0
exit
-- program next
lddw %r2, 0x1234567890
mov %r0, 0
exit
-- array jumps size=1
0 = next
-- result none
)")
                                .front()
                                .cell;
  const std::uint64_t context = asked.arguments[0];
  const auto why_not = [&](std::uint64_t in_r4, std::uint64_t loaded) {
    model::Cell cell = asked;
    cell.arguments[3] = in_r4;
    bpf::Program program = *cell.program;
    bpf::Slot* const load = &program.slots[program.functions[1].begin];
    load[0].imm = static_cast<std::int32_t>(loaded);
    load[1].imm = static_cast<std::int32_t>(loaded >> 32U);
    cell.program = std::make_shared<const bpf::Program>(program);
    const auto skipped = linux_cell(cell, {}).skipped;
    return skipped ? std::string(skipped->message) : std::string{};
  };
  const std::uint64_t other = asked.arguments[3];
  EXPECT_EQ(why_not(other, other), "");
  EXPECT_EQ(why_not(0, 0), "");
  const auto is_a_copy = HasSubstr("its r1 points to d, whose address it also has otherwise");
  EXPECT_THAT(why_not(context, other), is_a_copy);
  EXPECT_THAT(why_not(context + 7, other), is_a_copy);
  EXPECT_THAT(why_not(other, context), is_a_copy);
  EXPECT_THAT(why_not(other, context + 7), is_a_copy);
}

TEST(TailCalls, WhatNoContextCanBeIsNamed) {
  const std::string rest =
      "-- asm\nlddw %r2, map jumps\nmov %r3, 0\ncall 12\nexit\n-- array jumps size=1\n0 = main\n"
      "-- result none\n";
  for (const auto& [text, why] :
       {std::pair{"-- regs\nr1 = 7\n" + rest, "its r1 is a number"},
        std::pair{"-- regs\nr1 = addr(d)\n-- data d size=97\n00\n" + rest, "at most 96 bytes"}}) {
    const LinuxCell cell = cell_of(text);
    ASSERT_TRUE(cell.skipped) << text;
    EXPECT_THAT(std::string(cell.skipped->message), HasSubstr(why));
  }
}

TEST(Maps, AnAddressInsideOfOneIsNotAsked) {
  const std::string rest = R"(-- helper 1 map_lookup_elem
-- array numbers size=1 value=8
-- asm
lddw %r1, map numbers
mov %r2, %r10
lddw %r3, 0x1234567890
call 1
exit
-- result none
)";
  const model::Cell asked = documents_of("-- regs\nr1 = addr(numbers)\n" + rest).front().cell;
  ASSERT_FALSE(linux_cell(asked, {}).skipped) << linux_cell(asked, {}).skipped->message;
  const auto why_not = [](const model::Cell& cell) {
    const auto skipped = linux_cell(cell, {}).skipped;
    return skipped ? std::string(skipped->message) : std::string{};
  };
  model::Cell in_register = asked;
  in_register.arguments[0] += 8;
  EXPECT_THAT(why_not(in_register), HasSubstr("an address inside numbers"));
  model::Cell in_load = asked;
  bpf::Program program = *asked.program;
  const std::uint64_t inside = asked.arguments[0] + 8;
  program.slots[3].imm = static_cast<std::int32_t>(inside);
  program.slots[4].imm = static_cast<std::int32_t>(inside >> 32U);
  in_load.program = std::make_shared<const bpf::Program>(program);
  EXPECT_THAT(why_not(in_load), HasSubstr("an address inside numbers"));
}

// As in an object: the kernel would have other values, or fewer elements, than farcall's.
TEST(Maps, OnesOfEachCpuAreNotAsked) {
  model::Cell cell = documents_of(kLookup).front().cell;
  bpf::Program program = *cell.program;
  program.maps[1].simplified = true;
  cell.program = std::make_shared<const bpf::Program>(program);
  const auto skipped = linux_cell(cell, {}).skipped;
  ASSERT_TRUE(skipped);
  EXPECT_THAT(std::string(skipped->message), HasSubstr("flags is a per-CPU or LRU map"));
}

TEST(Maps, OnesOfEachCpuInAnObjectAreNotAsked) {
  const auto selected =
      selection::select_cells({.paths = {(cases_folder() / "c/per-cpu-le.case").string()}});
  ASSERT_TRUE(selected && selected.value().bad.empty());
  const auto cells = linux_cells(selected.value().documents, {});
  ASSERT_EQ(cells.size(), 2U);
  for (const LinuxCell& cell : cells) {
    ASSERT_TRUE(cell.skipped) << cell.cell.name;
    EXPECT_THAT(
        std::string(cell.skipped->message),
        HasSubstr("counts is a per-CPU or LRU map, of which a kernel has a value for each CPU"));
  }
}

TEST(Maps, MoreThanAnAnswerHoldsIsNotAsked) {
  const auto why_not = [](unsigned arrays, const std::string& header, const std::string& load) {
    std::string text = "-- asm\n";
    std::string sections;
    for (unsigned i = 0; i < arrays; ++i) {
      text += fmt::format("lddw %r{}, map a{}\n", i % 5 + 1, i);
      sections += fmt::format("-- array a{} {}\n{}", i, header, load);
    }
    const LinuxCell cell = cell_of(text + "mov %r0, 0\nexit\n" + sections + "-- result\n0\n");
    return cell.skipped ? std::string(cell.skipped->message) : std::string{};
  };
  EXPECT_EQ(why_not(31, "size=4 value=131070", ""), "");
  EXPECT_THAT(why_not(32, "size=4 value=131070", ""), HasSubstr("32 pieces"));
  EXPECT_EQ(why_not(3, "size=256", "0 = main\n"), "");
  EXPECT_THAT(why_not(4, "size=256", "0 = main\n"), HasSubstr("1028 pieces"));
}

TEST(TailCalls, ProgramsOfOneCellAreTakenApart) {
  const LinuxCell cell = cell_of(kTailCall);
  const bpf::Program& program = *cell.cell.program;
  const std::vector<ProgramPart> parts = program_parts(program);
  ASSERT_EQ(parts.size(), 3U);
  EXPECT_EQ(part_of(parts, 0), 0U);
  EXPECT_EQ(part_of(parts, 2), 1U);  // more
  EXPECT_EQ(part_of(parts, 3), 2U);
  const bpf::Program next = alone(program, parts[1]);
  ASSERT_EQ(next.functions.size(), 2U);
  EXPECT_EQ(next.functions[1].begin, 4U);
  EXPECT_EQ(next.slots.size(), 6U);
}

TEST(LinuxGuest, MapsAndTailCallsAreTheKernelsOwn) {
  const ScratchFolder folder;
  (void)folder.write("lookup.case", kLookup);
  (void)folder.write("tail.case", kTailCall);
  const Finished run = run_farcall(
      {"run", folder.path().string(), "--guest", "linux", "--kernel", kKernel, "--format", "json"});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  std::map<std::string, std::string> expected;
  for (const std::string mode : {"jit", "interpreter", "hardened"}) {
    expected["lookup@linux-" + mode] = "pass";
    expected["tail@linux-" + mode] = "pass";
  }
  const Json report = Json::parse(run.out);
  EXPECT_EQ(outcomes(report), expected) << run.out;
  for (const Json& cell : report.at("cells")) {
    EXPECT_THAT(cell.dump(), testing::Not(HasSubstr("cannot run in the bare guest"))) << cell;
  }
}

// By the functions that the kernel's code calls: one of them returns the element, not the value. Of an
// array only the kernel's can find what its code finds.
TEST(LinuxGuest, WhatChangesMapsIsRunOnceMoreWhereItCanBe) {
  const Finished run = run_farcall({"run", (cases_folder() / "c/hash-le.case").string(),
                                    (cases_folder() / "maps/update-array.case").string(),
                                    (cases_folder() / "maps/update-and-lookup.case").string(),
                                    "--guest", "linux", "--kernel", kKernel, "--format", "json"});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  std::size_t not_repeated = 0;
  std::size_t repeated = 0;
  const Json report = Json::parse(run.out);
  for (const Json& cell : report.at("cells")) {
    const std::string text = cell.dump();
    const auto name = cell.at("cell").get<std::string>();
    const bool with_code = !name.ends_with("-interpreter");
    const bool skipped = with_code && name.starts_with("update-and-lookup");
    EXPECT_EQ(cell.at("outcome"), skipped ? "skip" : "pass") << text;
    EXPECT_EQ(text.find("cannot run in the bare guest: it calls array_map_update_elem") !=
                  std::string::npos,
              skipped)
        << text;
    not_repeated += skipped ? 1U : 0U;
    repeated += with_code && !skipped ? 1U : 0U;
  }
  EXPECT_EQ(not_repeated, 4U);  // hash and radix, the JIT and hardened
  EXPECT_EQ(repeated, 8U);
}

TEST(LinuxGuest, WhatCannotBeRunOnceMoreIsNotCaptured) {
  const Finished captured =
      run_farcall({"kernel", "capture",
                   (cases_folder() / "maps/update-and-lookup.case").string() + "@le-radix-elfv2",
                   "--kernel", kKernel});
  EXPECT_NE(captured.exit_code, 0);
  EXPECT_EQ(captured.out, "");
  EXPECT_THAT(captured.err, HasSubstr("it calls array_map_update_elem"));
}

// The kernel's own structures lead a tail call to its program; here they lead to the other one.
TEST(LinuxGuest, ATailCallThatGoesElsewhereIsFoundInTheBareGuest) {
  const ScratchFolder folder;
  const std::string document = (folder.path() / "captured.json").string();
  const Finished captured = run_farcall({"kernel", "capture", folder.write("tail.case", kTailCall),
                                         "--kernel", kKernel, "--output", document});
  ASSERT_EQ(captured.exit_code, 0) << captured.err;
  EXPECT_EQ(run_farcall({"run", "--from", document}).exit_code, 0);
  Json json = Json::parse(contents(document));
  const auto address = [&](const std::string& name) {
    for (const Json& function : json.at("image").at("functions")) {
      if (function.at("name") == name) {
        return function.at("address").get<std::string>().substr(2);
      }
    }
    return std::string{};
  };
  const auto little_endian = [](const std::string& digits) {
    std::string bytes;
    for (std::size_t at = digits.size(); at >= 2; at -= 2) {
      bytes += digits.substr(at - 2, 2);
    }
    return bytes;
  };
  const std::string next = little_endian(address("next"));
  const std::string other = little_endian(address("other"));
  ASSERT_EQ(next.size(), 16U);
  ASSERT_EQ(other.size(), 16U);
  std::size_t replaced = 0;
  for (Json& memory : json.at("image").at("program_arrays")) {
    auto bytes = memory.at("bytes").get<std::string>();
    for (std::size_t at = bytes.find(next); at != std::string::npos; at = bytes.find(next)) {
      bytes.replace(at, next.size(), other);
      ++replaced;
    }
    memory["bytes"] = bytes;
  }
  EXPECT_EQ(replaced, 1U);
  const Finished run = run_farcall({"run", "--from", folder.write("wrong.json", json.dump())});
  EXPECT_EQ(run.exit_code, 1) << run.out << run.err;
  EXPECT_THAT(run.out, HasSubstr("call.reached-elsewhere"));
}

}  // namespace
}  // namespace farcall::stock::maps_test

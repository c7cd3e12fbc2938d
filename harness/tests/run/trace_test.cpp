// farcall trace, and farcall debug --on-failure, which stops where it says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/farcall_process.hpp"

namespace farcall::run::trace_test {
namespace {

using namespace tests;

using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string& far_cell() {
  static const std::string kCell = (cases_folder() / "reach/far-2p.case").string();
  return kCell;
}

// The image of far-2p with one instruction word replaced.
std::string spoiled(const ScratchFolder& folder, const std::string& word,
                    const std::string& other) {
  std::string image = run_farcall({"dump", far_cell(), "--stage=image", "--json"}).out;
  const auto at = image.find(word);
  EXPECT_NE(at, std::string::npos) << word;
  image.replace(at, word.size(), other);
  return folder.write("spoiled.json", image);
}

nlohmann::json trace_json(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "trace");
  arguments.emplace_back("--json");
  const Finished finished = run_farcall(arguments);
  return nlohmann::json::parse(finished.out, nullptr, false);
}

std::vector<std::string> column(const nlohmann::json& rows, const char* key) {
  std::vector<std::string> values;
  for (const auto& row : rows) {
    values.push_back(row[key].is_null() ? "" : row[key].get<std::string>());
  }
  return values;
}

TEST(Trace, EachBpfInstructionWithItsRegisters) {
  const nlohmann::json trace = trace_json({far_cell()});
  EXPECT_THAT(column(trace["instructions"], "at"),
              ElementsAre("main+0", "main+1", "callee+0", "callee+1", "main+2", "main+3"));
  EXPECT_EQ(trace["instructions"][2]["instruction"], "mov %r0, 2");
  EXPECT_EQ(trace["instructions"][5]["cpu"][0], "0x2a");
  EXPECT_EQ(trace["instructions"][5]["interpreter"][0], "0x2a");
  EXPECT_EQ(trace["instructions"][5]["cpu"][6], "0x28");
  EXPECT_TRUE(trace["difference"].is_null());
  EXPECT_EQ(trace["ending"], "the CPU returned 0x2a");
  const Finished text = run_farcall({"trace", far_cell()});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.out, HasSubstr("     5  main+3       exit                         "));
  EXPECT_THAT(text.out, HasSubstr("interpreter and CPU agree at 6 BPF instructions"));
}

TEST(Trace, EachTakenBranch) {
  const nlohmann::json trace = trace_json({far_cell(), "--branches"});
  EXPECT_THAT(column(trace["branches"], "to"),
              ElementsAre("0xc00800000012a468", testing::_, "0xc000000000004000"));
  EXPECT_THAT(column(trace["branches"], "site"), ElementsAre("main[0]", "", ""));
  EXPECT_EQ(trace["branches"][0]["expected"], "0xc00800000012a468");
  EXPECT_EQ(trace["branches"][2]["gpr"][3], "0x2a");
  EXPECT_THAT(column(trace["branches"], "interpreter"), ElementsAre("callee+0", "main+2", ""));
}

// Loops around a call, and branches both ways in the callee.
constexpr const char* kJumps = R"(-- asm
mov %r6, 3
loop:
mov %r1, %r6
call local callee
sub %r6, 1
jne %r6, 0, loop
mov %r0, %r6
exit
callee:
jeq %r1, 2, two
mov %r0, 1
exit
two:
mov %r0, 2
exit
-- place
main   = text+64K
callee = vmalloc+0x12a468
-- result
0
)";

struct Misjump {
  const char* word;
  const char* other;
  const char* line;  // that is marked, and the one after it
};

TEST(Trace, EachBranchBesideTheInterpretersJump) {
  const ScratchFolder folder;
  const std::string cell = folder.write("jumps.case", kJumps);
  EXPECT_THAT(column(trace_json({cell, "--branches"})["branches"], "interpreter"),
              ElementsAre("callee+0", "", "main+3", "main+1",          // 3
                          "callee+0", "callee+3", "main+3", "main+1",  // 2
                          "callee+0", "", "main+3", ""));              // 1
  const std::string image = run_farcall({"dump", cell, "--stage=image", "--json"}).out;
  for (const Misjump& wrong :
       {// beq → bne
        Misjump{"0x4182000c", "0x4082000c",
                "→ c00800000012a478 \\(callee\\+0x10\\) callee\\+3  interpreter: callee\\+1 *\n"
                " +the CPU came to callee\\+3 \\(mov %r0, 2\\)"},
        // → nop
        Misjump{"0x4182000c", "0x60000000",
                "✗        the CPU takes no branch; interpreter: callee\\+3\n"
                " +the CPU came to callee\\+1 "},
        // one word further
        Misjump{"0x4182000c", "0x41820010", "callee\\+4  interpreter: callee\\+3 *\n"},
        Misjump{"0x4082ffd4", "0x4082ffd8", "main\\+2  interpreter: main\\+1 .*\n"},
        // li r8,2 → li r8,5: the jumps are right, a register is not
        Misjump{"0x39000002", "0x39000005",
                "✗    35 .*\n +r0 is 0x5, the interpreter has 0x2\n"}}) {
    std::string spoiled = image;
    ASSERT_NE(spoiled.find(wrong.word), std::string::npos);
    spoiled.replace(spoiled.find(wrong.word), 10, wrong.other);
    const Finished traced =
        run_farcall({"trace", "--from", folder.write("spoiled.json", spoiled), "--branches"});
    EXPECT_EQ(traced.exit_code, 1);
    EXPECT_THAT(traced.out, ContainsRegex(wrong.line));
    EXPECT_EQ(traced.out.find("✗ "), traced.out.rfind("✗ "));
  }
}

// Programs of any kind, on every machine that a run of the folder has: no step differs.
TEST(Trace, AgreesOnLongerPrograms) {
  for (const char* cell :
       {"calls/mutual-recursion.case", "calls/loop.case", "c/packet.case",
        "abi/stack-by-pointer.case", "helpers/callbacks.case", "helpers/clobber.case",
        "tail-calls/near-and-far.case", "tail-calls/nowhere-to-go.case"}) {
    const std::string path = (cases_folder() / cell).string();
    const std::string listed = run_farcall({"list", path}).out;
    const std::string name = listed.substr(0, listed.find(' '));
    const auto axes = name.find('@');
    const std::string at = path + (axes == std::string::npos ? "" : name.substr(axes));
    const Finished finished = run_farcall({"trace", at});
    EXPECT_EQ(finished.exit_code, 0) << cell << "\n" << finished.out << finished.err;
    EXPECT_THAT(finished.out, HasSubstr("interpreter and CPU agree")) << cell;
    const Finished branches = run_farcall({"trace", at, "--branches"});
    EXPECT_EQ(branches.exit_code, 0) << cell;
    EXPECT_THAT(branches.out, testing::Not(HasSubstr("✗"))) << cell;
  }
}

struct Spoiling {
  const char* word;
  const char* other;
  const char* trace;  // the line that is marked
  const char* debug;  // how --on-failure says it, and where it stops
};

class SpoiledImage : public testing::TestWithParam<Spoiling> {};
INSTANTIATE_TEST_SUITE_P(
    Words, SpoiledImage,
    testing::Values(
        // lis r12: the top of the callee's address is lost
        Spoiling{"0x3d80c008", "0x3d80c000", "✗     2  callee+0 ",
                 "Here main[0] goes astray: it should land at c00800000012a468 and lands at "
                 "c00000000012a468.\nmain+1: call local callee\n  c00000000001002c  bctrl\n"},
        // add r8,r8,r27 → subf r8,r8,r27
        Spoiling{"0x7d08da14", "0x7d08d850", "✗     5  main+3 ",
                 "After this BPF instruction, r0 is 0x26, the interpreter has 0x2a.\n"
                 "main+2: add %r0, %r6\n  c000000000010034  subf r8,r8,r27\n"},
        // li r8,2 → trap
        Spoiling{"0x39000002", "0x7fe00008", "✗     3  callee+1 ",
                 "instruction, or a trap word; last branch from c00000000001002c (main+0x2c).\n"
                 "callee+0: mov %r0, 2\n  c00800000012a468  trap\n"}));

TEST_P(SpoiledImage, FirstDifferenceIsMarkedAndIsWhereTheDebuggerStops) {
  const ScratchFolder folder;
  const std::string image = spoiled(folder, GetParam().word, GetParam().other);
  const Finished traced = run_farcall({"trace", "--from", image});
  EXPECT_EQ(traced.exit_code, 1);
  EXPECT_THAT(traced.out, HasSubstr(GetParam().trace));
  const Finished debugged = run_farcall({"debug", "--from", image, "--on-failure"});
  EXPECT_EQ(debugged.exit_code, 0) << debugged.err;
  EXPECT_THAT(debugged.out, HasSubstr(GetParam().debug));
}

TEST(OnFailure, ACellThatPassesHasNoSuchPlace) {
  const Finished finished = run_farcall({"debug", far_cell(), "--on-failure"});
  EXPECT_EQ(finished.exit_code, 2);
  EXPECT_THAT(finished.err, HasSubstr("no step of far-2p goes wrong"));
}

// Another JIT may say less: then its branches are what can be shown.
TEST(Trace, AnImageThatSaysLittle) {
  const ScratchFolder folder;
  nlohmann::ordered_json image = nlohmann::ordered_json::parse(
      run_farcall({"dump", far_cell(), "--stage=image", "--json"}).out);
  image["cell"]["program"] = nullptr;
  image["image"].erase("bpf_registers");
  for (auto& function : image["image"]["functions"]) {
    function.erase("lines");
  }
  const std::string path = folder.write("foreign.json", image.dump());
  const Finished refused = run_farcall({"trace", "--from", path});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("--branches"));
  const Finished branches = run_farcall({"trace", "--from", path, "--branches"});
  EXPECT_EQ(branches.exit_code, 0) << branches.err;
  EXPECT_THAT(branches.out, HasSubstr("→ c00800000012a468 (callee)"));
  const Finished debugged = run_farcall({"debug", "--from", path, "--at", "main[0]"}, "",
                                        "farcall target\nfarcall regs\nfarcall step\n");
  EXPECT_THAT(debugged.out, HasSubstr("by the registers\n  right\n"));
  EXPECT_THAT(debugged.err, HasSubstr("does not say which registers"));
  EXPECT_THAT(debugged.err, HasSubstr("no line table"));
}

}  // namespace
}  // namespace farcall::run::trace_test

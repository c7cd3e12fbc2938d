#include "stock/linux_cells.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/process/search_path.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "run/pipeline.hpp"
#include "selection/select.hpp"
#include "tests/farcall_process.hpp"

namespace farcall::stock::linux_cells_test {
namespace {

using namespace tests;

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<LinuxCell> cells_of(const std::string& text) {
  const ScratchFolder folder;
  const auto selected = selection::select_cells({.paths = {folder.write("one.case", text)}});
  EXPECT_TRUE(selected && selected.value().bad.empty()) << text;
  return selected ? linux_cells(selected.value().documents, {}) : std::vector<LinuxCell>{};
}

constexpr const char* kMemory =
    "-- asm\nldxdw %r0, [%r1]\nadd %r0, %r2\nexit\n-- mem\n05 00 00 00 00 00 00 00\n"
    "-- place\nmain = text+64K\n-- result\n13\n";

TEST(LinuxCells, RegistersComeByAPrologueAndMemoryByItsNumber) {
  const std::vector<LinuxCell> cells = cells_of(kMemory);
  ASSERT_EQ(cells.size(), 1U);
  const LinuxCell& cell = cells[0];
  EXPECT_FALSE(cell.skipped);
  EXPECT_EQ(cell.cell.name, "one@linux");
  EXPECT_EQ(cell.origin, "one");
  ASSERT_EQ(cell.question.slots.size(), 2U + 4U + 3U);  // lddw r1; r2 to r5; the program
  EXPECT_EQ(cell.question.slots[0],
            (bpf::Slot{.opcode = 0x18, .dst = 1, .src = bpf::kPseudoMapValue, .imm = 0}));
  EXPECT_EQ(cell.question.slots[2], (bpf::Slot{.opcode = 0xb7, .dst = 2, .imm = 8}));
  ASSERT_EQ(cell.question.regions.size(), 1U);
  EXPECT_EQ(cell.question.regions[0].bytes.size(), 8U);
  EXPECT_THAT(cell.cell.program->functions, ElementsAre(testing::Field(&bpf::Function::end, 9U)));
}

TEST(LinuxCells, WhereTheKernelPutsMemoryIsWhereTheProgramFindsIt) {
  const std::vector<LinuxCell> cells = cells_of(kMemory);
  ASSERT_EQ(cells.size(), 1U);
  kernel::Answer answer;
  answer.regions = {{.address = {0xc008'0000'0123'0000}, .bytes = {}}};
  const model::Cell placed = placed_by_kernel(cells[0], answer);
  EXPECT_EQ(placed.memory[0].address.value, 0xc008'0000'0123'0000);
  const auto run = run::interpretation(placed);
  ASSERT_TRUE(run) << run.error().message;
  EXPECT_EQ(run.value().run.r0, 13U);
}

TEST(LinuxCells, WhatOnlyFarcallsLinkerKnowsIsOneCell) {
  const std::vector<LinuxCell> cells = cells_of(
      "-- matrix\ncall imm32 table\ncpu power9 power10\n-- asm\ncall local f\nexit\nf:\n"
      "mov %r0, 1\nexit\n-- place\nmain = text+64K\nf = vmalloc+64K\n-- result\n1\n"
      "-- fail call=imm32\ncall.out-of-range main[0]\n");
  ASSERT_EQ(cells.size(), 2U);
  EXPECT_EQ(cells[0].cell.name, "one@linux-power9-radix");
  EXPECT_EQ(cells[1].cell.name, "one@linux-power10-radix");
  EXPECT_FALSE(cells[0].cell.expected.failure);  // the cell of table, which works
  EXPECT_EQ(cells[0].cell.expected.result, 1U);
}

TEST(LinuxCells, WhatTheKernelIsNotAskedAboutIsNamed) {
  const std::string end = "exit\n-- place\nmain = text+64K\n-- result none\n";
  std::string regions;
  std::string programs;
  for (int i = 0; i < 33; ++i) {
    regions += fmt::format("-- data d{}\n01\n", i);
    programs += fmt::format("-- program p{}\nmov %r0, 0\nexit\n", i);
  }
  for (const auto& [text, why] :
       {std::pair{"-- helper 7 no_op\n-- asm\ncall 7\n" + end, "helper 7 is the case's own"},
        std::pair{"-- helper 181 no_op\n-- asm\ncall 181\n" + end,
                  "the kernel's bpf_loop would be `-- helper 181 loop`"},
        std::pair{"-- helper 6 loop\n-- asm\ncall 6\n" + end, "helper 6 is the case's own"},
        std::pair{"-- asm\nstdw [%r11-8], 1\nmov %r0, 0\n" + end, "arguments six and more"},
        std::pair{"-- matrix\nendian be\n-- asm\nmov %r0, 0\n" + end, "a big-endian cell"},
        std::pair{"-- data e\n01\n-- data d\naddr(e)\n-- asm\nmov %r0, 0\n" + end,
                  "d holds addresses"},
        std::pair{regions + "-- asm\nmov %r0, 0\n" + end,
                  "33 regions of memory, and a kernel is given 32"},
        std::pair{programs + "-- asm\nmov %r0, 0\n" + end, "34 programs, and a kernel is given 33"},
        std::pair{"-- data d size=1048577\n01\n-- asm\nmov %r0, 0\n" + end,
                  "d has 1048577 bytes, and a kernel is given 1 to 1048576"}}) {
    const std::vector<LinuxCell> cells = cells_of(text);
    ASSERT_EQ(cells.size(), 1U) << text;
    ASSERT_TRUE(cells[0].skipped) << text;
    EXPECT_EQ(cells[0].skipped->code, ErrorCode::jit_declined);
    EXPECT_THAT(std::string(cells[0].skipped->message), HasSubstr(why));
  }
}

// Both number and name say that it is bpf_loop.
TEST(LinuxCells, AHelperOfLinuxsAndAPointerToAFunctionGoInAsTheyAre) {
  const std::vector<LinuxCell> cells = cells_of(
      "-- helper 181 loop\n-- asm\nmov %r1, 2\nlddw %r2, local f\nmov %r3, 0\nmov %r4, 0\n"
      "call 181\nexit\nf:\nmov %r0, 0\nexit\n-- place\nmain = text+64K\n-- result\n2\n");
  ASSERT_EQ(cells.size(), 1U);
  EXPECT_FALSE(cells[0].skipped);
  const std::vector<bpf::Slot>& slots = cells[0].question.slots;
  const std::size_t load = slots.size() - 8;
  EXPECT_EQ(slots[load], (bpf::Slot{.opcode = 0x18, .dst = 2, .src = 4, .imm = 5}));
  EXPECT_EQ(slots[load + 4], (bpf::Slot{.opcode = 0x85, .imm = 181}));

  kernel::Answer answer;
  answer.functions = {{.address = {0x1000}, .symbol = {}, .words = {}},
                      {.address = {0x2000}, .symbol = {}, .words = {}}};
  const model::Cell placed = placed_by_kernel(cells[0], answer);
  EXPECT_EQ(placed.placement.functions[1], GuestAddress{0x2000});
}

// A QEMU that somebody kills at its first answer says nothing of the kernel's JIT.
TEST(LinuxGuest, AMachineThatDiesIsAskedAgain) {
  const ScratchFolder folder;
  const std::string script = folder.write(
      "qemu-system-ppc64",
      "#!/bin/bash\nqemu=" + boost::process::search_path("qemu-system-ppc64").string() +
          "\ncase \"$*\" in *linux-*|*vmlinux*) ;; *) exec $qemu \"$@\" ;; esac\n"
          "mkdir '" +
          (folder.path() / "first").string() +
          "' 2>/dev/null || exec $qemu \"$@\"\n"
          "terminal=$(grep -o 'id=terminal,path=[^ ,]*' <<<\"$*\" | cut -d= -f3)\n"
          "$qemu \"$@\" &\n"
          "until (($(stat -L -c %s $terminal) > 24)); do sleep 0.02; done\n"
          "kill -9 $!\nwait\n");
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  const Finished run =
      run_farcall({"run", (cases_folder() / "calls/backward.case").string(),
                   (cases_folder() / "reach/far-2p.case").string(), "--guest", "linux"},
                  folder.path().string() + ":/usr/bin:/bin");
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "first"));
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_THAT(run.out, HasSubstr("0 failed, 0 errors"));
}

// Its JIT gives the CPU a bit more of a shift's amount than RFC 9669 says; its interpreter does not.
TEST(LinuxGuest, WhatIsKnownOfAKernelIsNoFailure) {
  const ScratchFolder folder;
  const auto run = [&](const std::string& known) {
    return run_farcall({"run", folder.write("shift.case", R"(-- asm
mov %r0, 7
mov %r1, 64
lsh %r0, %r1
exit
-- result
7
-- known
)" + known),
                        "--guest", "linux"});
  };
  const Finished as_known = run("linux:*/jit result.mismatch\nlinux:*/hardened result.mismatch\n");
  EXPECT_EQ(as_known.exit_code, 0) << as_known.out << as_known.err;
  EXPECT_THAT(as_known.out, HasSubstr("result.mismatch, as is known of this JIT"));
  const Finished of_all = run("linux:* result.mismatch\n");
  EXPECT_EQ(of_all.exit_code, 1);
  EXPECT_THAT(of_all.out, HasSubstr("2 passed, 1 failed"));
  EXPECT_THAT(of_all.out, HasSubstr("expected-failure.missing"));
}

TEST(LinuxGuest, AReplayIsOfTheSameBudgetAndBoot) {
  const ScratchFolder folder;
  const Finished run =
      run_farcall({"run", folder.write("a.case", "-- asm\nmov %r0, 1\nexit\n-- result\n2\n"),
                   "--guest", "linux", "--budget", "9", "--fresh-boot"});
  EXPECT_EQ(run.exit_code, 1) << run.out << run.err;
  EXPECT_THAT(run.out, HasSubstr("--filter a --budget 9 --guest linux --fresh-boot --mode jit "
                                 "--kernel 6.1."));
}

// What a hardened cell is held against runs, too, and is not told of.
TEST(LinuxGuest, ModesAreThoseThatAreNamed) {
  const auto told = [](std::vector<std::string> modes) {
    std::vector<std::string> arguments = {
        "run", (cases_folder() / "reach/far-2p.case").string(), "--guest", "linux", "--format",
        "json"};
    for (std::string& mode : modes) {
      arguments.insert(arguments.end(), {"--mode", std::move(mode)});
    }
    const Finished run = run_farcall(arguments);
    EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
    return outcomes(model::Json::parse(run.out));
  };
  const auto all = told({});
  EXPECT_THAT(all, ElementsAre(std::pair("far-2p@linux-hardened", "pass"),
                               std::pair("far-2p@linux-interpreter", "pass"),
                               std::pair("far-2p@linux-jit", "pass")));
  EXPECT_THAT(told({"hardened"}), ElementsAre(std::pair("far-2p@linux-hardened", "pass")));
  EXPECT_THAT(told({"jit", "interpreter"}),
              ElementsAre(std::pair("far-2p@linux-interpreter", "pass"),
                          std::pair("far-2p@linux-jit", "pass")));
}

TEST(LinuxGuest, AKernelIsNotForTheBareGuest) {
  for (const std::vector<std::string>& of_linux :
       {std::vector<std::string>{"--kernel", "6.1"}, std::vector<std::string>{"--fresh-boot"}}) {
    std::vector<std::string> arguments = {"run", (cases_folder() / "calls/backward.case").string(),
                                          "--guest", "bare"};
    arguments.insert(arguments.end(), of_linux.begin(), of_linux.end());
    const Finished run = run_farcall(arguments);
    EXPECT_EQ(run.exit_code, 2) << run.out;
    EXPECT_THAT(run.err, HasSubstr(of_linux.front() + " requires --guest linux"));
  }
}

// Programs have memory one after another that others had before.
TEST(LinuxGuest, MemoryIsAsItsCaseSaysWhoeverHadItBefore) {
  const ScratchFolder folder;
  const std::string writes =
      "-- asm\nldxdw %r0, [%r1]\nstdw [%r1], 77\nexit\n"
      "-- mem\n01 00 00 00 00 00 00 00\n-- place\nmain = text+64K\n-- result\n1\n";
  std::vector<std::string> arguments = {"run"};
  for (const char* const name : {"a.case", "b.case", "c.case"}) {
    arguments.push_back(folder.write(name, writes));
  }
  arguments.insert(arguments.end(), {"--guest", "linux"});
  const Finished run = run_farcall(arguments);
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_THAT(run.out, HasSubstr("9 passed"));
}

// Ten functions: the kernel is asked for more of their names than go into one question.
TEST(LinuxGuest, EachOfManyFunctionsHasItsName) {
  const ScratchFolder folder;
  std::string program = "-- asm\nmov %r6, 0\n";
  std::string functions;
  for (int i = 0; i < 9; ++i) {
    program += fmt::format("call local f{}\nadd %r6, %r0\n", i);
    functions += fmt::format("f{}:\nmov %r0, {}\nexit\n", i, i);
  }
  program += "mov %r0, %r6\nexit\n" + functions + "-- place\nmain = text+64K\n-- result\n36\n";
  const Finished run = run_farcall({"run", folder.write("ten.case", program), "--guest", "linux"});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_THAT(run.out, HasSubstr("3 passed"));
}

// Two guests are restored at the same time, and each program gets its own answer.
TEST(LinuxGuest, ManyProgramsAreSharedOutAmongGuests) {
  const ScratchFolder folder;
  const std::filesystem::path starts = folder.path() / "starts";
  std::filesystem::permissions(
      folder.write(
          "qemu-system-ppc64",
          fmt::format("#!/bin/bash\ncase \"$*\" in *-incoming*) echo >>'{}' ;; esac\n"
                      "exec {} \"$@\"\n",
                      starts.string(), boost::process::search_path("qemu-system-ppc64").string())),
      std::filesystem::perms::owner_all);
  std::filesystem::create_directory(folder.path() / "cases");
  for (int i = 0; i < 110; ++i) {
    folder.write(fmt::format("cases/p{:03}.case", i),
                 fmt::format("-- asm\nmov %r0, {0}\nexit\n-- place\nmain = text+64K\n"
                             "-- result\n{0}\n",
                             i));
  }
  const std::string path = folder.path().string() + ":/usr/bin:/bin";
  const std::string first = (folder.path() / "cases/p000.case").string();
  ASSERT_EQ(run_farcall({"run", first, "--guest", "linux"}, path).exit_code, 0);  // may boot
  std::filesystem::remove(starts);
  const Finished run = run_farcall(
      {"run", (folder.path() / "cases").string(), "--guest", "linux", "--jobs", "2"}, path);
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_THAT(run.out, HasSubstr("330 passed"));
  EXPECT_EQ(contents(starts.string()), "\n\n");
}

}  // namespace
}  // namespace farcall::stock::linux_cells_test

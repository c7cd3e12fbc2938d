#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "model/json.hpp"
#include "tests/run/farcall_process.hpp"

namespace farcall::run::capture_test {
namespace {

using model::Json;
using testing::AllOf;
using testing::HasSubstr;

// ci/test has fetched it; it is booted for each of these.
constexpr const char* kKernel = "6.1";

std::string path_in(const ScratchFolder& folder, const std::string& name) {
  return (folder.path() / name).string();
}

constexpr const char* kThreeFunctions =
    "# main, f, g: r0 = 1 + 10 + 100.\n"
    "-- asm\n"
    "mov %r6, 1\n"
    "call local f\n"
    "add %r0, %r6\n"
    "exit\n"
    "f:\n"
    "call local g\n"
    "add %r0, 10\n"
    "exit\n"
    "g:\n"
    "mov %r0, 100\n"
    "exit\n"
    "-- place\n"
    "main = text+64K\n"
    "-- result\n"
    "111\n";

TEST(Capture, AStockKernelsCodeRunsInTheBareGuestAtItsOwnAddresses) {
  const ScratchFolder folder;
  const std::string document = path_in(folder, "captured.json");
  const Finished captured =
      run_farcall({"kernel", "capture", folder.write("three.case", kThreeFunctions), "--kernel",
                   kKernel, "--output", document});
  ASSERT_EQ(captured.exit_code, 0) << captured.err;
  const Json image = Json::parse(contents(document)).at("image");
  ASSERT_EQ(image.at("functions").size(), 3U);
  for (const Json& function : image.at("functions")) {
    EXPECT_THAT(function.at("address").get<std::string>(), testing::StartsWith("0xc008"));
  }
  const Finished run = run_farcall({"run", "--from", document});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_THAT(run.out, AllOf(HasSubstr("@linux-6.1."),
                             HasSubstr("at 2 of 2 call sites interpreter, bytes and CPU agree")));
}

TEST(Capture, DamagedCodeOfAKernelIsFoundInTheBareGuest) {
  const ScratchFolder folder;
  const std::string document = path_in(folder, "captured.json");
  ASSERT_EQ(run_farcall({"kernel", "capture", folder.write("three.case", kThreeFunctions),
                         "--kernel", kKernel, "--output", document})
                .exit_code,
            0);
  // The top of a callee's address: lis r12,0xc008 becomes lis r12,0xc000.
  std::string text = contents(document);
  const std::size_t at = text.find("0x3d80c008");
  ASSERT_NE(at, std::string::npos);
  text.replace(at, 10, "0x3d80c000");
  const Finished run = run_farcall({"run", "--from", folder.write("damaged.json", text)});
  EXPECT_EQ(run.exit_code, 1) << run.out << run.err;
  EXPECT_THAT(run.out, HasSubstr("call.decoded-elsewhere"));
}

TEST(Capture, MemoryIsWhatR1PointsTo) {
  const ScratchFolder folder;
  const std::string document = path_in(folder, "captured.json");
  const Finished captured =
      run_farcall({"kernel", "capture",
                   folder.write("memory.case",
                                "-- asm\nldxdw %r0, [%r1]\nadd %r0, 1\nstxdw [%r1+8], %r0\nexit\n"
                                "-- mem\n01 00 00 00 00 00 00 00\n00 00 00 00 00 00 00 00\n"
                                "-- place\nmain = text+64K\n-- result\n2\n"),
                   "--kernel", kKernel, "--output", document});
  ASSERT_EQ(captured.exit_code, 0) << captured.err;
  const Finished run = run_farcall({"run", "--from", document});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
}

TEST(Capture, WhatTheVerifierRejectsIsSaidInItsWords) {
  const ScratchFolder folder;
  const Finished rejected = run_farcall(
      {"kernel", "capture",
       folder.write("r2.case",
                    "-- asm\nmov %r0, %r2\nexit\n-- place\nmain = text+64K\n-- result\n0\n"),
       "--kernel", kKernel});
  EXPECT_EQ(rejected.exit_code, 2) << rejected.out;
  EXPECT_THAT(rejected.err,
              AllOf(HasSubstr("verifier rejects it: R2 !read_ok"), HasSubstr("[jit.declined]")));
}

TEST(Capture, WhatAStockKernelIsNotAskedAboutIsNamed) {
  const ScratchFolder folder;
  const std::string end = "exit\n-- place\nmain = text+64K\n-- result none\n";
  struct Refused {
    std::string text;
    std::string cell;  // the rest of its name
    std::string what;
  };
  for (const auto& [text, cell, what] :
       {Refused{"-- helper 7 no_op\n-- asm\ncall 7\n" + end, "", "a call of helper 7"},
        Refused{"-- matrix\nendian be\n-- asm\nmov %r0, 0\n" + end, "@be", "a big-endian cell"},
        Refused{"-- asm\nmov %r0, 0\nlddw %r1, local f\nexit\nf:\nmov %r0, 1\n" + end, "",
                "a function pointer"}}) {
    const Finished refused = run_farcall(
        {"kernel", "capture", folder.write("refused.case", text) + cell, "--kernel", kKernel});
    EXPECT_EQ(refused.exit_code, 2) << text << refused.out;
    EXPECT_THAT(refused.err, AllOf(HasSubstr(what), HasSubstr("[jit.declined]"))) << text;
  }
}

TEST(Capture, AKernelThatIsNoneIsRefused) {
  const ScratchFolder folder;
  const std::string three = folder.write("three.case", kThreeFunctions);
  const Finished foreign = run_farcall({"kernel", "capture", three, "--kernel", "/bin/true"});
  EXPECT_EQ(foreign.exit_code, 2);
  EXPECT_THAT(foreign.err, HasSubstr("not a kernel for ppc64"));
  const Finished unknown = run_farcall({"kernel", "capture", three, "--kernel", "5.4"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("farcall kernel fetch 5.4"));
}

}  // namespace
}  // namespace farcall::run::capture_test

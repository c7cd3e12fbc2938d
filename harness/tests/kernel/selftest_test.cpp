#include "kernel/selftest.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "kernel/module.hpp"
#include "tests/program.hpp"

namespace farcall::kernel::selftest_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Said = KernelTest::Said;

// As lib/test_bpf.c of Linux 6.1 words it.
constexpr const char* kLog =
    "[    0.331] printk: console [hvc0] enabled\r\n"
    "[    2.000] test_bpf: #0 TAX jited:1 12 11 11 PASS\r\n"
    "[    2.001] test_bpf: #1 INT: MUL: 1 * 2 = 3, PASS jited:0 ret 5 != 6 FAIL (1 times)\r\n"
    "[    2.002] test_bpf: #2 check: missing ret PASS\r\n"
    "[    2.003] test_bpf: #3 check: div_k_0 UNEXPECTED_PASS\r\n"
    "[    2.004] test_bpf: #4 LD_IND FAIL to prog_create err=-22 len=3\r\n"
    "[    2.005] test_bpf: #6 Staggered jumps: JSLE_X jited:1 \r\n"
    "[    2.006] random: crng init done\r\n"
    "[    2.007] 50 49 PASS\r\n"
    "[    2.008] test_bpf: Summary: 3 PASSED, 3 FAILED, [2/3 JIT'ed]\r\n";

TEST(Selftest, EachLineIsATest) {
  const SuiteLog suite = read_suite(kLog);
  ASSERT_EQ(suite.tests.size(), 6U);
  EXPECT_EQ(suite.tests[0], (KernelTest{.number = 0,
                                        .description = "TAX",
                                        .jited = true,
                                        .said = Said::pass,
                                        .words = "#0 TAX jited:1 12 11 11 PASS"}));
  EXPECT_EQ(suite.tests[1].description, "INT: MUL: 1 * 2 = 3, PASS");
  EXPECT_EQ(suite.tests[1].said, Said::fail);
  EXPECT_EQ(suite.tests[1].jited, false);
  EXPECT_EQ(suite.tests[2].description, "check: missing ret");
  EXPECT_EQ(suite.tests[2].said, Said::pass);
  EXPECT_EQ(suite.tests[2].jited, std::nullopt);
  EXPECT_EQ(suite.tests[3].description, "check: div_k_0");
  EXPECT_EQ(suite.tests[3].said, Said::fail);
  EXPECT_EQ(suite.tests[4].description, "LD_IND");
  EXPECT_EQ(suite.tests[4].said, Said::fail);
  EXPECT_EQ(suite.summary, (SuiteLog::Summary{.passed = 3, .failed = 3}));
}

TEST(Selftest, ALineThatAnotherRecordCutIsOne) {
  const SuiteLog suite = read_suite(kLog);
  ASSERT_EQ(suite.tests.size(), 6U);
  EXPECT_EQ(suite.tests[5].number, 6U);
  EXPECT_EQ(suite.tests[5].said, Said::pass);
  EXPECT_EQ(suite.tests[5].words, "#6 Staggered jumps: JSLE_X jited:1 50 49 PASS");
}

TEST(Selftest, WhatEndsInATestSaysNothingOfIt) {
  const std::string log = kLog;
  const SuiteLog suite = read_suite(log.substr(0, log.find("49 PASS")));
  EXPECT_EQ(suite.tests.back().said, Said::nothing);
  EXPECT_EQ(suite.summary, std::nullopt);
  EXPECT_EQ(read_suite("test_bpf: #7 ALU64_MOV_X\n").tests.front().said, Said::nothing);
  EXPECT_TRUE(read_suite("").tests.empty());
}

TEST(Selftest, SuitesNameThemselvesInTheirSummary) {
  const SuiteLog suite = read_suite(
      "test_bpf: #0 Tail call leaf jited:1 3 PASS\n"
      "test_bpf: test_tail_calls: Summary: 1 PASSED, 0 FAILED, [1/1 JIT'ed]\n");
  EXPECT_EQ(suite.tests.size(), 1U);
  EXPECT_EQ(suite.summary, (SuiteLog::Summary{.passed = 1, .failed = 0}));
}

TEST(Module, SaysWhatItDependsOn) {
  using namespace std::string_view_literals;
  EXPECT_TRUE(dependencies_of("\0license=GPL\0depends=\0name=test_bpf\0"sv).empty());
  EXPECT_THAT(dependencies_of("\0depends=crc-itu-t,xor\0name=a\0"sv),
              ElementsAre("crc_itu_t", "xor"));
  EXPECT_TRUE(dependencies_of("no module").empty());
}

TEST(Module, WhatItNeedsIsLoadedBeforeAndOnce) {
  using namespace std::string_literals;
  const tests::ScratchFolder folder;
  const std::string last = "test\0depends=one,other\0"s;
  const std::string one = "one\0depends=other\0"s;
  const std::string other = "other\0depends=\0"s;
  folder.write("test_bpf.ko", last);
  folder.write("one.ko", one);
  const std::string packed = folder.write("other.ko", other);
  ASSERT_EQ(tests::run_program("/usr/bin/xz", {packed}).exit_code, 0);
  const auto found = modules(folder.path(), "test_bpf");
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_THAT(found.value(), ElementsAre(other, one, last));
}

TEST(Module, OneThatIsNotThereOrNotWholeIsNamed) {
  const tests::ScratchFolder folder;
  const auto none = modules(folder.path(), "test_bpf");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kernel_not_fetched);
  folder.write("test_bpf.ko.xz", "no archive");
  const auto broken = modules(folder.path(), "test_bpf");
  ASSERT_FALSE(broken);
  EXPECT_THAT(broken.error().message, HasSubstr("test_bpf.ko.xz cannot be unpacked"));
}

}  // namespace
}  // namespace farcall::kernel::selftest_test

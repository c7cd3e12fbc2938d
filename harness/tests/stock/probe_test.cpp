#include "stock/probe.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/farcall_process.hpp"

namespace farcall::stock::probe_test {
namespace {

using namespace tests;

using testing::AllOf;
using testing::HasSubstr;

constexpr kernel::KernelFacts kFacts = {.toc = {0xc000'0000'0200'0000}};

// The order of kKernelDefects.
enum Row : std::size_t {
  dump_by_mode,
  far_dump,
  far_run,
  line_info,
  descriptor_lines,
  hardened_lines,
  may_goto,
  names,
  early_exit
};

kernel::Answer done(std::uint32_t result) {
  kernel::Answer answer;
  answer.outcome = wire::KernelOutcome::done;
  answer.result = result;
  return answer;
}

// Twelve lines; the last one, of the second function, is that many words after its beginning and eight
// before its end.
kernel::Answer with_exit_at(std::uint32_t word) {
  kernel::Answer answer = done(0x11111111);
  const GuestAddress f = {0xc008'0000'0000'2000};
  answer.functions = {{.address = {0xc008'0000'0000'1000}, .symbol = {}, .words = {}},
                      {.address = f, .symbol = {}, .words = {}}};
  answer.functions[1].words.resize(word + 8);
  answer.lines.resize(12);
  answer.lines.back().address = {f.value + 4 * word};
  return answer;
}

// What a kernel without any of these defects says; each test spoils one thing.
std::vector<kernel::Answered> sound() {
  kernel::Answer far = done(7);
  far.program = {{.opcode = 0x85, .src = 1, .offset = 1, .imm = 40'001}};
  kernel::Answer hardened = done(5);
  hardened.functions = {{.address = {0xc008'0000'0000'1000}, .symbol = "bpf_prog_ab_main"}};
  return {done(5), done(5), hardened, with_exit_at(7), with_exit_at(27),
          far,     done(7), done(5),  done(7)};
}

std::vector<ProbeStory> stories(const std::vector<kernel::Answered>& answers) {
  return probe_stories(answers, kFacts);
}

TEST(KernelProbe, ASoundKernelShowsNone) {
  const auto all = stories(sound());
  ASSERT_EQ(all.size(), kKernelDefects.size());
  EXPECT_EQ(all[dump_by_mode].shown, Shown::absent);
  EXPECT_EQ(all[far_dump].shown, Shown::absent);
  EXPECT_EQ(all[far_run].shown, Shown::absent);
  EXPECT_EQ(all[line_info].shown, Shown::not_seen);  // it tells of no lines
  EXPECT_EQ(all[descriptor_lines].shown, Shown::not_applicable);
  EXPECT_EQ(all[hardened_lines].shown, Shown::absent);
  EXPECT_EQ(all[may_goto].shown, Shown::absent);
  EXPECT_EQ(all[names].shown, Shown::absent);
  EXPECT_EQ(all[early_exit].shown, Shown::absent);
}

TEST(KernelProbe, WhatIsSpoiltIsThere) {
  auto answers = sound();
  answers[0].value().program = {{.opcode = 0x85, .src = 1, .offset = 5, .imm = 1}};
  answers[1].value().program = {{.opcode = 0x85, .src = 1, .offset = 5, .imm = 40208}};
  answers[2].value().functions[0].symbol = "0xc008000000001000";
  answers[Probe::far_jit].value().program[0].imm = 1;
  answers[Probe::lines_hardened].value().lines.back().address.value -= 80;
  answers[Probe::far_interpreter].value().result = 1;
  answers[Probe::large].value().result = 1;
  const auto all = stories(answers);
  EXPECT_EQ(all[dump_by_mode].shown, Shown::there);
  EXPECT_THAT(all[dump_by_mode].detail, HasSubstr("imm 1 with the JIT on, and off 5, imm 40208"));
  EXPECT_EQ(all[far_dump].shown, Shown::there);
  EXPECT_EQ(all[far_run].shown, Shown::there);
  EXPECT_EQ(all[hardened_lines].shown, Shown::there);
  EXPECT_THAT(all[hardened_lines].detail, HasSubstr("112 bytes before the function's end; 32 "));
  EXPECT_EQ(all[names].shown, Shown::there);
  EXPECT_EQ(all[early_exit].shown, Shown::there);
}

// The words of main's descriptor, of a call by r12, and of what comes after it; where the branch is.
kernel::Answer elfv1_answer(GuestAddress of_second_row) {
  kernel::Answer answer = done(5);
  answer.functions.resize(3);
  answer.functions[0].address = {0xc008'0000'0000'1000};
  answer.functions[0].words = {0xc0080000, 0x00001018, 0xc0000000, 0x02000000, 0,
                               0,          0x3d80c008, 0x798c07c6, 0x658c0000, 0x618c2018,
                               0x7d8903a6, 0x4e800421, 0x7c681b78, 0x4e800020};
  for (std::size_t i = 1; i < 3; ++i) {
    answer.functions[i].address = {0xc008'0000'0000'1000 + i * 0x1000};
    answer.functions[i].words = {0, 0, 0, 0, 0, 0, 0x4e800020};
  }
  answer.lines = {{.slot = 0, .address = answer.functions[0].address},
                  {.slot = 2, .address = of_second_row}};
  return answer;
}

TEST(KernelProbe, LinesThatCountFromTheDescriptorAreThere) {
  constexpr GuestAddress kBranch = {0xc008'0000'0000'102c};
  kernel::KernelFacts facts = kFacts;
  facts.endian = model::Endian::big;
  facts.abi = model::Abi::elfv1;
  const auto story_of = [&](GuestAddress row) {
    auto answers = sound();
    answers[Probe::near_jit] = elfv1_answer(row);
    return probe_stories(answers, facts)[descriptor_lines];
  };
  EXPECT_EQ(story_of(kBranch + 4).shown, Shown::absent);
  EXPECT_EQ(story_of(kBranch).shown, Shown::there);
  EXPECT_THAT(story_of({kBranch.value - 20}).detail,
              HasSubstr("whose branch is at c00800000000102c, at c008000000001018"));
  EXPECT_EQ(story_of({kBranch.value - 24}).shown, Shown::not_seen);  // it is something else
}

TEST(KernelProbe, AKernelThatDoesNotSurviveTheCallHasIt) {
  auto answers = sound();
  answers[Probe::far_interpreter] = Error{.code = ErrorCode::jit_crashed, .message = "Oops"};
  EXPECT_EQ(stories(answers)[far_run].shown, Shown::there);
  answers[Probe::far_interpreter] = Error{.code = ErrorCode::machine_lost, .message = "killed"};
  EXPECT_EQ(stories(answers)[far_run].shown, Shown::not_seen);
}

TEST(KernelProbe, WhereTheProgramDidNotRunNothingIsSaid) {
  auto answers = sound();
  answers[0].value().result = 6;  // what it says besides is not of the program that was asked about
  answers[Probe::far_jit].value().outcome = wire::KernelOutcome::not_run;
  answers[Probe::may_goto].value().outcome = wire::KernelOutcome::rejected;
  answers[Probe::lines_jit].value().lines.clear();
  const auto all = stories(answers);
  EXPECT_EQ(all[dump_by_mode].shown, Shown::not_seen);
  EXPECT_EQ(all[line_info].shown, Shown::not_seen);
  EXPECT_EQ(all[far_dump].shown, Shown::not_seen);
  EXPECT_EQ(all[may_goto].shown, Shown::not_applicable);
  EXPECT_EQ(all[hardened_lines].shown, Shown::not_seen);
  EXPECT_EQ(all[names].shown, Shown::absent);
}

// The file of 6.1, which ci/test has fetched.
std::string stock_vmlinux() {
  const Finished path = run_farcall({"kernel", "path", "6.1"});
  EXPECT_EQ(path.exit_code, 0) << path.err;
  std::string vmlinux;
  for (const auto& entry :
       std::filesystem::directory_iterator(path.out.substr(0, path.out.find('\n')) + "/boot")) {
    if (entry.path().filename().string().starts_with("vmlinux-")) {
      vmlinux = entry.path().string();
    }
  }
  return vmlinux;
}

TEST(KernelsOfTheUsers, TwoOfOneNameAreNotTwoColumns) {
  const Finished run = run_farcall({"kernel", "defects", stock_vmlinux(), stock_vmlinux()});
  EXPECT_EQ(run.exit_code, 2) << run.out;
  EXPECT_THAT(run.err, AllOf(HasSubstr("two kernels are called 6.1.0-"), HasSubstr("rename one")));
}

TEST(KernelsOfTheUsers, AFileThatIsNotThereIsNotTakenForAVersion) {
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"kernel", "defects"}, {"kernel", "distance"}}) {
    std::vector<std::string> arguments = command;
    arguments.emplace_back("/nowhere/vmlinux");
    const Finished run = run_farcall(arguments);
    EXPECT_EQ(run.exit_code, 2) << run.out;
    EXPECT_THAT(run.err, HasSubstr("[file.unreadable]"));
  }
}

class KernelDefectsBy : public testing::TestWithParam<const char*> {};

// What is known of 6.1.
TEST_P(KernelDefectsBy, AStockKernelIsAColumnOfTheTable) {
  const Finished run =
      run_farcall({"kernel", "defects", stock_vmlinux(), "--json", "--vm", GetParam()});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto table = nlohmann::json::parse(run.out);
  ASSERT_EQ(table.at("jits").size(), 1U);
  const std::string kernel = table.at("jits").at(0);
  std::map<std::string, std::string> found;
  for (const auto& defect : table.at("defects")) {
    found[defect.at("name")] = defect.at("states").at(kernel).at("state");
  }
  EXPECT_EQ(found["shift-by-more-than-the-width"], "there") << run.out;
  EXPECT_EQ(found["dump-by-mode"], "there");
  EXPECT_EQ(found["far-call-in-the-dump"], "there");
  EXPECT_EQ(found["far-call-in-the-interpreter"], "there");
  EXPECT_EQ(found["line-info-one-early"], "there");
  EXPECT_EQ(found["line-info-not-blinded"], "there");
  EXPECT_EQ(found["may-goto-in-the-interpreter"], "not-applicable");
  EXPECT_EQ(found["unaligned-sign-extending-load"], "not-applicable");
  EXPECT_EQ(found["early-exit"], "not-applicable");
  EXPECT_EQ(found["early-exit-in-the-kernel"], "absent");
}

INSTANTIATE_TEST_SUITE_P(Hosts, KernelDefectsBy, testing::Values("direct", "libvirt"),
                         [](const auto& which) { return std::string(which.param); });

}  // namespace
}  // namespace farcall::stock::probe_test

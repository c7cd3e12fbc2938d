#include "engine/process_jit.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/engine/support.hpp"
#include "tests/paths.hpp"

namespace farcall::engine::process_jit_test {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr GuestAddress kMain = {0xc000'0000'0001'0000};

model::Document returns(int number) {
  return document("mov %r0, " + std::to_string(number) + "\nexit\n", {kMain});
}

std::string example() {
  return (tests::build_dir() / "harness" / "tests" / "example_jit").string();
}

std::vector<Compiled> compile(const process::Command& command,
                              const std::vector<model::Document>& documents,
                              milliseconds patience = milliseconds(10'000)) {
  std::vector<const model::Document*> pointers;
  for (const model::Document& document : documents) {
    pointers.push_back(&document);
  }
  return process_jit("test", command, patience).start({})->compile(pointers);
}

std::vector<Compiled> compile_by_shell(const std::string& script,
                                       const std::vector<model::Document>& documents,
                                       milliseconds patience = milliseconds(10'000)) {
  return compile({.program = "/bin/sh", .arguments = {"-c", script}}, documents, patience);
}

TEST(ProcessJit, TheExampleMakesCodeAndSaysWhatItDoesNotDo) {
  const auto compiled =
      compile({.program = example(), .arguments = {}},
              {returns(7), document("mov %r0, %r1\nexit\n", {kMain}), returns(-1)});
  ASSERT_EQ(compiled.size(), 3U);
  ASSERT_TRUE(compiled[0].image) << compiled[0].image.error().message;
  const model::CodeImage& image = compiled[0].image.value();
  ASSERT_EQ(image.functions.size(), 1U);
  EXPECT_EQ(image.functions[0].name, "main");
  EXPECT_EQ(image.functions[0].address, kMain);
  EXPECT_THAT(image.functions[0].words, ElementsAre(0x3c600000, 0x60630007, 0x4e800020));
  EXPECT_EQ(image.entry, kMain);
  EXPECT_TRUE(image.bpf_registers.empty());
  EXPECT_FALSE(image.thread_area);
  ASSERT_FALSE(compiled[1].image);
  EXPECT_EQ(compiled[1].image.error().code, ErrorCode::jit_declined);
  EXPECT_EQ(compiled[1].image.error().message, "anything but mov and exit");
  ASSERT_TRUE(compiled[2].image);
  EXPECT_THAT(compiled[2].image.value().functions[0].words,
              ElementsAre(0x3c60ffff, 0x6063ffff, 0x4e800020));
}

TEST(ProcessJit, MoreThanThePipesHoldIsNoDeadlock) {
  std::string text;
  for (int i = 0; i < 2000; ++i) {
    text += "mov %r0, 1\n";
  }
  const std::vector<model::Document> documents(64, document(text + "exit\n", {kMain}));
  for (const Compiled& one : compile({.program = example(), .arguments = {}}, documents)) {
    ASSERT_FALSE(one.image);
    EXPECT_EQ(one.image.error().code, ErrorCode::jit_declined);
  }
}

TEST(ProcessJit, ACrashIsTheCellsFailureAndSaysWhatWasSaid) {
  const auto compiled = compile_by_shell("echo no more registers >&2; kill -SEGV $$", {returns(1)});
  ASSERT_EQ(compiled.size(), 1U);
  ASSERT_FALSE(compiled[0].image);
  EXPECT_EQ(compiled[0].image.error().code, ErrorCode::jit_crashed);
  EXPECT_THAT(compiled[0].image.error().message,
              AllOf(HasSubstr("signal 11"), HasSubstr("no more registers")));
}

TEST(ProcessJit, AnEndWithoutAnAnswerIsACrash) {
  const auto compiled = compile_by_shell("exit 3", {returns(1), returns(2)});
  ASSERT_EQ(compiled.size(), 2U);
  for (const Compiled& one : compiled) {
    ASSERT_FALSE(one.image);
    EXPECT_EQ(one.image.error().code, ErrorCode::jit_crashed);
    EXPECT_THAT(one.image.error().message, HasSubstr("exit status 3"));
  }
}

TEST(ProcessJit, AnotherChildGoesOnAfterACrash) {
  const std::string flag =
      (std::filesystem::temp_directory_path() / ("farcall-crashed-" + std::to_string(::getpid())))
          .string();
  const auto compiled = compile_by_shell("if [ -e " + flag + " ]; then exec " + example() +
                                             "; else touch " + flag + "; kill -SEGV $$; fi",
                                         {returns(1), returns(2), returns(3)});
  std::filesystem::remove(flag);
  ASSERT_EQ(compiled.size(), 3U);
  ASSERT_FALSE(compiled[0].image);
  EXPECT_EQ(compiled[0].image.error().code, ErrorCode::jit_crashed);
  ASSERT_TRUE(compiled[1].image);
  ASSERT_TRUE(compiled[2].image);
  EXPECT_EQ(compiled[2].image.value().functions[0].words[1], 0x60630003U);
}

TEST(ProcessJit, NobodyWaitsLongerThanTheUser) {
  const std::vector<model::Document> documents = {returns(1), returns(2)};
  const std::array pointers = {documents.data(), &documents[1]};
  int looks = 0;
  const process::Command command = {.program = "/bin/sleep", .arguments = {"1000"}};
  const auto compiler =
      process_jit("test", command, std::chrono::hours(1)).start([&looks] { return ++looks > 3; });
  const auto begin = std::chrono::steady_clock::now();
  const std::vector<Compiled> compiled = compiler->compile(pointers);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
  ASSERT_EQ(compiled.size(), 2U);
  for (const Compiled& one : compiled) {
    ASSERT_FALSE(one.image);
    EXPECT_THAT(one.image.error().message, HasSubstr("nobody waits"));
  }
}

// The patience is one that is measured in CPU time: enough for what is said before.
TEST(ProcessJit, AHangIsEnded) {
  const auto begin = std::chrono::steady_clock::now();
  const auto compiled =
      compile_by_shell("echo thinking >&2; exec sleep 1000", {returns(1)}, milliseconds(1'000));
  ASSERT_FALSE(compiled[0].image);
  EXPECT_EQ(compiled[0].image.error().code, ErrorCode::jit_timeout);
  EXPECT_THAT(compiled[0].image.error().message, HasSubstr("thinking"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(120));
}

TEST(ProcessJit, HalfAnAnswerIsACrash) {
  const auto compiled = compile_by_shell("printf '\\100\\0\\0\\0half'", {returns(1)});
  ASSERT_FALSE(compiled[0].image);
  EXPECT_EQ(compiled[0].image.error().code, ErrorCode::jit_crashed);
}

TEST(ProcessJit, GarbageIsABadAnswer) {
  // A text, an answer to another request, and one of a status that there is none of.
  for (const char* const script :
       {"echo Compiling...; exec sleep 1000",
        "printf '\\020\\0\\0\\0\\377\\0\\0\\0\\1\\0\\0\\0why?'; exec sleep 1000",
        "printf '\\020\\0\\0\\0\\0\\0\\0\\0\\7\\0\\0\\0why?'; exec sleep 1000"}) {
    const auto compiled = compile_by_shell(script, {returns(1)});
    ASSERT_FALSE(compiled[0].image) << script;
    EXPECT_EQ(compiled[0].image.error().code, ErrorCode::jit_bad_answer) << script;
  }
}

TEST(ProcessJit, AProgramThatIsNotThereCannotBeStarted) {
  const auto compiled = compile({.program = "/nonexistent/jit", .arguments = {}}, {returns(1)});
  ASSERT_FALSE(compiled[0].image);
  EXPECT_EQ(compiled[0].image.error().code, ErrorCode::jit_not_started);
}

}  // namespace
}  // namespace farcall::engine::process_jit_test

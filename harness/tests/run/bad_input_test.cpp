// Bad input, from outside: whatever is wrong with it, one error that says where, exit code 2, the
// good input beside it run, nothing left behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "model/json.hpp"
#include "tests/farcall_process.hpp"

namespace farcall::run::bad_input_test {
namespace {

using namespace tests;

using model::Json;
using testing::HasSubstr;

std::set<std::string> entries(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    names.insert(entry.path().string());
  }
  return names;
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
    ++found;
  }
  return found;
}

// `where` is how the message begins: a path, and line and column if there are any. What is beside
// it is run: `passed` cells.
void expect_refused(const ScratchFolder& folder, const std::vector<std::string>& arguments,
                    const std::string& where, const std::string& code, std::size_t passed = 0) {
  SCOPED_TRACE(where + ' ' + code);
  const auto before = entries(folder.path());
  const Finished run = run_farcall(arguments);
  EXPECT_EQ(run.exit_code, 2) << run.out << run.err;
  EXPECT_EQ(run.err, "");
  EXPECT_THAT(run.out, HasSubstr("\n       • " + where + ": "));
  EXPECT_THAT(run.out, HasSubstr("[" + code + "]"));
  EXPECT_THAT(run.out, HasSubstr(": " + std::to_string(passed) + " passed, 0 failed, 1 error;"));
  EXPECT_EQ(count(run.out, "ERROR  "), 1U) << run.out;
  EXPECT_TRUE(std::ranges::none_of(run.out, [](char c) { return c == '\x1b' || c == '\x7f'; }));
  EXPECT_EQ(entries(folder.path()), before);
}

struct BadCase {
  std::string name;
  std::string text;
  std::string where;  // `:LINE:COLUMN` after the path
  std::string code;
};

void PrintTo(const BadCase& bad, std::ostream* out) {
  *out << bad.name;
}

// Ten lines; what follows begins in line 8.
std::string two_functions(const std::string& rest) {
  return "-- asm\ncall local callee\nexit\ncallee:\nmov %r0, 1\nexit\n-- place\n" + rest +
         "-- result\n1\n";
}

class BadCaseFile : public testing::TestWithParam<BadCase> {};

TEST_P(BadCaseFile, IsRefused) {
  const ScratchFolder folder;
  const std::string path = folder.write("bad.case", GetParam().text);
  folder.write("good.case", two_functions("main = text+64K\n"));
  expect_refused(folder, {"run", folder.path().string()}, path + GetParam().where, GetParam().code,
                 1);
}

INSTANTIATE_TEST_SUITE_P(
    All, BadCaseFile,
    testing::Values(
        BadCase{"empty", "", "", "file.empty"},
        BadCase{"cut short", "-- asm\ncall local", ":2:11", "asm.syntax"},
        BadCase{"too large", std::string((1 << 20) + 1, '\n'), "", "file.too-large"},
        BadCase{"not text",
                std::string("\x7f"
                            "ELF\0\x01",
                            6),
                ":1:1", "case.syntax"},
        BadCase{"drives the terminal", "-- \x1b[31masm\nexit\n", ":1:4", "case.syntax"},
        BadCase{"unknown section", "-- amts\nexit\n", ":1:4", "case.unknown-section"},
        BadCase{"no such object", "-- elf nothing.o\n-- result\n1\n", ":1:8", "file.unreadable"},
        BadCase{"functions overlap", two_functions("main = text\ncallee = text\n"), ":9:1",
                "place.overlap"},
        BadCase{"code overlaps", two_functions("main = text+64K\ncallee = main+8\n"), ":9:1",
                "place.overlap"},
        BadCase{"code in the stack", two_functions("stack = text+1M\nmain = stack-8\n"), ":9:1",
                "place.overlap"},
        BadCase{"memory overlaps", "-- mem\n00\n" + two_functions("mem = stack+4K\n"), ":10:1",
                "place.overlap"},
        BadCase{"not for radix", two_functions("main = 0x10000000000000\n"), ":8:1",
                "place.unmappable"},
        BadCase{"code goes on where radix ends", two_functions("main = 0xc00ffffffffffffc\n"),
                ":8:1", "place.unmappable"},
        BadCase{"falls off its end", "-- asm\nmov %r0, 1\n-- result\n1\n", ":2:1",
                "bpf.falls-off-end"},
        BadCase{"calls into nowhere", "-- raw\n0x0000000700001085\n0x95\n-- result\n1\n", ":2:1",
                "bpf.call-target"},
        BadCase{"jumps into nowhere", "-- asm\nja +9\nexit\n-- result\n1\n", ":2:1",
                "bpf.jump-target"}),
    [](const auto& bad) {
      std::string name = bad.param.name;
      std::ranges::replace(name, ' ', '_');
      return name;
    });

TEST(BadFile, ThatIsNotThereIsRefused) {
  const ScratchFolder folder;
  const std::string missing = (folder.path() / "missing.case").string();
  expect_refused(folder, {"run", missing}, missing, "file.unreadable");
  expect_refused(folder, {"run", "--from", missing}, missing, "file.unreadable");
}

// What is wrong may be most of the file, and no text.
TEST(BadFile, IsShownAsAnExcerpt) {
  const ScratchFolder folder;
  const std::string path = folder.write("long.case", "-- " + std::string(900'000, 'z') + "\n");
  const Finished run = run_farcall({"run", path});
  EXPECT_THAT(run.out, testing::AllOf(HasSubstr("there is no section 'zzz"), HasSubstr("zz'")));
  EXPECT_LT(run.out.size(), 4'000U);
  const Finished bytes = run_farcall({"run", folder.write("b.case", "-- asm\nmov %r0, \xff\n")});
  EXPECT_THAT(bytes.out, HasSubstr("found '\\xff'"));
  const Finished names = run_farcall({"resolve", folder.write("names", "\x1b[2J \xc2\x9b\n")});
  EXPECT_THAT(names.err, HasSubstr("'\\x1b[2J \\xc2\\x9b' is not a symbol"));
}

// Good input under a name that is not UTF-8, as JSON and XML must be.
TEST(BadFile, NameThatIsNotUtf8IsReported) {
  const ScratchFolder folder;
  const std::filesystem::path odd = folder.path() / "caf\xe9";
  std::filesystem::create_directory(odd);
  std::ofstream(odd / "good.case") << two_functions("main = text+64K\n");
  const std::string json = (folder.path() / "report.json").string();
  const std::string junit = (folder.path() / "report.xml").string();
  const Finished run = run_farcall({"run", odd.string(), "--format", "json", "--output", json,
                                    "--format", "junit", "--output", junit});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_THAT(contents(json), HasSubstr("caf\xef\xbf\xbd/good.case"));
  EXPECT_THAT(contents(junit), HasSubstr("caf\xef\xbf\xbd/good.case"));
}

TEST(BadObject, IsRefusedWhereTheCaseNamesIt) {
  const ScratchFolder folder;
  const std::string good = contents(cases_folder() / "c/packet.bpf.o");
  ASSERT_FALSE(good.empty());
  const std::string path = folder.write("bad.case", "-- elf bad.o packet\n-- result\n1\n");
  struct Bad {
    std::string bytes;
    std::string code;
  };
  for (const Bad& bad : {Bad{good.substr(0, good.size() / 2), "elf.malformed"},
                         Bad{good.substr(0, 40), "elf.malformed"}, Bad{"", "file.empty"},
                         Bad{std::string((16 << 20) + 1, '\0'), "file.too-large"},
                         Bad{std::string(500, 'x'), "elf.malformed"}}) {
    folder.write("bad.o", bad.bytes);
    expect_refused(folder, {"run", path}, path + ":1:8", bad.code);
  }
}

class BadDocument : public testing::Test {
 protected:
  void SetUp() override {
    const std::string path = folder_.write("far.case", two_functions("main = text+64K\n"));
    document_ = Json::parse(run_farcall({"dump", path, "--stage=image", "--json"}).out);
  }
  void expect_refused_text(const std::string& text, const std::string& where,
                           const std::string& code) {
    const std::string path = folder_.write("bad.json", text);
    expect_refused(folder_, {"run", "--from", path}, path + where, code);
  }

  ScratchFolder folder_;
  Json document_;
};

TEST_F(BadDocument, ThatIsNoJson) {
  const std::string text = document_.dump(1);
  expect_refused_text(
      text.substr(0, text.size() / 2),
      ":" +
          std::to_string(1 + std::count(text.begin(),
                                        text.begin() + static_cast<std::ptrdiff_t>(text.size() / 2),
                                        '\n')) +
          ":" + std::to_string(text.size() / 2 - text.rfind('\n', text.size() / 2 - 1)),
      "json.malformed");
  expect_refused_text("", ":1:1", "json.malformed");
  expect_refused_text("[1, 2]", "", "json.malformed");
  expect_refused_text(std::string((16 << 20) + 1, ' '), "", "file.too-large");
  expect_refused_text(std::string(1 << 20, '['), "", "json.malformed");
}

TEST_F(BadDocument, WithNamesThatDriveTheTerminal) {
  document_["cell"]["name"] = "\x1b[2Jfar";
  expect_refused_text(document_.dump(), "", "json.malformed");
}

TEST_F(BadDocument, WithTwoCallsOfOneSite) {
  Json& calls = document_["image"]["calls"];
  calls.push_back(calls[0]);
  expect_refused_text(document_.dump(), "", "document.invalid");
}

TEST_F(BadDocument, WithAProgramThatFallsOffItsEnd) {
  document_["cell"]["program"]["slots"].back()[0] = 0xb7;  // mov for exit
  expect_refused_text(document_.dump(), "", "bpf.falls-off-end");
}

TEST_F(BadDocument, WithCodeThatOverlapsOrCannotBeMapped) {
  Json& functions = document_["image"]["functions"];
  functions[1]["address"] = functions[0]["address"];
  expect_refused_text(document_.dump(), "", "place.overlap");
  functions[1]["address"] = "0x10000000000000";
  expect_refused_text(document_.dump(), "", "place.unmappable");
  functions[1]["address"] = "0xfffffffffffffff8";
  expect_refused_text(document_.dump(), "", "place.unmappable");
}

}  // namespace
}  // namespace farcall::run::bad_input_test

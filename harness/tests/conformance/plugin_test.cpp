// The plugin as the suite's runner starts it: a process a call, the program on its standard input.
#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "model/axes.hpp"
#include "tests/paths.hpp"
#include "tests/program.hpp"

namespace farcall::conformance::plugin_test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// mov %r0, 42; exit
constexpr const char* kFortyTwo = "b7 00 00 00 2a 00 00 00  95 00 00 00 00 00 00 00\n";
// ldxb %r0, [%r1]; exit
constexpr const char* kFirstByte = "71 10 00 00 00 00 00 00 95 00 00 00 00 00 00 00";
// call local f; exit; f: mov %r0, 7; exit
constexpr const char* kCall =
    "85 10 00 00 01 00 00 00 95 00 00 00 00 00 00 00 b7 00 00 00 07 00 00 00 95 00 00 00 00 00 00 "
    "00";

using Answer = tests::Finished;

// Servers are found in a runtime folder of the test's own, and end when it goes.
class Plugin : public testing::Test {
 protected:
  ~Plugin() override {
    for (const int server : servers()) {
      ::kill(server, SIGKILL);
    }
  }

  Answer call(const std::vector<std::string>& arguments, const std::string& program) {
    return tests::run_program(tests::build_dir() / "farcall-bpf-plugin", arguments,
                              {{"XDG_RUNTIME_DIR", runtime_.path().string()}}, program);
  }

  // Processes whose command line names the runtime folder.
  std::vector<int> servers() const {
    std::vector<int> found;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      const std::string line = tests::contents(entry.path() / "cmdline");
      if (line.find("farcall-bpf-plugin-server") != std::string::npos &&
          line.find(runtime_.path().string()) != std::string::npos) {
        found.push_back(std::stoi(entry.path().filename()));
      }
    }
    return found;
  }

  tests::ScratchFolder runtime_;
};

TEST_F(Plugin, SaysWhatTheProgramReturnsInEveryWay) {
  const Answer expected{0, "2a\n", ""};
  EXPECT_EQ(call({}, kFortyTwo), expected);
  EXPECT_EQ(call({"--jit"}, kFortyTwo), expected);
  EXPECT_EQ(call({"--interpreter"}, kFortyTwo), expected);
  EXPECT_EQ(call({"", "--jit", "--endian", "be"}, kFortyTwo), expected);
  EXPECT_EQ(call({"--cpu", "power8"}, kFortyTwo), expected);
  EXPECT_EQ(call({"--cpu", "power10", "--placement", "far"}, kFortyTwo), expected);
  EXPECT_EQ(call({"61 62 ", "--jit"}, kFirstByte), (Answer{0, "61\n", ""}));
  EXPECT_EQ(call({"61 62 ", "--interpreter", "--endian", "be"}, kFirstByte),
            (Answer{0, "61\n", ""}));
  EXPECT_EQ(call({"--placement", "far"}, kCall), (Answer{0, "7\n", ""}));
  EXPECT_EQ(call({"--placement", "near"}, kCall), (Answer{0, "7\n", ""}));
}

// As the suite's other plugins are called.
TEST_F(Plugin, TakesTheOptionsOfOtherPlugins) {
  const Answer expected{0, "2a\n", ""};
  EXPECT_EQ(call({"--interpret"}, kFortyTwo), expected);
  EXPECT_EQ(call({"--debug"}, kFortyTwo), expected);
  EXPECT_EQ(call({"--program", kFortyTwo, "--interpret"}, ""), expected);
  EXPECT_EQ(call({"--program", kFirstByte, "61 62 ", "--debug"}, ""), (Answer{0, "61\n", ""}));
  const Answer help = call({"--help"}, "");
  EXPECT_EQ(help.exit_code, 1);
  EXPECT_THAT(help.out, HasSubstr("usage: farcall-bpf-plugin [--program PROGRAM] [MEMORY]"));
  for (const char* option :
       {"--interpret", "--jit", "--endian", "--cpu", "--placement", "--elf", "--debug"}) {
    EXPECT_THAT(help.out, HasSubstr(option));
  }
  for (const std::string_view cpu : model::value_names(model::Axis::cpu)) {
    EXPECT_THAT(help.out, HasSubstr(std::string(cpu)));
  }
}

TEST_F(Plugin, OneServerAnswersAllCallsOfItsOptions) {
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(call({"--jit"}, kFortyTwo).out, "2a\n");
  }
  EXPECT_EQ(servers().size(), 1);
  EXPECT_EQ(call({"--interpreter"}, kFortyTwo).out, "2a\n");
  EXPECT_EQ(servers().size(), 2);
}

// mov %r1, -1; mov %r2, NUMBER; callx %r2 (or call NUMBER); mov %r0, 2; exit
TEST_F(Plugin, HasTheHelpersOfTheSuite) {
  const auto program = [](const std::string& number, const std::string& call) {
    return "b7 01 00 00 ff ff ff ff  b7 02 00 00 " + number + " 00 00 00  " + call +
           "  b7 00 00 00 02 00 00 00  95 00 00 00 00 00 00 00\n";
  };
  for (const char* engine : {"--jit", "--interpreter"}) {
    for (const char* way : {"8d 02 00 00 00 00 00 00", "85 00 00 00 05 00 00 00"}) {
      EXPECT_EQ(call({engine}, program("05", way)), (Answer{0, "2\n", ""})) << engine << way;
    }
    const Answer none = call({engine}, program("06", "8d 02 00 00 00 00 00 00"));
    EXPECT_NE(none.exit_code, 0);
    EXPECT_THAT(none.err, HasSubstr("call through %r2 of helper 6: there is none"));
  }
}

std::string in_hex(const std::string& bytes) {
  std::string hex;
  for (const char byte : bytes) {
    char digits[4];
    std::snprintf(digits, sizeof digits, "%02x ", static_cast<unsigned char>(byte));
    hex += digits;
  }
  return hex;
}

TEST_F(Plugin, ReadsObjects) {
  const std::string hex = in_hex(tests::contents(tests::source_dir() / "cases/c/packet.bpf.o"));
  ASSERT_FALSE(hex.empty());
  std::string memory;
  for (int i = 0; i < 128; ++i) {
    memory += "00 ";
  }
  const Answer jit = call({memory, "--jit", "--elf"}, hex);
  EXPECT_EQ(jit.exit_code, 0) << jit.err;
  EXPECT_EQ(call({memory, "--interpreter", "--elf"}, hex), jit);
}

// With `--elf true` the suite's runner writes an object of one function, which is all of the code:
// sections .shstrtab (with the symbol's name, too), .symtab, .text, and no relocations.
std::string object_of(const std::string& code) {
  const std::string names("\0.shstrtab\0.symtab\0.text\0main\0", 30);
  std::string symbols(2 * sizeof(Elf64_Sym), '\0');
  Elf64_Sym main = {};
  main.st_name = 25;
  main.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
  main.st_shndx = 3;
  main.st_size = code.size();
  std::memcpy(&symbols[sizeof main], &main, sizeof main);
  const std::size_t names_at = sizeof(Elf64_Ehdr);
  const std::size_t symbols_at = (names_at + names.size() + 3) / 4 * 4;
  const std::size_t code_at = symbols_at + symbols.size();
  std::string object(code_at + code.size() + 4 * sizeof(Elf64_Shdr), '\0');
  const auto section = [&](std::size_t number, Elf64_Shdr header, const std::string& contents) {
    header.sh_size = contents.size();
    contents.copy(&object[header.sh_offset], contents.size());
    std::memcpy(&object[code_at + code.size() + number * sizeof header], &header, sizeof header);
  };
  Elf64_Shdr header = {};
  header.sh_name = 1;
  header.sh_type = SHT_STRTAB;
  header.sh_offset = names_at;
  header.sh_addralign = 1;
  section(1, header, names);
  header = {};
  header.sh_name = 11;
  header.sh_type = SHT_SYMTAB;
  header.sh_offset = symbols_at;
  header.sh_link = 1;
  header.sh_info = 1;
  header.sh_addralign = 4;
  header.sh_entsize = sizeof main;
  section(2, header, symbols);
  header = {};
  header.sh_name = 19;
  header.sh_type = SHT_PROGBITS;
  header.sh_flags = SHF_ALLOC | SHF_EXECINSTR;
  header.sh_offset = code_at;
  header.sh_addralign = 4;
  section(3, header, code);
  Elf64_Ehdr file = {};
  std::memcpy(&file.e_ident[0],
              "\x7f"
              "ELF\2\1\1",
              7);
  file.e_type = ET_REL;
  file.e_machine = EM_BPF;
  file.e_version = EV_CURRENT;
  file.e_shoff = code_at + code.size();
  file.e_ehsize = sizeof file;
  file.e_shentsize = sizeof header;
  file.e_shnum = 4;
  file.e_shstrndx = 1;
  std::memcpy(object.data(), &file, sizeof file);
  return object;
}

std::string bytes_of_hex(const std::string& hex) {
  std::string bytes;
  std::istringstream words(hex);
  for (unsigned value = 0; words >> std::hex >> value;) {
    bytes += static_cast<char>(value);
  }
  return bytes;
}

TEST_F(Plugin, ReadsObjectsOfTheSuitesRunner) {
  for (const char* engine : {"--jit", "--interpreter"}) {
    EXPECT_EQ(call({engine, "--elf"}, in_hex(object_of(bytes_of_hex(kFortyTwo)))),
              (Answer{0, "2a\n", ""}));
    EXPECT_EQ(call({"61 ", engine, "--elf"}, in_hex(object_of(bytes_of_hex(kFirstByte)))),
              (Answer{0, "61\n", ""}));
    // A local function has no symbol, and the call no relocation.
    EXPECT_EQ(call({engine, "--elf", "--placement", "far"}, in_hex(object_of(bytes_of_hex(kCall)))),
              (Answer{0, "7\n", ""}));
  }
}

TEST_F(Plugin, WhatGoesWrongIsATextAndNeverANumber) {
  const auto fails = [&](const std::vector<std::string>& arguments, const std::string& program,
                         const std::string& text) {
    const Answer answer = call(arguments, program);
    EXPECT_NE(answer.exit_code, 0) << text;
    EXPECT_EQ(answer.out, "") << text;
    EXPECT_THAT(answer.err, HasSubstr(text));
  };
  // Beyond the end of memory, in both engines.
  fails({"--jit"}, kFirstByte, "lies in no region");
  fails({"--interpreter"}, kFirstByte, "lies in no region");
  fails({}, "ff 00 00 00 00 00 00 00 95 00 00 00 00 00 00 00", "opcode 0xff is not supported");
  fails({}, "b7 00 00", "expected a multiple of 8");
  fails({}, "", "the program has no instruction");
  fails({}, "b7 0x", "expected bytes of two hex digits");
  fails({"6g"}, kFortyTwo, "memory: expected bytes of two hex digits");
  fails({"--elf"}, "7f 45 4c 46", "");
  fails({"--endian", "middle"}, kFortyTwo, "expected le or be");
  fails({"--fast"}, kFortyTwo, "there is no option '--fast'");
}

TEST_F(Plugin, ADeadGuestIsReplacedAndAKilledServerStartedAgain) {
  ASSERT_EQ(call({"--jit"}, kFortyTwo).out, "2a\n");
  const std::vector<int> first = servers();
  ASSERT_EQ(first.size(), 1);
  // The server's only child is QEMU.
  const std::vector<int> children = tests::children_of(first[0]);
  ASSERT_EQ(children.size(), 1);
  ::kill(children[0], SIGKILL);
  // What was lost with it is run once more on a new one, of the same server.
  EXPECT_EQ(call({"--jit"}, kFortyTwo), (Answer{0, "2a\n", ""}));
  EXPECT_EQ(servers(), first);
  const std::vector<int> replaced = tests::children_of(first[0]);
  ASSERT_EQ(replaced.size(), 1);
  EXPECT_NE(replaced, children);

  ::kill(first[0], SIGKILL);
  EXPECT_TRUE(tests::eventually([&] { return servers() != first; }));
  EXPECT_EQ(call({"--jit"}, kFortyTwo), (Answer{0, "2a\n", ""}));
}

TEST_F(Plugin, CallsAtTheSameTimeShareOneServer) {
  std::vector<std::thread> threads;
  std::array<Answer, 6> answers;
  for (Answer& answer : answers) {
    threads.emplace_back([&] { answer = call({"--jit"}, kFortyTwo); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const Answer& answer : answers) {
    EXPECT_EQ(answer, (Answer{0, "2a\n", ""}));
  }
  EXPECT_TRUE(tests::eventually([&] { return servers().size() == 1; }));
}

TEST_F(Plugin, ItsFolderIsItsUsersAlone) {
  ASSERT_EQ(call({}, kFortyTwo).exit_code, 0);
  struct stat status = {};
  ASSERT_EQ(::stat((runtime_.path() / "farcall").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700U);
  fs::permissions(runtime_.path() / "farcall", fs::perms::owner_all | fs::perms::group_read);
  const Answer refused = call({}, kFortyTwo);
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_THAT(refused.err, HasSubstr("expected a folder that is yours"));
}

TEST_F(Plugin, TheServerEndsWhenItsSocketGoes) {
  ASSERT_EQ(call({}, kFortyTwo).exit_code, 0);
  ASSERT_EQ(servers().size(), 1);
  fs::remove_all(runtime_.path() / "farcall");
  EXPECT_TRUE(tests::eventually([&] { return servers().empty(); }));
}

}  // namespace
}  // namespace farcall::conformance::plugin_test

// The sample of the public conformance suite, where it is at hand: assembled, validated and
// interpreted with a little-endian memory, as the suite's own runner does on a little-endian host.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "bpf/assembler.hpp"
#include "bpf/interpreter.hpp"
#include "bpf/validator.hpp"
#include "tests/paths.hpp"

namespace farcall::bpf {
namespace {

struct Section {
  std::string text;
  unsigned line = 0;  // of its first line
};

std::map<std::string, Section> sections_of(const std::filesystem::path& path) {
  std::map<std::string, Section> sections;
  std::ifstream stream(path);
  std::string line;
  Section* current = nullptr;
  for (unsigned number = 1; std::getline(stream, line); ++number) {
    if (line.starts_with("-- ")) {
      current = &sections[line.substr(3)];
      current->line = number + 1;
    } else if (current != nullptr) {
      current->text += line + "\n";
    }
  }
  return sections;
}

std::vector<std::byte> bytes_of(const std::string& text) {
  std::vector<std::byte> bytes;
  std::istringstream stream(text);
  for (unsigned value = 0; stream >> std::hex >> value;) {
    bytes.push_back(static_cast<std::byte>(value));
  }
  return bytes;
}

TEST(Conformance, SampleRunsAsItSays) {
  const std::filesystem::path folder = tests::source_dir() / "../shared/conformance-sample";
  if (!std::filesystem::exists(folder)) {
    GTEST_SKIP() << folder << " is not there";
  }
  unsigned ran = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".data") {
      continue;
    }
    const std::string file = entry.path().filename();
    std::map<std::string, Section> sections = sections_of(entry.path());
    const Section& assembly = sections["asm"];
    const Result<Program> program = assemble(assembly.text, {.file = file, .line = assembly.line});
    ASSERT_TRUE(program) << to_string(program.error());
    const Result<void> valid = validate(program.value());
    ASSERT_TRUE(valid) << to_string(valid.error());

    std::vector<std::byte> data = bytes_of(sections["mem"].text);
    const std::uint64_t length = data.size();
    AddressSpace memory(
        {{.name = "stack", .address = {0x10000}, .bytes = std::vector<std::byte>(4096)},
         {.name = "mem", .address = {0x1000}, .bytes = std::move(data)}},
        std::endian::little);
    const Result<InterpreterRun> run =
        interpret(program.value(), {length == 0 ? 0 : 0x1000U, length}, {0x11000}, memory);
    ASSERT_TRUE(run) << to_string(run.error());
    EXPECT_EQ(run.value().r0, std::stoull(sections["result"].text, nullptr, 16)) << file;
    ++ran;
  }
  RecordProperty("ran", static_cast<int>(ran));
  EXPECT_EQ(ran, 40);
}

}  // namespace
}  // namespace farcall::bpf

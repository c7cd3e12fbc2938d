#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "model/json.hpp"
#include "tests/farcall_process.hpp"

namespace farcall::run::runner_fault_test {
namespace {

using namespace tests;

using model::Json;
using testing::HasSubstr;
namespace fs = std::filesystem;

// A big-endian image whose runner traps as soon as it starts: after the vectors, its first call.
std::string spoiled(std::string image) {
  constexpr std::size_t kBehindVectors = 0x4000;
  const std::string trap = {'\x7f', '\xe0', '\x00', '\x08'};
  for (std::size_t at = kBehindVectors; at + 4 <= image.size(); at += 4) {
    if ((image[at] & '\xfc') == '\x48' && (image[at + 3] & 3) == 1) {  // bl
      return image.replace(at, trap.size(), trap);
    }
  }
  ADD_FAILURE() << "the image calls nothing";
  return image;
}

constexpr const char* kEightMachines =
    "-- matrix\n"
    "endian le be\n"
    "cpu power9 power10\n"
    "mmu hash radix\n"
    "call imm32 aux64\n"
    "-- asm\n"
    "call local callee\n"
    "exit\n"
    "callee:\n"
    "mov %r0, 42\n"
    "exit\n"
    "-- place\n"
    "main = text+64K\n"
    "callee = vmalloc+64K\n"
    "-- result\n"
    "42\n"
    "-- fail call=imm32\n"
    "call.out-of-range main[0]\n";

TEST(RunnerFault, IsAnErrorOfItsMachinesCellsAndOfNoOthers) {
  const ScratchFolder folder;
  const fs::path images = farcall_binary().parent_path() / "images";
  // farcall looks for its images beside itself.
  fs::copy_file(farcall_binary(), folder.path() / "farcall");
  fs::create_directory(folder.path() / "images");
  fs::copy_file(images / "bare-le.bin", folder.path() / "images/bare-le.bin");
  folder.write("images/bare-be.bin", spoiled(contents(images / "bare-be.bin")));
  const std::string cases = folder.write("both.case", kEightMachines);

  const Finished run = run_program(folder.path() / "farcall", {"run", cases, "--format", "json"});
  EXPECT_EQ(run.exit_code, 3) << run.err;
  const Json report = Json::parse(run.out);
  // Cells without a job need no machine: all of imm32 pass.
  EXPECT_EQ(report.at("totals").at("passed"), 12);
  EXPECT_EQ(report.at("totals").at("errors"), 4);
  for (const Json& cell : report.at("cells")) {
    const auto name = cell.at("cell").get<std::string>();
    if (name.starts_with("both@be-") && name.ends_with("aux64")) {
      EXPECT_EQ(cell.at("outcome"), "error") << name;
      const Json& finding = cell.at("findings").at(0);
      EXPECT_EQ(finding.at("code"), "machine.runner-fault") << name;
      EXPECT_THAT(finding.at("text").get<std::string>(), HasSubstr("vector 0x700, srr0 0000"))
          << name;
    } else {
      EXPECT_EQ(cell.at("outcome"), "pass") << name;
    }
  }
}

}  // namespace
}  // namespace farcall::run::runner_fault_test

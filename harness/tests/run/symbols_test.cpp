// `farcall symbols` as other tools read it: the real gdb, and the real binary's refusals.
#include <gmock/gmock.h>

#include <array>
#include <cstdio>
#include <memory>

#include "tests/farcall_process.hpp"

namespace farcall::run::symbols_test {
namespace {

using namespace tests;

using ::testing::HasSubstr;

constexpr const char* kCase =
    "-- matrix\nendian le be\nabi elfv2 elfv1\n"
    "-- asm\ncall local callee\nexit\ncallee:\nmov %r0, 7\nexit\n"
    "-- place\nmain = text+64K\ncallee = vmalloc+0x12a468\n-- result\n7\n";

// What gdb says to `commands`, each a line.
std::string gdb(const std::vector<std::string>& commands) {
  std::string line = "gdb-multiarch -batch -nx";
  for (const std::string& command : commands) {
    line += " -ex '" + command + "'";
  }
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(popen((line + " 2>&1").c_str(), "r"),
                                                             pclose);
  std::string said;
  std::array<char, 4096> buffer{};
  while (pipe && std::fgets(buffer.data(), buffer.size(), pipe.get()) != nullptr) {
    said += buffer.data();
  }
  return said;
}

class SymbolsCommand : public ::testing::Test {
 protected:
  std::string elf_of(const std::string& cell) {
    const std::string path = (folder_.path() / (cell + ".elf")).string();
    const Finished finished =
        run_farcall({"symbols", case_ + "@" + cell, "--format=elf", "--output", path});
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    return path;
  }

  ScratchFolder folder_;
  std::string case_ = folder_.write("two.case", kCase);
};

// Tags are those of tag_test.cpp.
TEST_F(SymbolsCommand, AreReadByGdb) {
  const std::string little =
      gdb({"file " + elf_of("le-elfv2"), "show endian", "info symbol 0xc00800000012a46c",
           "info address bpf_prog_b2715c0f7f689679_main"});
  EXPECT_THAT(little, HasSubstr("little endian"));
  EXPECT_THAT(little, HasSubstr("bpf_prog_8923dad831f6fb51_callee + 4 in section"));
  EXPECT_THAT(little, HasSubstr("is at 0xc000000000010000"));

  const std::string big =
      gdb({"file " + elf_of("be-elfv2"), "show endian", "info symbol 0xc00800000012a468"});
  EXPECT_THAT(big, HasSubstr("big endian"));
  EXPECT_THAT(big, HasSubstr("bpf_prog_c8b3b169747e2ba0_callee in section"));

  const std::string descriptors =
      gdb({"file " + elf_of("be-elfv1"), "info symbol 0xc00800000012a468",
           "info symbol 0xc00800000012a484"});
  // gdb leaves out the dot: both are the function to it.
  EXPECT_THAT(descriptors, HasSubstr("bpf_prog_c8b3b169747e2ba0_callee in section"));
  EXPECT_THAT(descriptors, HasSubstr("bpf_prog_c8b3b169747e2ba0_callee + 4 in section"));
}

TEST_F(SymbolsCommand, WriteKallsymsAndPerfMaps) {
  const Finished kallsyms = run_farcall({"symbols", case_ + "@le-elfv2"});
  EXPECT_EQ(kallsyms.exit_code, 0) << kallsyms.err;
  EXPECT_EQ(kallsyms.out,
            "c000000000010000 t bpf_prog_b2715c0f7f689679_main\t[bpf]\n"
            "c00800000012a468 t bpf_prog_8923dad831f6fb51_callee\t[bpf]\n");
  const Finished newer =
      run_farcall({"symbols", case_ + "@be-elfv2", "--format=perf", "--tag-hash=sha256"});
  EXPECT_EQ(newer.exit_code, 0) << newer.err;
  EXPECT_THAT(newer.out, HasSubstr(" bpf_prog_6fe141fe231b5ab0_main\n"));
  EXPECT_THAT(newer.out, HasSubstr("c00800000012a468 "));
}

TEST_F(SymbolsCommand, AreHeldAgainstAKernels) {
  const std::string newer = folder_.write(
      "newer", R"([{"id": 3, "name": "main", "tag": "6fe141fe231b5ab0", "jited": true}])");
  const Finished differ = run_farcall({"symbols", case_ + "@be-elfv2", "--against", newer});
  EXPECT_EQ(differ.exit_code, 1) << differ.err;
  EXPECT_THAT(differ.out, HasSubstr("83709e8ca95670a0  6fe141fe231b5ab0: differs\n"));
  EXPECT_THAT(differ.out, HasSubstr("They are those of --tag-hash=sha256."));
  EXPECT_EQ(run_farcall({"symbols", case_ + "@be-elfv2", "--against", newer, "--tag-hash=sha256"})
                .exit_code,
            0);

  const std::string kernel =
      folder_.write("kallsyms", "c00800000033f43c t bpf_prog_b2715c0f7f689679_main\t[bpf]\n");
  const Finished missing = run_farcall({"symbols", case_ + "@le-elfv2", "--against", kernel});
  EXPECT_EQ(missing.exit_code, 1) << missing.err;
  EXPECT_THAT(missing.out, HasSubstr("b2715c0f7f689679  the same\n"));
  EXPECT_THAT(missing.out, HasSubstr("8923dad831f6fb51  not there\n"));
}

// What /proc/kallsyms of stock Debian kernels held once these programs had been loaded there, on
// qemu-system-ppc64, with net.core.bpf_jit_enable and bpf_jit_kallsyms at 1.
TEST_F(SymbolsCommand, HaveTheTagsOfRealKernels) {
  struct Loaded {
    const char* cell;
    const char* hash;
    const char* kallsyms;
  };
  constexpr std::array kLoaded = {
      // Linux 6.1.176
      Loaded{"callee-by-order.case", "sha1",
             "c0080000003b2b2c t bpf_prog_57cd311f2e27366b_F\t[bpf]\n"
             "c008000000414f48 t bpf_prog_3b185187f1855c4c_F\t[bpf]\n"
             "c00800000049f028 t bpf_prog_f95672269956c10d_F\t[bpf]\n"
             "c0080000003323b4 t bpf_prog_a3035beb9e5c6cfc_main\t[bpf]\n"},
      Loaded{"nested.case@le-elfv2-aux64", "sha1",
             "c0080000004342d0 t bpf_prog_0a709b9b0c6afcb4_F\t[bpf]\n"
             "c00800000049f924 t bpf_prog_7544fb1ff3d0f535_F\t[bpf]\n"
             "c0080000004f72c0 t bpf_prog_a47c6ec258d196d5_F\t[bpf]\n"
             "c0080000003dd27c t bpf_prog_e6b442e0ba631d77_main\t[bpf]\n"},
      // Linux 7.2.13
      Loaded{"callee-by-order.case", "sha256",
             "c008000000004c14 t bpf_prog_b11459a0e11ca14c_F\t[bpf]\n"
             "c008000000004c98 t bpf_prog_614b434cd8324ecc_F\t[bpf]\n"
             "c008000000004d08 t bpf_prog_79aa95555f6b99c7_F\t[bpf]\n"
             "c008000000004ad0 t bpf_prog_507874306589caff_main\t[bpf]\n"},
      Loaded{"nested.case@le-elfv2-aux64", "sha256",
             "c008000000004b90 t bpf_prog_479d569a6b1dd6f0_F\t[bpf]\n"
             "c008000000004c48 t bpf_prog_126736dffaecc07c_F\t[bpf]\n"
             "c008000000004d0c t bpf_prog_55a477696ac18238_F\t[bpf]\n"
             "c008000000004ad0 t bpf_prog_0275521e3ae7d83d_main\t[bpf]\n"}};
  for (const Loaded& one : kLoaded) {
    const Finished same =
        run_farcall({"symbols", (cases_folder() / "calls" / one.cell).string(), "--tag-hash",
                     one.hash, "--against", folder_.write("kallsyms", one.kallsyms)});
    EXPECT_EQ(same.exit_code, 0) << one.cell << "\n" << same.out << same.err;
  }
}

TEST_F(SymbolsCommand, SayWhatThereIsInsteadOfWhatThereIsNot) {
  const Finished cell = run_farcall({"symbols", case_ + "@le-elfv3"});
  EXPECT_EQ(cell.exit_code, 2);
  EXPECT_THAT(cell.err, HasSubstr("be-elfv1"));
  const Finished format = run_farcall({"symbols", case_ + "@le-elfv2", "--format=coff"});
  EXPECT_EQ(format.exit_code, 2);
  EXPECT_THAT(format.err, HasSubstr("kallsyms"));
  const Finished output =
      run_farcall({"symbols", case_ + "@le-elfv2", "--output", "/nowhere/symbols"});
  EXPECT_EQ(output.exit_code, 2);
  EXPECT_THAT(output.err, HasSubstr("/nowhere/symbols: error: cannot be written"));
  const Finished no_tags =
      run_farcall({"symbols", case_ + "@le-elfv2", "--against", "/nowhere/tags"});
  EXPECT_EQ(no_tags.exit_code, 2);
  EXPECT_THAT(no_tags.err, HasSubstr("/nowhere/tags: error: "));
}

}  // namespace
}  // namespace farcall::run::symbols_test

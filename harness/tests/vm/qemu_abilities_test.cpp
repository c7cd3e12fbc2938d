#include "vm/qemu_abilities.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

#include "tests/program.hpp"

namespace farcall::vm::qemu_abilities_test {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kOfQemu7 =
    "spapr-pci-host-bridge options:\n"
    "  dma_win_size=<uint64>  -  (default: 1073741824)\n"
    "  dynamic-reconfiguration=<bool> -  (default: true)\n"
    "  gpa=<uint64>           -  (default: 0)\n";
constexpr std::string_view kOfQemu10 =
    "spapr-pci-host-bridge options:\n"
    "  dma_win_size=<uint64>  -  (default: 1073741824)\n"
    "  index=<uint32>         -  (default: 4294967295)\n";

TEST(QemuAbilities, AreReadFromItsHelp) {
  EXPECT_TRUE(read_bridge_help(kOfQemu7).bridge_without_connectors);
  EXPECT_FALSE(read_bridge_help(kOfQemu10).bridge_without_connectors);
  EXPECT_FALSE(read_bridge_help("").bridge_without_connectors);
}

// A program that passes for QEMU, in a world where it is the only one: it counts its starts.
class AskedQemu : public testing::Test {
 protected:
  AskedQemu() {
    ::setenv("XDG_CACHE_HOME", (folder_.path() / "cache").c_str(), 1);
    become(kOfQemu7, 0);
  }
  ~AskedQemu() override { ::unsetenv("XDG_CACHE_HOME"); }

  // With a `refused` option in its first argument it fails, as QEMU does.
  void become(std::string_view help, int status, std::string_view refused = "-none") {
    const std::string starts = (folder_.path() / "starts").string();
    folder_.write("qemu", fmt::format("#!/bin/sh\necho \"$*\" >> '{}'\n[ \"$1\" = {} ] && exit 1\n"
                                      "cat <<END\n{}END\nexit {}\n",
                                      starts, refused, help, status));
    fs::permissions(qemu(), fs::perms::owner_all);
  }
  std::string qemu() const { return (folder_.path() / "qemu").string(); }
  QemuAbilities ask() const { return qemu_abilities(qemu()); }
  std::string questions() const { return tests::contents(folder_.path() / "starts"); }

  static constexpr std::string_view kWithoutSandbox = "-device spapr-pci-host-bridge,help\n";
  static inline const std::string kQuestion =
      fmt::format("-sandbox {} {}", kSandbox, kWithoutSandbox);

 private:
  tests::ScratchFolder folder_;
};

TEST_F(AskedQemu, IsAskedOnce) {
  EXPECT_TRUE(ask().bridge_without_connectors);
  EXPECT_TRUE(ask().bridge_without_connectors);
  EXPECT_EQ(questions(), kQuestion);
}

TEST_F(AskedQemu, IsAskedAgainWhenItIsAnother) {
  EXPECT_TRUE(ask().bridge_without_connectors);
  become(kOfQemu10, 0);
  EXPECT_FALSE(ask().bridge_without_connectors);
  EXPECT_FALSE(ask().bridge_without_connectors);
  // Of the same size, but from another time.
  fs::last_write_time(qemu(), fs::last_write_time(qemu()) + std::chrono::nanoseconds(1));
  EXPECT_FALSE(ask().bridge_without_connectors);
  EXPECT_EQ(questions(), fmt::format("{0}{0}{0}", kQuestion));
}

TEST_F(AskedQemu, ThatGivesNoAnswerIsAskedAgain) {
  become(kOfQemu7, 1);
  EXPECT_FALSE(ask().bridge_without_connectors);
  EXPECT_FALSE(ask().bridge_without_connectors);
  EXPECT_EQ(questions(), fmt::format("{0}{1}{0}{1}", kQuestion, kWithoutSandbox));
}

TEST_F(AskedQemu, MayHaveNoSandbox) {
  EXPECT_TRUE(ask().sandbox);
  EXPECT_TRUE(ask().sandbox);  // as the cache says
  EXPECT_EQ(questions(), kQuestion);
  become(kOfQemu7, 0, "-sandbox");
  for (int times = 0; times < 2; ++times) {
    EXPECT_EQ(ask(), (QemuAbilities{.bridge_without_connectors = true, .sandbox = false}));
  }
  EXPECT_EQ(questions(), fmt::format("{0}{0}{1}", kQuestion, kWithoutSandbox));
}

TEST_F(AskedQemu, NeedsNoCache) {
  ::setenv("XDG_CACHE_HOME", "/dev/null", 1);  // no folder can be made there
  EXPECT_TRUE(ask().bridge_without_connectors);
  EXPECT_TRUE(ask().bridge_without_connectors);
  EXPECT_EQ(questions(), fmt::format("{0}{0}", kQuestion));
}

TEST(QemuAbilities, OfWhatIsNotThereAreNone) {
  EXPECT_EQ(qemu_abilities("/nonexistent/qemu"), QemuAbilities{});
}

}  // namespace
}  // namespace farcall::vm::qemu_abilities_test

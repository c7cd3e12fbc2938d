#include "kernel/distance_probe.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "kernel/architecture.hpp"
#include "kernel/version.hpp"

namespace farcall::kernel::distance_probe_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const Architecture& known(std::string_view name) {
  return *architecture(name).value();
}

// As a console has it: the kernel's own lines between the probe's.
constexpr const char* kSaid =
    "[    1.729197] Run /init as init process\r\n"
    "\r\nfarcall: _start ffffffff80000000\r\n"
    "\r\nfarcall: __bpf_call_base ffffffff80181778\r\n"
    "\r\nfarcall: function ffffffff7800000c\r\n"
    "[    2.000000] farcall: this is the kernel's line\r\n"
    "\r\nfarcall: function ffffffff7800004c\r\n"
    "\r\nfarcall: refused 000000000000005f\r\n"
    "\r\nfarcall: crowd 0000000006662274\r\n"
    "\r\nfarcall: function ffffffff7fd0e058\r\n"
    "\r\nfarcall: end 0000000000000000\r\n"
    "[   33.557027] reboot: Power down\r\n";

std::string without(std::string_view what) {
  std::string text = kSaid;
  const std::size_t at = text.find(what);
  const std::size_t begin = text.rfind('\n', at) + 1;
  return text.erase(begin, text.find('\n', at) + 1 - begin);
}

TEST(DistanceProbe, WhatItSaysIsRead) {
  const auto report = read_probe_report(kSaid);
  ASSERT_TRUE(report) << report.error().message;
  const ProbeReport& said = report.value();
  EXPECT_TRUE(said.has_jit);
  EXPECT_EQ(said.call_base, GuestAddress{0xffffffff80181778});
  EXPECT_EQ(said.start, GuestAddress{0xffffffff80000000});
  EXPECT_EQ(said.text, std::nullopt);
  EXPECT_THAT(said.idle,
              ElementsAre(GuestAddress{0xffffffff7800000c}, GuestAddress{0xffffffff7800004c}));
  EXPECT_EQ(said.crowd_bytes, 0x6662274U);
  EXPECT_TRUE(said.is_full);
  EXPECT_THAT(said.crowded, ElementsAre(GuestAddress{0xffffffff7fd0e058}));
}

TEST(DistanceProbe, AKernelWithoutAJitIsAnAnswer) {
  const auto report = read_probe_report("\r\nfarcall: no-jit 0000000000000000\r\n");
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_FALSE(report.value().has_jit);
}

TEST(DistanceProbe, WhatIsNotWholeIsNoAnswer) {
  const auto error_of = [](const std::string& console) {
    const auto report = read_probe_report(console);
    EXPECT_FALSE(report) << console;
    EXPECT_EQ(report.error().code, ErrorCode::machine_bad_answer);
    return report.error().message;
  };
  EXPECT_THAT(error_of(without("end 0")), HasSubstr("its last line: [   33.557027] reboot"));
  EXPECT_THAT(error_of(without("__bpf_call_base")), HasSubstr("before it had said all"));
  EXPECT_THAT(error_of(without("ffffffff7fd0e058")), HasSubstr("before it had said all"));
  EXPECT_THAT(error_of(""), HasSubstr("its console says nothing"));
  EXPECT_THAT(error_of("farcall: function 12x\n"), HasSubstr("'function 12x' is not a line"));
  EXPECT_THAT(error_of("farcall: functions 12\n"), HasSubstr("'functions 12' is not a line"));
  EXPECT_THAT(error_of("farcall: not-loaded 0000000000000001\n"),
              HasSubstr("not-loaded: Operation not permitted"));
}

// Nothing is found where PATH leads nowhere.
class WithoutPrograms : public testing::Test {
 public:
  WithoutPrograms() : path_(::getenv("PATH")) { ::setenv("PATH", "/nowhere", 1); }
  WithoutPrograms(const WithoutPrograms&) = delete;
  WithoutPrograms& operator=(const WithoutPrograms&) = delete;
  ~WithoutPrograms() override { ::setenv("PATH", path_.c_str(), 1); }

 private:
  std::string path_;
};

TEST_F(WithoutPrograms, AMissingEmulatorIsNamedWithItsPackage) {
  const auto tools = find_probe_tools(known("arm64"));
  ASSERT_FALSE(tools);
  EXPECT_EQ(tools.error().code, ErrorCode::machine_no_qemu);
  EXPECT_EQ(blame(tools.error().code), Blame::machine);
  EXPECT_EQ(tools.error().message,
            "qemu-system-aarch64 is not on PATH, which runs kernels for arm64");
  EXPECT_EQ(tools.error().hint, "apt-get install qemu-system-arm");
}

TEST(DistanceProbe, AMissingCompilerIsNamedWithItsPackages) {
  Architecture strange = known("arm64");
  strange.qemu = "sh";  // that is there
  strange.compiler = "farcall-has-no-such-compiler";
  const auto tools = find_probe_tools(strange);
  ASSERT_FALSE(tools);
  EXPECT_EQ(tools.error().code, ErrorCode::machine_no_image);
  EXPECT_THAT(tools.error().message, HasSubstr("farcall-has-no-such-compiler is not on PATH"));
  EXPECT_EQ(tools.error().hint, "apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross");
}

TEST(DistanceProbe, AGuestIsLockedInAndHasNoNetwork) {
  const auto arguments = [](bool kaslr) {
    return probe_command(known("arm64"), "/usr/bin/qemu-system-aarch64",
                         {.kernel = "/kernels/vmlinuz", .kaslr = kaslr}, 3, 4)
        .arguments;
  };
  const auto value_of = [](const std::vector<std::string>& all, const std::string& name) {
    const auto at = std::ranges::find(all, name);
    return at == all.end() ? "" : *std::next(at);
  };
  const std::vector<std::string> with = arguments(true);
  EXPECT_EQ(value_of(with, "-nic"), "none");
  EXPECT_THAT(value_of(with, "-sandbox"), HasSubstr("spawn=deny"));
  EXPECT_EQ(value_of(with, "-machine"), "virt");
  EXPECT_EQ(value_of(with, "-append"), "loglevel=4 panic=-1 console=ttyAMA0");
  EXPECT_EQ(value_of(arguments(false), "-append"), "loglevel=4 panic=-1 console=ttyAMA0 nokaslr");
  EXPECT_EQ(value_of(with, "-initrd"), "/proc/self/fd/3");
}

TEST(Architectures, EachOtherThanPpc64elHasAllThatItsGuestsNeed) {
  ASSERT_EQ(architectures().front().name, kPpc64el);
  for (const Architecture& one : architectures().subspan(1)) {
    for (const std::string_view text : {one.flavour, one.qemu, one.qemu_package, one.machine,
                                        one.cpu, one.compiler, one.compiler_packages}) {
      EXPECT_FALSE(text.empty()) << one.name;
    }
    EXPECT_TRUE(wanted(Kind::image, one.default_series, one.name)) << one.name;
    EXPECT_NE(area_rule(one.name, "6.12"), nullptr) << one.name;
  }
  const auto none = architecture("vax");
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().hint, HasSubstr("ppc64el, arm64, amd64, riscv64, s390x"));
}

TEST(Architectures, TheAreaOfTheJitIsThatOfItsSeries) {
  const auto area = [](std::string_view name, std::string_view series, std::uint64_t start = 0) {
    const AreaRule* const rule = area_rule(name, series);
    return rule == nullptr ? Area{} : area_of(*rule, {start});
  };
  // arm64's modules took 128 MiB up to 6.1 and take 2 GiB in 6.12; vmalloc begins after them.
  EXPECT_EQ(area("arm64", "6.1").begin, GuestAddress{0xffff'8000'0000'0000 + (128U << 20U)});
  EXPECT_EQ(area("arm64", "6.12").begin, GuestAddress{0xffff'8000'0000'0000 + (2048UL << 20U)});
  EXPECT_EQ(area("arm64", "7.2").begin, area("arm64", "6.12").begin);
  EXPECT_EQ(area("arm64", "5.10"), Area{});
  // riscv64's 128 MiB end where the kernel begins.
  EXPECT_EQ(area("riscv64", "6.12", 0xffff'ffff'8000'0000),
            (Area{{0xffff'ffff'7800'0000}, {0xffff'ffff'8000'0000}}));
  EXPECT_TRUE(area("amd64", "6.1").contains({0xffff'ffff'c014'5650}));
  EXPECT_FALSE(area("amd64", "6.1").contains({0xffff'ffff'ff00'0000}));
}

TEST(Architectures, APackageOfAnotherFlavourIsNotTheImage) {
  const std::vector<Listed> listed = {
      {"linux-image-6.1.0-50-arm64", "6.1.176-1"},
      {"linux-image-6.1.0-50-arm64-unsigned", "6.1.176-1"},
      {"linux-image-6.1.0-50-cloud-arm64", "6.1.176-1"},
      {"linux-image-6.1.0-50-rt-arm64", "6.1.176-1"},
      {"linux-image-6.12.117+deb13-arm64", "6.12.117-1"},
      {"linux-image-6.12.117+deb13-arm64-16k", "6.12.117-1"},
      {"linux-image-arm64", "6.1.176-1"},
  };
  EXPECT_THAT(choices(listed, wanted(Kind::image, "6.1", "arm64").value()),
              ElementsAre(Choice{"6.1.176-1", {"linux-image-6.1.0-50-arm64"}}));
  EXPECT_THAT(choices(listed, wanted(Kind::image, "6.12", "arm64").value()),
              ElementsAre(Choice{"6.12.117-1", {"linux-image-6.12.117+deb13-arm64"}}));
  EXPECT_THAT(choices(listed, wanted(Kind::image, "6.12", "amd64").value()), IsEmpty());
}

}  // namespace
}  // namespace farcall::kernel::distance_probe_test

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/farcall_process.hpp"

namespace farcall::run::kernel_test {
namespace {

using namespace tests;

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// Stands for Debian: what it lists, and packages of next to nothing. Files in its folder change it:
// `no-network`, `gone-VERSION`, `foreign`.
constexpr const char* kApt = R"sh(#!/bin/sh
here=$(dirname "$0")
packages=
for word; do case $word in linux-*=*) packages="$packages $word" ;; esac; done
case " $* " in
*" update "*)
  if [ -e "$here/no-network" ]; then
    echo "W: Failed to fetch http://deb.debian.org/debian/dists/trixie/InRelease  Could not connect" >&2
  fi ;;
*" pkgnames "*)
  [ -e "$here/no-network" ] || printf '%s\n' linux-source-6.12 linux-image-6.12.117+deb13-powerpc64le \
    linux-image-6.12.107+deb13-powerpc64le ;;
*" madison "*)
  for word; do case $word in
    linux-source-6.12)
      echo " $word | 6.12.117-1 | http://deb.debian.org/debian trixie/main ppc64el Packages"
      echo " $word | 6.12.107-1 | http://deb.debian.org/debian trixie/main ppc64el Packages" ;;
    linux-image-6.12.*+*)
      version=${word#linux-image-}
      echo " $word | ${version%%+*}-1 | http://deb.debian.org/debian trixie/main ppc64el Packages" ;;
  esac; done ;;
*" --print-uris "*)
  for word in $packages; do
    echo "'http://deb.debian.org/debian/pool/${word%=*}.deb' ${word%=*}_${word#*=}.deb 1000 SHA256:c0ffee"
  done ;;
*" download "*)
  for word in $packages; do
    if [ -e "$here/gone-${word#*=}" ]; then
      echo "E: Failed to fetch http://deb.debian.org/${word%=*}.deb  404  Not Found [IP: 203.0.113.80 80]" >&2
      exit 100
    fi
    mkdir -p made/DEBIAN made/boot made/usr/src linux
    printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: nobody\nDescription: none\n' \
      "${word%=*}" "${word#*=}" >made/DEBIAN/control
    case $word in
    linux-source-*)
      echo VERSION = 6 >linux/Makefile
      tar -cJf made/usr/src/linux-source-6.12.tar.xz linux ;;
    *)
      machine='\025'
      [ -e "$here/foreign" ] && machine='\076'
      { printf '\177ELF\002\001\001\0\0\0\0\0\0\0\0\0\002\000'$machine'\000'; head -c 44 /dev/zero; } \
        >made/boot/vmlinux-6.12 ;;
    esac
    dpkg-deb -b made "${word%=*}_${word#*=}.deb" >/dev/null
  done ;;
esac
)sh";

class KernelFetch : public testing::Test {
 public:
  KernelFetch() {
    for (const char* const name : {"apt-get", "apt-cache"}) {
      fs::permissions(folder_.write(name, kApt), fs::perms::owner_all);
    }
  }

  Finished kernel(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "kernel");
    return farcall(arguments, folder_.path().string() + ":/usr/bin:/bin");
  }
  Finished farcall(const std::vector<std::string>& arguments, const std::string& path) const {
    return tests::run_program(farcall_binary(), arguments,
                              {{"PATH", path}, {"XDG_CACHE_HOME", cache().string()}});
  }

  void set(const std::string& name) const { folder_.write(name, ""); }
  fs::path cache() const { return folder_.path() / "cache"; }
  std::string kernels() const { return (cache() / "farcall/kernels").string(); }

  // Nothing but apt's own folder and the lock.
  bool nothing_is_left() const {
    for (const auto& entry : fs::directory_iterator(kernels())) {
      if (entry.path().filename() != "apt" && entry.path().filename() != "lock") {
        return false;
      }
    }
    return true;
  }

 private:
  ScratchFolder folder_;
};

TEST_F(KernelFetch, AnImageIsFetchedListedAndRemoved) {
  const Finished fetched = kernel({"fetch", "6.12"});
  EXPECT_EQ(fetched.exit_code, 0) << fetched.err;
  EXPECT_THAT(fetched.out, AllOf(HasSubstr("image"), HasSubstr("6.12.117-1")));
  const Finished listed = kernel({"list"});
  EXPECT_EQ(listed.out, fetched.out);
  const Finished path = kernel({"path", "6.12"});
  EXPECT_EQ(path.out, kernels() + "/linux-image-6.12.117-1\n");
  EXPECT_TRUE(fs::exists(kernels() + "/linux-image-6.12.117-1/boot/vmlinux-6.12"));
  EXPECT_THAT(tests::contents(kernels() + "/linux-image-6.12.117-1/farcall.json"),
              HasSubstr("c0ffee"));
  EXPECT_EQ(kernel({"remove", "6.12"}).exit_code, 0);
  EXPECT_EQ(kernel({"list"}).out, "");
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(KernelFetch, ASourceIsATree) {
  EXPECT_EQ(kernel({"fetch", "--source", "6.12"}).exit_code, 0);
  EXPECT_EQ(tests::contents(kernels() + "/linux-source-6.12.117-1/Makefile"), "VERSION = 6\n");
  EXPECT_EQ(kernel({"path", "6.12"}).exit_code, 2);  // that would be the image
}

TEST_F(KernelFetch, WhatIsThereNeedsNoNetwork) {
  EXPECT_EQ(kernel({"fetch", "6.12"}).exit_code, 0);
  set("no-network");
  const Finished again = kernel({"fetch", "6.12"});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr("is there already"));
}

TEST_F(KernelFetch, OfASeriesTheOneBeforeIsTakenWhereTheNewestIsGone) {
  set("gone-6.12.117-1");
  const Finished source = kernel({"fetch", "--source", "6.12"});
  EXPECT_EQ(source.exit_code, 0) << source.err;
  EXPECT_THAT(source.err, HasSubstr("source 6.12.117-1 is listed, and gone"));
  EXPECT_THAT(source.out, HasSubstr("6.12.107-1"));
}

TEST_F(KernelFetch, AnExactVersionIsThatVersionOrNone) {
  set("gone-6.12.117-1");
  const Finished gone = kernel({"fetch", "6.12.117-1"});
  EXPECT_EQ(gone.exit_code, 2) << gone.out;
  EXPECT_THAT(gone.err, AllOf(HasSubstr("gone from"), HasSubstr("[kernel.unknown]")));
  EXPECT_TRUE(nothing_is_left());
  EXPECT_EQ(kernel({"fetch", "6.12.107-1"}).exit_code, 0);
}

TEST_F(KernelFetch, OneThatCannotBeHadDoesNotStopTheOthers) {
  const Finished some = kernel({"fetch", "5.10", "6.12"});
  EXPECT_EQ(some.exit_code, 2);
  EXPECT_THAT(some.err, AllOf(HasSubstr("Debian has no image of Linux 5.10"),
                              HasSubstr("it has the series 6.12")));
  EXPECT_THAT(some.out, HasSubstr("6.12.117-1"));
}

TEST_F(KernelFetch, WithoutANetworkItSaysSo) {
  set("no-network");
  const Finished none = kernel({"fetch", "6.12"});
  EXPECT_EQ(none.exit_code, 3);
  EXPECT_THAT(none.err, AllOf(HasSubstr("Could not connect"), HasSubstr("[kernel.fetch-failed]")));
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(KernelFetch, WithoutAptItSaysWhatToInstall) {
  const Finished none = farcall({"kernel", "fetch", "6.12"}, "/nonexistent");
  EXPECT_EQ(none.exit_code, 3);
  EXPECT_THAT(none.err, AllOf(HasSubstr("apt-get is not installed"), HasSubstr("apt-get install")));
}

TEST_F(KernelFetch, AKernelOfAnotherMachineIsRefused) {
  set("foreign");
  const Finished foreign = kernel({"fetch", "6.12"});
  EXPECT_EQ(foreign.exit_code, 3);
  EXPECT_THAT(foreign.err, HasSubstr("holds no kernel for ppc64"));
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(KernelFetch, AJitOfAVersionThatIsNotThereSaysHowToBringIt) {
  const Finished run =
      farcall({"run", (cases_folder() / "reach/far-2p.case").string(), "--jit", "kernel:6.12"},
              "/usr/bin:/bin");
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("farcall kernel fetch --source 6.12"));
  const Finished defects = kernel({"defects"});
  EXPECT_EQ(defects.exit_code, 2);
  EXPECT_THAT(defects.err, HasSubstr("no source of Linux is in " + kernels()));
}

TEST_F(KernelFetch, AJitOfAVersionIsThatOfItsTree) {
  EXPECT_EQ(kernel({"fetch", "--source", "6.12"}).exit_code, 0);
  const Finished run =
      farcall({"run", (cases_folder() / "reach/far-2p.case").string(), "--jit", "kernel:6.12"},
              "/usr/bin:/bin");
  EXPECT_EQ(run.exit_code, 2);  // the tree that stands for one has no JIT
  EXPECT_THAT(run.err, HasSubstr(kernels() + "/linux-source-6.12.117-1 is not a Linux source"));
}

}  // namespace
}  // namespace farcall::run::kernel_test

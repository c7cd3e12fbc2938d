#include "kernel/snapshot.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/program.hpp"

namespace farcall::kernel::snapshot_test {
namespace {

namespace fs = std::filesystem;

unsigned mode_of(const fs::path& path) {
  struct stat status = {};
  ::stat(path.c_str(), &status);
  return status.st_mode & 07777U;
}

std::string rest_of(int descriptor) {
  std::string text(100, '\0');
  const ssize_t got = ::read(descriptor, text.data(), text.size());
  return text.substr(0, got < 0 ? 0 : static_cast<std::size_t>(got));
}

class SnapshotFile : public testing::Test {
 public:
  Snapshot snapshot() const {
    return {folder(),
            {.made_of = machine_, .qemu = qemu_},
            vmlinux_,
            std::as_bytes(std::span(initramfs_))};
  }
  fs::path folder() const { return scratch_.path() / "cache/snapshots"; }

  void write(const std::string& guest) const {
    auto writer = SnapshotWriter::begin(snapshot());
    ASSERT_TRUE(writer);
    ASSERT_EQ(::write(writer->descriptor(), guest.data(), guest.size()),
              static_cast<ssize_t>(guest.size()));
    ASSERT_TRUE(writer->commit());
  }
  // The guest in it; empty: there is none.
  std::string read() const {
    const auto file = snapshot().open();
    return file ? rest_of(file->number()) : "";
  }
  std::size_t files() const {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator(folder())) {
      count += entry.path().filename() == "lock" ? 0U : 1U;
    }
    return count;
  }

 protected:
  tests::ScratchFolder scratch_;
  std::string qemu_ = scratch_.write("qemu", "QEMU");
  std::string initramfs_ = "agent";
  std::string machine_ = "power9";
  fs::path vmlinux_ = scratch_.write("vmlinux", "kernel");
};

TEST_F(SnapshotFile, IsReadFromWhereTheGuestBegins) {
  EXPECT_EQ(read(), "");
  write("guest");
  EXPECT_EQ(read(), "guest");
  write("other");
  EXPECT_EQ(read(), "other");
  EXPECT_EQ(files(), 1U);
}

TEST_F(SnapshotFile, IsOfOneKernelQemuAgentAndMachine) {
  write("guest");
  initramfs_ = "agenx";
  EXPECT_EQ(read(), "");
  initramfs_ = "agent";
  EXPECT_EQ(read(), "guest");
  machine_ = "power10";
  EXPECT_EQ(read(), "");
  machine_ = "power9";
  EXPECT_EQ(read(), "guest");
  scratch_.write("qemu", "QEMU 11");
  EXPECT_EQ(read(), "");
  scratch_.write("vmlinux", "a kernel");
  EXPECT_EQ(read(), "");
  write("new");  // in place of the old one
  EXPECT_EQ(read(), "new");
  EXPECT_EQ(files(), 1U);
}

TEST_F(SnapshotFile, IsTheUsersAlone) {
  write("guest");
  EXPECT_EQ(mode_of(folder()), 0700U);
  EXPECT_EQ(mode_of(snapshot().path()), 0600U);
  fs::permissions(snapshot().path(), fs::perms::group_read, fs::perm_options::add);
  EXPECT_EQ(read(), "");
  fs::permissions(folder(), fs::perms::others_write, fs::perm_options::add);
  EXPECT_FALSE(SnapshotWriter::begin(snapshot()));
}

TEST_F(SnapshotFile, APipeInItsPlaceIsNone) {
  write("a guest");
  const fs::path path = snapshot().path();
  fs::remove(path);
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(read(), "");
  write("another");
  EXPECT_EQ(read(), "another");
}

TEST_F(SnapshotFile, OneThatIsNotCommittedIsNone) {
  {
    const auto writer = SnapshotWriter::begin(snapshot());
    ASSERT_TRUE(writer);
    EXPECT_EQ(read(), "");
    EXPECT_FALSE(SnapshotWriter::begin(snapshot()));  // somebody writes one
  }
  EXPECT_EQ(read(), "");
  EXPECT_EQ(files(), 0U);
}

TEST_F(SnapshotFile, WhatIsLeftIsRemovedByTheNext) {
  write("guest");
  scratch_.write("cache/snapshots/partial-killed", "half");
  fs::remove(vmlinux_);
  vmlinux_ = scratch_.write("other", "kernel");
  write("other");
  EXPECT_EQ(files(), 1U);
  EXPECT_EQ(read(), "other");
}

TEST_F(SnapshotFile, WhatNobodyReadsForTwoWeeksIsRemovedByTheNext) {
  const auto age = [this](std::chrono::hours hours) {
    fs::last_write_time(snapshot().path(), fs::file_time_type::clock::now() - hours);
  };
  const std::chrono::hours fortnight = std::chrono::days{14};
  write("guest");
  age(fortnight - std::chrono::hours{1});
  machine_ = "power10";
  write("other");
  EXPECT_EQ(files(), 2U);
  age(fortnight + std::chrono::hours{1});
  EXPECT_EQ(read(), "other");  // is used again
  machine_ = "power9";
  age(fortnight + std::chrono::hours{1});
  machine_ = "power8";
  write("third");
  EXPECT_EQ(files(), 2U);
  machine_ = "power10";
  EXPECT_EQ(read(), "other");
}

}  // namespace
}  // namespace farcall::kernel::snapshot_test

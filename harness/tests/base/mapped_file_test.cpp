#include "base/mapped_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

namespace farcall::mapped_file_test {
namespace {

std::filesystem::path scratch(const std::string& name) {
  return std::filesystem::path(testing::TempDir()) / ("farcall-mapped-" + name);
}

TEST(MappedFile, HasTheFilesBytesWhereverItIsMoved) {
  const auto path = scratch("bytes");
  std::ofstream(path) << "some bytes";
  auto opened = MappedFile::open(path.string());
  ASSERT_TRUE(opened);
  const MappedFile moved = std::move(opened).value();
  EXPECT_EQ(moved.bytes(), "some bytes");
  std::filesystem::remove(path);
  EXPECT_EQ(moved.bytes(), "some bytes");
}

TEST(MappedFile, WhatHasNoBytesIsRefused) {
  const auto empty = scratch("empty");
  std::ofstream{empty};
  for (const std::string& path :
       {std::string("/nowhere/at/all"), empty.string(), std::string("/")}) {
    const auto opened = MappedFile::open(path);
    ASSERT_FALSE(opened) << path;
    EXPECT_EQ(opened.error().code, ErrorCode::file_unreadable);
    EXPECT_EQ(opened.error().where.file, path);
  }
  std::filesystem::remove(empty);
}

}  // namespace
}  // namespace farcall::mapped_file_test

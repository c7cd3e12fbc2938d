#include "kernel/kernel_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/byte_order.hpp"
#include "tests/kernel/bytes.hpp"
#include "tests/program.hpp"

namespace farcall::kernel::kernel_file_test {
namespace {

using testing::HasSubstr;
using tests::put;
using tests::text_of;

TEST(KernelFile, WhatIsNoKernelIsRefused) {
  const tests::ScratchFolder folder;
  EXPECT_EQ(KernelFile::read(folder.path() / "none").error().code, ErrorCode::file_unreadable);
  EXPECT_EQ(KernelFile::read(folder.write("short",
                                          "\x7f"
                                          "ELF"))
                .error()
                .code,
            ErrorCode::document_invalid);
  EXPECT_THAT(KernelFile::read("/bin/true").error().message, HasSubstr("it is for amd64"));
}

constexpr std::uint64_t kText = 0xc000'0000'0000'0000;
constexpr std::uint64_t kToc = kText + 0x828000;
constexpr std::size_t kTextBytes = 64;

// A kernel as far as the file says it: a segment of code with a banner, and 200 functions of that ABI.
std::vector<std::byte> small_kernel(model::Abi abi, std::endian order) {
  constexpr std::size_t kFunctions = 200;
  std::vector<std::byte> bytes;
  const auto put_number = [&](auto number) {
    bytes.resize(bytes.size() + sizeof number);
    store(&bytes[bytes.size() - sizeof number], number, order);
  };
  const auto put_all = [&](auto... numbers) { (put_number(numbers), ...); };
  using u16 = std::uint16_t;
  using u32 = std::uint32_t;
  using u64 = std::uint64_t;
  const bool has_descriptors = abi == model::Abi::elfv1;
  std::string text("Linux version 6.1.176 (someone@here)\0bpf_jit_enable\0.opd", 56);
  text.resize(kTextBytes);
  const u64 functions_at = 0x40 + 0x38 + text.size();
  const u64 functions_bytes = kFunctions * (has_descriptors ? 24 : 8);
  const u64 sections_at = functions_at + functions_bytes;
  for (const char letter : std::string("\x7f"
                                       "ELF\2")) {
    put(bytes, letter);
  }
  put(bytes, static_cast<char>(order == std::endian::big ? 2 : 1));
  put(bytes, char{1});
  bytes.resize(16);
  put_all(u16{2}, u16{21}, u32{1}, kText, u64{0x40}, sections_at);
  put_all(u32{has_descriptors ? 1U : 2U}, u16{64}, u16{56}, u16{1}, u16{64}, u16{2}, u16{1});
  // The segment, of all that there is.
  put_all(u32{1}, u32{7}, u64{0}, kText, u64{0}, sections_at, sections_at, u64{0x10000});
  for (const char letter : text) {
    put(bytes, letter);
  }
  for (u64 i = 0; i < kFunctions; ++i) {
    if (has_descriptors) {
      put_all(kText + 0x8000 + 16 * i, kToc, u64{0});
    } else {
      const u64 distance = kToc - (kText + functions_at + 8 * i);
      put_all(u32{0x3c4c0000 | ((static_cast<u32>(distance) + 0x8000U) >> 16U)},
              u32{0x38420000 | (static_cast<u32>(distance) & 0xffffU)});
    }
  }
  // The section .opd, and that of names: in the text, after the banner and the switch of the JIT.
  constexpr u32 kOpd = 52;
  put_all(kOpd, u32{1}, u64{3}, kText + functions_at, functions_at, functions_bytes, u32{0}, u32{0},
          u64{8}, u64{0});
  put_all(u32{0}, u32{3}, u64{0}, u64{0}, u64{0x78}, u64{text.size()}, u32{0}, u32{0}, u64{1},
          u64{0});
  return bytes;
}

std::string written(const tests::ScratchFolder& folder, const std::vector<std::byte>& bytes) {
  return folder.write("vmlinux", text_of(bytes));
}

TEST(KernelFile, ItsByteOrderAndItsAbiAreItsOwn) {
  const tests::ScratchFolder folder;
  using enum model::Abi;
  const std::vector<std::pair<model::Abi, std::endian>> kinds = {
      {elfv2, std::endian::little}, {elfv2, std::endian::big}, {elfv1, std::endian::big}};
  for (const auto& [abi, order] : kinds) {
    const auto file = KernelFile::read(written(folder, small_kernel(abi, order)));
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file.value().facts().order(), order);
    EXPECT_EQ(file.value().facts().abi, abi);
    EXPECT_EQ(file.value().facts().toc, (GuestAddress{kToc}));
    EXPECT_EQ(file.value().facts().minor, 1U);
    EXPECT_EQ(file.value().release(), "6.1.176");
  }
}

// A descriptor, a global entry.
TEST(KernelFile, APointerIsWhatTheAbiHasOfAFunction) {
  const tests::ScratchFolder folder;
  constexpr std::uint64_t kFirst = kText + 0x78 + kTextBytes;
  const auto descriptors =
      KernelFile::read(written(folder, small_kernel(model::Abi::elfv1, std::endian::big)));
  EXPECT_EQ(descriptors.value().pointer_to({kText + 0x8010}), (GuestAddress{kFirst + 24}));
  EXPECT_EQ(descriptors.value().pointer_to({kText + 0x8014}), (GuestAddress{kText + 0x8014}));
  const auto entries =
      KernelFile::read(written(folder, small_kernel(model::Abi::elfv2, std::endian::big)));
  EXPECT_EQ(entries.value().pointer_to({kFirst + 16}), (GuestAddress{kFirst + 8}));
  EXPECT_EQ(entries.value().pointer_to({kFirst + 20}), (GuestAddress{kFirst + 20}));
}

TEST(KernelFile, ATruncatedOneIsNamed) {
  const tests::ScratchFolder folder;
  std::vector<std::byte> bytes = small_kernel(model::Abi::elfv1, std::endian::big);
  while (bytes.size() > 200) {
    bytes.resize(bytes.size() - 100);
    const auto file = KernelFile::read(written(folder, bytes));
    ASSERT_FALSE(file) << bytes.size();
    ASSERT_THAT(file.error().message, HasSubstr("it is truncated")) << bytes.size();
    ASSERT_EQ(file.error().hint, "copy or build it once more");
  }
}

TEST(KernelFile, OneWithoutAJitForBpfIsNamedBeforeItBoots) {
  const tests::ScratchFolder folder;
  std::string text = text_of(small_kernel(model::Abi::elfv1, std::endian::big));
  text[text.find("bpf_jit_enable")] = 'x';
  const auto file = KernelFile::read(folder.write("vmlinux", text));
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().message, "this kernel, 6.1.176, has no JIT for BPF");
  EXPECT_THAT(file.error().hint, HasSubstr("CONFIG_BPF_JIT=y"));
}

// To read a kernel of 45 MB takes longer than to restore a guest of it.
TEST(KernelFile, OnlyWhatIsLookedAtIsRead) {
  const tests::ScratchFolder folder;
  const std::string path = folder.write("large", "no kernel");
  std::filesystem::resize_file(path, std::uintmax_t{16} << 30);  // it has no blocks
  EXPECT_THAT(KernelFile::read(path).error().message, HasSubstr("it is not an ELF file"));
}

}  // namespace
}  // namespace farcall::kernel::kernel_file_test

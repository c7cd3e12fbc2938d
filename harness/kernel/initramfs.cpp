#include "kernel/initramfs.hpp"

#include <fmt/format.h>

#include <iterator>

namespace farcall::kernel {
namespace {

void append(std::vector<std::byte>& archive, std::span<const std::byte> bytes) {
  archive.insert(archive.end(), bytes.begin(), bytes.end());
}

// Names and contents begin at multiples of four bytes.
void align(std::vector<std::byte>& archive) {
  archive.resize((archive.size() + 3) / 4 * 4);
}

void add(std::vector<std::byte>& archive, std::size_t inode, const InitramfsFile& file) {
  constexpr int kLinks = 1;
  const std::string header = fmt::format(
      "070701{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}", inode,
      file.mode, 0, 0, kLinks, 0, file.bytes.size(), 0, 0, 0, 0, file.path.size() + 1, 0);
  append(archive, std::as_bytes(std::span(header)));
  append(archive, std::as_bytes(std::span(file.path.c_str(), file.path.size() + 1)));
  align(archive);
  append(archive, file.bytes);
  align(archive);
}

}  // namespace

std::vector<std::byte> initramfs(std::span<const InitramfsFile> files) {
  std::vector<std::byte> archive;
  std::size_t inode = 1;
  for (const InitramfsFile& file : files) {
    add(archive, inode++, file);
  }
  add(archive, inode, {.path = "TRAILER!!!", .mode = 0, .bytes = {}});
  return archive;
}

}  // namespace farcall::kernel

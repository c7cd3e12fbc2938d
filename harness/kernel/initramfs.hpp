// The archive that Linux unpacks as its first file system: cpio's format "newc", as the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace farcall::kernel {

// `mode` is that of stat(): folders have no bytes, and are named before what lies in them.
struct InitramfsFile {
  std::string path;  // without a slash in front
  std::uint32_t mode = 0;
  std::span<const std::byte> bytes;
};

// It belongs to root, whoever makes it.
std::vector<std::byte> initramfs(std::span<const InitramfsFile> files);

}  // namespace farcall::kernel

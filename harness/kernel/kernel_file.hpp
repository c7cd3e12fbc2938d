// The file of a kernel, vmlinux, and what it says.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/address.hpp"
#include "base/error.hpp"
#include "base/mapped_file.hpp"
#include "model/axes.hpp"

namespace farcall::kernel {

// What the file says of its kernel. `toc` is r2 in all of its functions. Debian's kernels are
// little-endian, ELFv2.
struct KernelFacts {
  GuestAddress toc = {};
  unsigned major = 0;  // of its version: 6, 1
  unsigned minor = 0;
  model::Endian endian = model::Endian::little;
  model::Abi abi = model::Abi::elfv2;

  std::endian order() const { return byte_order(endian); }
};

class KernelFile {
 public:
  // file.unreadable; document.invalid: not an ELF file for ppc64, truncated, not a kernel, or one
  // without a JIT for BPF.
  static Result<KernelFile> read(const std::filesystem::path& vmlinux);

  const KernelFacts& facts() const { return facts_; }
  // As `uname -r` has it: 6.1.176.
  const std::string& release() const { return release_; }

  // What a pointer to the function is that calls within the kernel enter at `code`. ELFv2: its global
  // entry, two words before, where it makes r2; ELFv1: its descriptor. `code` if it has neither.
  GuestAddress pointer_to(GuestAddress code) const;

 private:
  struct Segment {
    GuestAddress address;
    std::size_t offset = 0;  // in the file
    std::size_t size = 0;
  };

  explicit KernelFile(MappedFile file) : file_(std::move(file)) {}
  Result<void> read_header(const std::filesystem::path& vmlinux);
  Result<void> find_descriptors(const std::filesystem::path& vmlinux);
  Result<void> find_toc(const std::filesystem::path& vmlinux);
  Result<void> find_version(const std::filesystem::path& vmlinux);
  // The r2 that the two words at this offset of the segment make, if they are a global entry.
  std::optional<GuestAddress> toc_made_at(const Segment& segment, std::size_t at) const;

  std::string_view bytes() const { return file_.bytes(); }
  // The number at this offset of the file, which has it.
  template <std::unsigned_integral T>
  T number(std::size_t at) const;
  // A number of the file's own structures, as they are in memory, as one of the host.
  template <std::unsigned_integral T>
  T told(T field) const;
  bool has(std::uint64_t offset, std::uint64_t size) const {
    return offset <= bytes().size() && size <= bytes().size() - offset;
  }

  MappedFile file_;
  std::vector<Segment> code_;
  Segment descriptors_;  // of ELFv1, in the section .opd
  KernelFacts facts_;
  std::string release_;
};

}  // namespace farcall::kernel

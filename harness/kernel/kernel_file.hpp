// The file of a kernel, vmlinux, and what it says.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/address.hpp"
#include "base/error.hpp"
#include "base/mapped_file.hpp"

namespace farcall::kernel {

// What the file says of its kernel. The value of r2, `toc`, is not in a table: it is found in the
// code, where each function computes it from its own address, all with the same result.
struct KernelFacts {
  GuestAddress toc;
  unsigned major = 0;  // of its version: 6, 1
  unsigned minor = 0;
};

class KernelFile {
 public:
  // file.unreadable; document.invalid: not an ELF file for ppc64, little-endian, or not a kernel.
  static Result<KernelFile> read(const std::filesystem::path& vmlinux);

  const KernelFacts& facts() const { return facts_; }

  // The function whose local entry is at `local`: two words before, where it makes r2.
  GuestAddress global_entry(GuestAddress local) const;

 private:
  struct Segment {
    GuestAddress address;
    std::size_t offset = 0;  // in the file
    std::size_t size = 0;
  };

  explicit KernelFile(MappedFile file) : file_(std::move(file)) {}
  Result<void> find_segments(const std::filesystem::path& vmlinux);
  // The r2 that the two words at this offset of the file make, if they are a global entry.
  std::optional<GuestAddress> toc_made_at(const Segment& segment, std::size_t at) const;

  std::string_view bytes() const { return file_.bytes(); }

  MappedFile file_;
  std::vector<Segment> code_;
  KernelFacts facts_;
};

}  // namespace farcall::kernel

#include "kernel/kernel_file.hpp"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <map>
#include <string_view>

#include "base/byte_order.hpp"

namespace farcall::kernel {
namespace {

constexpr std::string_view kBanner = "Linux version ";

Error no_kernel(const std::filesystem::path& vmlinux, const std::string& why) {
  return {.code = ErrorCode::document_invalid,
          .message = fmt::format("not a kernel for ppc64, little-endian: {}", why),
          .where = {vmlinux.string()}};
}

// A global entry: addis r2,r12,HIGH; addi r2,r2,LOW, added to its own address.
constexpr std::uint32_t kAddis = 0x3c4c;
constexpr std::uint32_t kAddi = 0x3842;

std::uint32_t word(const char* at) {
  return load<std::uint32_t>(reinterpret_cast<const std::byte*>(at), std::endian::little);
}

}  // namespace

Result<void> KernelFile::find_segments(const std::filesystem::path& vmlinux) {
  Elf64_Ehdr header = {};
  if (bytes().size() < sizeof header) {
    return no_kernel(vmlinux, "it is too short");
  }
  std::memcpy(&header, bytes().data(), sizeof header);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_machine != EM_PPC64) {
    return no_kernel(vmlinux, "its ELF header is another's");
  }
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment = {};
    const std::size_t at = header.e_phoff + std::size_t{i} * sizeof segment;
    if (at > bytes().size() || bytes().size() - at < sizeof segment) {
      return no_kernel(vmlinux, "it is truncated");
    }
    std::memcpy(&segment, bytes().data() + at, sizeof segment);
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0) {
      continue;
    }
    if (segment.p_offset > bytes().size() || segment.p_filesz > bytes().size() - segment.p_offset) {
      return no_kernel(vmlinux, "it is truncated");
    }
    code_.push_back(
        {.address = {segment.p_vaddr}, .offset = segment.p_offset, .size = segment.p_filesz});
  }
  return success();
}

std::optional<GuestAddress> KernelFile::toc_made_at(const Segment& segment, std::size_t at) const {
  const char* const words = bytes().data() + segment.offset + at;
  const std::uint32_t first = word(words);
  const std::uint32_t second = word(words + 4);
  if (first >> 16U != kAddis || second >> 16U != kAddi) {
    return std::nullopt;
  }
  const auto high = static_cast<std::int16_t>(first);
  const auto low = static_cast<std::int16_t>(second);
  return segment.address + at + static_cast<std::uint64_t>(std::int64_t{high} * 65536) +
         static_cast<std::uint64_t>(std::int64_t{low});
}

Result<KernelFile> KernelFile::read(const std::filesystem::path& vmlinux) {
  FARCALL_TRY(mapped, MappedFile::open(vmlinux.string()));
  KernelFile file(std::move(mapped));
  FARCALL_TRYV(file.find_segments(vmlinux));
  std::map<GuestAddress, std::size_t> counts;
  std::size_t all = 0;
  for (const Segment& segment : file.code_) {
    const char* const words = file.bytes().data() + segment.offset;
    for (std::size_t at = 0; at + 8 <= segment.size; at += 4) {
      if (word(words + at) >> 16U != kAddis) {  // of ten million words, nearly all
        continue;
      }
      if (const auto toc = file.toc_made_at(segment, at)) {
        ++counts[*toc];
        ++all;
      }
    }
  }
  // A few are of other programs that the kernel carries, such as its vDSO.
  const auto most =
      std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second; });
  if (most == counts.end() || most->second < 100 || most->second * 10 < all * 9) {
    return no_kernel(vmlinux, "its functions do not agree on a TOC");
  }
  file.facts_.toc = most->first;
  const std::size_t banner = file.bytes().find(kBanner);
  const char* const end = file.bytes().data() + file.bytes().size();
  if (banner == std::string::npos) {
    return no_kernel(vmlinux, "it does not say its version");
  }
  const char* const version = file.bytes().data() + banner + kBanner.size();
  const auto [dot, failure] = std::from_chars(version, end, file.facts_.major);
  if (failure != std::errc{} || dot == end ||
      std::from_chars(dot + 1, end, file.facts_.minor).ec != std::errc{}) {
    return no_kernel(vmlinux, "it does not say its version");
  }
  return file;
}

GuestAddress KernelFile::global_entry(GuestAddress local) const {
  for (const Segment& segment : code_) {
    const std::uint64_t at = local.value - segment.address.value;
    if (at >= 8 && at < segment.size && toc_made_at(segment, at - 8) == facts_.toc) {
      return {local.value - 8};
    }
  }
  return local;
}

}  // namespace farcall::kernel

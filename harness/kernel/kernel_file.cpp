#include "kernel/kernel_file.hpp"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <map>
#include <string>
#include <string_view>

#include "base/byte_order.hpp"
#include "ppc64/abi.hpp"

namespace farcall::kernel {
namespace {

constexpr std::string_view kBanner = "Linux version ";

// The name of a sysctl that only a kernel with the JIT has.
constexpr std::string_view kSwitchOfTheJit = "bpf_jit_enable";

Error no_kernel(const std::filesystem::path& vmlinux, const std::string& why,
                std::string hint =
                    "expected vmlinux, as the build of a kernel for ppc64 leaves it in "
                    "its first folder; not zImage, vmlinuz, bzImage") {
  return {.code = ErrorCode::document_invalid,
          .message = fmt::format("not a kernel for ppc64: {}", why),
          .where = {vmlinux.string()},
          .hint = std::move(hint)};
}

Error truncated(const std::filesystem::path& vmlinux) {
  return no_kernel(vmlinux, "it is truncated", "copy or build it once more");
}

// Of those that somebody may have mixed up.
std::string machine_name(unsigned machine) {
  switch (machine) {
    case EM_386:
      return "i386";
    case EM_X86_64:
      return "amd64";
    case EM_PPC:
      return "32-bit PowerPC";
    case EM_S390:
      return "s390x";
    case EM_ARM:
      return "arm";
    case EM_AARCH64:
      return "arm64";
    case EM_RISCV:
      return "riscv64";
    default:
      return fmt::format("machine {} of ELF", machine);
  }
}

// A global entry of ELFv2: addis r2,r12,HIGH; addi r2,r2,LOW, added to its own address.
constexpr std::uint32_t kAddis = 0x3c4c;
constexpr std::uint32_t kAddi = 0x3842;

// A descriptor: the addresses of code and TOC, and an environment.
constexpr std::size_t kDescriptorBytes = ppc64::kElfv1.descriptor_bytes;

constexpr std::uint32_t kAbiFlags = 3;  // of e_flags: the ABI's number

}  // namespace

template <std::unsigned_integral T>
T KernelFile::number(std::size_t at) const {
  return load<T>(reinterpret_cast<const std::byte*>(bytes().data() + at), facts_.order());
}

template <std::unsigned_integral T>
T KernelFile::told(T field) const {
  return facts_.order() == std::endian::native ? field : byte_swapped(field);
}

Result<void> KernelFile::read_header(const std::filesystem::path& vmlinux) {
  Elf64_Ehdr header = {};
  const bool is_elf = bytes().starts_with(std::string_view(ELFMAG, SELFMAG));
  if (!is_elf) {
    return no_kernel(vmlinux, "it is not an ELF file");
  }
  if (bytes().size() < sizeof header) {
    return truncated(vmlinux);
  }
  std::memcpy(&header, bytes().data(), sizeof header);
  facts_.endian =
      header.e_ident[EI_DATA] == ELFDATA2MSB ? model::Endian::big : model::Endian::little;
  const unsigned machine = told(header.e_machine);
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || machine != EM_PPC64) {
    return no_kernel(vmlinux, fmt::format("it is for {}", machine_name(machine)));
  }
  // Linux was big-endian and ELFv1 before anybody wrote the ABI's number.
  const std::uint32_t abi = told(header.e_flags) & kAbiFlags;
  const bool is_first = abi == 1 || (abi == 0 && facts_.endian == model::Endian::big);
  facts_.abi = is_first ? model::Abi::elfv1 : model::Abi::elfv2;
  if (!has(told(header.e_shoff), std::uint64_t{told(header.e_shnum)} * sizeof(Elf64_Shdr))) {
    return truncated(vmlinux);
  }
  for (unsigned i = 0; i < told(header.e_phnum); ++i) {
    Elf64_Phdr segment = {};
    const std::uint64_t at = told(header.e_phoff) + std::uint64_t{i} * sizeof segment;
    if (!has(at, sizeof segment)) {
      return truncated(vmlinux);
    }
    std::memcpy(&segment, bytes().data() + at, sizeof segment);
    if (told(segment.p_type) != PT_LOAD) {
      continue;
    }
    if (!has(told(segment.p_offset), told(segment.p_filesz))) {
      return truncated(vmlinux);
    }
    if ((told(segment.p_flags) & PF_X) != 0) {
      code_.push_back({.address = {told(segment.p_vaddr)},
                       .offset = told(segment.p_offset),
                       .size = told(segment.p_filesz)});
    }
  }
  return success();
}

// The section .opd.
Result<void> KernelFile::find_descriptors(const std::filesystem::path& vmlinux) {
  Elf64_Ehdr header = {};
  std::memcpy(&header, bytes().data(), sizeof header);
  const auto section = [&](unsigned number) {
    Elf64_Shdr one = {};
    if (number < told(header.e_shnum)) {  // all of which are in the file
      std::memcpy(&one, bytes().data() + told(header.e_shoff) + number * sizeof one, sizeof one);
    }
    return one;
  };
  const std::uint64_t names = told(section(told(header.e_shstrndx)).sh_offset);
  constexpr std::string_view kName(".opd\0", 5);
  for (unsigned i = 0; i < told(header.e_shnum); ++i) {
    const Elf64_Shdr one = section(i);
    const std::uint64_t name = names + told(one.sh_name);
    if (has(name, kName.size()) && bytes().substr(name, kName.size()) == kName) {
      descriptors_ = {
          .address = {told(one.sh_addr)}, .offset = told(one.sh_offset), .size = told(one.sh_size)};
    }
  }
  if (!has(descriptors_.offset, descriptors_.size)) {
    return truncated(vmlinux);
  }
  return success();
}

std::optional<GuestAddress> KernelFile::toc_made_at(const Segment& segment, std::size_t at) const {
  const auto first = number<std::uint32_t>(segment.offset + at);
  const auto second = number<std::uint32_t>(segment.offset + at + 4);
  if (first >> 16U != kAddis || second >> 16U != kAddi) {
    return std::nullopt;
  }
  const auto high = static_cast<std::int16_t>(first);
  const auto low = static_cast<std::int16_t>(second);
  return segment.address + at + static_cast<std::uint64_t>(std::int64_t{high} * 65536) +
         static_cast<std::uint64_t>(std::int64_t{low});
}

// It is not in a table: with ELFv2 each function computes it from its own address, all with the same
// result; with ELFv1 it is in each function's descriptor.
Result<void> KernelFile::find_toc(const std::filesystem::path& vmlinux) {
  std::map<GuestAddress, std::size_t> counts;
  std::size_t all = 0;
  const auto count = [&](GuestAddress toc) {
    ++counts[toc];
    ++all;
  };
  if (facts_.abi == model::Abi::elfv1) {
    FARCALL_TRYV(find_descriptors(vmlinux));
    for (std::size_t at = 0; at + kDescriptorBytes <= descriptors_.size; at += kDescriptorBytes) {
      count({number<std::uint64_t>(descriptors_.offset + at + 8)});
    }
  } else {
    for (const Segment& segment : code_) {
      for (std::size_t at = 0; at + 8 <= segment.size; at += 4) {
        const auto word = number<std::uint32_t>(segment.offset + at);
        if (word >> 16U != kAddis) {  // of ten million words, nearly all
          continue;
        }
        if (const auto toc = toc_made_at(segment, at)) {
          count(*toc);
        }
      }
    }
  }
  // A few are of other programs that the kernel carries, such as its vDSO.
  const auto most =
      std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second; });
  if (most == counts.end() || most->second < 100 || most->second * 10 < all * 9) {
    return no_kernel(vmlinux, "its functions do not agree on a TOC");
  }
  facts_.toc = most->first;
  return success();
}

Result<void> KernelFile::find_version(const std::filesystem::path& vmlinux) {
  const std::size_t banner = bytes().find(kBanner);
  const char* const end = bytes().data() + bytes().size();
  if (banner == std::string::npos) {
    return no_kernel(vmlinux, "it does not say its version");
  }
  const char* const version = bytes().data() + banner + kBanner.size();
  const auto [dot, failure] = std::from_chars(version, end, facts_.major);
  if (failure != std::errc{} || dot == end ||
      std::from_chars(dot + 1, end, facts_.minor).ec != std::errc{}) {
    return no_kernel(vmlinux, "it does not say its version");
  }
  constexpr std::size_t kMostOfARelease = 64;  // Linux's own limit
  const std::string_view rest = bytes().substr(banner + kBanner.size(), kMostOfARelease);
  release_ = rest.substr(0, rest.find(' '));
  return success();
}

Result<KernelFile> KernelFile::read(const std::filesystem::path& vmlinux) {
  FARCALL_TRY(mapped, MappedFile::open(vmlinux.string()));
  KernelFile file(std::move(mapped));
  FARCALL_TRYV(file.read_header(vmlinux));
  FARCALL_TRYV(file.find_toc(vmlinux));
  FARCALL_TRYV(file.find_version(vmlinux));
  if (file.bytes().find(kSwitchOfTheJit) == std::string::npos) {
    return Error{.code = ErrorCode::document_invalid,
                 .message = fmt::format("this kernel, {}, has no JIT for BPF", file.release_),
                 .where = {vmlinux.string()},
                 .hint = "build it with CONFIG_BPF_SYSCALL=y and CONFIG_BPF_JIT=y"};
  }
  return file;
}

GuestAddress KernelFile::pointer_to(GuestAddress code) const {
  for (std::size_t at = 0; at + kDescriptorBytes <= descriptors_.size; at += kDescriptorBytes) {
    if (number<std::uint64_t>(descriptors_.offset + at) == code.value) {
      return descriptors_.address + at;
    }
  }
  for (const Segment& segment : code_) {
    const std::uint64_t at = code.value - segment.address.value;
    if (facts_.abi == model::Abi::elfv2 && at >= 8 && at < segment.size &&
        toc_made_at(segment, at - 8) == facts_.toc) {
      return {code.value - 8};
    }
  }
  return code;
}

}  // namespace farcall::kernel

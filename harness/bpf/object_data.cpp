#include "bpf/object_data.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace farcall::bpf {
namespace {

constexpr std::uint64_t kMostVariableBytes = std::uint64_t{64} * 1024;  // of one of the kernel's

}  // namespace

std::uint32_t ObjectData::add(MemoryRegion region, std::optional<std::size_t> section) {
  regions_.push_back(std::move(region));
  sections_.push_back(section);
  return static_cast<std::uint32_t>(regions_.size() - 1);
}

std::uint32_t ObjectData::of_section(std::size_t section) {
  const auto [known, is_new] =
      numbers_.try_emplace(section, static_cast<std::uint32_t>(regions_.size()));
  if (is_new) {
    const ElfDataSection& data = code_.data.at(section);
    add({.name = data.name,
         .address = {},
         .bytes = SharedBytes::of(data.bytes, data.size),
         .writable = data.writable},
        section);
  }
  return known->second;
}

std::uint32_t ObjectData::of_kernel_variable(const std::string& name,
                                             const ExternDeclaration& declaration) {
  const auto [known, is_new] =
      kernel_variables_.try_emplace(name, static_cast<std::uint32_t>(regions_.size()));
  if (is_new) {
    const std::uint64_t size = std::clamp<std::uint64_t>(declaration.bytes, 8, kMostVariableBytes);
    add({.name = name, .address = {}, .bytes = std::vector<std::byte>(size)}, std::nullopt);
  }
  return known->second;
}

Result<std::uint32_t> ObjectData::of_jump_table(ElfAddress at, const ElfSymbol& symbol) {
  const std::span<const std::byte> all = code_.jump_tables.at(symbol.section);
  if (symbol.size == 0 || symbol.size % kAddressBytes != 0 || symbol.value > all.size() ||
      symbol.size > all.size() - symbol.value) {
    return error_at(code_, at, ErrorCode::elf_malformed,
                    fmt::format("jump table '{}' is {} bytes from {:#x} on: expected whole "
                                "elements of 8 within the section of {} bytes",
                                symbol.name, symbol.size, symbol.value, all.size()));
  }
  const auto known = std::ranges::find(jump_tables_, symbol.name, &ObjectJumpTable::name);
  if (known != jump_tables_.end()) {
    return known->region;
  }
  const std::uint32_t region = add({.name = symbol.name,
                                    .address = {},
                                    .bytes = std::vector<std::byte>(symbol.size),
                                    .writable = false},
                                   std::nullopt);
  jump_tables_.push_back({.name = symbol.name,
                          .region = region,
                          .section = at.section,
                          .elements = all.subspan(symbol.value, symbol.size)});
  return region;
}

std::vector<ObjectJumpTable> ObjectData::jump_tables() const {
  std::vector<ObjectJumpTable> sorted = jump_tables_;
  std::ranges::sort(sorted, {}, &ObjectJumpTable::name);
  return sorted;
}

}  // namespace farcall::bpf

// The data of an ELF object for BPF that a program reaches. A part of the object reader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "bpf/address_space.hpp"
#include "bpf/btf.hpp"
#include "bpf/elf_code.hpp"

namespace farcall::bpf {

constexpr std::uint64_t kAddressBytes = 8;  // of a pointer in data

// What LLVM 22 makes of a `switch`: an element of eight bytes for each case.
struct ObjectJumpTable {
  std::string name;
  std::uint32_t region = 0;  // its number
  std::size_t section = 0;   // that its elements are offsets in
  std::span<const std::byte> elements;
};

// A region for each section of variables, each jump table and each variable of the kernel, numbered
// in the order in which they are asked for. Refers to `code`, which must outlive it.
class ObjectData {
 public:
  explicit ObjectData(const ElfCode& code) : code_(code) {}

  // The number of the region of a section, with its bytes as they are in the object.
  std::uint32_t of_section(std::size_t section);

  // That of a variable of the kernel, of which nothing is known but its size: zeros.
  std::uint32_t of_kernel_variable(const std::string& name, const ExternDeclaration& declaration);

  // That of a jump table, of zeros, and of as many elements as its symbol says. `at` is where a
  // function loads its address; elements are bytes of that function's section. elf.malformed if it
  // is not within its section.
  Result<std::uint32_t> of_jump_table(ElfAddress at, const ElfSymbol& symbol);

  std::size_t count() const { return regions_.size(); }

  // The section that a region is of; nothing for those of tables and of the kernel.
  std::optional<std::size_t> section_of(std::uint32_t region) const { return sections_.at(region); }

  // By name.
  std::vector<ObjectJumpTable> jump_tables() const;

  // All of them, by number: nothing is left.
  std::vector<MemoryRegion> take() { return std::move(regions_); }

 private:
  std::uint32_t add(MemoryRegion region, std::optional<std::size_t> section);

  const ElfCode& code_;
  std::vector<MemoryRegion> regions_;
  std::vector<std::optional<std::size_t>> sections_;       // by number of the region
  std::map<std::size_t, std::uint32_t> numbers_;           // by section
  std::map<std::string, std::uint32_t> kernel_variables_;  // by name
  std::vector<ObjectJumpTable> jump_tables_;
};

}  // namespace farcall::bpf

// What an ELF object for BPF says about its code and data, as a value: sections with instructions,
// sections of global variables, their relocations, and the symbols. A part of the object reader,
// and the only one that knows libelf.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "base/error.hpp"

namespace farcall::bpf {

struct ElfRelocation {
  std::uint64_t offset = 0;  // in its section, in bytes
  std::uint32_t type = 0;
  std::uint32_t symbol = 0;  // a number within ElfCode::symbols
};

struct ElfCodeSection {
  std::string name;
  std::span<const std::byte> bytes;             // of the object; whole slots
  std::vector<ElfRelocation> relocations = {};  // by offset
};

// `.rodata`, `.data`, `.bss` and whatever else has a place in memory and is neither code nor maps.
struct ElfDataSection {
  std::string name;
  std::span<const std::byte> bytes;  // of the object; of .bss, which has none there, empty
  std::uint64_t size = 0;
  bool writable = false;
  std::vector<ElfRelocation> relocations = {};  // by offset
};

// `.maps`, whose types in BTF say what maps there are, or `maps`, an array of bpf_map_def.
struct ElfMapSection {
  std::string name;
  std::span<const std::byte> bytes;  // of the object
};

struct ElfSymbol {
  std::string name;  // of the section, for a section's symbol
  bool is_function = false;
  bool is_global = false;
  std::size_t section = 0;  // 0: undefined
  std::uint64_t value = 0;  // in bytes from the section's start
  std::uint64_t size = 0;   // in bytes
};

struct ElfCode {
  std::string file;  // the object's name
  std::endian order = std::endian::little;
  std::map<std::size_t, ElfCodeSection> sections;                 // by number
  std::map<std::size_t, ElfDataSection> data;                     // by number
  std::map<std::size_t, ElfMapSection> maps;                      // by number
  std::map<std::size_t, std::span<const std::byte>> jump_tables;  // `.jumptables`, by number
  std::vector<ElfSymbol> symbols;                                 // by number
  std::span<const std::byte> btf = {};  // .BTF and .BTF.ext of the object, or nothing
  std::span<const std::byte> btf_ext = {};
};

// A place in a section of an object, in bytes.
struct ElfAddress {
  std::size_t section = 0;
  std::uint64_t offset = 0;

  friend bool operator<(const ElfAddress& a, const ElfAddress& b) {
    return std::tie(a.section, a.offset) < std::tie(b.section, b.offset);
  }
};

// What users read: `.text`, and `FILE:.text`.
std::string section_name(const ElfCode& code, std::size_t section);
std::string part_name(const ElfCode& code, std::size_t section);

// An error there: `FILE:SECTION+0xOFFSET`.
Error error_at(const ElfCode& code, ElfAddress at, ErrorCode what, std::string message,
               std::string hint = {});

// Fails with elf.malformed and elf.unsupported. The result refers to `object`'s bytes.
Result<ElfCode> read_elf_code(std::span<const std::byte> object, const std::string& file);

}  // namespace farcall::bpf

// What an object's BTF says of its code and of what it uses: the names of functions, the source
// lines of instructions, its maps, and what it has declared and not defined. A part of the object
// reader; it and core_relocation.hpp alone know libbpf.
//
// libbpf reads .BTF of either byte order; it reads .BTF.ext in the host's alone, so that the
// records of that are read here. Source: Documentation/bpf/btf.rst of Linux.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/error.hpp"
#include "bpf/core_relocation.hpp"
#include "bpf/elf_code.hpp"
#include "bpf/external.hpp"

namespace farcall::bpf {

// Places are the name of a section and an offset in it, in bytes.
using CodePlace = std::pair<std::string, std::uint64_t>;

struct DebugLine {
  SourceLocation where;
  std::string text;
};

// A map that is defined in `.maps`.
struct MapDefinition {
  std::uint32_t type = 0;  // BPF_MAP_TYPE_…
  std::uint32_t key_bytes = 0;
  std::uint32_t value_bytes = 0;
  std::uint32_t max_entries = 0;

  friend bool operator==(const MapDefinition&, const MapDefinition&) = default;
};

// A function or a variable that is declared and not defined.
struct ExternDeclaration {
  bool is_function = false;
  bool in_kernel = false;    // in `.ksyms`; a variable in `.kconfig` is not
  Signature signature = {};  // of a function
  std::uint32_t bytes = 0;   // of a variable; 0: its type does not say
};

// What a pointer leads to: `__sk_buff`, of so many bytes.
struct Pointee {
  std::string type;
  std::uint32_t bytes = 0;
  bool is_open = false;  // its last member is an array that does not say how long it is
};

// A place that depends on how a kernel's types look: what comes of it, or why nothing does.
struct CorePlace {
  std::string what;  // for messages
  std::optional<CoreValue> value;
  std::optional<Error> refusal;
};

struct DebugInfo {
  std::map<CodePlace, std::string> functions;       // names, by where they begin
  std::map<CodePlace, Pointee> contexts;            // of their first argument, if that is a pointer
  std::set<CodePlace> without_result;               // functions that return void
  std::map<std::string, std::uint32_t> structures;  // bytes of each, by its name
  std::map<CodePlace, DebugLine> lines;             // by the instruction that begins them
  std::map<std::string, MapDefinition> maps;
  std::map<std::string, ExternDeclaration> externs;
  // How many places depend on how the types of a kernel look. Without a kernel they stay as they were
  // compiled; with one, `core` has them all.
  std::size_t core_relocations = 0;
  std::map<CodePlace, CorePlace> core;
};

// Empty if the object has no BTF; elf.malformed if it has one that does not hold together. `kernel`
// may be null.
Result<DebugInfo> read_debug_info(const ElfCode& code, const KernelTypes* kernel = nullptr);

}  // namespace farcall::bpf

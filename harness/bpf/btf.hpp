// What an object's BTF says of its code: the names of functions, and the source lines of
// instructions. A part of the object reader, and the only one that knows libbpf.
//
// libbpf reads .BTF of either byte order; it reads .BTF.ext in the host's alone, so that the
// records of that are read here. Source: Documentation/bpf/btf.rst of Linux.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "base/error.hpp"
#include "bpf/elf_code.hpp"

namespace farcall::bpf {

// Places are the name of a section and an offset in it, in bytes.
using CodePlace = std::pair<std::string, std::uint64_t>;

struct DebugLine {
  SourceLocation where;
  std::string text;
};

struct DebugInfo {
  std::map<CodePlace, std::string> functions;  // names, by where they begin
  std::map<CodePlace, DebugLine> lines;        // by the instruction that begins them
};

// Empty if the object has no BTF; elf.malformed if it has one that does not hold together.
Result<DebugInfo> read_debug_info(const ElfCode& code);

}  // namespace farcall::bpf

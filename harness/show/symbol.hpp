// Symbols of JITed functions, and the forms in which tools read them.
//
// A name is what Linux gives it: `bpf_prog_<tag>_<name>`, with the function's name as BTF or a
// label has it; a function without one is `F`, but for the first, which has the program's name. A
// symbol is the function's entry: with ELFv1 its descriptor, which stands before the code.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.hpp"
#include "base/error.hpp"
#include "bpf/program.hpp"
#include "model/axes.hpp"
#include "model/code_image.hpp"
#include "show/tag.hpp"

namespace farcall::show {

struct Symbol {
  GuestAddress address;
  std::uint64_t bytes = 0;  // 0: not known
  std::string name;

  friend bool operator==(const Symbol&, const Symbol&) = default;
};

// The name of each function's symbol, whether the JIT is on or off.
std::vector<std::string> symbol_names(const bpf::Program& program, const ProgramTags& tags);

// A symbol for each function of the image, in its order. Without a program (an image that another
// JIT made) there are no tags, and each function has the image's own name.
std::vector<Symbol> symbols(const model::CodeImage& image, const bpf::Program* program,
                            model::Endian endian, TagHash hash);

// Lines as in /proc/kallsyms, by address: `c00800000012a468 t bpf_prog_<tag>_callee\t[bpf]`.
std::string kallsyms(std::vector<Symbol> symbols);

// A perf map, as in /tmp/perf-<pid>.map, by address: start, size and name, hex without 0x.
std::string perf_map(std::vector<Symbol> symbols);

// Reads lines as in /proc/kallsyms; sorted by address, sizes unknown. file.unreadable where a line
// is none, with the line.
Result<std::vector<Symbol>> read_kallsyms(std::string_view text, const std::string& path);

}  // namespace farcall::show

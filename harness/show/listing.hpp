// Listings of a program as bpftool prints them: xlated, the BPF instructions as a kernel hands them
// out, and jited, the code that a JIT made.
//
// Calls are named by the symbols of kallsyms, stack traces and perf. The names come from tags,
// which every dump has, so that a listing is the same whether the JIT is on, off or restricted.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/code_image.hpp"
#include "model/decoded_call.hpp"
#include "model/json.hpp"
#include "model/linked_program.hpp"
#include "show/program_dump.hpp"
#include "show/symbol.hpp"

namespace farcall::show {

// How calls are named:
//   tag          `pc+2#bpf_prog_<tag>_F`, the callee's symbol, in every mode
//   tag_offset   `pc+2#bpf_prog_<tag>+3`, the whole program's tag and the callee's first slot
//   kernel       what bpftool prints today: the symbol, `__bpf_prog_run_args32` with the JIT off,
//                `0x0` restricted
enum class CallNames : std::uint8_t { tag, tag_offset, kernel };

// One instruction.
struct XlatedLine {
  bpf::SlotIndex slot = 0;
  std::string source;  // the line of the source that begins here, or nothing
  std::string text;    // `(85) call pc+2#bpf_prog_8923dad831f6fb51_F`
  std::optional<RecoveredCall> call;
};

struct XlatedFunction {
  std::string name;  // of its symbol
  std::vector<XlatedLine> lines;
};

// `source` is the program before linking: tags, and with CallNames::kernel frame sizes, are its.
std::vector<XlatedFunction> xlated(const model::LinkedProgram& linked, const bpf::Program& source,
                                   JitMode mode, CallNames names, TagHash hash);

// Escapes for a terminal, or none.
struct ListingStyle {
  bool colour = false;
};

std::string xlated_text(std::span<const XlatedFunction> functions, ListingStyle style);
model::Json xlated_json(std::span<const XlatedFunction> functions);

// Everything that a jited listing is made of. `functions` may be empty: then the BPF instructions
// are not interleaved.
struct JitedSource {
  const model::CodeImage& image;
  std::span<const Symbol> symbols;
  std::span<const model::DecodedCall> decoded;
  std::span<const XlatedFunction> functions;
};

std::string jited_text(const JitedSource& source, ListingStyle style);
model::Json jited_json(const JitedSource& source);

}  // namespace farcall::show

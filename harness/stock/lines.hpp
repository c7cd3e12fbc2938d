// The line tables of a stock kernel's code: where the code of each instruction of the loaded program
// begins, as far as jited_line_info says so.
//
// On ppc64 it has, for the instruction at slot n of the dump, where the code of slot n - 1 begins; if
// slot n - 1 is the second half of a 64-bit load, where that load's code ends. So it tells the begin
// of an instruction by the row of the one after it, and of none
//   - that the verifier or blinding has replaced by several: the row is of the last of these;
//   - that is a 64-bit load, or the last one of a function.
// For these two the bytes say it: a load begins with the word nearest to its end that writes its
// register without reading any, and the epilogue, which the last exit falls into, gives back what the
// prologue kept in the frame and then moves BPF's r0 to r3.
#pragma once

#include <string>
#include <vector>

#include "bpf/program.hpp"
#include "kernel/exchange.hpp"
#include "model/code_image.hpp"

namespace farcall::stock {

// How the kernel's rows are to be read.
// `from_the_descriptor`: one early, and 24 bytes early besides, as with ELFv1, where rows count from a
// function's descriptor.
enum class LineRows : std::uint8_t { not_told, exact, one_early, from_the_descriptor };

// By the kernel's answer to symbols_question(), whose only function makes many calls: the branch of
// each is within the code of its call.
LineRows line_rows(const kernel::Answer& answer, const kernel::KernelFacts& facts);

struct FoundLines {
  std::vector<model::CodeLine> lines;  // of some of the instructions, and of the epilogue
  std::size_t instructions = 0;        // how many there are
  std::size_t without = 0;             // how many of them have no line
};

// Of each function of `image`, which is the kernel's code of `loaded`; `dumped` is as_source() of both.
std::vector<FoundLines> found_lines(const bpf::Program& loaded, const bpf::Program& dumped,
                                    const kernel::Answer& answer, const model::CodeImage& image,
                                    LineRows rows);

// `control flow is not checked around 3 of 12 instructions: …`; empty: all have a line.
std::string without_lines(const std::vector<FoundLines>& found);

}  // namespace farcall::stock

// What stock kernels are known to do wrong beside their code: in the dump of a program, in the names
// and lines of what they JIT, in the interpreter. No case shows it, as it is not of a single cell.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "kernel/guest.hpp"

namespace farcall::stock {

struct KernelDefect {
  const char* name;
  const char* summary;
};

inline constexpr std::array<KernelDefect, 9> kKernelDefects = {{
    {"dump-by-mode",
     "The dump of a program is another one when the JIT is off: the imm of its calls."},
    {"far-call-in-the-dump",
     "A call of more than 32767 instructions is dumped with an off that leads elsewhere."},
    {"far-call-in-the-interpreter",
     "A call of more than 32767 instructions goes elsewhere, or is the end of the kernel."},
    {"line-info-one-early",
     "jited_line_info has for an instruction where the code of the one before it begins."},
    {"line-info-from-the-descriptor",
     "With ELFv1 jited_line_info counts from a function's descriptor: each row is 24 bytes early."},
    {"line-info-not-blinded",
     "With bpf_jit_harden = 2 jited_line_info is wrong where a program has several functions."},
    {"may-goto-in-the-interpreter",
     "A loop with may_goto is the end of the kernel when the JIT is off."},
    {"no-names-when-hardened",
     "With bpf_jit_harden = 2 /proc/kallsyms has no names of JITed functions."},
    {"early-exit-in-the-kernel",
     "An early exit lies more than 32 MiB before the end: the way past it skips what follows."},
}};

// Which question shows what: the numbers of probe_questions(), and after them large_question().
struct Probe {
  enum Number : std::size_t {
    near_jit,
    near_interpreter,
    near_listed,
    lines_jit,
    lines_hardened,
    far_jit,
    far_interpreter,
    may_goto,
    large,
  };
};

// Programs that show these defects, all but the last, for one boot of a kernel of that byte order;
// the last ones may crash the kernel.
std::vector<kernel::Question> probe_questions(std::endian order);

// The program that shows the last one, of 842,000 instructions: to verify it takes a guest with so much
// memory half a minute.
kernel::Question large_question(std::endian order);
inline constexpr unsigned kMebibytesForLarge = 3072;

enum class Shown : std::uint8_t { there, absent, not_applicable, not_seen };

struct ProbeStory {
  Shown shown{};
  std::string detail;  // what was seen, or why nothing was
};

// One for each of kKernelDefects. `answers` are those to probe_questions() and, after them, to
// large_question(); `facts` are the kernel's.
std::vector<ProbeStory> probe_stories(std::span<const kernel::Answered> answers,
                                      const kernel::KernelFacts& facts);

}  // namespace farcall::stock

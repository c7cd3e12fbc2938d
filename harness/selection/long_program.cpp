#include "selection/long_program.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <string>

#include "bpf/assembler.hpp"
#include "bpf/codec.hpp"
#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"

namespace farcall::selection {
namespace {

// A `mov` is one word of code. Conditional jumps of a few words each lead over so many of them, from
// both sides: their branches reach 8191 words forwards, and 8192 backwards.
//
// A compare-and-exchange is nine words of farcall's JIT and ten of Linux's, which is as much as there
// is for one slot: a program has a million at most. So many are 32 MiB but for a thousand words in
// the one, and in the other.
constexpr std::array kLengthenings = {
    Lengthening{"jump-over-8185-words", false, 8185},
    Lengthening{"jump-over-8186-words", false, 8186},
    Lengthening{"jump-over-8187-words", false, 8187},
    Lengthening{"jump-over-8188-words", false, 8188},
    Lengthening{"jump-over-8189-words", false, 8189},
    Lengthening{"jump-over-8190-words", false, 8190},
    Lengthening{"exit-over-838700-atomics", true, 838'700},
    Lengthening{"exit-over-931900-atomics", true, 931'900},
};

constexpr std::size_t kMostOwnSlots = 64;

// Forwards over the filler, back over it, and forwards again.
constexpr std::string_view kJumps = R"(jeq %r1, %r1, last
first:
jeq %r1, %r1, past
.rept {}
mov %r0, %r0
.endr
last:
jeq %r1, %r1, first
past:
exit
)";

// An exit that is not executed has its way to the epilogue, which is after everything else.
constexpr std::string_view kExit = R"(jeq %r1, %r1, over
exit
over:
ja32 past
.rept {}
lock cmpxchg [%r10-8], %r3
.endr
past:
exit
)";

// The instructions in front: all but the `exit` that ends them.
bpf::Program front(const Lengthening& by) {
  const std::string text =
      by.is_large ? fmt::format(kExit, by.filler) : fmt::format(kJumps, by.filler);
  bpf::Program made = bpf::assemble(text, {.file = std::string(by.name)}).value();
  made.slots.pop_back();
  return made;
}

// What names the entry is further away from it now.
void name_entry_again(bpf::Program& program, bpf::SlotIndex added) {
  for (const bpf::SlotIndex at : bpf::InstructionRange(program.slots, added)) {
    bpf::Slot& slot = program.slots[at];
    const bpf::InstructionInfo* const info = bpf::find(slot);
    if (info != nullptr && info->names_function() &&
        std::int64_t{at} + 1 + slot.imm == std::int64_t{added}) {
      slot.imm -= static_cast<std::int32_t>(added);
    }
  }
}

}  // namespace

std::span<const Lengthening> lengthenings() {
  return kLengthenings;
}

bool suits(const Lengthening& by, const bpf::Program& program) {
  return !by.is_large || program.functions.front().end <= kMostOwnSlots;
}

bpf::Program longer(const bpf::Program& program, const Lengthening& by) {
  bpf::Program made = front(by);
  const auto added = static_cast<bpf::SlotIndex>(made.slots.size());
  made.slots.insert(made.slots.end(), program.slots.begin(), program.slots.end());
  name_entry_again(made, added);
  made.functions = program.functions;
  for (bpf::Function& function : made.functions) {
    function.end += added;
    function.begin += &function == made.functions.data() ? 0 : added;
  }
  made.callx = program.callx;
  made.externals = program.externals;
  made.maps = program.maps;
  made.code_pointers = program.code_pointers;
  for (bpf::CodePointer& pointer : made.code_pointers) {
    pointer.slot += added;
  }
  made.lines = program.lines;
  for (bpf::SourceLine& line : made.lines) {
    line.slot += added;
  }
  made.origins = {};  // what is added comes from nowhere
  return made;
}

}  // namespace farcall::selection

// The assembly language as a table, for people: made from that of the instructions.
#pragma once

#include <string>
#include <vector>

namespace farcall::bpf {

// Instructions that do one thing, by width and size.
struct AssemblyEntry {
  std::string mnemonics;  // `add`, `add32`: each once, separated by blanks; an atomic's is several
                          // words, and a comma separates them
  std::string operands;   // `%dst, %src or number`
  std::string meaning;    // `dst += source`
};

// In the order of kInstructions.
std::vector<AssemblyEntry> assembly_reference();

}  // namespace farcall::bpf

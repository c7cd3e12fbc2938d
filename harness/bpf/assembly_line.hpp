// One line of BPF assembly, read token by token from left to right. A part of the assembler.
//
// Spaces between tokens do not matter. Each take_…() moves after what it took, or does not move if
// something else comes next; so place() and found() then tell of the offending token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace farcall::bpf {

// A place in the text; SourceLocation without the file's name, which is the same everywhere.
struct Place {
  unsigned line = 0;
  unsigned column = 0;
};

struct Number {
  bool negative = false;
  bool overflow = false;  // its magnitude does not fit in 64 bits
  std::uint64_t magnitude = 0;

  // As two's complement bits.
  std::uint64_t bits() const { return negative ? 0 - magnitude : magnitude; }
};

class AssemblyLine {
 public:
  // `line` may end in a comment. `number` is the line's.
  AssemblyLine(std::string_view line, unsigned number);

  char peek();  // the next character but spaces; 0 at the line's end
  bool at_end() { return peek() == '\0'; }
  Place place();        // of the next token; at the line's end, one after its last character
  std::string found();  // the next token, quoted for a message

  bool take(char wanted);
  bool take_word(std::string_view wanted);
  std::string_view take_name();                 // label or mnemonic; empty if there is none
  bool at_register();                           // next is one, or something after a %
  std::optional<std::uint8_t> take_register();  // %r0 … %r15, also without the %
  std::optional<Number> take_number();          // 12, -12, +12, 0x1f, -0x1f

 private:
  std::string_view peek_word();

  std::string_view line_;
  unsigned number_;
  std::size_t at_ = 0;
};

}  // namespace farcall::bpf

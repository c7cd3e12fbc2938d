// The text of a case file as lines and words that know where they stand.
//
// Nothing here owns text: lines and words are views of the file. Errors that are made here and in
// the files that use it carry line and column but no file name; parse_case() and cells() add it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace farcall::cases {

// Line and column count from 1, columns in bytes; 0 means unknown.
struct Position {
  unsigned line = 0;
  unsigned column = 0;

  friend bool operator==(const Position&, const Position&) = default;
};

// How a file is read: a `.case` file strictly, a `.data` file as the public conformance suite reads
// its own (section.hpp says in what that is more lenient).
enum class Dialect : std::uint8_t { strict, suite };
Dialect dialect_of(std::string_view path);

struct Word {
  std::string_view text;
  Position where;
};

// A piece of one line: what rewrites a file replaces it.
struct Extent {
  Position where;
  std::size_t bytes = 0;

  friend bool operator==(const Extent&, const Extent&) = default;
};
Extent extent_of(Word word);

// One line without its comment, its line end and the blanks before these.
struct Line {
  std::string_view text;
  unsigned number = 0;
};

Error error_at(Position where, ErrorCode code, std::string message, std::string hint = {});

// `a, b, c`, for messages that say what is known.
std::string list(std::span<const std::string_view> words);

// Letters, digits, `-`, `_` and `.`, but neither `-` nor `.` at the start: what may stand in a
// cell's name.
bool is_plain_name(std::string_view text);

// The lines of `text` from number `first` on, one by one. Lines that hold nothing but blanks or a
// comment are left out.
class LineReader {
 public:
  LineReader(std::string_view text, unsigned first) : rest_(text), number_(first) {}
  std::optional<Line> next();

 private:
  std::string_view rest_;
  unsigned number_;
};

// Reads a line from left to right. Blanks are spaces and tabs.
class Cursor {
 public:
  explicit Cursor(Line line) : line_(line) { skip_blanks(); }

  bool at_end() const { return at_ == line_.text.size(); }
  // All that is still to be read.
  Word rest() const { return {.text = line_.text.substr(at_), .where = here()}; }
  Position here() const { return {line_.number, static_cast<unsigned>(at_) + 1}; }

  // The next character, 0 at the end.
  char peek() const { return at_end() ? '\0' : line_.text[at_]; }

  // Takes `wanted` and the blanks after it if it comes next.
  bool take(char wanted);

  // Up to the next blank, and the blanks after it. Empty only at the end.
  Word word();

  // The same, or what stands between quotes, which may hold blanks. Empty if the second quote is
  // missing.
  Word quoted();

  // Up to `end` or the next blank, and the blanks after it. May be empty.
  Word until(char end);

  // The longest run of letters, digits, `_`, `.` and `$`, and the blanks after it. May be empty.
  Word name();

 private:
  void skip_blanks();

  Line line_;
  std::size_t at_ = 0;
};

// Decimal or `0x` and hex digits, at most 2^64 − 1. case.bad-number.
Result<std::uint64_t> unsigned_number(Word word);

// The same, or with a `-` before it: then at least −2^63, as 64 bits of two's complement.
Result<std::uint64_t> number(Word word);

// `0C`, two hex digits; in the suite's dialect `0x0C`, `C` and `0xC` too. case.bad-number.
Result<std::byte> parse_byte(Word word, Dialect dialect = Dialect::strict);

// The bytes of `AA bb 0C` up to the end of the line; adds them to `bytes`.
Result<void> append_bytes(Cursor& cursor, std::vector<std::byte>& bytes,
                          Dialect dialect = Dialect::strict);

// Nothing may follow; `after` says after what. case.syntax.
Result<void> expect_end(const Cursor& cursor, std::string_view after);

}  // namespace farcall::cases

#include "case/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

namespace farcall::cases {
namespace {

constexpr bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

constexpr bool is_plain_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.';
}

// Of a function's name, too.
constexpr bool is_name_character(char c) {
  return is_plain_character(c) || c == '$';
}

constexpr int hex_digit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  if (c >= 'a' && c <= 'f') {
    return c - 'a' + 10;
  }
  if (c >= 'A' && c <= 'F') {
    return c - 'A' + 10;
  }
  return -1;
}

}  // namespace

Dialect dialect_of(std::string_view path) {
  return path.ends_with(".data") ? Dialect::suite : Dialect::strict;
}

Extent extent_of(Word word) {
  return {.where = word.where, .bytes = word.text.size()};
}

Error error_at(Position where, ErrorCode code, std::string message, std::string hint) {
  return {.code = code,
          .message = std::move(message),
          .where = {.file = {}, .line = where.line, .column = where.column},
          .site = {},
          .hint = std::move(hint)};
}

std::string list(std::span<const std::string_view> words) {
  return fmt::format("{}", fmt::join(words, ", "));
}

bool is_plain_name(std::string_view text) {
  return !text.empty() && text.front() != '-' && text.front() != '.' &&
         std::ranges::all_of(text, [](char c) { return is_plain_character(c) || c == '-'; });
}

std::optional<Line> LineReader::next() {
  while (!rest_.empty()) {
    const std::size_t end = std::min(rest_.find('\n'), rest_.size());
    std::string_view text = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    const unsigned number = number_++;
    text = text.substr(0, text.find('#'));
    while (!text.empty() && is_blank(text.back())) {
      text.remove_suffix(1);
    }
    if (!text.empty()) {
      return Line{.text = text, .number = number};
    }
  }
  return std::nullopt;
}

void Cursor::skip_blanks() {
  while (!at_end() && is_blank(line_.text[at_])) {
    ++at_;
  }
}

bool Cursor::take(char wanted) {
  if (peek() != wanted) {
    return false;
  }
  ++at_;
  skip_blanks();
  return true;
}

Word Cursor::word() {
  return until(' ');  // which is a blank
}

Word Cursor::quoted() {
  if (peek() != '"') {
    return word();
  }
  const Position where = here();
  const std::size_t end = line_.text.find('"', at_ + 1);
  if (end == std::string_view::npos) {
    return {.text = {}, .where = where};
  }
  const std::string_view text = line_.text.substr(at_ + 1, end - at_ - 1);
  at_ = end + 1;
  skip_blanks();
  return {.text = text, .where = where};
}

Word Cursor::until(char end) {
  const Position where = here();
  const std::size_t begin = at_;
  while (!at_end() && !is_blank(line_.text[at_]) && line_.text[at_] != end) {
    ++at_;
  }
  const std::string_view text = line_.text.substr(begin, at_ - begin);
  skip_blanks();
  return {.text = text, .where = where};
}

Word Cursor::name() {
  const Position where = here();
  const std::size_t begin = at_;
  while (!at_end() && is_name_character(line_.text[at_])) {
    ++at_;
  }
  const std::string_view text = line_.text.substr(begin, at_ - begin);
  skip_blanks();
  return {.text = text, .where = where};
}

Result<std::uint64_t> unsigned_number(Word word) {
  std::string_view digits = word.text;
  int base = 10;
  if (digits.starts_with("0x") || digits.starts_with("0X")) {
    digits.remove_prefix(2);
    base = 16;
  }
  std::uint64_t value = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stop, problem] = std::from_chars(digits.data(), end, value, base);
  if (problem == std::errc::result_out_of_range && stop == end) {
    return error_at(word.where, ErrorCode::case_bad_number,
                    fmt::format("{} does not fit 64 bits", word.text));
  }
  if (problem != std::errc{} || stop != end) {
    return error_at(
        word.where, ErrorCode::case_bad_number,
        fmt::format("expected a decimal number or 0x and hex digits, not '{}'", word.text));
  }
  return value;
}

Result<std::uint64_t> number(Word word) {
  if (!word.text.starts_with('-')) {
    return unsigned_number(word);
  }
  FARCALL_TRY(magnitude, unsigned_number({.text = word.text.substr(1), .where = word.where}));
  if (magnitude > std::uint64_t{1} << 63) {
    return error_at(word.where, ErrorCode::case_bad_number,
                    fmt::format("{} is less than -2^63", word.text));
  }
  return 0 - magnitude;
}

Result<std::byte> parse_byte(Word word, Dialect dialect) {
  std::string_view digits = word.text;
  if (dialect == Dialect::suite && (digits.starts_with("0x") || digits.starts_with("0X"))) {
    digits.remove_prefix(2);
  }
  const bool one_digit = dialect == Dialect::suite && digits.size() == 1;
  const int high = one_digit ? 0 : digits.size() == 2 ? hex_digit(digits[0]) : -1;
  const int low = digits.empty() ? -1 : hex_digit(digits.back());
  if (high < 0 || low < 0) {
    return error_at(word.where, ErrorCode::case_bad_number,
                    fmt::format("expected bytes of two hex digits each, not '{}'", word.text));
  }
  return static_cast<std::byte>(high * 16 + low);
}

Result<void> append_bytes(Cursor& cursor, std::vector<std::byte>& bytes, Dialect dialect) {
  while (!cursor.at_end()) {
    FARCALL_TRY(byte, parse_byte(cursor.word(), dialect));
    bytes.push_back(byte);
  }
  return success();
}

Result<void> expect_end(const Cursor& cursor, std::string_view after) {
  if (!cursor.at_end()) {
    return error_at(cursor.here(), ErrorCode::case_syntax,
                    fmt::format("expected nothing more after {}", after));
  }
  return success();
}

}  // namespace farcall::cases

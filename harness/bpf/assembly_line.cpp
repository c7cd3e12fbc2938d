#include "bpf/assembly_line.hpp"

#include <fmt/format.h>

#include <charconv>
#include <system_error>

namespace farcall::bpf {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_word(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' ||
         c == '$';
}

}  // namespace

AssemblyLine::AssemblyLine(std::string_view line, unsigned number)
    : line_(line.substr(0, line.find('#'))), number_(number) {
  while (!line_.empty() && is_space(line_.back())) {
    line_.remove_suffix(1);
  }
}

char AssemblyLine::peek() {
  while (at_ < line_.size() && is_space(line_[at_])) {
    ++at_;
  }
  return at_ < line_.size() ? line_[at_] : '\0';
}

Place AssemblyLine::place() {
  peek();
  return {.line = number_, .column = static_cast<unsigned>(at_ + 1)};
}

std::string AssemblyLine::found() {
  if (at_end()) {
    return "the line's end";
  }
  const std::string_view rest = line_.substr(at_);
  return fmt::format("'{}'", rest.substr(0, rest.find_first_of(" \t\r,[]", 1)));
}

bool AssemblyLine::take(char wanted) {
  const bool next = peek() == wanted;
  at_ += next ? 1 : 0;
  return next;
}

// A run of letters, digits, `_`, `.` and `$`; empty if something else comes next.
std::string_view AssemblyLine::peek_word() {
  peek();
  std::size_t end = at_;
  while (end < line_.size() && is_word(line_[end])) {
    ++end;
  }
  return line_.substr(at_, end - at_);
}

bool AssemblyLine::take_word(std::string_view wanted) {
  const bool next = peek_word() == wanted;
  at_ += next ? wanted.size() : 0;
  return next;
}

std::string_view AssemblyLine::take_name() {
  const std::string_view word = peek_word();
  if (word.empty() || is_digit(word.front())) {
    return {};
  }
  at_ += word.size();
  return word;
}

bool AssemblyLine::at_register() {
  const std::size_t begin = at_;
  const bool is_register = peek() == '%' || take_register();
  at_ = begin;
  return is_register;
}

std::optional<std::uint8_t> AssemblyLine::take_register() {
  const std::size_t begin = at_;
  take('%');
  const std::string_view word = peek_word();
  const bool has_tens = word.size() == 3 && word[1] == '1';
  if ((word.size() == 2 || has_tens) && word.front() == 'r' && is_digit(word.back())) {
    const auto number = static_cast<std::uint8_t>(word.back() - '0' + (has_tens ? 10 : 0));
    if (number < 16) {
      at_ += word.size();
      return number;
    }
  }
  at_ = begin;
  return std::nullopt;
}

std::optional<Number> AssemblyLine::take_number() {
  const std::size_t begin = at_;
  Number number;
  number.negative = take('-');
  if (!number.negative) {
    take('+');
  }
  const std::string_view word = peek_word();
  std::string_view digits = word;
  int base = 10;
  if (digits.starts_with("0x") || digits.starts_with("0X")) {
    digits.remove_prefix(2);
    base = 16;
  }
  const char* const end = digits.data() + digits.size();
  const auto [rest, failure] = std::from_chars(digits.data(), end, number.magnitude, base);
  if (failure == std::errc::invalid_argument || rest != end) {
    at_ = begin;
    return std::nullopt;
  }
  number.overflow = failure == std::errc::result_out_of_range;
  at_ += word.size();
  return number;
}

}  // namespace farcall::bpf

#include "base/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/excerpt.hpp"

namespace farcall {
namespace {

constexpr std::array kNames = {
#define FARCALL_ERROR_CODE_TEXT(name, text, blame) std::string_view{text},
    FARCALL_ERROR_CODES(FARCALL_ERROR_CODE_TEXT)
#undef FARCALL_ERROR_CODE_TEXT
};

constexpr std::array kBlames = {
#define FARCALL_ERROR_CODE_BLAME(name, text, blame) Blame::blame,
    FARCALL_ERROR_CODES(FARCALL_ERROR_CODE_BLAME)
#undef FARCALL_ERROR_CODE_BLAME
};

}  // namespace

std::string_view name(ErrorCode code) {
  return kNames[static_cast<std::size_t>(code)];
}

Blame blame(ErrorCode code) {
  return kBlames[static_cast<std::size_t>(code)];
}

std::optional<ErrorCode> error_code_named(std::string_view text) {
  const auto* const found = std::ranges::find(kNames, text);
  if (found == kNames.end()) {
    return std::nullopt;
  }
  return static_cast<ErrorCode>(found - kNames.begin());
}

ErrorText::ErrorText() noexcept = default;
ErrorText::ErrorText(std::string text) noexcept : std::string(std::move(text)) {}
ErrorText::ErrorText(std::string_view text) : std::string(text) {}
ErrorText::ErrorText(const char* text) : std::string(text) {}
ErrorText::ErrorText(const ErrorText& other) = default;
ErrorText::ErrorText(ErrorText&& other) noexcept = default;
ErrorText& ErrorText::operator=(const ErrorText& other) = default;
ErrorText& ErrorText::operator=(ErrorText&& other) noexcept = default;
ErrorText::~ErrorText() = default;

MaybeError::MaybeError(Error error) : error_(new Error(std::move(error))) {}

Error* MaybeError::copy(const Error& error) {
  return new Error(error);
}

void MaybeError::destroy(Error* error) noexcept {
  delete error;
}

std::string to_string(const SourceLocation& where) {
  if (where.line == 0) {
    return where.file;
  }
  if (where.column == 0) {
    return fmt::format("{}:{}", where.file, where.line);
  }
  return fmt::format("{}:{}:{}", where.file, where.line, where.column);
}

std::string to_string(const Error& error) {
  std::string text;
  if (!error.where.file.empty()) {
    text = to_string(error.where) + ": ";
  }
  text += "error: ";
  if (!error.site.empty()) {
    text += error.site + ": ";
  }
  text += fmt::format("{} [{}]", excerpt(error.message), name(error.code));
  if (!error.hint.empty()) {
    text += "\n  " + error.hint;
  }
  return text;
}

}  // namespace farcall

#include "model/verdict.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace farcall::model {

std::string_view name(Outcome outcome) {
  using namespace std::string_view_literals;
  static constexpr std::array kNames = {"pass"sv, "fail"sv, "skip"sv, "error"sv};
  return kNames[static_cast<std::size_t>(outcome)];
}

Finding as_finding(const Error& error) {
  return {.code = error.code,
          .site = error.site,
          .text = error.message,
          .where = error.where,
          .hint = error.hint};
}

Error as_error(const Finding& finding) {
  return {.code = finding.code,
          .message = finding.text,
          .where = finding.where,
          .site = finding.site,
          .hint = finding.hint};
}

std::string text_without_code(const Finding& finding) {
  std::string text = finding.where.file.empty() ? "" : to_string(finding.where) + ": ";
  text += finding.site.empty() ? "" : finding.site + ": ";
  return text + finding.text;
}

std::string to_string(const Finding& finding) {
  return fmt::format("{} [{}]", text_without_code(finding), name(finding.code));
}

Outcome outcome_of(const Finding& first) {
  switch (blame(first.code)) {
    case Blame::test:
    case Blame::code:
      return Outcome::fail;
    case Blame::input:
    case Blame::machine:
    case Blame::harness:
      break;
  }
  return Outcome::error;
}

bool is_harness_failure(const Verdict& verdict) {
  return std::ranges::any_of(verdict.findings, [](const Finding& finding) {
    return blame(finding.code) == Blame::machine || blame(finding.code) == Blame::harness;
  });
}

}  // namespace farcall::model

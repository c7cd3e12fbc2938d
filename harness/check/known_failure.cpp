#include "check/known_failure.hpp"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

namespace farcall::check {

std::vector<model::KnownFailure> known_failures(const model::Cell& cell, std::string_view jit) {
  std::vector<model::KnownFailure> known;
  std::ranges::copy_if(cell.expected.known, std::back_inserter(known), [&](const auto& one) {
    return fnmatch(one.jit.c_str(), std::string(jit).c_str(), 0) == 0;
  });
  return known;
}

bool is_about_code(const model::Verdict& verdict) {
  return verdict.findings.empty() || blame(verdict.findings.front().code) == Blame::code;
}

model::Verdict against_known_failures(const model::Cell& cell,
                                      std::span<const model::KnownFailure> known,
                                      model::Verdict verdict) {
  if (!verdict.findings.empty()) {
    const ErrorCode first = verdict.findings.front().code;
    if (std::ranges::find(known, first, &model::KnownFailure::code) != known.end()) {
      verdict.outcome = model::Outcome::pass;
      verdict.known = first;
      verdict.findings.clear();
      return verdict;
    }
  }
  std::string codes;
  for (const model::KnownFailure& one : known) {
    codes += fmt::format("{}{}", codes.empty() ? "" : " or ", name(one.code));
  }
  verdict.outcome = model::Outcome::fail;
  verdict.findings.insert(
      verdict.findings.begin(),
      {ErrorCode::expected_failure_missing,
       "",
       fmt::format("{} is known to fail with {} here; {}", known.front().jit, codes,
                   verdict.findings.empty() ? "nothing failed" : "what failed first is below"),
       {.file = cell.case_path, .line = known.front().line},
       "if this is mended, take the line out of `-- known`"});
  return verdict;
}

}  // namespace farcall::check

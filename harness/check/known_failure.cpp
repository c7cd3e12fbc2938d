#include "check/known_failure.hpp"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <string>
#include <utility>

namespace farcall::check {

const model::KnownFailure* known_failure(const model::Cell& cell, std::string_view jit) {
  const auto found = std::ranges::find_if(cell.expected.known, [&](const auto& known) {
    return fnmatch(known.jit.c_str(), std::string(jit).c_str(), 0) == 0;
  });
  return found == cell.expected.known.end() ? nullptr : &*found;
}

bool is_about_code(const model::Verdict& verdict) {
  return verdict.findings.empty() || blame(verdict.findings.front().code) == Blame::code;
}

model::Verdict against_known_failure(const model::Cell& cell, const model::KnownFailure& known,
                                     model::Verdict verdict) {
  if (!verdict.findings.empty() && verdict.findings.front().code == known.code) {
    verdict.outcome = model::Outcome::pass;
    verdict.known = known.code;
    verdict.findings.clear();
    return verdict;
  }
  verdict.outcome = model::Outcome::fail;
  verdict.findings.insert(
      verdict.findings.begin(),
      {ErrorCode::expected_failure_missing,
       "",
       fmt::format("{} is known to fail with {} here; {}", known.jit, name(known.code),
                   verdict.findings.empty() ? "nothing failed" : "what failed first is below"),
       {.file = cell.case_path, .line = known.line},
       "if this is mended, take the line out of `-- known`"});
  return verdict;
}

}  // namespace farcall::check

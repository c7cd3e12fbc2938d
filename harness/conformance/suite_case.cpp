#include "conformance/suite_case.hpp"

namespace farcall::conformance {
namespace {

// Behind the file's own text, so that places in it stay what they are.
constexpr std::string_view kHelpers = R"(
-- extension callx-helper
-- helper 0 gather_bytes
-- helper 1 memfrob
-- helper 2 no_op
-- helper 3 sqrti
-- helper 4 strcmp_ext
-- helper 5 unwind
)";

// Whether a program that is refused so may be one that calls helpers.
bool may_want_helpers(const Error& error) {
  return error.code == ErrorCode::bpf_unknown_function ||
         error.code == ErrorCode::bpf_unknown_opcode;
}

}  // namespace

Result<cases::Case> parse_suite_case(std::string_view text, const std::string& path) {
  Result<cases::Case> parsed = cases::parse_case(text, path);
  if (parsed || !may_want_helpers(parsed.error())) {
    return parsed;
  }
  Result<cases::Case> with_helpers =
      cases::parse_case(std::string{text} + std::string{kHelpers}, path);
  // Sections of its own may speak against these: then what it says itself is what is wrong.
  return with_helpers ? std::move(with_helpers) : std::move(parsed);
}

}  // namespace farcall::conformance

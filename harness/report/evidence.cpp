#include "report/evidence.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <new>

namespace farcall::report {

std::string evidence(const CellReport& report) {
  char* buffer = nullptr;
  std::size_t size = 0;
  std::FILE* const out = open_memstream(&buffer, &size);
  if (out == nullptr) {
    throw std::bad_alloc();
  }
  text_report(out, {})->cell(report);
  std::fclose(out);
  std::string text(buffer, size);
  std::free(buffer);  // NOLINT(cppcoreguidelines-no-malloc): what open_memstream asks for
  return text;
}

std::string first_finding(const model::Verdict& verdict) {
  if (verdict.findings.empty()) {
    return "";
  }
  const model::Finding& first = verdict.findings.front();
  return fmt::format("{}{}{} [{}]", first.site, first.site.empty() ? "" : ": ", first.text,
                     name(first.code));
}

}  // namespace farcall::report

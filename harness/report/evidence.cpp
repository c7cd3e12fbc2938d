#include "report/evidence.hpp"

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
  return verdict.findings.empty() ? "" : to_string(verdict.findings.front());
}

}  // namespace farcall::report

#include "base/locate.hpp"

#include <algorithm>

namespace farcall {

SourceLocation locate(std::string_view text, std::size_t byte, const std::string& path) {
  const std::string_view before = text.substr(0, byte == 0 ? 0 : byte - 1);
  const auto line_start = before.rfind('\n');
  return {.file = path,
          .line = 1 + static_cast<unsigned>(std::ranges::count(before, '\n')),
          .column = 1 + static_cast<unsigned>(line_start == std::string_view::npos
                                                  ? before.size()
                                                  : before.size() - line_start - 1)};
}

}  // namespace farcall

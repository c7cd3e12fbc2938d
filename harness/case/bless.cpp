#include "case/bless.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace farcall::cases {
namespace {

struct Edit {
  Extent what;
  std::string by;
};

// What the cells that `selector` selects have in common; empty if nothing.
template <typename Value>
std::optional<Value> common(std::span<const SeenCell> seen, const Selector& selector,
                            const auto& value_of) {
  std::set<Value> values;
  for (const SeenCell& cell : seen) {
    if (selects(selector, cell.axes, cell.placement)) {
      values.insert(value_of(cell));
    }
  }
  return values.size() == 1 ? std::optional(*values.begin()) : std::nullopt;
}

void bless_results(const Case& parsed, std::span<const SeenCell> seen, std::vector<Edit>& edits) {
  for (const auto& [selector, where, line] : parsed.results) {
    const auto* const said = line.value ? std::get_if<std::uint64_t>(&*line.value) : nullptr;
    const auto result =
        common<std::uint64_t>(seen, selector, [](const SeenCell& cell) { return cell.result; });
    if (said != nullptr && result && *result != *said) {
      edits.push_back({.what = line.text, .by = fmt::format("{:#x}", *result)});
    }
  }
}

void bless_calls(const Case& parsed, std::span<const SeenCell> seen, std::vector<Edit>& edits) {
  for (const auto& [selector, where, lines] : parsed.calls) {
    for (const Located<CallLine>& line : lines) {
      const bpf::CallSite site = parsed.calls_of_program[line.value.call].site;
      const auto count = common<std::uint64_t>(seen, selector, [&](const SeenCell& cell) {
        return static_cast<std::uint64_t>(
            std::ranges::count_if(cell.calls, [&](const bpf::PseudoCall& call) {
              return call.site == site && call.callee == line.value.callee;
            }));
      });
      if (count && *count != line.value.count) {
        edits.push_back(
            {.what = line.value.text,
             .by = fmt::format("{} {}{}", bpf::to_string(*parsed.program, site),
                               bpf::callee_name(*parsed.program, line.value.callee),
                               *count == 1 ? std::string() : fmt::format(" *{}", *count))});
      }
    }
  }
}

// The offset of each line's first character, and one past the last.
std::vector<std::size_t> line_begins(std::string_view text) {
  std::vector<std::size_t> begins = {0};
  for (std::size_t at = text.find('\n'); at != std::string_view::npos;
       at = text.find('\n', at + 1)) {
    begins.push_back(at + 1);
  }
  return begins;
}

std::string_view line_of(std::string_view text, std::span<const std::size_t> begins,
                         std::size_t index) {
  const std::size_t end = index + 1 < begins.size() ? begins[index + 1] - 1 : text.size();
  std::string_view line = text.substr(begins[index], end - begins[index]);
  return line.ends_with('\r') ? line.substr(0, line.size() - 1) : line;
}

}  // namespace

std::string blessed(std::string_view text, const Case& parsed, std::span<const SeenCell> seen) {
  std::vector<Edit> edits;
  bless_results(parsed, seen, edits);
  bless_calls(parsed, seen, edits);
  // The last one first: what comes before keeps its place.
  std::ranges::sort(edits, std::ranges::greater{}, [](const Edit& edit) {
    return std::pair(edit.what.where.line, edit.what.where.column);
  });
  const std::vector<std::size_t> begins = line_begins(text);
  std::string result{text};
  for (const Edit& edit : edits) {
    result.replace(begins[edit.what.where.line - 1] + edit.what.where.column - 1, edit.what.bytes,
                   edit.by);
  }
  return result;
}

std::string line_diff(const std::string& path, std::string_view before, std::string_view after) {
  const std::vector<std::size_t> old_begins = line_begins(before);
  const std::vector<std::size_t> new_begins = line_begins(after);
  std::string text;
  for (std::size_t i = 0; i < old_begins.size(); ++i) {
    const std::string_view old_line = line_of(before, old_begins, i);
    const std::string_view new_line = line_of(after, new_begins, i);
    if (old_line != new_line) {
      text += fmt::format("@@ -{0} +{0} @@\n-{1}\n+{2}\n", i + 1, old_line, new_line);
    }
  }
  return text.empty() ? text : fmt::format("--- {0}\n+++ {0}, blessed\n{1}", path, text);
}

}  // namespace farcall::cases

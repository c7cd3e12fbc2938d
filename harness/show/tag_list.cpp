#include "show/tag_list.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/locate.hpp"
#include "model/json.hpp"
#include "model/json_error.hpp"
#include "show/symbol.hpp"

namespace farcall::show {
namespace {

using json = nlohmann::ordered_json;

constexpr std::string_view kPrefix = "bpf_prog_";
constexpr std::size_t kTagDigits = 16;

// Of `bpf_prog_<tag>_<name>`, or of `bpf_prog_<tag>` where a kernel has no name.
std::optional<NamedTag> tag_in(std::string_view symbol) {
  if (!symbol.starts_with(kPrefix)) {
    return std::nullopt;
  }
  symbol.remove_prefix(kPrefix.size());
  const auto tag = tag_from(symbol.substr(0, kTagDigits));
  const std::string_view rest = symbol.substr(std::min(kTagDigits, symbol.size()));
  if (!tag || (!rest.empty() && rest[0] != '_')) {
    return std::nullopt;
  }
  return NamedTag{.tag = *tag, .name = std::string(rest.substr(rest.empty() ? 0 : 1))};
}

Result<TagList> from_kallsyms(std::string_view text, const std::string& path) {
  FARCALL_TRY(symbols, read_kallsyms(text, path));
  TagList list{.has_functions = true};
  for (const Symbol& symbol : symbols) {
    if (auto tag = tag_in(symbol.name)) {
      list.tags.push_back(std::move(*tag));
    }
  }
  return list;
}

Result<TagList> from_bpftool(std::string_view text, const std::string& path) {
  const auto unreadable = [&](std::string message, SourceLocation where) {
    return Error{.code = ErrorCode::file_unreadable,
                 .message = std::move(message),
                 .where = std::move(where),
                 .hint = "`bpftool --json prog show` prints such a list"};
  };
  json programs;
  try {
    programs = model::parse_json(text);
  } catch (const json::parse_error& error) {
    return unreadable("this is not JSON", locate(text, error.byte, path));
  } catch (const json::exception& error) {
    return unreadable(model::reason(error), {.file = path});
  }
  if (programs.is_object()) {  // of one program: `bpftool --json prog show id N`
    programs = json::array({std::move(programs)});
  }
  TagList list;
  for (std::size_t i = 0; i < programs.size(); ++i) {
    const json& program = programs[i];
    const auto text_of = [&program](const char* key) {
      const bool there = program.is_object() && program.contains(key) && program[key].is_string();
      return there ? program[key].get<std::string>() : std::string();
    };
    const auto tag = tag_from(text_of("tag"));
    if (!tag) {
      return unreadable(fmt::format("program {} has no tag: expected an object with \"tag\", "
                                    "sixteen hex digits, and perhaps \"name\"",
                                    i),
                        {.file = path});
    }
    list.tags.push_back({.tag = *tag, .name = text_of("name")});
  }
  return list;
}

// Kernels cut a program's name, where it is not from BTF: BPF_OBJ_NAME_LEN.
bool is_name_of(std::string_view name, std::string_view function) {
  constexpr std::size_t kCut = 15;
  return name == function || (name.size() == kCut && function.starts_with(name));
}

}  // namespace

Result<TagList> read_tags(std::string_view text, const std::string& path) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  const bool is_json =
      first != std::string_view::npos && (text[first] == '[' || text[first] == '{');
  FARCALL_TRY(list, is_json ? from_bpftool(text, path) : from_kallsyms(text, path));
  if (list.tags.empty()) {
    return Error{.code = ErrorCode::file_empty,
                 .message =
                     "there is no tag in it: expected symbols bpf_prog_<tag>_<name>, or what "
                     "`bpftool --json prog show` prints",
                 .where = {.file = path},
                 .hint = "kernels list BPF functions where net.core.bpf_jit_kallsyms is 1"};
  }
  return list;
}

std::vector<TagComparison> compare(const bpf::Program& program, const ProgramTags& ours,
                                   const TagList& theirs) {
  std::vector<TagComparison> result;
  const std::size_t known = theirs.has_functions ? program.functions.size() : 1;
  for (std::size_t i = 0; i < known; ++i) {
    TagComparison one{.function = program.functions[i].name, .ours = ours.of_symbol(i)};
    one.found = std::ranges::find(theirs.tags, one.ours, &NamedTag::tag) != theirs.tags.end();
    for (const NamedTag& named : theirs.tags) {
      if (is_name_of(named.name, one.function)) {
        one.theirs.push_back(named.tag);
      }
    }
    result.push_back(std::move(one));
  }
  return result;
}

}  // namespace farcall::show

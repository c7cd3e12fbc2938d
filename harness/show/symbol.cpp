#include "show/symbol.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

namespace farcall::show {
namespace {

// How a symbol is called whose program has no names, in kernel/bpf/verifier.c: for "function".
constexpr std::string_view kNoName = "F";

void sort(std::vector<Symbol>& symbols) {
  std::ranges::sort(symbols, {}, &Symbol::address);
}

}  // namespace

std::vector<std::string> symbol_names(const bpf::Program& program, const ProgramTags& tags) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < program.functions.size(); ++i) {
    const bpf::Function& function = program.functions[i];
    const std::string_view name = i != 0 && function.anonymous ? kNoName : function.name;
    names.push_back(fmt::format("bpf_prog_{}_{}", to_string(tags.of_symbol(i)), name));
  }
  return names;
}

std::vector<Symbol> symbols(const model::CodeImage& image, const bpf::Program* program,
                            model::Endian endian, TagHash hash) {
  std::vector<std::string> names;
  if (program != nullptr) {
    names = symbol_names(*program, tags(*program, byte_order(endian), hash));
  }
  std::vector<Symbol> result;
  for (std::size_t i = 0; i < image.functions.size(); ++i) {
    const model::CodeFunction& function = image.functions[i];
    result.push_back({.address = function.address,
                      .bytes = function.words.size() * 4,
                      .name = i < names.size() ? names[i] : function.name});
  }
  return result;
}

std::string kallsyms(std::vector<Symbol> symbols) {
  sort(symbols);
  std::string text;
  for (const Symbol& symbol : symbols) {
    text += fmt::format("{} t {}\t[bpf]\n", to_string(symbol.address), symbol.name);
  }
  return text;
}

std::string perf_map(std::vector<Symbol> symbols) {
  sort(symbols);
  std::string text;
  for (const Symbol& symbol : symbols) {
    text += fmt::format("{:x} {:x} {}\n", symbol.address.value, symbol.bytes, symbol.name);
  }
  return text;
}

Result<std::vector<Symbol>> read_kallsyms(std::string_view text, const std::string& path) {
  std::vector<Symbol> symbols;
  for (unsigned line = 1; !text.empty(); ++line) {
    const std::string_view whole = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(whole.size() + 1, text.size()));
    if (whole.empty()) {
      continue;
    }
    Symbol symbol;
    const char* const end = whole.data() + whole.size();
    const auto [after, failure] = std::from_chars(whole.data(), end, symbol.address.value, 16);
    // What follows is ` t NAME`, and perhaps the module after a tab.
    const std::string_view rest(after, static_cast<std::size_t>(end - after));
    if (failure != std::errc{} || rest.size() < 4 || rest[0] != ' ' || rest[2] != ' ') {
      return Error{.code = ErrorCode::file_unreadable,
                   .message = fmt::format("'{}' is not a symbol: expected a line as in "
                                          "/proc/kallsyms, ADDRESS TYPE NAME",
                                          whole),
                   .where = {.file = path, .line = line}};
    }
    const std::string_view name = rest.substr(3);
    symbol.name = name.substr(0, name.find_first_of(" \t"));
    symbols.push_back(std::move(symbol));
  }
  if (symbols.empty()) {
    return Error{.code = ErrorCode::file_empty,
                 .message = "there is no symbol in it",
                 .where = {.file = path},
                 .hint = "`farcall symbols FILE@CELL` writes such a file"};
  }
  if (std::ranges::all_of(symbols, [](const Symbol& one) { return one.address.value == 0; })) {
    return Error{.code = ErrorCode::file_unreadable,
                 .message = "every address is 0: the kernel hides them from who may not see them",
                 .where = {.file = path},
                 .hint = "read /proc/kallsyms as root, with sysctl kernel.kptr_restrict=1 or 0"};
  }
  sort(symbols);
  return symbols;
}

}  // namespace farcall::show

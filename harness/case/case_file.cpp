#include "case/case_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include "bpf/assembler.hpp"
#include "bpf/object.hpp"
#include "bpf/validator.hpp"
#include "case/hardware.hpp"
#include "case/section.hpp"

namespace farcall::cases {
namespace {

using model::Axis;

// A case under construction, and what is needed only until it is done.
struct Reader {
  Case result;
  SelectorScope scope;
};

Result<AxisChoice> read_axis(Cursor cursor) {
  const Word word = cursor.word();
  BOOST_OUTCOME_TRY(axis, parse_axis(word));
  if (!axis) {
    return error_at(word.where, ErrorCode::case_unknown_axis,
                    "placements are not declared in the matrix: each '-- place NAME' is one");
  }
  AxisChoice choice{.axis = *axis, .values = {}, .where = word.where};
  while (!cursor.at_end()) {
    const Word value_word = cursor.word();
    BOOST_OUTCOME_TRY(value, parse_axis_value(*axis, value_word));
    if (std::ranges::find(choice.values, value) != choice.values.end()) {
      return error_at(value_word.where, ErrorCode::case_syntax,
                      fmt::format("{} is there twice", value_word.text));
    }
    choice.values.push_back(value);
  }
  if (choice.values.empty()) {
    return error_at(cursor.here(), ErrorCode::case_syntax,
                    fmt::format("expected values for {}: {}", word.text, supported_values(*axis)));
  }
  return choice;
}

Result<void> read_matrix(Reader& reader, const Section& section) {
  std::vector<AxisChoice>& axes = reader.result.axes;
  LineReader lines{section.body, section.body_line};
  while (const auto line = lines.next()) {
    BOOST_OUTCOME_TRY(choice, read_axis(Cursor{*line}));
    const auto place = std::ranges::lower_bound(axes, choice.axis, {}, &AxisChoice::axis);
    if (place != axes.end() && place->axis == choice.axis) {
      return error_at(choice.where, ErrorCode::case_syntax,
                      fmt::format("{} is there twice", name(choice.axis)));
    }
    axes.insert(place, std::move(choice));
  }
  return success();
}

Result<void> keep_program(Reader& reader, const Section& section, bpf::Program program) {
  BOOST_OUTCOME_TRYV(bpf::validate(program));
  reader.result.calls_of_program = bpf::pseudo_calls(program);
  reader.result.program = std::make_shared<const bpf::Program>(std::move(program));
  reader.result.program_where = section.where;
  return success();
}

Result<void> read_assembly(Reader& reader, const Section& section) {
  BOOST_OUTCOME_TRY(
      program, bpf::assemble(section.body,
                             {.file = reader.result.path, .line = section.body_line, .column = 1}));
  return keep_program(reader, section, std::move(program));
}

Result<void> read_elf(Reader& reader, const Section& section) {
  if (reader.result.program) {
    return error_at(section.where, ErrorCode::case_duplicate_section,
                    fmt::format("there is a program in line {} already: expected one",
                                reader.result.program_where.line));
  }
  Cursor cursor = section.arguments;
  const Word file = cursor.word();
  const Word entry = cursor.word();
  if (file.text.empty()) {
    return error_at(file.where, ErrorCode::case_syntax, "expected '-- elf FILE [ENTRY]'");
  }
  BOOST_OUTCOME_TRYV(expect_end(cursor, "the entry"));
  std::string path{file.text};
  if (!path.starts_with('/')) {
    path.insert(0, reader.result.path, 0, reader.result.path.rfind('/') + 1);
  }
  Result<bpf::Program> program =
      bpf::read_object_file(path, entry.text.empty() ? std::nullopt : std::optional{entry.text});
  if (!program) {
    // What is wrong in an object is told where it is; what is wrong with the file, where it is
    // named.
    Error& error = program.error();
    const bool in_object = error.where.file != path;
    return in_object ? std::move(error)
                     : error_at(file.where, error.code, fmt::format("{}: {}", path, error.message),
                                std::move(error.hint));
  }
  return keep_program(reader, section, std::move(program).value());
}

Result<void> read_mem(Reader& reader, const Section& section) {
  LineReader lines{section.body, section.body_line};
  reader.result.mem.emplace();
  while (const auto line = lines.next()) {
    Cursor cursor{*line};
    BOOST_OUTCOME_TRYV(append_bytes(cursor, *reader.result.mem));
  }
  return success();
}

Result<void> read_regs(Reader& reader, const Section& section) {
  auto& registers = reader.result.registers;
  LineReader lines{section.body, section.body_line};
  while (const auto line = lines.next()) {
    Cursor cursor{*line};
    const Word word = cursor.name();
    const bool known =
        word.text.size() == 2 && word.text[0] == 'r' && word.text[1] >= '1' && word.text[1] <= '5';
    if (!known) {
      return error_at(word.where, ErrorCode::case_unknown_name,
                      "expected one of r1, r2, r3, r4, r5");
    }
    if (!cursor.take('=')) {
      return error_at(cursor.here(), ErrorCode::case_syntax,
                      fmt::format("expected = behind {}", word.text));
    }
    auto& value = registers[static_cast<std::size_t>(word.text[1] - '1')];
    if (value) {
      return error_at(word.where, ErrorCode::case_syntax,
                      fmt::format("{} is there twice", word.text));
    }
    BOOST_OUTCOME_TRY(initial, number(cursor.word()));
    BOOST_OUTCOME_TRYV(expect_end(cursor, "the number"));
    value = initial;
  }
  return success();
}

// A placement's name is the first argument of `-- place` that is not a condition.
Result<std::optional<Word>> placement_name(Cursor& cursor) {
  Cursor ahead = cursor;
  const Word word = ahead.word();
  if (word.text.empty() || word.text.find('=') != std::string_view::npos) {
    return std::optional<Word>{};
  }
  if (!is_plain_name(word.text)) {
    return error_at(word.where, ErrorCode::case_syntax,
                    fmt::format("'{}' cannot stand in the name of a cell: expected letters, "
                                "digits, -, _ and .",
                                word.text));
  }
  cursor = ahead;
  return std::optional{word};
}

Result<void> collect_placements(Reader& reader, std::span<const Section> sections) {
  for (const Section& section : sections) {
    if (section.kind != SectionKind::place) {
      continue;
    }
    Cursor cursor = section.arguments;
    BOOST_OUTCOME_TRY(name, placement_name(cursor));
    auto& names = reader.result.placements;
    if (name && std::ranges::find(names, name->text) == names.end()) {
      names.emplace_back(name->text);
    }
  }
  return success();
}

// `mem` can be named only where it exists.
Result<void> check_item(const Reader& reader, Item item, Position where) {
  if (item == mem_item(reader.result.program->functions.size()) && !reader.result.mem) {
    return error_at(where, ErrorCode::case_missing_section,
                    "this case has no memory: expected a section '-- mem'");
  }
  return success();
}

Result<Located<PlacedItem>> read_placed_item(const Reader& reader, Cursor cursor) {
  const bpf::Program& program = *reader.result.program;
  const Word word = cursor.name();
  if (!cursor.take('=')) {
    return error_at(cursor.here(), ErrorCode::case_syntax, "expected NAME = ADDRESS");
  }
  BOOST_OUTCOME_TRY(item, parse_item(word, program));
  BOOST_OUTCOME_TRYV(check_item(reader, item, word.where));
  const Position address_where = cursor.here();
  BOOST_OUTCOME_TRY(address, parse_expression(cursor, program));
  if (const Item* const base = std::get_if<Item>(&address.base)) {
    BOOST_OUTCOME_TRYV(check_item(reader, *base, address_where));
  }
  return Located<PlacedItem>{.value = {.item = item, .address = std::move(address)},
                             .where = word.where};
}

// Adds a section to those of its kind; one that looks just like an earlier one is refused.
template <typename T>
Result<void> add_section(std::vector<Selected<T>>& sections, Selected<T> section,
                         bool (*same)(const T&, const T&) = nullptr) {
  for (const Selected<T>& earlier : sections) {
    if (earlier.selector == section.selector &&
        (same == nullptr || same(earlier.value, section.value))) {
      return error_at(section.where, ErrorCode::case_duplicate_section,
                      fmt::format("the section in line {} is for the same cells: expected one",
                                  earlier.where.line));
    }
  }
  sections.push_back(std::move(section));
  return success();
}

Result<void> read_place(Reader& reader, const Section& section) {
  Cursor cursor = section.arguments;
  Selected<PlaceSection> read{.selector = {}, .where = section.where, .value = {}};
  BOOST_OUTCOME_TRY(name, placement_name(cursor));
  const auto& names = reader.result.placements;
  if (name) {
    const auto found = std::ranges::find(names, name->text);
    read.value.placement = static_cast<std::uint32_t>(found - names.begin());
  }
  const Position selector_where = cursor.here();
  BOOST_OUTCOME_TRY(selector, parse_selector(cursor, reader.scope));
  if (!selector.placements.empty()) {
    return error_at(selector_where, ErrorCode::case_syntax,
                    "a placement is not selected by placements: expected '-- place NAME'");
  }
  read.selector = std::move(selector);
  LineReader lines{section.body, section.body_line};
  while (const auto line = lines.next()) {
    BOOST_OUTCOME_TRY(item, read_placed_item(reader, Cursor{*line}));
    read.value.items.push_back(std::move(item));
  }
  return add_section(
      reader.result.places, std::move(read),
      +[](const PlaceSection& a, const PlaceSection& b) { return a.placement == b.placement; });
}

// The single line of a section.
Result<Line> only_line(const Section& section, std::string_view contents) {
  LineReader lines{section.body, section.body_line};
  const Line line = lines.next().value();
  if (const auto second = lines.next()) {
    return error_at(Cursor{*second}.here(), ErrorCode::case_syntax,
                    fmt::format("expected one line, {}", contents));
  }
  return line;
}

Result<Selector> selector_of(const Reader& reader, const Section& section) {
  Cursor cursor = section.arguments;
  return parse_selector(cursor, reader.scope);
}

Result<void> read_result(Reader& reader, const Section& section) {
  BOOST_OUTCOME_TRY(selector, selector_of(reader, section));
  BOOST_OUTCOME_TRY(line, only_line(section, "an integer"));
  Cursor cursor{line};
  const Word word = cursor.word();
  if (word.text.starts_with("addr(")) {
    return error_at(word.where, ErrorCode::case_unsupported,
                    "addr(NAME) is not supported yet: expected an integer");
  }
  BOOST_OUTCOME_TRY(value, number(word));
  BOOST_OUTCOME_TRYV(expect_end(cursor, "the result"));
  return add_section(reader.result.results,
                     {.selector = std::move(selector), .where = section.where, .value = value});
}

Result<void> read_mem_after(Reader& reader, const Section& section) {
  Cursor header = section.arguments;
  const Word region = header.word();
  if (region.text != "mem") {
    return error_at(region.where, ErrorCode::case_unknown_name,
                    "expected '-- mem-after mem': the only memory now is mem");
  }
  if (!reader.result.mem) {
    return error_at(region.where, ErrorCode::case_missing_section,
                    "this case has no memory: expected a section '-- mem'");
  }
  BOOST_OUTCOME_TRY(selector, parse_selector(header, reader.scope));
  Selected<std::vector<Located<model::ExpectedMemory>>> read{
      .selector = std::move(selector), .where = section.where, .value = {}};
  LineReader lines{section.body, section.body_line};
  while (const auto line = lines.next()) {
    Cursor cursor{*line};
    const Word word = cursor.name();
    if (!cursor.take(':')) {
      return error_at(cursor.here(), ErrorCode::case_syntax, "expected OFFSET: BYTES");
    }
    BOOST_OUTCOME_TRY(offset, unsigned_number(word));
    model::ExpectedMemory piece{.region = "mem", .offset = offset, .bytes = {}};
    if (cursor.at_end()) {
      return error_at(cursor.here(), ErrorCode::case_syntax, "expected bytes behind the offset");
    }
    BOOST_OUTCOME_TRYV(append_bytes(cursor, piece.bytes));
    const std::size_t size = reader.result.mem->size();
    if (offset > size || piece.bytes.size() > size - offset) {
      return error_at(word.where, ErrorCode::case_bad_number,
                      fmt::format("{} bytes at {} are not all in mem, which has {} bytes",
                                  piece.bytes.size(), word.text, size));
    }
    read.value.push_back({.value = std::move(piece), .where = word.where});
  }
  return add_section(reader.result.memory, std::move(read));
}

std::string known_sites(const Case& parsed) {
  constexpr std::size_t kShown = 16;
  if (parsed.calls_of_program.empty()) {
    return "the program has no call sites";
  }
  std::string text = "call sites: ";
  for (std::size_t i = 0; i < parsed.calls_of_program.size() && i < kShown; ++i) {
    text += (i == 0 ? "" : ", ") + to_string(*parsed.program, parsed.calls_of_program[i].site);
  }
  return parsed.calls_of_program.size() > kShown ? text + ", ..." : text;
}

// `main[0]`: an index into calls_of_program.
Result<std::uint32_t> parse_site(Word word, const Case& parsed) {
  const std::size_t open = word.text.find('[');
  if (open == std::string_view::npos || !word.text.ends_with(']')) {
    return error_at(word.where, ErrorCode::case_syntax,
                    fmt::format("expected a call site, FUNCTION[N], not '{}'", word.text),
                    known_sites(parsed));
  }
  const auto function = bpf::function_named(*parsed.program, word.text.substr(0, open));
  const std::string_view digits = word.text.substr(open + 1, word.text.size() - open - 2);
  BOOST_OUTCOME_TRY(
      ordinal, unsigned_number({.text = digits,
                                .where = {word.where.line,
                                          word.where.column + static_cast<unsigned>(open) + 1}}));
  const auto& calls = parsed.calls_of_program;
  const auto found = std::ranges::find_if(calls, [&](const bpf::PseudoCall& call) {
    return call.site.function == function && call.site.ordinal == ordinal;
  });
  if (found == calls.end()) {
    return error_at(word.where, ErrorCode::case_unknown_site,
                    fmt::format("there is no call site {}", word.text), known_sites(parsed));
  }
  return static_cast<std::uint32_t>(found - calls.begin());
}

Result<Located<CallLine>> read_call_line(const Case& parsed, Cursor cursor) {
  const Word site = cursor.word();
  BOOST_OUTCOME_TRY(call, parse_site(site, parsed));
  const Word callee = cursor.word();
  const auto function = bpf::function_named(*parsed.program, callee.text);
  if (!function) {
    return error_at(callee.where, ErrorCode::case_unknown_name,
                    callee.text.empty()
                        ? fmt::format("expected the function that {} calls", site.text)
                        : fmt::format("the program has no function '{}'", callee.text));
  }
  const std::uint32_t called = parsed.calls_of_program[call].callee;
  if (called != *function) {
    return error_at(callee.where, ErrorCode::case_unknown_site,
                    fmt::format("{} calls {}, not {}", site.text,
                                parsed.program->functions[called].name, callee.text));
  }
  CallLine line{.call = call, .count = 1};
  if (!cursor.at_end()) {
    if (!cursor.take('*')) {
      return error_at(cursor.here(), ErrorCode::case_syntax, "expected *COUNT or the end of line");
    }
    BOOST_OUTCOME_TRY(count, unsigned_number(cursor.word()));
    line.count = count;
  }
  BOOST_OUTCOME_TRYV(expect_end(cursor, "the count"));
  return Located<CallLine>{.value = line, .where = site.where};
}

Result<void> read_calls(Reader& reader, const Section& section) {
  BOOST_OUTCOME_TRY(selector, selector_of(reader, section));
  Selected<std::vector<Located<CallLine>>> read{
      .selector = std::move(selector), .where = section.where, .value = {}};
  LineReader lines{section.body, section.body_line};
  while (const auto line = lines.next()) {
    BOOST_OUTCOME_TRY(call, read_call_line(reader.result, Cursor{*line}));
    read.value.push_back(call);
  }
  return add_section(reader.result.calls, std::move(read));
}

Result<void> read_fail(Reader& reader, const Section& section) {
  BOOST_OUTCOME_TRY(selector, selector_of(reader, section));
  BOOST_OUTCOME_TRY(line, only_line(section, "CODE [SITE]"));
  Cursor cursor{line};
  const Word word = cursor.word();
  const auto code = error_code_named(word.text);
  if (!code) {
    return error_at(word.where, ErrorCode::case_unknown_code,
                    fmt::format("no failure is called '{}'", word.text),
                    "a code is such as call.out-of-range: base/error.hpp lists them all");
  }
  model::ExpectedFailure failure{.code = *code, .site = {}};
  if (!cursor.at_end()) {
    BOOST_OUTCOME_TRY(call, parse_site(cursor.word(), reader.result));
    failure.site = to_string(*reader.result.program, reader.result.calls_of_program[call].site);
  }
  BOOST_OUTCOME_TRYV(expect_end(cursor, "the call site"));
  return add_section(
      reader.result.failures,
      {.selector = std::move(selector), .where = section.where, .value = std::move(failure)});
}

using ReadSection = Result<void> (*)(Reader&, const Section&);

// In the order of SectionKind.
constexpr std::array<ReadSection, kSectionKindCount> kReaders = {
    read_matrix, read_assembly, read_elf,       read_mem,   read_regs,
    read_place,  read_result,   read_mem_after, read_calls, read_fail};

// Sections that take neither a name nor a selector.
Result<void> check_arguments(const Section& section) {
  switch (section.kind) {
    case SectionKind::matrix:
    case SectionKind::assembly:
    case SectionKind::mem:
    case SectionKind::regs:
      return expect_end(section.arguments, word_of(section.kind));
    default:
      return success();
  }
}

// What selectors may name, once the matrix and the names of placements are read.
void set_scope(Reader& reader) {
  for (std::size_t i = 0; i < model::kAxisCount; ++i) {
    reader.scope.axes[i] =
        static_cast<ValueSet>(1U << value_of(model::AxisValues{}, static_cast<Axis>(i)));
  }
  for (const AxisChoice& choice : reader.result.axes) {
    unsigned set = 0;
    for (const std::size_t value : choice.values) {
      set |= 1U << value;
    }
    reader.scope.axes[static_cast<std::size_t>(choice.axis)] = static_cast<ValueSet>(set);
  }
  reader.scope.placements = reader.result.placements;
}

Result<void> read_sections(Reader& reader, std::span<const Section> sections) {
  BOOST_OUTCOME_TRYV(collect_placements(reader, sections));
  for (std::size_t kind = 0; kind < kSectionKindCount; ++kind) {
    for (const Section& section : sections) {
      if (section.kind == static_cast<SectionKind>(kind)) {
        BOOST_OUTCOME_TRYV(check_arguments(section));
        BOOST_OUTCOME_TRYV(kReaders[kind](reader, section));
      }
    }
    if (kind == static_cast<std::size_t>(SectionKind::matrix)) {
      set_scope(reader);
    }
    if (kind == static_cast<std::size_t>(SectionKind::elf) && !reader.result.program) {
      return error_at({}, ErrorCode::case_missing_section,
                      "there is no program: expected a section '-- asm' or '-- elf FILE'");
    }
  }
  return success();
}

// Line and column of an offset.
Position position_of(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const std::size_t line_begin = before.rfind('\n') + 1;
  return {.line = static_cast<unsigned>(std::ranges::count(before, '\n')) + 1,
          .column = static_cast<unsigned>(offset - line_begin) + 1};
}

Result<void> check_characters(std::string_view text) {
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return error_at(position_of(text, nul), ErrorCode::case_syntax,
                    "a case file is text: expected no NUL byte");
  }
  for (std::size_t at = text.find('\r'); at != std::string_view::npos;
       at = text.find('\r', at + 1)) {
    if (at + 1 == text.size() || text[at + 1] != '\n') {
      return error_at(position_of(text, at), ErrorCode::case_syntax,
                      "expected a line feed behind the carriage return");
    }
  }
  return success();
}

// The path without folders and the last extension.
std::string_view stem(std::string_view path) {
  path.remove_prefix(path.rfind('/') + 1);
  const std::size_t dot = path.rfind('.');
  return dot == std::string_view::npos || dot == 0 ? path : path.substr(0, dot);
}

Result<Case> parse_text(std::string_view text, const std::string& path) {
  if (text.size() > kMaxCaseBytes) {
    return error_at({}, ErrorCode::file_too_large,
                    fmt::format("expected at most {} bytes", kMaxCaseBytes));
  }
  if (text.empty()) {
    return error_at({}, ErrorCode::file_empty, "the file is empty: expected a case");
  }
  Reader reader;
  reader.result.path = path;
  reader.result.name = stem(path);
  if (!is_plain_name(reader.result.name)) {
    return error_at({}, ErrorCode::case_syntax,
                    fmt::format("'{}' cannot stand in the name of a cell: expected a file name of "
                                "letters, digits, -, _ and .",
                                reader.result.name));
  }
  BOOST_OUTCOME_TRYV(check_characters(text));
  std::string without_returns;
  if (text.find('\r') != std::string_view::npos) {
    std::ranges::copy_if(text, std::back_inserter(without_returns),
                         [](char c) { return c != '\r'; });
    text = without_returns;
  }
  BOOST_OUTCOME_TRY(file, split_sections(text));
  reader.result.summary = file.summary;
  BOOST_OUTCOME_TRYV(read_sections(reader, file.sections));
  return std::move(reader.result);
}

}  // namespace

Result<Case> parse_case(std::string_view text, const std::string& path) {
  Result<Case> parsed = parse_text(text, path);
  if (!parsed && parsed.error().where.file.empty()) {
    parsed.error().where.file = path;
  }
  return parsed;
}

Result<Case> read_case(const std::string& path) {
  const auto unreadable = [&](int reason) {
    return Error{
        .code = ErrorCode::file_unreadable,
        .message = fmt::format("cannot be read: {}", std::generic_category().message(reason)),
        .where = {.file = path}};
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{std::fopen(path.c_str(), "rbe"),
                                                             &std::fclose};
  if (!file) {
    return unreadable(errno);
  }
  std::string text;
  constexpr std::size_t kChunk = 16 * 1024;
  while (text.size() <= kMaxCaseBytes) {
    const std::size_t before = text.size();
    text.resize(before + kChunk);
    const std::size_t got = std::fread(text.data() + before, 1, kChunk, file.get());
    text.resize(before + got);
    if (std::ferror(file.get()) != 0) {
      return unreadable(errno);
    }
    if (got < kChunk) {
      break;
    }
  }
  return parse_case(text, path);
}

}  // namespace farcall::cases

// What a program calls and gets at besides its own functions: helpers and kfuncs, more programs,
// and arrays.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "bpf/assembler.hpp"
#include "case/read_section.hpp"
#include "external/external.hpp"

namespace farcall::cases {
namespace {

// An array is a region of its own, and regions have places 1 MiB apart.
constexpr std::uint64_t kMaxArrayBytes = std::uint64_t{512} * 1024;

std::string known_natives() {
  std::string text;
  for (const external::Native& native : external::natives()) {
    text += fmt::format("{}{}", text.empty() ? "" : ", ", native.name);
  }
  return text;
}

// `ID NAME` after `-- helper` or `-- kfunc`.
Result<void> read_external(Reader& reader, const Section& section, bpf::ExternalKind kind) {
  const std::string_view word = word_of(section.kind);
  Cursor cursor = section.arguments;
  const Word id_word = cursor.word();
  if (id_word.text.empty()) {
    return error_at(id_word.where, ErrorCode::case_syntax,
                    fmt::format("expected '-- {} NUMBER NAME'", word));
  }
  FARCALL_TRY(id, unsigned_number(id_word));
  if (id > std::numeric_limits<std::int32_t>::max()) {
    return error_at(id_word.where, ErrorCode::case_bad_number,
                    "expected a number of 0 to 2147483647, as `imm` of a call holds it");
  }
  if (kind == bpf::ExternalKind::helper && id == bpf::kTailCall) {
    return error_at(id_word.where, ErrorCode::case_syntax,
                    fmt::format("helper {} is the tail call, which is always there: expected "
                                "another number",
                                bpf::kTailCall));
  }
  const Word name = cursor.word();
  const external::Native* const native = external::find(name.text);
  if (native == nullptr) {
    return error_at(name.where, ErrorCode::case_unknown_name,
                    name.text.empty() ? fmt::format("expected '-- {} NUMBER NAME'", word)
                                      : fmt::format("there is no function '{}'", name.text),
                    fmt::format("known: {}", known_natives()));
  }
  FARCALL_TRYV(expect_end(cursor, "the name"));
  bpf::External external = external::external(*native, kind, static_cast<std::int32_t>(id));
  for (const bpf::External& earlier : reader.externals) {
    const bool same_id = earlier.kind == kind && earlier.id == external.id;
    if (same_id || earlier.name == external.name) {
      return error_at(same_id ? id_word.where : name.where, ErrorCode::case_duplicate_section,
                      fmt::format("there is {} {} already, called {}: expected one",
                                  earlier.kind == bpf::ExternalKind::kfunc ? "kfunc" : "helper",
                                  earlier.id, earlier.name));
    }
  }
  reader.externals.push_back(std::move(external));
  return success();
}

// Adds `more` after `program`; its functions are called after it.
void append_program(bpf::Program& program, std::string_view name, bpf::Program more) {
  const auto moved = static_cast<bpf::SlotIndex>(program.slots.size());
  for (std::size_t i = 0; i < more.functions.size(); ++i) {
    bpf::Function& function = more.functions[i];
    function.name = i == 0 ? std::string{name} : fmt::format("{}.{}", name, function.name);
    function.begin += moved;
    function.end += moved;
    function.begins_program = i == 0;
  }
  program.origins.append(moved, more.origins);
  const auto append = [](auto& to, auto& from) {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  };
  for (bpf::CodePointer& pointer : more.code_pointers) {
    pointer.slot += moved;
  }
  append(program.code_pointers, more.code_pointers);
  std::ranges::stable_sort(program.code_pointers, {}, &bpf::CodePointer::region);
  append(program.slots, more.slots);
  append(program.functions, more.functions);
}

struct ArrayHeader {
  Word name;
  std::uint64_t elements = 0;
  std::optional<std::uint64_t> element_bytes;  // none: an array of programs
};

std::uint64_t element_bytes_of(const ArrayHeader& header) {
  return header.element_bytes.value_or(8);
}

// `size=N` or `value=N`, if that comes next.
Result<std::optional<std::uint64_t>> read_setting(Cursor& cursor, std::string_view key) {
  Cursor ahead = cursor;
  const Word word = ahead.word();
  if (!word.text.starts_with(key) || word.text.substr(key.size(), 1) != "=") {
    return std::optional<std::uint64_t>{};
  }
  cursor = ahead;
  const auto skipped = static_cast<unsigned>(key.size() + 1);
  FARCALL_TRY(value, unsigned_number({.text = word.text.substr(skipped),
                                      .where = {word.where.line, word.where.column + skipped}}));
  if (value == 0 || value > kMaxArrayBytes) {
    return error_at(word.where, ErrorCode::case_bad_number,
                    fmt::format("expected {} of 1 to {}", key, kMaxArrayBytes));
  }
  return std::optional{value};
}

Result<ArrayHeader> read_array_header(const Section& section) {
  constexpr std::string_view kGrammar = "expected '-- array NAME size=N [value=BYTES]'";
  Cursor cursor = section.arguments;
  ArrayHeader header{.name = cursor.name()};
  const Position size_where = cursor.here();
  FARCALL_TRY(size, read_setting(cursor, "size"));
  if (header.name.text.empty() || !size) {
    return error_at(header.name.text.empty() ? header.name.where : size_where,
                    ErrorCode::case_syntax, std::string{kGrammar});
  }
  header.elements = *size;
  const Position value_where = cursor.here();
  FARCALL_TRY(value, read_setting(cursor, "value"));
  header.element_bytes = value;
  if (!cursor.at_end()) {
    return error_at(cursor.here(), ErrorCode::case_syntax, std::string{kGrammar});
  }
  if (header.elements * element_bytes_of(header) > kMaxArrayBytes) {
    return error_at(value ? value_where : size_where, ErrorCode::case_bad_number,
                    fmt::format("expected an array of at most {} bytes", kMaxArrayBytes));
  }
  return header;
}

// `INDEX = PROGRAM`.
Result<ProgramElement> read_element(const Case& parsed, Cursor cursor, std::uint64_t elements) {
  const Word index_word = cursor.name();
  FARCALL_TRY(index, unsigned_number(index_word));
  if (index >= elements) {
    return error_at(index_word.where, ErrorCode::case_bad_number,
                    fmt::format("expected an index of 0 to {}", elements - 1));
  }
  if (!cursor.take('=')) {
    return error_at(cursor.here(), ErrorCode::case_syntax, "expected INDEX = PROGRAM");
  }
  const Word name = cursor.word();
  const auto function = bpf::function_named(*parsed.program, name.text);
  if (!function || !is_program(*parsed.program, *function)) {
    std::string known;
    for (std::uint32_t i = 0; i < parsed.program->functions.size(); ++i) {
      if (is_program(*parsed.program, i)) {
        known += (known.empty() ? "" : ", ") + parsed.program->functions[i].name;
      }
    }
    return error_at(name.where, ErrorCode::case_unknown_name,
                    fmt::format("there is no program '{}'", name.text),
                    fmt::format("programs: {}", known));
  }
  FARCALL_TRYV(expect_end(cursor, "the program"));
  return ProgramElement{.index = index, .function = *function};
}

}  // namespace

// Two of one name are refused when they are read as regions.
Result<void> collect_maps(Reader& reader, std::span<const Section> sections) {
  for (const Section& section : sections) {
    if (section.kind != SectionKind::array) {
      continue;
    }
    FARCALL_TRY(header, read_array_header(section));
    reader.maps.push_back({.name = std::string{header.name.text},
                           .value_bytes = static_cast<std::uint32_t>(
                               header.elements * header.element_bytes.value_or(0))});
  }
  return success();
}

Result<void> read_helper(Reader& reader, const Section& section) {
  return read_external(reader, section, bpf::ExternalKind::helper);
}

Result<void> read_kfunc(Reader& reader, const Section& section) {
  return read_external(reader, section, bpf::ExternalKind::kfunc);
}

Result<void> read_program(Reader& reader, const Section& section) {
  Cursor cursor = section.arguments;
  const Word name = cursor.name();
  if (name.text.empty() || (name.text.front() >= '0' && name.text.front() <= '9')) {
    return error_at(name.where, ErrorCode::case_syntax, "expected '-- program NAME'");
  }
  FARCALL_TRYV(expect_end(cursor, "the name"));
  if (!reader.program) {
    return error_at(section.where, ErrorCode::case_missing_section,
                    "there is no program for this one to be added to: expected a section '-- asm', "
                    "'-- elf FILE' or '-- raw'");
  }
  FARCALL_TRY(more,
              bpf::assemble(section.body,
                            {.file = reader.result.path, .line = section.body_line, .column = 1},
                            reader.maps));
  if (bpf::function_named(*reader.program, name.text)) {
    return error_at(
        name.where, ErrorCode::case_duplicate_section,
        fmt::format("there is a function '{}' already: expected another name", name.text));
  }
  for (const bpf::CodePointer& pointer : more.code_pointers) {
    const auto& known = reader.program->code_pointers;
    if (std::ranges::find(known, pointer.region, &bpf::CodePointer::region) != known.end()) {
      return error_at(name.where, ErrorCode::case_duplicate_section,
                      fmt::format("another program has a table '{}' already: expected another name",
                                  pointer.region));
    }
  }
  append_program(*reader.program, name.text, std::move(more));
  return success();
}

Result<void> read_array(Reader& reader, const Section& section) {
  Case& parsed = reader.result;
  FARCALL_TRY(header, read_array_header(section));
  FARCALL_TRYV(check_region_name(reader, section, header.name));
  Array array{.region = parsed.data.size(),
              .elements = static_cast<std::uint32_t>(header.elements),
              .element_bytes = static_cast<std::uint32_t>(element_bytes_of(header)),
              .programs = {}};
  std::vector<std::byte> bytes(bpf::kArrayHeaderBytes);
  const std::size_t whole = bpf::kArrayHeaderBytes + header.elements * array.element_bytes;
  LineReader lines{section.body, section.body_line};
  while (const auto line = lines.next()) {
    Cursor cursor{*line};
    const Position where = cursor.here();
    if (header.element_bytes) {
      FARCALL_TRYV(append_bytes(cursor, bytes));
      if (bytes.size() > whole) {
        return error_at(
            where, ErrorCode::case_syntax,
            fmt::format("expected at most {} bytes, {} values of {}",
                        whole - bpf::kArrayHeaderBytes, header.elements, array.element_bytes));
      }
      continue;
    }
    FARCALL_TRY(element, read_element(parsed, cursor, header.elements));
    if (std::ranges::find(array.programs, element.index, &ProgramElement::index) !=
        array.programs.end()) {
      return error_at(where, ErrorCode::case_syntax,
                      fmt::format("{} is there twice", element.index));
    }
    array.programs.push_back(element);
  }
  parsed.data.push_back({.name = std::string{header.name.text},
                         .address = {},
                         .bytes = SharedBytes::of(bytes, whole),
                         .writable = header.element_bytes.has_value()});
  parsed.arrays.push_back(std::move(array));
  return success();
}

}  // namespace farcall::cases

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "case/read_section.hpp"

namespace farcall::cases {
namespace {

constexpr std::string_view kAny = "any";

// The single line of a section; in the suite's dialect the last one counts.
Result<Line> only_line(const Reader& reader, const Section& section, std::string_view contents) {
  LineReader lines{section.body, section.body_line};
  Line line = lines.next().value();
  while (const auto second = lines.next()) {
    if (reader.dialect == Dialect::suite) {
      line = *second;
      continue;
    }
    return error_at(Cursor{*second}.here(), ErrorCode::case_syntax,
                    fmt::format("expected one line, {}", contents));
  }
  return line;
}

Result<Selector> selector_of(const Reader& reader, const Section& section) {
  Cursor cursor = section.arguments;
  return parse_selector(cursor, reader.scope);
}

Result<Located<CallLine>> read_call_line(const Case& parsed, Cursor cursor) {
  const Word whole = cursor.rest();
  const Word site = cursor.word();
  if (site.text == "rest") {
    const Position where = cursor.here();
    const bool is_any = cursor.take('*') && cursor.word().text == kAny;
    if (!is_any || !cursor.at_end()) {
      return error_at(where, ErrorCode::case_syntax, "expected `rest *any`");
    }
    return Located<CallLine>{.value = {.any_other = true}, .where = site.where};
  }
  FARCALL_TRY(call, parse_site(site, parsed.named()));
  const Word callee = cursor.word();
  const auto function = bpf::callee_named(*parsed.program, callee.text);
  if (!function) {
    return error_at(callee.where, ErrorCode::case_unknown_name,
                    callee.text.empty()
                        ? fmt::format("expected the function that {} calls", site.text)
                        : fmt::format("the program has no function '{}'", callee.text));
  }
  const auto called = parsed.calls_of_program[call].callee;
  if (called.value_or(*function) != *function) {
    return error_at(callee.where, ErrorCode::case_unknown_site,
                    fmt::format("{} calls {}, not {}", site.text,
                                callee_name(*parsed.program, *called), callee.text));
  }
  CallLine line{
      .any_other = false, .call = call, .callee = *function, .count = 1, .text = extent_of(whole)};
  if (!cursor.at_end()) {
    if (!cursor.take('*')) {
      return error_at(cursor.here(), ErrorCode::case_syntax, "expected *COUNT or the end of line");
    }
    FARCALL_TRY(count, unsigned_number(cursor.word()));
    line.count = count;
  }
  FARCALL_TRYV(expect_end(cursor, "the count"));
  return Located<CallLine>{.value = line, .where = site.where};
}

Result<ErrorCode> read_code(Cursor& cursor) {
  const Word word = cursor.word();
  const auto code = error_code_named(word.text);
  if (!code) {
    return error_at(word.where, ErrorCode::case_unknown_code,
                    fmt::format("no failure is called '{}'", word.text),
                    "a code is such as call.out-of-range: farcall explain lists them all");
  }
  return *code;
}

// How many bytes the memory has that is called so.
Result<std::size_t> memory_size(const Case& parsed, Word name) {
  if (name.text == "mem") {
    if (!parsed.mem) {
      return error_at(name.where, ErrorCode::case_missing_section,
                      "this case has no memory: expected a section '-- mem'");
    }
    return parsed.mem->size();
  }
  const auto found = std::ranges::find(parsed.data, name.text, &bpf::MemoryRegion::name);
  if (found == parsed.data.end()) {
    return error_at(name.where, ErrorCode::case_unknown_name,
                    "expected '-- mem-after mem' or the name of a '-- data' section");
  }
  return found->bytes.size();
}

}  // namespace

Result<void> read_result(Reader& reader, const Section& section) {
  Cursor arguments = section.arguments;
  Cursor after_none = arguments;
  const bool is_none = after_none.word().text == "none";
  if (is_none) {
    arguments = after_none;
  }
  FARCALL_TRY(selector, parse_selector(arguments, reader.scope));
  const auto first = LineReader{section.body, section.body_line}.next();
  if (is_none == first.has_value()) {
    return is_none ? error_at(Cursor{*first}.here(), ErrorCode::case_syntax,
                              "expected nothing below '-- result none'")
                   : error_at(section.where, ErrorCode::case_syntax,
                              "the section 'result' is empty: expected an integer",
                              "a program without a result says '-- result none'");
  }
  ResultLine value;
  if (!is_none) {
    FARCALL_TRY(line, only_line(reader, section, "an integer"));
    Cursor cursor{line};
    const Word word = cursor.word();
    value.text = extent_of(word);
    value.any = word.text == kAny;
    if (!value.any) {
      FARCALL_TRY(number, parse_value(reader, word));
      value.value = number;
    }
    FARCALL_TRYV(expect_end(cursor, "the result"));
  }
  return add_section(reader.result.results,
                     {.selector = std::move(selector), .where = section.where, .value = value});
}

Result<void> read_mem_after(Reader& reader, const Section& section) {
  Cursor header = section.arguments;
  const Word region = header.word();
  FARCALL_TRY(size, memory_size(reader.result, region));
  FARCALL_TRY(selector, parse_selector(header, reader.scope));
  Selected<std::vector<Located<model::ExpectedMemory>>> read{
      .selector = std::move(selector), .where = section.where, .value = {}};
  LineReader lines{section.body, section.body_line};
  while (const auto line = lines.next()) {
    Cursor cursor{*line};
    const Word word = cursor.name();
    if (!cursor.take(':')) {
      return error_at(cursor.here(), ErrorCode::case_syntax, "expected OFFSET: BYTES");
    }
    FARCALL_TRY(offset, unsigned_number(word));
    model::ExpectedMemory piece{.region = std::string{region.text}, .offset = offset, .bytes = {}};
    if (cursor.at_end()) {
      return error_at(cursor.here(), ErrorCode::case_syntax, "expected bytes after the offset");
    }
    FARCALL_TRYV(append_bytes(cursor, piece.bytes));
    if (offset > size || piece.bytes.size() > size - offset) {
      return error_at(word.where, ErrorCode::case_bad_number,
                      fmt::format("{} bytes at {} are not all in {}, which has {} bytes",
                                  piece.bytes.size(), word.text, region.text, size));
    }
    read.value.push_back({.value = std::move(piece), .where = word.where});
  }
  return add_section(
      reader.result.memory, std::move(read),
      +[](const std::vector<Located<model::ExpectedMemory>>& a,
          const std::vector<Located<model::ExpectedMemory>>& b) {
        return a.front().value.region == b.front().value.region;
      });
}

Result<void> read_calls(Reader& reader, const Section& section) {
  FARCALL_TRY(selector, selector_of(reader, section));
  Selected<std::vector<Located<CallLine>>> read{
      .selector = std::move(selector), .where = section.where, .value = {}};
  LineReader lines{section.body, section.body_line};
  while (const auto line = lines.next()) {
    FARCALL_TRY(call, read_call_line(reader.result, Cursor{*line}));
    read.value.push_back(call);
  }
  return add_section(reader.result.calls, std::move(read));
}

Result<void> read_fail(Reader& reader, const Section& section) {
  FARCALL_TRY(selector, selector_of(reader, section));
  FARCALL_TRY(line, only_line(reader, section, "CODE [SITE]"));
  Cursor cursor{line};
  FARCALL_TRY(code, read_code(cursor));
  model::ExpectedFailure failure{.code = code, .site = {}};
  if (!cursor.at_end()) {
    FARCALL_TRY(call, parse_site(cursor.word(), reader.result.named()));
    failure.site = to_string(*reader.result.program, reader.result.calls_of_program[call].site);
  }
  FARCALL_TRYV(expect_end(cursor, "the call site"));
  return add_section(
      reader.result.failures,
      {.selector = std::move(selector), .where = section.where, .value = std::move(failure)});
}

namespace {

// Lines `WORD CODE`, as One{WORD, CODE, line}.
template <typename One>
Result<Selected<std::vector<One>>> read_codes(const Reader& reader, const Section& section) {
  FARCALL_TRY(selector, selector_of(reader, section));
  Selected<std::vector<One>> read{
      .selector = std::move(selector), .where = section.where, .value = {}};
  LineReader lines{section.body, section.body_line};
  while (const auto line = lines.next()) {
    Cursor cursor{*line};
    const Word word = cursor.word();
    FARCALL_TRY(code, read_code(cursor));
    FARCALL_TRYV(expect_end(cursor, "the code"));
    read.value.push_back({std::string(word.text), code, word.where.line});
  }
  return read;
}

}  // namespace

Result<void> read_known(Reader& reader, const Section& section) {
  FARCALL_TRY(read, read_codes<model::KnownFailure>(reader, section));
  return add_section(reader.result.known, std::move(read));
}

Result<void> read_spoiled(Reader& reader, const Section& section) {
  FARCALL_TRY(read, read_codes<model::Control>(reader, section));
  return add_section(reader.result.spoiled, std::move(read));
}

Result<void> read_verifier(Reader& reader, const Section& section) {
  FARCALL_TRY(line, only_line(reader, section, "rejects [TEXT]"));
  Cursor cursor{line};
  const Word word = cursor.word();
  if (word.text != "rejects") {
    return error_at(word.where, ErrorCode::case_syntax,
                    fmt::format("expected `rejects [TEXT]`, not '{}'", word.text),
                    "what Linux's verifier accepts needs no section");
  }
  reader.result.rejection = {.text = std::string(cursor.rest().text), .line = word.where.line};
  return success();
}

Result<void> read_error(Reader& reader, const Section& section) {
  FARCALL_TRY(line, only_line(reader, section, "the text of an error"));
  reader.result.error = line.text;
  return success();
}

}  // namespace farcall::cases

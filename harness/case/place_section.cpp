#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "case/read_section.hpp"

namespace farcall::cases {
namespace {

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

Result<Located<PlacedItem>> read_placed_item(const Reader& reader, Cursor cursor) {
  const Named named = reader.result.named();
  const Word word = cursor.name();
  if (!cursor.take('=')) {
    return error_at(cursor.here(), ErrorCode::case_syntax, "expected NAME = ADDRESS");
  }
  FARCALL_TRY(item, parse_item(word, named));
  FARCALL_TRYV(check_item(reader, item, word.where));
  const Position address_where = cursor.here();
  FARCALL_TRY(address, parse_expression(cursor, named));
  if (const Item* const base = std::get_if<Item>(&address.base)) {
    FARCALL_TRYV(check_item(reader, *base, address_where));
  }
  return Located<PlacedItem>{.value = {.item = item, .address = std::move(address)},
                             .where = word.where};
}

}  // namespace

Result<void> check_item(const Reader& reader, Item item, Position where) {
  if (item == mem_item(callee_count(*reader.result.program)) && !reader.result.mem) {
    return error_at(where, ErrorCode::case_missing_section,
                    "this case has no memory: expected a section '-- mem'");
  }
  return success();
}

Result<void> collect_placements(Reader& reader, std::span<const Section> sections) {
  for (const Section& section : sections) {
    if (section.kind != SectionKind::place) {
      continue;
    }
    Cursor cursor = section.arguments;
    FARCALL_TRY(name, placement_name(cursor));
    auto& names = reader.result.placements;
    if (name && std::ranges::find(names, name->text) == names.end()) {
      names.emplace_back(name->text);
    }
  }
  return success();
}

Result<void> read_place(Reader& reader, const Section& section) {
  Cursor cursor = section.arguments;
  Selected<PlaceSection> read{.selector = {}, .where = section.where, .value = {}};
  FARCALL_TRY(name, placement_name(cursor));
  const auto& names = reader.result.placements;
  if (name) {
    const auto found = std::ranges::find(names, name->text);
    read.value.placement = static_cast<std::uint32_t>(found - names.begin());
  }
  const Position selector_where = cursor.here();
  FARCALL_TRY(selector, parse_selector(cursor, reader.scope));
  if (!selector.placements.empty()) {
    return error_at(selector_where, ErrorCode::case_syntax,
                    "a placement is not selected by placements: expected '-- place NAME'");
  }
  read.selector = std::move(selector);
  LineReader lines{section.body, section.body_line};
  while (const auto line = lines.next()) {
    FARCALL_TRY(item, read_placed_item(reader, Cursor{*line}));
    read.value.items.push_back(std::move(item));
  }
  return add_section(
      reader.result.places, std::move(read),
      +[](const PlaceSection& a, const PlaceSection& b) { return a.placement == b.placement; });
}

}  // namespace farcall::cases

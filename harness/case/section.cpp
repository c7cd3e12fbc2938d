#include "case/section.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace farcall::cases {
namespace {

enum class Body : std::uint8_t { none, some, any };

struct SectionRow {
  std::string_view word;
  std::string_view contents;  // for messages
  Body body;
  bool repeatable;  // with another name or selector
};

// In the order of SectionKind.
constexpr std::array<SectionRow, kSectionKindCount> kSections = {{
    {"error", "the text of an error", Body::some, false},
    {"extension", "nothing", Body::none, false},
    {"matrix", "lines AXIS VALUE...", Body::some, false},
    {"helper", "nothing", Body::none, true},
    {"kfunc", "nothing", Body::none, true},
    {"stub", "lines `returns VALUE, ...` and `takes N`", Body::any, true},
    {"btf", "nothing", Body::none, false},
    {"asm", "BPF assembly", Body::some, false},
    {"elf", "nothing", Body::none, false},
    {"raw", "words of 64 bits", Body::some, false},
    {"program", "BPF assembly", Body::some, true},
    {"context", "nothing", Body::none, false},
    {"mem", "bytes of two hex digits each", Body::some, false},
    {"data", "bytes of two hex digits each", Body::any, true},
    {"array", "lines INDEX = PROGRAM, or bytes", Body::any, true},
    {"regs", "lines rN = INTEGER", Body::some, false},
    {"place", "lines NAME = ADDRESS", Body::some, true},
    {"result", "an integer", Body::any, true},
    {"mem-after", "lines OFFSET: BYTES", Body::some, true},
    {"calls", "lines SITE CALLEE [*COUNT]", Body::some, true},
    {"fail", "CODE [SITE]", Body::some, true},
    {"known", "lines JIT CODE", Body::some, true},
    {"spoiled", "lines FAULT CODE", Body::some, true},
    {"verifier", "rejects [TEXT]", Body::some, false},
    {"c", "source that nobody reads", Body::any, false},
    {"no", "nothing", Body::any, false},
}};

std::string known_words() {
  std::string text;
  for (const SectionRow& row : kSections) {
    text += text.empty() ? row.word : fmt::format(", {}", row.word);
  }
  return text;
}

constexpr std::string_view kHeaderMark = "--";

// `--asm`, without the blank.
Word without_mark(Word word) {
  const auto skipped = static_cast<unsigned>(kHeaderMark.size());
  return {.text = word.text.substr(skipped),
          .where = {word.where.line, word.where.column + skipped}};
}

Result<Section> parse_header(Line line, Dialect dialect) {
  Cursor cursor{line};
  Word mark = cursor.word();
  Word word;
  if (dialect == Dialect::suite && mark.text.size() > kHeaderMark.size()) {
    word = without_mark(mark);
    mark.text = kHeaderMark;
  } else {
    word = cursor.word();
  }
  if (mark.text != kHeaderMark || word.text.empty()) {
    return error_at(mark.where, ErrorCode::case_syntax, "expected '-- SECTION'",
                    fmt::format("sections: {}", known_words()));
  }
  const auto* const row = std::ranges::find(kSections, word.text, &SectionRow::word);
  if (row != kSections.end()) {
    return Section{.kind = static_cast<SectionKind>(row - kSections.begin()),
                   .where = word.where,
                   .arguments = cursor,
                   .body = {},
                   .body_line = line.number + 1};
  }
  return error_at(word.where, ErrorCode::case_unknown_section,
                  fmt::format("there is no section '{}'", word.text),
                  fmt::format("sections: {}", known_words()));
}

const SectionRow& row_of(SectionKind kind) {
  return kSections[static_cast<std::size_t>(kind)];
}

bool says_something(const Section& section) {
  return LineReader{section.body, section.body_line}.next().has_value();
}

Result<void> check_body(const Section& section) {
  const SectionRow& row = row_of(section.kind);
  const auto first = LineReader{section.body, section.body_line}.next();
  if (row.body == Body::some && !first) {
    return error_at(section.where, ErrorCode::case_syntax,
                    fmt::format("the section '{}' is empty: expected {}", row.word, row.contents));
  }
  if (row.body == Body::none && first) {
    return error_at(Cursor{*first}.here(), ErrorCode::case_syntax,
                    fmt::format("expected nothing below '-- {}'", row.word));
  }
  return success();
}

// What the suite makes of a section of which there is one already.
enum class Again : std::uint8_t { refused, goes_on, replaces };

Again again(const Section& section, Dialect dialect) {
  const SectionKind kind = section.kind;
  if (dialect == Dialect::suite) {
    if (kind == SectionKind::error || (kind == SectionKind::result && section.arguments.at_end())) {
      return Again::replaces;
    }
    if (kind == SectionKind::mem) {
      return Again::goes_on;
    }
  }
  return row_of(kind).repeatable ? Again::goes_on : Again::refused;
}

Result<void> check_repetition(std::vector<Section>& sections, const Section& section,
                              Dialect dialect) {
  const auto earlier = std::ranges::find(sections, section.kind, &Section::kind);
  if (earlier == sections.end()) {
    return success();
  }
  switch (again(section, dialect)) {
    case Again::goes_on:
      return success();
    case Again::replaces:
      std::erase_if(sections, [&section](const Section& one) {
        return one.kind == section.kind && one.arguments.at_end();
      });
      return success();
    case Again::refused:
      break;
  }
  return error_at(section.where, ErrorCode::case_duplicate_section,
                  fmt::format("there is a section '{}' in line {} already: expected one",
                              word_of(section.kind), earlier->where.line));
}

// The suite takes the program of `raw`, and does not look at that of `asm`.
void let_raw_win(std::vector<Section>& sections) {
  if (std::ranges::find(sections, SectionKind::raw, &Section::kind) != sections.end()) {
    std::erase_if(sections, [](const Section& one) { return one.kind == SectionKind::assembly; });
  }
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = std::min(text.find_first_not_of(" \t"), text.size());
  const std::size_t end = text.find_last_not_of(" \t") + 1;
  return text.substr(begin, std::max(begin, end) - begin);
}

}  // namespace

std::string_view word_of(SectionKind kind) {
  return row_of(kind).word;
}

Result<SectionedFile> split_sections(std::string_view text, Dialect dialect) {
  SectionedFile file;
  std::optional<Section> section;
  std::size_t body_begin = 0;
  unsigned number = 0;

  const auto finish = [&](std::size_t body_end) -> Result<void> {
    if (!section) {
      return success();
    }
    section->body = text.substr(body_begin, body_end - body_begin);
    if (dialect == Dialect::suite && row_of(section->kind).body == Body::some &&
        !says_something(*section)) {
      return success();
    }
    FARCALL_TRYV(check_repetition(file.sections, *section, dialect));
    FARCALL_TRYV(check_body(*section));
    file.sections.push_back(*section);
    return success();
  };

  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view raw = text.substr(begin, end - begin);
    ++number;
    if ((dialect == Dialect::suite ? trimmed(raw) : raw).starts_with(kHeaderMark)) {
      FARCALL_TRYV(finish(begin));
      const auto line = LineReader{raw, number}.next();
      FARCALL_TRY(header, parse_header(line.value_or(Line{.text = {}, .number = number}), dialect));
      section = header;
      body_begin = std::min(end + 1, text.size());
    } else if (!section) {
      if (file.summary.empty() && raw.starts_with('#')) {
        file.summary = trimmed(raw.substr(1));
      }
      const auto line = LineReader{raw, number}.next();
      if (line && dialect == Dialect::strict) {
        return error_at(Cursor{*line}.here(), ErrorCode::case_syntax,
                        "expected '-- SECTION' or a comment",
                        fmt::format("sections: {}", known_words()));
      }
    }
    begin = end + 1;
  }
  FARCALL_TRYV(finish(text.size()));
  if (dialect == Dialect::suite) {
    let_raw_win(file.sections);
  }
  if (file.sections.empty()) {
    return error_at({}, ErrorCode::case_missing_section, "there are no sections in this file",
                    fmt::format("sections: {}", known_words()));
  }
  return file;
}

}  // namespace farcall::cases

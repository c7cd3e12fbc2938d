// A case file cut into its sections: `-- WORD ARGUMENTS` and the lines below it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "case/text.hpp"

namespace farcall::cases {

// In the order in which they are read: what comes later may name what comes earlier. The order in
// the file is free.
enum class SectionKind : std::uint8_t {
  error,  // before the program, which may be refused
  extension,
  matrix,
  helper,
  kfunc,
  stub,
  btf,
  assembly,
  elf,
  raw,
  program,
  context,
  mem,
  data,
  array,
  regs,
  place,
  result,
  mem_after,
  calls,
  fail,
  known,
  spoiled,
  source,  // `-- c`: what the program was compiled from, for readers
  no_register_offset,
};
inline constexpr std::size_t kSectionKindCount = 25;

std::string_view word_of(SectionKind kind);

struct Section {
  SectionKind kind = {};
  Position where;          // of the word
  Cursor arguments;        // the header line after the word
  std::string_view body;   // the lines below, comments included
  unsigned body_line = 0;  // number of the first of them
};

struct SectionedFile {
  std::string_view summary;  // the first comment above the first section
  std::vector<Section> sections;
};

// `text` has no carriage returns and no NULs. Every section has a body, except those that are all
// said in their first line, which have none, `array`, which may have one, and `c` and `no register
// offset`, whose bodies nobody reads. The sections that take no selector are there at most once.
// case.syntax, case.unknown-section, case.duplicate-section, case.missing-section.
//
// In the suite's dialect a header may be indented and written `--asm`, nobody reads what is above
// the first section, a section without contents is not there, of several `mem` one goes on
// where the one before ended, and the last of several `result` or `error` counts. Of `asm` and
// `raw`, `raw` counts.
Result<SectionedFile> split_sections(std::string_view text, Dialect dialect = Dialect::strict);

}  // namespace farcall::cases

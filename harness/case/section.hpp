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
  verifier,
  source,  // `-- c`: what the program was compiled from, for readers
  no_register_offset,
};
inline constexpr std::size_t kSectionKindCount = 26;

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

// `text` has no carriage returns and no NULs. Every section has a body, with these exceptions:
// sections that consist of their first line have none, `array` may have one, and the bodies of `c`
// and `no register offset` are not read. A section that takes no selector occurs at most once.
// case.syntax, case.unknown-section, case.duplicate-section, case.missing-section.
//
// In the suite's dialect a header may be indented and written `--asm`; what is above the first
// section, and sections without contents, are ignored; several `mem` are joined; of several
// `result` or `error` the last one counts; and if there are `asm` and `raw`, `raw` counts.
Result<SectionedFile> split_sections(std::string_view text, Dialect dialect = Dialect::strict);

}  // namespace farcall::cases

// What Debian's bpftool prints of programs that a stock kernel has loaded, beside what farcall
// prints of them: line by line.
//
// Equal without further ado: slots, the text of each instruction with all its numbers, the callee
// of each call by name, the tag of each program, its id, its size and that of its code.
//
// Left out of bpftool's lines before they are compared, and nothing else is:
//   - when it was loaded, how much memory it takes, the number of its BTF, the numbers of its maps
//     (how many maps there are stays)
//   - the spaces before the number of a slot, of which 7.1 has one more than 7.5
//   - `;` lines without a text: the programs come with line info, and without a source text
// A function is headed by its C signature in bpftool's listing, if the program has BTF, and by its
// symbol in ours: the name is compared.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernel/bpftool.hpp"
#include "kernel/exchange.hpp"
#include "show/tag.hpp"

namespace farcall::stock {

// A program to be listed, and what its functions are called.
struct ListedProgram {
  kernel::Question question;
  std::vector<kernel::NamedFunction> functions;
};

// All of `documents` that a stock kernel has a counterpart of, each with BTF and without.
std::vector<ListedProgram> listed_programs(std::span<const model::Document> documents);

// A way in which bpftool's listings are known to differ from ours.
struct KnownListingDifference {
  const char* name;
  const char* summary;
};

inline constexpr std::array<KnownListingDifference, 5> kListingDifferences = {{
    {"no-disassembler",
     "bpftool prints no listing of machine code: Debian builds it without libbfd and LLVM."},
    {"far-call",
     "A call of more than 32767 instructions: the kernel's dump has 16 bits for its distance."},
    {"lines-refused",
     "bpftool refuses the lines of a JITed program: libbpf wants addresses that ascend, and ppc64 "
     "has "
     "none of its own for an instruction without code."},
    {"rewritten",
     "The verifier has added or changed instructions: both list what it made of the program."},
    {"not-ours",
     "The verifier has removed functions: nobody tells us which, and the program is not compared."},
}};

struct ListingDifference {
  std::optional<std::size_t> known;  // in kListingDifferences; nothing: it is new
  std::uint32_t program = 0;         // its id
  std::string ours;                  // a line; empty: we have none there
  std::string theirs;
};

struct ListingComparison {
  std::size_t programs = 0;  // loaded at once
  std::size_t lines = 0;     // compared
  std::vector<ListingDifference> differences;
};

// `listings` are of `programs`, for that reader.
ListingComparison compare_listings(std::span<const ListedProgram> programs,
                                   const kernel::Listings& listings, wire::ListingReader reader,
                                   show::TagHash hash);

}  // namespace farcall::stock

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

#include "check/kernel_dump_findings.hpp"
#include "kernel/bpftool.hpp"
#include "kernel/exchange.hpp"
#include "show/tag.hpp"

namespace farcall::stock {

// A program to be listed, and what its functions are called.
struct ListedProgram {
  kernel::Question question;
  std::vector<kernel::NamedFunction> functions;
};

// All of `documents` that Debian's kernels have a counterpart of, each with BTF and without; but for
// those that call helpers or load addresses of functions.
std::vector<ListedProgram> listed_programs(std::span<const model::Document> documents);

// Of a kernel, and of the bpftool of its source.
using Series = check::KernelSeries;

// A way in which bpftool's listings are known to differ from ours. In a series that is not from
// `since` to `until` it is new.
struct KnownListingDifference {
  const char* name = nullptr;
  const char* counted = nullptr;  // of what there may be several
  Series since;
  std::optional<Series> until;  // nothing: nobody is expected to change it
  const char* summary = nullptr;
};

inline constexpr std::array<KnownListingDifference, 7> kListingDifferences = {{
    {"no-disassembler",
     "listing",
     {6, 1},
     {},
     "bpftool prints no machine code: Debian builds it without libbfd and LLVM."},
    {"far-call-cut-off",
     "line",
     {6, 1},
     Series{6, 12},
     "The distance of a call of more than 32767 slots is cut to 16 bits, and leads to another "
     "place."},
    {"far-call-zero",
     "line",
     {7, 2},
     Series{7, 3},
     "The distance of a call of more than 32767 slots is 0."},
    {"names-collide",
     "call",
     {6, 1},
     {},
     "bpftool compares addresses modulo 2^32: it names a symbol of the kernel's in place of the "
     "callee."},
    {"lines-refused",
     "program",
     {6, 1},
     {},
     "libbpf refuses jited_line_info: in a function that is not the last, an address is no greater "
     "than that before it."},
    {"rewritten",
     "program",
     {6, 1},
     {},
     "The verifier has added or changed instructions: both list what it made of the program."},
    {"functions-removed",
     "program",
     {6, 1},
     {},
     "The verifier has removed functions, and does not tell which: the instructions are not "
     "compared."},
}};

struct ListingDifference {
  std::optional<std::size_t> known;  // in kListingDifferences; nothing: it is new
  std::uint32_t program = 0;         // its id
  std::string ours;                  // a line; empty: we have none there
  std::string theirs;
};

struct ListingComparison {
  std::size_t programs = 0;  // loaded at once
  std::size_t listed = 0;    // of these, whose instructions were compared
  std::size_t lines = 0;     // compared
  std::vector<ListingDifference> differences;
};

// `listings` are of `programs`, for that reader, in a kernel of `series` whose tags are made with
// `hash`.
ListingComparison compare_listings(std::span<const ListedProgram> programs,
                                   const kernel::Listings& listings, wire::ListingReader reader,
                                   Series series, show::TagHash hash);

}  // namespace farcall::stock

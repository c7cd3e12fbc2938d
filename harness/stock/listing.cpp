#include "stock/listing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"
#include "show/listing.hpp"
#include "show/symbol.hpp"
#include "stock/dump.hpp"
#include "stock/linux_cells.hpp"

namespace farcall::stock {
namespace {

// Of kListingDifferences, in its order.
enum KnownRow : std::size_t {
  no_disassembler,
  far_call_cut_off,
  far_call_zero,
  names_collide,
  lines_refused,
  rewritten,
  functions_removed
};

using Lines = std::vector<std::string>;

// What bpftool printed of each program, by its id; under 0, what stands before the first one.
std::map<std::uint32_t, Lines> by_program(const std::string& text) {
  static const std::regex kHead("([0-9]+): [a-z_]+  name .*");
  std::map<std::uint32_t, Lines> all;
  std::istringstream lines(text);
  std::uint32_t id = 0;
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    // The lines of instructions are the most by far, and have a bracket there.
    const std::size_t colon = line.find(": ");
    const bool may_be_head = colon != std::string::npos && line.compare(colon + 2, 1, "(") != 0;
    if (may_be_head && std::regex_match(line, match, kHead)) {
      id = static_cast<std::uint32_t>(std::stoul(match[1]));
    }
    if (!line.empty() && line != "; ") {
      all[id].push_back(line);
    }
  }
  return all;
}

// See the header.
std::string normalized(const std::string& line) {
  static const std::regex kLoaded("loaded_at \\S+");
  static const std::regex kMemory("memlock [0-9]+B");
  static const std::regex kBtf("btf_id [0-9]+");
  std::string text = std::regex_replace(line, kLoaded, "loaded_at TIME");
  text = std::regex_replace(text, kMemory, "memlock BYTES");
  text = std::regex_replace(text, kBtf, "btf_id NUMBER");
  constexpr std::string_view kMaps = "map_ids ";
  if (const std::size_t at = text.find(kMaps); at != std::string::npos) {
    const auto count =
        1 + std::count(text.begin() + static_cast<std::ptrdiff_t>(at), text.end(), ',');
    text = text.substr(0, at) + fmt::format("{} map(s)", count);
  }
  return text;
}

// What the program is, as far as all listings begin with it.
std::string head(std::uint32_t id, show::Tag tag) {
  return fmt::format("{}: syscall  name {}  tag {}  gpl", id, wire::kListedName, to_string(tag));
}

// `bpftool prog show`, normalized.
Lines shown(const ListedProgram& program, const kernel::Answer& answer, std::uint32_t id,
            show::Tag tag) {
  std::size_t code_bytes = 0;
  for (const kernel::JitedFunction& function : answer.functions) {
    code_bytes += function.words.size() * 4;
  }
  std::set<std::int32_t> maps;
  for (std::size_t i = 0; i < program.question.slots.size(); ++i) {
    const bpf::Slot& slot = program.question.slots[i];
    if (slot.opcode == bpf::kLoadImmediate64) {
      if (slot.src == bpf::kPseudoMapValue) {
        maps.insert(slot.imm);
      }
      ++i;
    }
  }
  Lines lines = {head(id, tag), "\tloaded_at TIME  uid 0",
                 fmt::format("\txlated {}B  {}  memlock BYTES{}", answer.program.size() * 8,
                             code_bytes == 0 ? "not jited" : fmt::format("jited {}B", code_bytes),
                             maps.empty() ? "" : fmt::format("  {} map(s)", maps.size()))};
  if (!program.question.types.btf.empty()) {
    lines.emplace_back("\tbtf_id NUMBER");
  }
  return lines;
}

struct OurListing {
  Lines lines;
  bool is_rewritten = false;       // by the verifier
  bool removed_functions = false;  // the verifier did, and there are no lines of instructions
};

bool is_call(const bpf::Slot& slot) {
  return slot.opcode == kCallOpcode && slot.src == bpf::kPseudoCall;
}

// Whether the kernel's dump is the program as it was loaded, but for what its calls and loads of
// maps have in place of what they came with.
bool is_as_loaded(std::span<const bpf::Slot> loaded, std::span<const bpf::Slot> dumped) {
  if (loaded.size() != dumped.size()) {
    return false;
  }
  for (std::size_t i = 0; i < loaded.size(); ++i) {
    const bpf::Slot& one = loaded[i];
    const bpf::Slot& other = dumped[i];
    const bool is_map = one.opcode == bpf::kLoadImmediate64 && one.src == bpf::kPseudoMapValue;
    if (is_call(one)
            ? !is_call(other)
            : (is_map ? one.opcode != other.opcode || one.dst != other.dst : one != other)) {
      return false;
    }
    i += one.opcode == bpf::kLoadImmediate64 ? 1U : 0U;
  }
  return true;
}

// The program that the kernel's dump is of, with calls that lead to where they did when it was
// loaded, if the verifier has changed nothing: those of a dump may be too far for it. Nothing: a
// call of a changed program leads to no function.
std::optional<bpf::Program> dumped_program(const ListedProgram& program,
                                           const kernel::Answer& answer, bool is_rewritten) {
  if (is_rewritten) {
    return as_source(answer.program);
  }
  bpf::Program source{.slots = answer.program, .functions = {}};
  for (std::size_t i = 0; i < source.slots.size(); ++i) {
    const bpf::Slot& loaded = program.question.slots[i];
    if (is_call(loaded)) {
      source.slots[i] = loaded;
    }
    i += loaded.opcode == bpf::kLoadImmediate64 ? 1U : 0U;
  }
  for (std::size_t i = 0; i < program.functions.size(); ++i) {
    source.functions.push_back({.name = {},
                                .begin = program.functions[i].begin,
                                .end = i + 1 < program.functions.size()
                                           ? program.functions[i + 1].begin
                                           : static_cast<bpf::SlotIndex>(source.slots.size())});
  }
  return source;
}

// `bpftool prog dump xlated` as we print it: of the kernel's dump, with names and tags of our own.
OurListing listed(const ListedProgram& program, const kernel::Answer& answer, std::uint32_t id,
                  show::Tag tag, wire::ListingReader reader, show::TagHash hash) {
  const bool has_btf = !program.question.types.btf.empty();
  OurListing ours{.lines = {head(id, tag)},
                  .is_rewritten = !is_as_loaded(program.question.slots, answer.program)};
  auto source = dumped_program(program, answer, ours.is_rewritten);
  if (!source || source->functions.size() != program.functions.size()) {
    ours.removed_functions = source && source->functions.size() < program.functions.size();
    return ours;
  }
  for (std::size_t i = 0; i < program.functions.size(); ++i) {
    source->functions[i].name =
        has_btf ? kernel::name_in_c(program.functions[i].name) : wire::kListedName;
    source->functions[i].anonymous = !has_btf && i != 0;
  }
  // Of the schemes, the one that leaves a program as it is, with distances of 32 bits.
  const model::LinkedProgram linked{
      .scheme = model::CallScheme::aux64,
      .endian = model::Endian::little,
      .program = *source,
      .addresses = std::vector<GuestAddress>(source->functions.size()),
      .maps = {},
      .call_base = {},
      .toc = {},
      .calls = {},
      .side_table = {}};
  constexpr std::array kModes = {show::JitMode::on, show::JitMode::off, show::JitMode::restricted};
  const auto functions = show::xlated(linked, *source, kModes[static_cast<std::size_t>(reader)],
                                      show::CallNames::kernel, hash);
  for (std::size_t i = 0; i < functions.size(); ++i) {
    if (has_btf) {
      ours.lines.push_back(fmt::format("int {}():", source->functions[i].name));
    }
    for (const show::XlatedLine& line : functions[i].lines) {
      ours.lines.push_back(fmt::format("{}: {}", line.slot, line.text));
    }
  }
  return ours;
}

std::optional<std::size_t> if_in(Series series, KnownRow row) {
  const KnownListingDifference& known = kListingDifferences[row];
  const bool is_in = series >= known.since && (!known.until || series <= *known.until);
  return is_in ? std::optional<std::size_t>(row) : std::nullopt;
}

// The kernel's symbols, by their addresses modulo 2^32.
using LowSymbols = std::multimap<std::uint32_t, std::string>;

// Whether bpftool's name of a callee is that of a symbol which it cannot tell from it.
bool collides(const std::string& ours, const std::string& theirs, const kernel::Answer& answer,
              const LowSymbols& symbols) {
  return std::ranges::any_of(answer.functions, [&](const kernel::JitedFunction& function) {
    const auto [begin, end] =
        symbols.equal_range(static_cast<std::uint32_t>(function.address.value));
    return function.symbol == ours &&
           std::any_of(begin, end, [&](const auto& symbol) { return symbol.second == theirs; });
  });
}

// Which row of what is known explains that the two lines of a program differ: that of a call whose
// callee's name is another symbol's, or of one that is too far, if bpftool's line is the one that such
// a call has in this series.
//
// Up to 6.12 the verifier looks for the callee where the cut distance leads, and where no function
// begins there, its number is -ENOENT: no address of jited_ksyms, but one before __bpf_call_base.
std::optional<std::size_t> known_row(const std::string& ours, const std::string& theirs,
                                     const ListedProgram& program, const kernel::Answer& answer,
                                     const LowSymbols& symbols, Series series) {
  static const std::regex kCall("([0-9]+): \\(85\\) call pc[+-][0-9]+#(.*)");
  std::smatch match;
  if (!std::regex_match(ours, match, kCall)) {
    return std::nullopt;
  }
  const std::size_t name = ours.find('#') + 1;
  if (theirs.starts_with(std::string_view(ours).substr(0, name)) &&
      collides(match[2], theirs.substr(name), answer, symbols)) {
    return if_in(series, names_collide);
  }
  if (answer.program.size() != program.question.slots.size()) {
    return std::nullopt;
  }
  const std::size_t at = std::stoul(match[1]);
  const std::int32_t distance = program.question.slots[at].imm;
  const auto cut = static_cast<std::int16_t>(distance);
  if (cut == distance) {
    return std::nullopt;
  }
  const auto line = [&](std::int16_t shown, const std::string& callee) {
    return fmt::format("{}: (85) call pc{:+}#{}", at, shown, callee);
  };
  const std::string callee = match[2];
  if (theirs == line(0, callee)) {
    return if_in(series, far_call_zero);
  }
  const bool has_no_callee = answer.program[at].imm == -ENOENT;
  const std::string without_callee = line(cut, "0x");
  if (theirs == line(cut, callee) ||
      (has_no_callee && theirs.starts_with(without_callee) &&
       theirs.find_first_not_of("0123456789abcdef", without_callee.size()) == std::string::npos)) {
    return if_in(series, far_call_cut_off);
  }
  return std::nullopt;
}

// Whether libbpf, which bpftool reads them with, takes the addresses of lines: what
// dissect_jited_func() in tools/lib/bpf/bpf_prog_linfo.c asks of them, and no more. A line at the
// beginning of the next function opens that; any other one is after the line before it; the last
// line of a function is within its code. When the last function has begun, nothing is asked any more.
bool are_lines_taken(const kernel::Answer& answer) {
  const std::vector<kernel::LineRow>& lines = answer.lines;
  const std::vector<kernel::JitedFunction>& functions = answer.functions;
  if (lines.front().address != functions.front().address) {
    return false;
  }
  std::size_t found = 1;
  for (std::size_t i = 1; i < lines.size() && found < functions.size(); ++i) {
    const GuestAddress before = lines[i - 1].address;
    if (lines[i].address == functions[found].address) {
      const kernel::JitedFunction& ended = functions[found - 1];
      if (before.value - ended.address.value >= ended.words.size() * 4) {
        return false;
      }
      ++found;
    } else if (lines[i].address.value <= before.value) {
      return false;
    }
  }
  return found == functions.size();
}

class Comparison {
 public:
  Comparison(Series series, LowSymbols symbols) : series_(series), symbols_(std::move(symbols)) {}

  // Line by line: what differs is shown once for a place.
  void compare(std::uint32_t id, const Lines& ours, const Lines& theirs,
               const ListedProgram& program, const kernel::Answer& answer) {
    for (std::size_t i = 0; i < std::max(ours.size(), theirs.size()); ++i) {
      const std::string one = i < ours.size() ? ours[i] : "";
      const std::string other = i < theirs.size() ? normalized_if_needed(theirs[i]) : "";
      ++result.lines;
      if (one != other) {
        const auto row = known_row(one, other, program, answer, symbols_, series_);
        add(row, id, one, other);
        if (!row && ours.size() != theirs.size()) {
          return;  // the rest is only shifted
        }
      }
    }
  }

  // Takes the line out of a listing that says that lines of the source are refused, which is to be
  // there if they are not to be taken, and only then.
  void take_refusal(std::uint32_t id, Lines& theirs, bool taken) {
    const bool refused = theirs.size() > 1 && theirs[1] == kRefused;
    if (refused) {
      theirs.erase(theirs.begin() + 1);
    }
    if (refused && !taken) {
      add_known(lines_refused, id, "", kRefused);
    } else if (refused == taken) {
      add({}, id, refused ? "" : kRefused, refused ? kRefused : "");
    }
  }

  // If it is known in this series.
  void add_known(KnownRow row, std::uint32_t id, std::string ours, std::string theirs) {
    add(if_in(series_, row), id, std::move(ours), std::move(theirs));
  }
  void add(std::optional<std::size_t> known, std::uint32_t id, std::string ours,
           std::string theirs) {
    result.differences.push_back(
        {.known = known, .program = id, .ours = std::move(ours), .theirs = std::move(theirs)});
  }

  ListingComparison result;

 private:
  static constexpr const char* kRefused =
      "error in processing bpf_line_info.  continue without it.";

  static std::string normalized_if_needed(const std::string& line) {
    return line.starts_with('\t') ? normalized(line)
                                  : line.substr(std::min(line.size(), line.find_first_not_of(' ')));
  }

  Series series_;
  LowSymbols symbols_;
};

Lines of(const std::map<std::uint32_t, Lines>& all, std::uint32_t id) {
  const auto found = all.find(id);
  return found == all.end() ? Lines() : found->second;
}

// Debian's bpftool says that it has no disassembler; one that has is news.
void compare_jited(const kernel::ToolOutput& output, Comparison& comparison) {
  const bool says_so =
      !output.succeeded && (output.text.find("No libbfd support") != std::string::npos ||
                            output.text.find("No JIT disassembly support") != std::string::npos);
  const std::string first = output.text.substr(0, output.text.find('\n'));
  if (says_so) {
    comparison.add_known(no_disassembler, 0, "", first);
  } else {
    comparison.add({}, 0, "", first);
  }
}

// Calls of helpers and loads of functions' addresses, which our listings do not have as bpftool's.
bool names_more_than_functions(std::span<const bpf::Slot> slots) {
  return std::ranges::any_of(instructions(slots), [slots](bpf::SlotIndex i) {
    const bool is_helper = slots[i].opcode == kCallOpcode && slots[i].src == bpf::kHelperCall;
    const bool is_pointer =
        slots[i].opcode == bpf::kLoadImmediate64 && slots[i].src == bpf::kPseudoFunction;
    return is_helper || is_pointer;
  });
}

}  // namespace

std::vector<ListedProgram> listed_programs(std::span<const model::Document> documents) {
  std::vector<ListedProgram> programs;
  for (LinuxCell& cell : linux_cells(documents, {})) {
    if (cell.skipped || !cell.question.targets.empty() ||
        std::ranges::any_of(cell.kinds, is_own_map) ||
        names_more_than_functions(cell.question.slots)) {
      continue;
    }
    ListedProgram program{.question = std::move(cell.question), .functions = {}};
    for (const bpf::Function& function : cell.cell.program->functions) {
      program.functions.push_back({.name = function.name, .begin = function.begin});
    }
    programs.push_back(program);
    program.question.types = {};
    programs.push_back(std::move(program));
  }
  return programs;
}

ListingComparison compare_listings(std::span<const ListedProgram> programs,
                                   const kernel::Listings& listings, wire::ListingReader reader,
                                   Series series, show::TagHash hash) {
  LowSymbols symbols;
  if (const auto read = show::read_kallsyms(listings.symbols, "/proc/kallsyms"); read) {
    for (const show::Symbol& symbol : read.value()) {
      symbols.emplace(static_cast<std::uint32_t>(symbol.address.value), symbol.name);
    }
  }
  Comparison comparison(series, std::move(symbols));
  const auto& [show_output, xlated_output, jited_output] = listings.outputs;
  auto all_shown = by_program(show_output.text);
  auto all_listed = by_program(xlated_output.text);
  for (std::size_t i = 0; i < programs.size(); ++i) {
    const std::uint32_t id = listings.ids[i];
    if (id == 0) {
      continue;
    }
    ++comparison.result.programs;
    const kernel::Answer& answer = listings.answers[i];
    bpf::Program loaded{.slots = programs[i].question.slots, .functions = {}};
    const show::Tag tag = show::tags(loaded, std::endian::little, hash).program;
    comparison.compare(id, shown(programs[i], answer, id, tag), of(all_shown, id), programs[i],
                       answer);
    const OurListing ours = listed(programs[i], answer, id, tag, reader, hash);
    if (ours.is_rewritten) {
      comparison.add_known(rewritten, id, "", "");
    }
    const bool has_jited_lines = reader == wire::ListingReader::jit_on && !answer.lines.empty();
    Lines theirs = of(all_listed, id);
    comparison.take_refusal(id, theirs, !has_jited_lines || are_lines_taken(answer));
    if (ours.lines.size() > 1) {
      ++comparison.result.listed;
      comparison.compare(id, ours.lines, theirs, programs[i], answer);
    } else if (ours.removed_functions) {
      comparison.add_known(functions_removed, id, "", "");
    } else {
      comparison.add({}, id, "", "a call of the dump leads to no function of the program");
    }
    all_shown.erase(id);
    all_listed.erase(id);
  }
  // Nothing of a program that nobody has loaded, and no complaint.
  for (const auto* const rest : {&all_shown, &all_listed}) {
    for (const auto& [id, lines] : *rest) {
      comparison.add(std::nullopt, id, "", lines.front());
    }
  }
  for (const kernel::ToolOutput* const output : {&show_output, &xlated_output}) {
    if (!output->succeeded) {
      comparison.add(std::nullopt, 0, "", "bpftool failed: " + output->text.substr(0, 200));
    }
  }
  compare_jited(jited_output, comparison);
  return comparison.result;
}

}  // namespace farcall::stock

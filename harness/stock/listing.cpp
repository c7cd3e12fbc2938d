#include "stock/listing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "bpf/instruction.hpp"
#include "show/listing.hpp"
#include "stock/capture.hpp"
#include "stock/linux_cells.hpp"

namespace farcall::stock {
namespace {

enum KnownRow : std::size_t { no_disassembler, far_call, lines_refused, rewritten, not_ours };

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
  bool is_rewritten = false;  // by the verifier
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

// `bpftool prog dump xlated` as we print it: of the kernel's dump, with names and tags of our own.
OurListing listed(const ListedProgram& program, const kernel::Answer& answer, std::uint32_t id,
                  show::Tag tag, wire::ListingReader reader, show::TagHash hash) {
  const bool has_btf = !program.question.types.btf.empty();
  OurListing ours{.lines = {head(id, tag)},
                  .is_rewritten = !is_as_loaded(program.question.slots, answer.program)};
  auto source = as_source(answer.program);
  if (!source || source->functions.size() != program.functions.size()) {
    // A call is too far for the dump to say where it leads: what was loaded says it.
    if (ours.is_rewritten) {
      return ours;
    }
    source = bpf::Program{.slots = program.question.slots, .functions = {}};
    for (std::size_t i = 0; i < program.functions.size(); ++i) {
      source->functions.push_back(
          {.name = {},
           .begin = program.functions[i].begin,
           .end = i + 1 < program.functions.size()
                      ? program.functions[i + 1].begin
                      : static_cast<bpf::SlotIndex>(program.question.slots.size())});
    }
  }
  for (std::size_t i = 0; i < program.functions.size(); ++i) {
    source->functions[i].name =
        has_btf ? kernel::name_in_c(program.functions[i].name) : wire::kListedName;
    source->functions[i].anonymous = !has_btf && i != 0;
  }
  model::LinkedProgram linked{.scheme = model::CallScheme::table,
                              .endian = model::Endian::little,
                              .program = *source,
                              .addresses = std::vector<GuestAddress>(source->functions.size()),
                              .maps = {},
                              .call_base = {},
                              .toc = {},
                              .calls = {},
                              .side_table = {}};
  for (const bpf::PseudoCall& call : pseudo_calls(*source)) {
    bpf::Slot& slot = linked.program.slots[call.slot];
    slot.offset = static_cast<std::int16_t>(slot.imm);
    slot.imm = static_cast<std::int32_t>(call.callee);
  }
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

// Which row of what is known explains that the two lines differ.
std::optional<std::size_t> known_row(const std::string& ours, const std::string& theirs,
                                     const kernel::Answer& answer) {
  static const std::regex kCall(" *([0-9]+): \\(85\\) call pc([+-][0-9]+)#.*");
  std::smatch match;
  if (std::regex_match(theirs, match, kCall) && ours.find(" call pc") != std::string::npos) {
    const std::size_t slot = std::stoul(match[1]);
    const std::int64_t target = static_cast<std::int64_t>(slot) + 1 + std::stoll(match[2]);
    const bool leads_nowhere =
        target < 0 || target >= static_cast<std::int64_t>(answer.program.size());
    return leads_nowhere ? std::optional<std::size_t>(far_call) : std::nullopt;
  }
  return std::nullopt;
}

// Whether libbpf, which bpftool reads them with, takes the addresses of lines: within a function they
// ascend, and each function begins with one (dissect_jited_func() in tools/lib/bpf/bpf_prog_linfo.c).
bool are_lines_taken(const kernel::Answer& answer) {
  std::size_t function = 0;
  const auto end = [&] {
    const kernel::JitedFunction& one = answer.functions[function];
    return one.address.value + one.words.size() * 4;
  };
  for (std::size_t i = 0; i < answer.lines.size(); ++i) {
    const GuestAddress at = answer.lines[i].address;
    if (i == 0 ? at == answer.functions[0].address
               : function + 1 < answer.functions.size() &&
                     at == answer.functions[function + 1].address) {
      function += i == 0 ? 0U : 1U;
    } else if (i == 0 || at.value <= answer.lines[i - 1].address.value || at.value > end()) {
      return false;
    }
  }
  return function + 1 == answer.functions.size();
}

class Comparison {
 public:
  // Line by line: what differs is shown once for a place.
  // `lines_taken`: bpftool is to read the lines of the source.
  void compare(std::uint32_t id, const Lines& ours, Lines theirs, const kernel::Answer& answer,
               bool lines_taken = true) {
    constexpr const char* kRefused = "error in processing bpf_line_info.  continue without it.";
    if (theirs.size() > 1 && theirs[1] == kRefused) {
      theirs.erase(theirs.begin() + 1);
      add(lines_taken ? std::nullopt : std::optional<std::size_t>(lines_refused), id, "", kRefused);
    }
    for (std::size_t i = 0; i < std::max(ours.size(), theirs.size()); ++i) {
      const std::string one = i < ours.size() ? ours[i] : "";
      const std::string other = i < theirs.size() ? normalized_if_needed(theirs[i]) : "";
      ++result.lines;
      if (one != other) {
        const auto row = known_row(one, other, answer);
        add(row, id, one, other);
        if (!row && ours.size() != theirs.size()) {
          return;  // the rest is only shifted
        }
      }
    }
  }
  void add(std::optional<std::size_t> known, std::uint32_t id, std::string ours,
           std::string theirs) {
    result.differences.push_back(
        {.known = known, .program = id, .ours = std::move(ours), .theirs = std::move(theirs)});
  }

  ListingComparison result;

 private:
  static std::string normalized_if_needed(const std::string& line) {
    return line.starts_with('\t') ? normalized(line)
                                  : line.substr(std::min(line.size(), line.find_first_not_of(' ')));
  }
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
  comparison.add(says_so ? std::optional<std::size_t>(no_disassembler) : std::nullopt, 0, "",
                 output.text.substr(0, output.text.find('\n')));
}

}  // namespace

std::vector<ListedProgram> listed_programs(std::span<const model::Document> documents) {
  std::vector<ListedProgram> programs;
  for (LinuxCell& cell : linux_cells(documents)) {
    if (cell.skipped) {
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
                                   show::TagHash hash) {
  Comparison comparison;
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
    comparison.compare(id, shown(programs[i], answer, id, tag), of(all_shown, id), answer);
    const OurListing ours = listed(programs[i], answer, id, tag, reader, hash);
    if (ours.is_rewritten) {
      comparison.add(rewritten, id, "", "");
    }
    const bool lines_taken = programs[i].question.types.btf.empty() ||
                             reader != wire::ListingReader::jit_on || are_lines_taken(answer);
    if (ours.lines.size() > 1) {
      comparison.compare(id, ours.lines, of(all_listed, id), answer, lines_taken);
    } else {
      comparison.add(not_ours, id, "", "");
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

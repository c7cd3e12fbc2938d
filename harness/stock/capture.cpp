#include "stock/capture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <memory>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "base/byte_order.hpp"
#include "bpf/instruction.hpp"
#include "check/blinding_findings.hpp"
#include "check/branch_target.hpp"
#include "check/kernel_dump_findings.hpp"
#include "check/kernel_findings.hpp"
#include "decode/call_sites.hpp"
#include "engine/image.hpp"
#include "model/convention.hpp"
#include "run/pipeline.hpp"
#include "stock/distance.hpp"
#include "stock/dump.hpp"
#include "stock/maps.hpp"
#include "stock/programs.hpp"

namespace farcall::stock {
namespace {

// Where Linux's JIT for ppc64 has BPF's r0 … r10.
const std::vector<std::uint8_t> kLinuxRegisters = {8, 3, 4, 5, 6, 7, 27, 28, 29, 30, 31};

constexpr const char* kRunsAsRewritten =
    "in the bare guest the program is what the kernel's verifier has made of it, which makes other "
    "calls: those that the case states, the dump, lines and control flow are not checked";
constexpr const char* kChanged =
    "the kernel's dump is not checked: its verifier has changed which calls the program makes";

constexpr const char* kNotItsCalls =
    "the kernel's verifier has put calls into the program of which it is not known whom they call";
// Where nothing of the kernel is.
constexpr GuestAddress kNotCalled = {0xc000'0e00'0000'0000};
constexpr std::uint64_t kBetweenNotCalled = 0x1'0000;

constexpr const char* kNoTags =
    "the names of symbols are not checked: what the kernel has of the program is not known";

Error declined(std::string why, std::string hint = {}) {
  return {.code = ErrorCode::jit_declined, .message = std::move(why), .hint = std::move(hint)};
}

// Whether execution never goes on after this word: b, blr, bctr, without a condition and a link.
bool ends_a_path(std::uint32_t word) {
  constexpr std::uint32_t kAlways = 20;  // of the field BO
  const std::uint32_t opcode = word >> 26U;
  const std::uint32_t extended = word >> 1U & 0x3ffU;
  const bool to_register =
      opcode == 19 && (extended == 16 || extended == 528) && (word >> 21U & kAlways) == kAlways;
  return (opcode == 18 || to_register) && (word & 1U) == 0;
}

// How many words at the end no way from the function's beginning leads to: stubs, their data, what
// fills up.
std::uint32_t words_after_the_last_reached(const model::CodeFunction& function) {
  const std::size_t count = function.words.size();
  std::vector<bool> reached(count);
  std::vector<std::size_t> open = {function.descriptor_words};
  while (!open.empty()) {
    std::size_t at = open.back();
    open.pop_back();
    while (at < count && !reached[at]) {
      reached[at] = true;
      if (const auto target = check::branch_target(function, at);
          target && *target >= 0 && *target < static_cast<std::int64_t>(count)) {
        open.push_back(static_cast<std::size_t>(*target));
      }
      if (ends_a_path(function.words[at])) {
        break;
      }
      ++at;
    }
  }
  std::size_t end = count;
  while (end > function.descriptor_words && !reached[end - 1]) {
    --end;
  }
  return static_cast<std::uint32_t>(count - end);
}

// How many of a function's words are its descriptor.
std::uint32_t descriptor_words(const kernel::JitedFunction& function, model::Abi abi) {
  const bool has_code = function.words.size() > model::kDescriptorWords;
  return abi == model::Abi::elfv1 && has_code ? model::kDescriptorWords : 0;
}

// What functions load r2 from: so far after r13. Nothing: they do not.
std::optional<std::uint32_t> toc_displacement(const model::CodeImage& image) {
  constexpr std::uint32_t kLoadToc = 0xe84d0000;  // ld r2,D(r13)
  for (const model::CodeFunction& function : image.functions) {
    for (const std::uint32_t word : std::span(function.words).subspan(function.descriptor_words)) {
      if ((word & 0xffff0003U) == kLoadToc) {
        return word & 0xfffcU;
      }
    }
  }
  return std::nullopt;
}

// The paragraph after `heading`, as one line; empty: there is none.
std::string paragraph(const std::string& log, std::string_view heading) {
  const std::size_t at = log.rfind(heading);
  if (at == std::string::npos) {
    return {};
  }
  std::istringstream lines(log.substr(at + heading.size()));
  std::string text;
  for (std::string line; std::getline(lines, line) && !line.empty();) {
    text +=
        (text.empty() ? "" : " ") + line.substr(std::min(line.size(), line.find_first_not_of(' ')));
  }
  return text;
}

// The verifier's reason: its last line counts what it did; before it stands why. Since 7.3 advice is
// between them, and the reason has a paragraph of its own.
std::string reason_in(std::string log, std::uint32_t error) {
  if (const std::string reason = paragraph(log, "\nReason:\n"); !reason.empty()) {
    return reason;
  }
  log = log.substr(0, log.rfind("processed "));
  log.resize(log.find_last_not_of('\n') + 1);
  const std::size_t line = log.rfind('\n');
  return log.empty() ? std::strerror(static_cast<int>(error))
                     : log.substr(line == std::string::npos ? 0 : line + 1);
}

// The programs with the slots that the kernel was given.
bpf::Program as_asked(const LinuxCell& linux_cell) {
  bpf::Program asked = *linux_cell.cell.program;
  asked.slots = linux_cell.question.slots;
  for (const kernel::TailProgram& target : linux_cell.question.targets) {
    asked.slots.insert(asked.slots.end(), target.slots.begin(), target.slots.end());
  }
  return asked;
}

constexpr std::uint8_t kTailCallInKernel = 0xf5;

std::vector<bpf::SlotIndex> tail_calls(const bpf::Program& program) {
  std::vector<bpf::SlotIndex> all;
  for (bpf::SlotIndex at = 0; at < program.slots.size();
       at += bpf::slots_of(program.slots[at].opcode)) {
    const bpf::Slot& slot = program.slots[at];
    if (slot.opcode == kCallOpcode && slot.src == bpf::kHelperCall && slot.imm == bpf::kTailCall) {
      all.push_back(at);
    }
  }
  return all;
}

// A program as it is when the tags of its functions are taken: a tail call has an opcode of its own,
// and, if the verifier knows its index and constants are not blinded, which of these it is, from 1.
// `known`: a bit for each of them, in order.
bpf::Program as_tagged(bpf::Program program, std::span<const bpf::SlotIndex> calls,
                       unsigned known) {
  std::int32_t number = 0;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    program.slots[calls[i]].opcode = kTailCallInKernel;
    program.slots[calls[i]].imm = (known >> i & 1U) != 0 ? ++number : 0;
  }
  return program;
}

// The tag of a function that the kernel's name of it has. Which tail calls' indices its verifier knows
// is not for us to say: each choice is tried, and the last one is of those without any.
show::Tag tag_of_function(const bpf::Program& program, std::uint32_t function,
                          const std::string& symbol, std::endian order, show::TagHash hash,
                          std::uint64_t placeholder) {
  constexpr std::size_t kMostTried = 8;
  const std::vector<bpf::SlotIndex> calls = tail_calls(program);
  show::Tag tag;
  for (unsigned known = 1U << std::min(calls.size(), kMostTried); known-- > 0;) {
    tag =
        show::tags(as_tagged(program, calls, known), order, hash, placeholder).functions[function];
    if (symbol.find(to_string(tag)) != std::string::npos) {
      break;
    }
  }
  return tag;
}

// The names of symbols: the program's is made of what was loaded, those of its other functions of
// what the verifier made of it.
std::vector<check::SymbolStory> symbol_stories(const LinuxCell& linux_cell,
                                               const bpf::Program& dumped,
                                               const kernel::Answer& answer,
                                               const AskedKernel& kernel) {
  const std::endian order = kernel.facts.order();
  // In place of a function's address; 6.1's source has the one, 6.12's the other: VMALLOC_START.
  const std::uint64_t placeholder = kernel.series < check::KernelSeries{6, 12}
                                        ? show::kOneInBothHalves
                                        : begin_of_area(answer.functions.front().address).value;
  const bpf::Program asked = as_asked(linux_cell);
  const std::vector<ProgramPart> loaded = program_parts(asked);
  const std::vector<ProgramPart> made = program_parts(dumped);
  std::vector<check::SymbolStory> stories;
  for (std::size_t p = 0; p < made.size() && p < loaded.size(); ++p) {
    const show::Tag whole = show::tags(alone(asked, loaded[p]), order, kernel.hash).program;
    const bpf::Program part = alone(dumped, made[p]);
    for (std::uint32_t f = made[p].first_function; f < made[p].end_function; ++f) {
      const bool is_first = f == made[p].first_function;
      const show::Tag tag =
          is_first ? whole
                   : tag_of_function(part, f - made[p].first_function, answer.functions[f].symbol,
                                     order, kernel.hash, placeholder);
      stories.push_back({.function = dumped.functions[f].name,
                         .expected = fmt::format("bpf_prog_{}_{}", to_string(tag),
                                                 kernel::name_in_c(dumped.functions[f].name)),
                         .seen = answer.functions[f].symbol});
    }
  }
  return stories;
}

// What a hardened kernel made of the functions, beside what the same kernel makes of them otherwise,
// `plain`, whose dump is `dumped`.
std::vector<check::BlindedFunction> blinded_functions(const bpf::Program& program,
                                                      const bpf::Program& dumped,
                                                      const kernel::Answer& plain,
                                                      const kernel::Answer& hardened) {
  const auto slots_of = [](const bpf::Program& of, std::size_t i) {
    const bpf::Function& function = of.functions[i];
    return std::vector(of.slots.begin() + function.begin, of.slots.begin() + function.end);
  };
  std::vector<check::BlindedFunction> functions;
  std::vector<GuestAddress> callees;
  std::ranges::transform(hardened.functions, std::back_inserter(callees),
                         &kernel::JitedFunction::address);
  for (std::size_t i = 0; i < hardened.functions.size(); ++i) {
    functions.push_back({.name = program.functions[i].name,
                         .source = slots_of(program, i),
                         .dumped = slots_of(dumped, i),
                         .plain = plain.functions[i].words,
                         .blinded = hardened.functions[i].words,
                         .callees = callees});
  }
  return functions;
}

// The same of a program whose calls the verifier has not changed. jit.declined: there is nothing to
// compare with.
Result<std::vector<check::BlindedFunction>> blinded_functions(const bpf::Program& program,
                                                              const kernel::Answer& hardened,
                                                              const kernel::Answer* plain) {
  if (plain == nullptr) {
    return declined(
        "whether its constants are blinded cannot be seen: without hardening there is "
        "no code to compare it with");
  }
  const auto dumped = as_source(program, *plain);
  if (!dumped || plain->functions.size() != hardened.functions.size()) {
    return declined(
        "whether its constants are blinded cannot be seen: without hardening the kernel "
        "has other functions");
  }
  return blinded_functions(program, *dumped, *plain, hardened);
}

bool blinds_anything(std::span<const check::BlindedFunction> functions) {
  return std::ranges::any_of(functions, [](const check::BlindedFunction& function) {
    return check::blindable(function.dumped) != 0;
  });
}

model::Finding warned(const std::string& trouble) {
  return {ErrorCode::jit_warned, "", "the kernel's log says: " + trouble};
}

// Whatever the kernel refused, it must not warn.
void skip_unless_warned(Error why, const std::string& trouble, Captured& all) {
  if (trouble.empty()) {
    all.skipped = std::move(why);
  } else {
    all.findings.push_back(warned(trouble));
  }
}

// Of a program that the verifier is to reject: whether it did. Nothing is compared of one that it
// accepts.
void judge_rejection(const kernel::Answer& answer, const std::string& trouble, Captured& all) {
  const check::VerifierRun run{.rejected = answer.outcome == wire::KernelOutcome::rejected,
                               .log = answer.log,
                               .reason = reason_in(answer.log, answer.error)};
  all.findings = check::verifier_findings(all.cell, run);
  if (!trouble.empty()) {
    all.findings.push_back(warned(trouble));
  }
  if (all.findings.empty()) {
    all.notes.push_back("as expected, the kernel's verifier rejects it: " + run.reason);
  }
}

// The bare guest enters a function as its descriptor says, and takes r2 from there.
std::vector<model::Finding> descriptor_findings(const model::CodeImage& image, GuestAddress toc) {
  std::vector<model::Finding> findings;
  for (const model::CodeFunction& function : image.functions) {
    const auto descriptor = descriptor_at(image, function.address);
    if (descriptor && descriptor->code != function.code()) {
      findings.push_back(
          {ErrorCode::call_decoded_elsewhere, "",
           fmt::format("expected the descriptor of {} to lead to the code after it, "
                       "{}; it leads to {}",
                       function.name, to_string(function.code()), to_string(descriptor->code))});
    }
    if (descriptor && descriptor->toc != toc) {
      findings.push_back({ErrorCode::abi_toc, "",
                          fmt::format("expected the descriptor of {} to have the kernel's TOC "
                                      "pointer, {}; it has {}",
                                      function.name, to_string(toc), to_string(descriptor->toc))});
    }
  }
  return findings;
}

// What the code of tail calls reads: the structures of arrays of programs, and of the programs.
std::vector<model::KernelMemory> memory_of_tail_calls(const LinuxCell& linux_cell,
                                                      const kernel::Answer& answer) {
  std::vector<model::KernelMemory> all;
  for (std::size_t i = 0; i < linux_cell.kinds.size(); ++i) {
    if (linux_cell.kinds[i] != RegionKind::programs) {
      continue;
    }
    for (const kernel::KernelPiece& piece : answer.regions[i].pieces) {
      const bool is_new =
          std::ranges::find(all, piece.address, &model::KernelMemory::address) == all.end();
      if (!piece.bytes.empty() && is_new) {
        all.push_back({.address = piece.address, .bytes = piece.bytes});
      }
    }
  }
  return all;
}

// How many words of a program a tail call leaves out: up to the one that stores the count of tail
// calls, 0, below r1. All programs of a kernel begin alike, but those without tail calls have nops in
// its place. Nothing: none stores it.
std::optional<std::uint32_t> tail_entry_words(const model::CodeImage& image) {
  constexpr std::size_t kMostWords = 16;
  constexpr std::uint32_t kStoreBelow = 0xf8018000;  // std rX,-D(r1)
  constexpr std::uint32_t kFixed = 0xfc1f8003;
  for (const model::CodeFunction& function : image.functions) {
    const auto words = std::span(function.words).subspan(function.descriptor_words);
    const auto first = words.first(std::min(words.size(), kMostWords));
    const auto store = std::ranges::find_if(
        first, [](std::uint32_t word) { return (word & kFixed) == kStoreBelow; });
    if (store != first.end()) {
      return static_cast<std::uint32_t>(store - first.begin()) + 1;
    }
  }
  return std::nullopt;
}

// Whether what the code reads shares a page with what the program may write: no guest of ours maps
// such a page. Memory of hash tables may lie like that.
bool shares_a_page(const model::Cell& cell, const model::CodeImage& image) {
  const auto page = [](GuestAddress address) { return address.value / model::kPageBytes; };
  return std::ranges::any_of(image.kernel_memory, [&](const model::KernelMemory& memory) {
    return std::ranges::any_of(cell.memory, [&](const bpf::MemoryRegion& region) {
      return region.writable && region.address != memory.address &&
             page(region.address) <= page(memory.address + (memory.bytes.size() - 1)) &&
             page(memory.address) <= page(region.address + (region.bytes.size() - 1));
    });
  });
}

// The kernel's code of a cell that it has placed.
Result<model::Document> document_of(const LinuxCell& linux_cell, const model::Cell& cell,
                                    const kernel::Answer& answer, const AskedKernel& kernel) {
  const kernel::KernelFacts& facts = kernel.facts;
  std::vector<std::string> names;
  for (const bpf::Function& function : cell.program->functions) {
    names.push_back(function.name);
  }
  model::Document document{.cell = cell, .linked = {}, .image = kernel_image(answer, names, facts)};
  document.cell.placement.toc = facts.toc;
  if (makes_tail_calls(*cell.program)) {
    const auto words = tail_entry_words(*document.image);
    if (!words) {
      return declined("in its code no function stores a count of tail calls");
    }
    for (std::uint32_t i = 0; i < cell.program->functions.size(); ++i) {
      if (is_program(*cell.program, i)) {
        document.image->functions[i].tail_entry_words = *words;
      }
    }
    document.image->kernel_memory = memory_of_tail_calls(linux_cell, answer);
    if (shares_a_page(cell, *document.image)) {
      return declined("its array of programs is in one page with what it writes");
    }
  }
  FARCALL_TRYV(engine::complete(document.cell, *document.image));
  for (std::size_t i = 0; i < cell.program->externals.size(); ++i) {
    const std::size_t number = cell.program->functions.size() + i;
    const auto at = cell.placement.functions[number];
    if (kernel.symbols.is_without_toc_at(at)) {
      document.image->functions[number].local_entry_words = 0;
    }
  }
  return document;
}

bool has_own_maps(const LinuxCell& linux_cell) {
  return std::ranges::any_of(linux_cell.kinds, is_own_map);
}

// Where farcall has a function whose code is to be called where the kernel's is. jit.declined: it does
// not say where that is.
Result<GuestAddress> code_address(const KernelSymbols& symbols, const char* name,
                                  std::uint64_t descriptor_bytes) {
  const std::string symbol = descriptor_bytes != 0 ? code_symbol(name) : std::string(name);
  const auto address = symbols.find(symbol);
  if (!address) {
    return declined(fmt::format("the kernel does not say where its {} is", name));
  }
  return GuestAddress{address->value - descriptor_bytes};
}

// Puts the helpers that the cell's program calls where they are in the kernel, or what is called in
// their place. jit.declined: that is not known, or in the bare guest there is no such function. The code
// of an ELFv1 kernel calls a helper's code, whose descriptor is elsewhere; farcall's own helpers have
// theirs before it.
Result<void> place_helpers(const kernel::Answer& answer, const KernelSymbols& symbols,
                           model::Abi abi, model::Cell& cell) {
  const std::uint64_t descriptor_bytes = model::convention(abi).descriptor_bytes;
  const bpf::Program& program = *cell.program;
  const auto called = called_symbols(answer.program, symbols);
  for (std::size_t i = 0; i < program.externals.size(); ++i) {
    const RealHelper* const helper = real_helper(program.externals[i]);
    if (helper == nullptr) {
      continue;  // it is not called, or the kernel would not have been asked
    }
    if (!called && helper->is_of_maps()) {
      return declined("it is not known which of the kernel's functions it calls");
    }
    const char* name = called ? nullptr : helper->symbol;
    for (const CalledSymbol& one : called.value_or(std::vector<CalledSymbol>{})) {
      if (one.helper == helper && name != nullptr && std::string_view(name) != one.symbol) {
        return declined(fmt::format("it calls both {} and {}", name, one.symbol));
      }
      name = one.helper == helper ? one.symbol : name;
    }
    GuestAddress& place = cell.placement.functions[program.functions.size() + i];
    if (name == nullptr || std::string_view(name) == kHashElementSymbol) {
      // Its code does not call it; the rewritten program may call another function there.
      place = kNotCalled + i * kBetweenNotCalled;
      continue;
    }
    FARCALL_TRY(address, code_address(symbols, name, descriptor_bytes));
    place = address;
  }
  return success();
}

// Which function a dump calls that changes an array: in the bare guest it would change one as farcall
// has it. Null: none.
const char* writes_arrays(std::span<const bpf::Slot> dumped, const KernelSymbols& symbols) {
  for (const CalledSymbol& called :
       called_symbols(dumped, symbols).value_or(std::vector<CalledSymbol>{})) {
    if (called.symbol == called.helper->of_array) {
      return called.symbol;
    }
  }
  return nullptr;
}

// Loads of addresses of that map's values, which begin there, become loads of numbers.
void load_values_by_address(bpf::Program& program, const std::string& map, GuestAddress values) {
  for (std::size_t at = 0; at < program.slots.size();
       at += bpf::slots_of(program.slots[at].opcode)) {
    bpf::Slot* const slot = &program.slots[at];
    if (slot->opcode == bpf::kLoadImmediate64 && slot->src == bpf::kPseudoMapValue &&
        program.maps[static_cast<std::size_t>(slot->imm)].name == map) {
      const std::uint64_t address = values.value + static_cast<std::uint32_t>(slot[1].imm);
      slot[0].src = 0;
      slot[0].imm = static_cast<std::int32_t>(static_cast<std::uint32_t>(address));
      slot[1].imm = static_cast<std::int32_t>(static_cast<std::uint32_t>(address >> 32U));
    }
  }
}

// The cell with the program that the verifier has made of its own, whose code finds the values of
// arrays by itself: these are as the kernel has them. The calls that the case states are of another
// program. jit.declined: in the bare guest the program would find other maps than in the kernel.
Result<model::Cell> rewritten_cell(const LinuxCell& linux_cell, model::Cell cell,
                                   bpf::Program program, const kernel::Answer& answer,
                                   const AskedKernel& kernel) {
  const std::endian order = byte_order(cell.axes.endian);
  std::vector<GuestAddress> places;
  std::ranges::transform(answer.functions, std::back_inserter(places),
                         &kernel::JitedFunction::address);
  const auto helpers = std::span(cell.placement.functions).subspan(cell.program->functions.size());
  places.insert(places.end(), helpers.begin(), helpers.end());
  if (external_with_id(program, bpf::ExternalKind::helper, kHashElement)) {
    FARCALL_TRY(address, code_address(kernel.symbols, kHashElementSymbol,
                                      model::convention(kernel.facts.abi).descriptor_bytes));
    places.push_back(address);
  }
  cell.placement.functions = std::move(places);
  cell.expected.calls.clear();
  cell.expected.any_other_call = true;
  for (std::size_t i = 0; i < cell.memory.size(); ++i) {
    const kernel::RegionAfter& after = answer.regions[i];
    if (linux_cell.kinds[i] == RegionKind::hash) {
      cell.memory[i].address = after.address;  // farcall's own, which only its functions look into
    }
    if (linux_cell.kinds[i] != RegionKind::array) {
      continue;
    }
    const bpf::MemoryRegion region = cell.memory[i];
    const auto laid_out = kernel_layout(region, after, order);
    if (!laid_out) {
      return declined(fmt::format("the kernel does not tell of the memory of {}", region.name));
    }
    cell.memory[i] = *laid_out;
    std::vector<model::ExpectedMemory> expected;
    for (const model::ExpectedMemory& one : cell.expected.memory) {
      const auto pieces = one.region == region.name ? in_kernel_layout(one, region, after, order)
                                                    : std::vector{one};
      expected.insert(expected.end(), pieces.begin(), pieces.end());
    }
    cell.expected.memory = std::move(expected);
    load_values_by_address(program, region.name, laid_out->address + after.values_at);
  }
  cell.program = std::make_shared<const bpf::Program>(std::move(program));
  return cell;
}

// Of a program that did what it should: what the kernel has wrong in what it tells of it.
std::vector<model::Finding> told_wrong(const bpf::Program& program, const bpf::Program& dumped,
                                       const kernel::Answer& answer, wire::KernelMode mode,
                                       const AskedKernel& kernel) {
  std::vector<model::Finding> all = dump_findings(program, dumped, answer, mode, kernel);
  if (!answer.functions.empty()) {
    const auto of_pointers = pointer_findings(program, answer, kernel.facts);
    all.insert(all.end(), of_pointers.begin(), of_pointers.end());
  }
  return all;
}

// The kernel's code as a document, of a program whose calls are still its own.
// jit.declined: the bare guest cannot have it.
std::optional<Error> repeat(const LinuxCell& linux_cell, const kernel::Answer& answer,
                            const bpf::Program& dumped,
                            std::span<const check::BlindedFunction> blinded, wire::KernelMode mode,
                            const AskedKernel& kernel, Captured& all) {
  const std::shared_ptr<const bpf::Program> program = all.cell.program;
  auto document = document_of(linux_cell, all.cell, answer, kernel);
  if (!document) {
    return document.error();
  }
  all.document = std::move(document).value();
  all.cell = all.document->cell;
  const bool knows_lines = mode != wire::KernelMode::hardened ||
                           check::is_blinded_dump(answer.program) || !blinds_anything(blinded);
  if (knows_lines) {
    all.findings = line_findings(*program, dumped, answer, kernel.facts);
    const auto found = found_lines(*program, dumped, answer, *all.document->image, kernel.rows);
    for (std::size_t i = 0; i < found.size(); ++i) {
      all.document->image->functions[i].lines = found[i].lines;
    }
    if (std::string without = without_lines(found); !without.empty()) {
      all.notes.push_back(std::move(without));
    }
  } else {
    all.notes.emplace_back(
        "jited_line_info and control flow are not checked: up to 6.12 it is wrong where a "
        "hardened program has several functions, see line-info-not-blinded of farcall kernel "
        "defects");
  }
  const auto of_descriptors = descriptor_findings(*all.document->image, kernel.facts.toc);
  all.findings.insert(all.findings.end(), of_descriptors.begin(), of_descriptors.end());
  return std::nullopt;
}

// The same of what the verifier has made of it. Its interpretation has to come to what the kernel's run
// came to, too.
std::optional<Error> repeat_rewritten(const LinuxCell& linux_cell, const kernel::Answer& answer,
                                      const bpf::Program& program, const check::KernelRun& run,
                                      const AskedKernel& kernel, Captured& all) {
  const auto cell = rewritten_cell(linux_cell, all.cell, program, answer, kernel);
  if (!cell) {
    return cell.error();
  }
  auto document = document_of(linux_cell, cell.value(), answer, kernel);
  if (!document) {
    return document.error();
  }
  const auto interpreted = run::interpretation(cell.value());
  if (!interpreted) {
    return interpreted.error();
  }
  check::KernelRun own{.engine = run.engine, .result = run.result, .memory = run.memory};
  for (std::size_t i = 0; i < own.memory.size(); ++i) {
    own.memory[i].address = cell.value().memory[i].address;
    if (linux_cell.kinds[i] == RegionKind::hash) {
      own.memory[i].bytes = bytes_after(interpreted.value().memory[i], answer.regions[i],
                                        RegionKind::hash, kernel.facts.order());
    } else if (linux_cell.kinds[i] == RegionKind::array) {
      own.memory[i].bytes =
          kernel_layout_after(all.cell.memory[i], answer.regions[i], kernel.facts.order())
              .value_or(std::vector<std::byte>{});
    }
  }
  const auto found = check::kernel_findings(cell.value(), interpreted.value(), own);
  all.findings.insert(all.findings.end(), found.begin(), found.end());
  all.document = std::move(document).value();
  all.cell = all.document->cell;
  all.notes.emplace_back(kRunsAsRewritten);
  return std::nullopt;
}

}  // namespace

std::optional<Error> skipped(const kernel::Answer& answer) {
  const char* const errno_text = std::strerror(static_cast<int>(answer.error));
  switch (answer.outcome) {
    case wire::KernelOutcome::done:
      return std::nullopt;
    case wire::KernelOutcome::rejected:
      return declined(
          fmt::format("the kernel's verifier rejects it: {}", reason_in(answer.log, answer.error)));
    case wire::KernelOutcome::not_run:
      return declined(fmt::format("the kernel does not run it: {}", errno_text));
    case wire::KernelOutcome::not_known:
      return declined(fmt::format("the kernel does not tell of it: {}", errno_text));
    case wire::KernelOutcome::no_memory:
      return declined(fmt::format("the kernel has no map for its memory: {}", errno_text));
  }
  return declined("an outcome that nobody knows");
}

std::optional<Error> why_not_asked(const LinuxCell& linux_cell, wire::KernelMode mode) {
  constexpr std::size_t kMostBlindedSlots = 10'000;
  const std::size_t count = linux_cell.question.slots.size();
  if (linux_cell.skipped || mode != wire::KernelMode::hardened || count <= kMostBlindedSlots) {
    return linux_cell.skipped;
  }
  return declined(
      fmt::format("not for a hardened kernel: its {} slots; blinding goes through all of "
                  "them again for each constant, and {} are the most that are asked about",
                  count, kMostBlindedSlots));
}

model::CodeImage kernel_image(const kernel::Answer& answer, std::span<const std::string> names,
                              const kernel::KernelFacts& facts) {
  model::CodeImage image;
  image.placed_by = model::PlacedBy::image;
  image.bpf_registers = kLinuxRegisters;
  for (std::size_t i = 0; i < answer.functions.size(); ++i) {
    const kernel::JitedFunction& function = answer.functions[i];
    model::CodeFunction code{.name = names[i],
                             .address = function.address,
                             .words = function.words,
                             .pass_words = {},
                             .descriptor_words = descriptor_words(function, facts.abi),
                             .lines = {}};
    code.stub_words = words_after_the_last_reached(code);
    image.functions.push_back(std::move(code));
  }
  image.entry = image.functions.front().address;
  if (const auto displacement = toc_displacement(image)) {
    model::ThreadArea area{.address = {}, .bytes = std::vector<std::byte>(*displacement + 8)};
    store(&area.bytes[*displacement], facts.toc.value, facts.order());
    image.thread_area = std::move(area);
  }
  return image;
}

Captured captured(const LinuxCell& linux_cell, wire::KernelMode mode,
                  const kernel::Answered& answered, const AskedKernel& kernel,
                  const kernel::Answered* unhardened) {
  Captured all{.cell = linux_cell.cell, .document = {}, .findings = {}, .skipped = {}};
  all.skipped = why_not_asked(linux_cell, mode);
  const bool jit = mode != wire::KernelMode::interpreter;
  const bool hardened = mode == wire::KernelMode::hardened;
  all.cell.name += fmt::format("-{}", kernel::name(mode));
  if (all.skipped) {
    return all;
  }
  if (!answered) {
    all.findings.push_back(model::as_finding(answered.error()));
    return all;
  }
  const kernel::Answer& answer = answered.value();
  const std::string trouble = kernel::trouble_in(answer.kernel_log);
  if (linux_cell.cell.expected.rejection && answer.outcome != wire::KernelOutcome::no_memory) {
    judge_rejection(answer, trouble, all);
    return all;
  }
  if (auto why = skipped(answer)) {
    skip_unless_warned(*std::move(why), trouble, all);
    return all;
  }
  const std::string name = all.cell.name;
  all.cell = placed_by_kernel(linux_cell, answer);
  all.cell.name = name;
  const auto call_base = kernel.symbols.find(kCallBaseSymbol);
  all.cell.placement.call_base = call_base.value_or(GuestAddress{});
  if (!call_base) {
    all.notes.emplace_back(
        "the kernel does not say where its __bpf_call_base is: there is no distance from it, and "
        "addresses in the dump are not checked");
  }
  if (!jit && call_base && all.cell.program->functions.size() > 1 &&
      !kernel.symbols.find(interpreter_symbol(kMostInterpretedStack))) {
    all.notes.emplace_back(
        "the kernel does not say where its interpreters are: which of them the calls in the dump "
        "name is not checked");
  }
  if (!check::is_dump_known(kernel.series)) {
    all.notes.push_back(
        fmt::format("what a dump of {}.{} has in the off and imm of calls is not known, and not "
                    "checked",
                    kernel.series.major, kernel.series.minor));
  }
  if (jit == answer.functions.empty()) {
    all.findings.push_back({ErrorCode::jit_refused, "",
                            jit ? "the kernel interprets it: its JIT made no code"
                                : "the kernel's JIT made code, and it is off"});
    return all;
  }
  std::optional<Error> not_repeated;  // why the code of a program with maps is not run once more
  if (auto placed = place_helpers(answer, kernel.symbols, kernel.facts.abi, all.cell); !placed) {
    if (!has_own_maps(linux_cell)) {
      skip_unless_warned(std::move(placed).error(), trouble, all);
      return all;
    }
    not_repeated = std::move(placed).error();
  }
  const auto source = run::interpretation(all.cell);
  if (!source) {
    all.findings.push_back(model::as_finding(source.error()));
    return all;
  }
  check::KernelRun run{.engine = jit ? "the kernel's JIT" : "the kernel's interpreter",
                       .result = answer.result,
                       .memory = all.cell.memory,
                       .symbols = {},
                       .trouble = trouble};
  for (std::size_t i = 0; i < run.memory.size(); ++i) {
    run.memory[i].bytes = bytes_after(source.value().memory[i], answer.regions[i],
                                      linux_cell.kinds[i], kernel.facts.order());
  }
  // Where its code tells nothing: the kernel's own run is looked at all the same.
  const auto skip_unless_wrong = [&](Error why) {
    all.findings = check::kernel_findings(all.cell, source.value(), run);
    if (all.findings.empty()) {
      all.skipped = std::move(why);
    }
  };
  const std::shared_ptr<const bpf::Program> asked = all.cell.program;
  const bpf::Program& program = *asked;
  const auto dumped = as_source(program, answer);
  // What its JIT makes of the program without hardening.
  const kernel::Answer* plain = &answer;
  if (hardened) {
    const bool has_code =
        unhardened != nullptr && *unhardened && !unhardened->value().functions.empty();
    plain = has_code ? &unhardened->value() : nullptr;
  }
  // What a lookup in a hash table returns is not what the code calls returns.
  const bool has_hash =
      std::ranges::find(linux_cell.kinds, RegionKind::hash) != linux_cell.kinds.end();
  const auto rewritten = !jit || (dumped && !has_hash) || plain == nullptr
                             ? std::nullopt
                             : as_rewritten(all.cell, *plain, kernel.symbols);
  if (!jit) {  // else the run in the bare guest looks at it
    all.findings = check::objections(all.cell, source.value());
    if (!dumped) {
      all.notes.emplace_back(kChanged);
    }
  } else if (rewritten && answer.functions.size() == rewritten->program.functions.size()) {
    // Blinding changes a dump, too, before the tags are taken.
    const auto tagged = as_dumped(program, answer);
    if (tagged) {
      run.symbols = symbol_stories(linux_cell, *tagged, answer, kernel);
    } else {
      all.notes.emplace_back(kNoTags);
    }
    all.findings = pointer_findings(rewritten->program, answer, kernel.facts);
    if (hardened) {
      const auto open = check::blinding_findings(
          blinded_functions(rewritten->program, rewritten->dumped, *plain, answer));
      all.findings.insert(all.findings.end(), open.begin(), open.end());
    }
    const char* const writes = writes_arrays(plain->program, kernel.symbols);
    if (!not_repeated && writes != nullptr) {
      not_repeated =
          declined(fmt::format("it calls {}, of arrays as only the kernel has them", writes));
    }
    if (!not_repeated) {
      not_repeated = repeat_rewritten(linux_cell, answer, rewritten->program, run, kernel, all);
    }
  } else {
    const bool is_changed = !dumped || answer.functions.size() != program.functions.size();
    if (is_changed && has_own_maps(linux_cell)) {
      not_repeated = not_repeated ? not_repeated : declined(kNotItsCalls);
    } else if (is_changed) {
      skip_unless_wrong(declined("the kernel's verifier has changed which calls the program makes",
                                 "it takes away what can never be reached"));
      return all;
    }
    if (!is_changed) {
      std::vector<check::BlindedFunction> blinded;
      if (hardened) {
        auto functions = blinded_functions(program, answer, plain);
        if (!functions) {
          skip_unless_wrong(functions.error());
          return all;
        }
        blinded = std::move(functions).value();
        if (!blinds_anything(blinded)) {
          all.notes.emplace_back("the program has no constant that bpf_jit_harden=2 blinds");
        }
      }
      run.symbols = symbol_stories(linux_cell, *dumped, answer, kernel);
      if (!not_repeated) {
        not_repeated = repeat(linux_cell, answer, *dumped, blinded, mode, kernel, all);
      }
      const auto open = check::blinding_findings(blinded);
      all.findings.insert(all.findings.end(), open.begin(), open.end());
    }
  }
  const bool may_be =
      has_own_maps(linux_cell) && not_repeated && not_repeated->code == ErrorCode::jit_declined;
  if (not_repeated && jit && !may_be) {
    all.findings.push_back(model::as_finding(*not_repeated));
  } else if (not_repeated && jit) {
    all.not_repeated = not_repeated;
    all.notes.push_back(
        fmt::format("its code is not run once more in the bare guest, where its branches and "
                    "registers would be checked: {}",
                    not_repeated->message));
    const auto objections = check::objections(linux_cell.cell, source.value());
    all.findings.insert(all.findings.end(), objections.begin(), objections.end());
  }
  if (dumped) {
    const auto wrong = told_wrong(program, *dumped, answer, mode, kernel);
    all.findings.insert(all.findings.end(), wrong.begin(), wrong.end());
  }
  const auto found = check::kernel_findings(all.cell, source.value(), run);
  all.findings.insert(all.findings.end(), found.begin(), found.end());
  return all;
}

}  // namespace farcall::stock

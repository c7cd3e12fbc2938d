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

namespace farcall::stock {
namespace {

// Where Linux's JIT for ppc64 has BPF's r0 … r10.
const std::vector<std::uint8_t> kLinuxRegisters = {8, 3, 4, 5, 6, 7, 27, 28, 29, 30, 31};

constexpr const char* kRunsAsRewritten =
    "in the bare guest the program is what the kernel's verifier has made of it, which makes other "
    "calls: those that the case states, the dump, lines and control flow are not checked";
constexpr const char* kChanged =
    "the kernel's dump is not checked: its verifier has changed which calls the program makes";

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

// The names of symbols: the program's is made of what was loaded, those of its other functions of
// what the verifier made of it.
std::vector<check::SymbolStory> symbol_stories(const LinuxCell& linux_cell,
                                               const bpf::Program& dumped,
                                               const kernel::Answer& answer,
                                               const AskedKernel& kernel) {
  bpf::Program loaded = *linux_cell.cell.program;
  loaded.slots = linux_cell.question.slots;
  const std::endian order = kernel.facts.order();
  const show::Tag whole = show::tags(loaded, order, kernel.hash).program;
  // In place of a function's address; 6.1's source has the one, 6.12's the other: VMALLOC_START.
  const std::uint64_t placeholder = kernel.series < check::KernelSeries{6, 12}
                                        ? show::kOneInBothHalves
                                        : begin_of_area(answer.functions.front().address).value;
  const show::ProgramTags parts = show::tags(dumped, order, kernel.hash, placeholder);
  std::vector<check::SymbolStory> stories;
  for (std::size_t i = 0; i < answer.functions.size(); ++i) {
    stories.push_back(
        {.function = dumped.functions[i].name,
         .expected = fmt::format("bpf_prog_{}_{}", to_string(i == 0 ? whole : parts.functions[i]),
                                 kernel::name_in_c(dumped.functions[i].name)),
         .seen = answer.functions[i].symbol});
  }
  return stories;
}

// What a hardened kernel made of the functions, beside what the same kernel makes of them otherwise.
// jit.declined: of that there is nothing to compare with.
Result<std::vector<check::BlindedFunction>> blinded_functions(const bpf::Program& program,
                                                              const kernel::Answer& hardened,
                                                              const kernel::Answered* unhardened) {
  if (unhardened == nullptr || !*unhardened || unhardened->value().functions.empty()) {
    return declined(
        "whether its constants are blinded cannot be seen: without hardening there is "
        "no code to compare it with");
  }
  const kernel::Answer& plain = unhardened->value();
  const auto dumped = as_source(program, plain);
  if (!dumped || plain.functions.size() != hardened.functions.size()) {
    return declined(
        "whether its constants are blinded cannot be seen: without hardening the kernel "
        "has other functions");
  }
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
                         .dumped = slots_of(*dumped, i),
                         .plain = plain.functions[i].words,
                         .blinded = hardened.functions[i].words,
                         .callees = callees});
  }
  return functions;
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

// The kernel's code of a cell that it has placed.
Result<model::Document> document_of(const model::Cell& cell, const kernel::Answer& answer,
                                    const kernel::KernelFacts& facts) {
  std::vector<std::string> names;
  for (const bpf::Function& function : cell.program->functions) {
    names.push_back(function.name);
  }
  model::Document document{.cell = cell, .linked = {}, .image = kernel_image(answer, names, facts)};
  document.cell.placement.toc = facts.toc;
  FARCALL_TRYV(engine::complete(document.cell, *document.image));
  return document;
}

// Puts the helpers that the cell's program calls where they are in the kernel. jit.declined: it does
// not say where. The code of an ELFv1 kernel calls a helper's code, whose descriptor is elsewhere;
// farcall's own helpers have theirs before it.
Result<void> place_helpers(const KernelSymbols& symbols, model::Abi abi, model::Cell& cell) {
  const std::uint64_t descriptor_bytes = model::convention(abi).descriptor_bytes;
  const bpf::Program& program = *cell.program;
  for (std::size_t i = 0; i < program.externals.size(); ++i) {
    const RealHelper* const helper = real_helper(program.externals[i]);
    if (helper == nullptr) {
      continue;  // it is not called, or the kernel would not have been asked
    }
    const std::string symbol =
        descriptor_bytes != 0 ? code_symbol(helper->symbol) : std::string(helper->symbol);
    const auto address = symbols.find(symbol);
    if (!address) {
      return declined(fmt::format("the kernel does not say where its {} is", helper->symbol));
    }
    cell.placement.functions[program.functions.size() + i] = {address->value - descriptor_bytes};
  }
  return success();
}

// The cell with the program that the verifier has made of its own. The calls that the case states are
// of another program.
model::Cell rewritten_cell(model::Cell cell, const bpf::Program& program,
                           const kernel::Answer& answer) {
  std::vector<GuestAddress> places;
  std::ranges::transform(answer.functions, std::back_inserter(places),
                         &kernel::JitedFunction::address);
  const auto helpers = std::span(cell.placement.functions).subspan(cell.program->functions.size());
  places.insert(places.end(), helpers.begin(), helpers.end());
  cell.placement.functions = std::move(places);
  cell.program = std::make_shared<const bpf::Program>(program);
  cell.expected.calls.clear();
  cell.expected.any_other_call = true;
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
  if (auto placed = place_helpers(kernel.symbols, kernel.facts.abi, all.cell); !placed) {
    skip_unless_warned(std::move(placed).error(), trouble, all);
    return all;
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
    run.memory[i].bytes = answer.regions[i].bytes;
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
  if (!jit) {  // else the run in the bare guest looks at it
    all.findings = check::objections(all.cell, source.value());
    if (!dumped) {
      all.notes.emplace_back(kChanged);
    }
  } else if (const auto rewritten = dumped || hardened
                                        ? std::nullopt
                                        : as_rewritten(all.cell, answer, kernel.symbols)) {
    run.symbols = symbol_stories(linux_cell, rewritten->dumped, answer, kernel);
    all.findings = pointer_findings(rewritten->program, answer, kernel.facts);
    auto document =
        document_of(rewritten_cell(all.cell, rewritten->program, answer), answer, kernel.facts);
    if (document) {
      all.document = std::move(document).value();
      all.cell = all.document->cell;
      all.notes.emplace_back(kRunsAsRewritten);
    } else {
      all.findings.push_back(model::as_finding(document.error()));
    }
  } else {
    if (!dumped || answer.functions.size() != program.functions.size()) {
      skip_unless_wrong(declined("the kernel's verifier has changed which calls the program makes",
                                 "it takes away what can never be reached"));
      return all;
    }
    std::vector<check::BlindedFunction> blinded;
    if (hardened) {
      auto functions = blinded_functions(program, answer, unhardened);
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
    auto document = document_of(all.cell, answer, kernel.facts);
    if (document) {
      all.document = std::move(document).value();
      all.cell = all.document->cell;
      const bool knows_lines =
          !hardened || check::is_blinded_dump(answer.program) || !blinds_anything(blinded);
      if (knows_lines) {
        all.findings = line_findings(program, *dumped, answer, kernel.facts);
        const auto found = found_lines(program, *dumped, answer, *all.document->image, kernel.rows);
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
    } else {
      all.findings.push_back(model::as_finding(document.error()));
    }
    const auto open = check::blinding_findings(blinded);
    all.findings.insert(all.findings.end(), open.begin(), open.end());
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

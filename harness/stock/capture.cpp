#include "stock/capture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
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
#include "run/pipeline.hpp"

namespace farcall::stock {
namespace {

// Where Linux's JIT for ppc64 has BPF's r0 … r10.
const std::vector<std::uint8_t> kLinuxRegisters = {8, 3, 4, 5, 6, 7, 27, 28, 29, 30, 31};

constexpr std::size_t kMostDumpedDistance = 32'767;  // in slots

Error declined(std::string why, std::string hint = {}) {
  return {.code = ErrorCode::jit_declined, .message = std::move(why), .hint = std::move(hint)};
}

// Function by function, whom its calls call, in program order.
using Census = std::vector<std::vector<std::uint32_t>>;

Census census(const bpf::Program& program) {
  Census all(program.functions.size());
  for (const bpf::PseudoCall& call : pseudo_calls(program)) {
    all[call.site.function].push_back(call.callee);
  }
  return all;
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
  const show::ProgramTags parts = show::tags(dumped, order, kernel.hash);
  std::vector<check::SymbolStory> stories;
  for (std::size_t i = 0; i < answer.functions.size(); ++i) {
    stories.push_back(
        {.function = loaded.functions[i].name,
         .expected = fmt::format("bpf_prog_{}_{}", to_string(i == 0 ? whole : parts.functions[i]),
                                 kernel::name_in_c(loaded.functions[i].name)),
         .seen = answer.functions[i].symbol});
  }
  return stories;
}

// The calls of the dump, by function and number in it, beside those in the bytes. `program` is the
// one that was asked about; it makes the same calls.
std::vector<check::CallInCode> calls_in_code(const bpf::Program& program,
                                             const bpf::Program& dumped,
                                             std::span<const model::DecodedCall> decoded) {
  std::vector<check::CallInCode> calls;
  for (const bpf::PseudoCall& call : pseudo_calls(dumped)) {
    const auto found = std::ranges::find(decoded, call.site, &model::DecodedCall::site);
    if (found != decoded.end()) {
      calls.push_back({.name = to_string(program, call.site), .slot = call.slot, .at = found->at});
    }
  }
  return calls;
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
  const auto dumped = as_source(plain.program);
  if (!dumped || census(*dumped) != census(program) ||
      plain.functions.size() != hardened.functions.size()) {
    return declined(
        "whether its constants are blinded cannot be seen: without hardening the kernel "
        "has other functions");
  }
  const auto slots_of = [](const bpf::Program& of, std::size_t i) {
    const bpf::Function& function = of.functions[i];
    return std::vector(of.slots.begin() + function.begin, of.slots.begin() + function.end);
  };
  std::vector<check::BlindedFunction> functions;
  for (std::size_t i = 0; i < hardened.functions.size(); ++i) {
    functions.push_back({.name = program.functions[i].name,
                         .source = slots_of(program, i),
                         .dumped = slots_of(*dumped, i),
                         .plain = plain.functions[i].words,
                         .blinded = hardened.functions[i].words});
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
  document.cell.placement.functions.clear();
  for (const model::CodeFunction& function : document.image->functions) {
    document.cell.placement.functions.push_back(function.address);
  }
  FARCALL_TRYV(engine::complete(document.cell, *document.image));
  return document;
}

}  // namespace

std::optional<bpf::Program> as_source(std::span<const bpf::Slot> dumped) {
  std::vector<std::int64_t> begins = {0};
  const auto calls = [&](std::size_t i) {
    return dumped[i].opcode == kCallOpcode && dumped[i].src == bpf::kPseudoCall;
  };
  const auto callee = [&](std::size_t i) {
    return static_cast<std::int64_t>(i) + 1 + dumped[i].offset;
  };
  for (std::size_t i = 0; i < dumped.size(); ++i) {
    if (calls(i)) {
      begins.push_back(callee(i));
    }
  }
  std::ranges::sort(begins);
  begins.erase(std::ranges::unique(begins).begin(), begins.end());
  if (begins.front() < 0 || begins.back() >= static_cast<std::int64_t>(dumped.size())) {
    return std::nullopt;
  }
  bpf::Program program{.slots = {dumped.begin(), dumped.end()}, .functions = {}};
  for (std::size_t i = 0; i < begins.size(); ++i) {
    const std::int64_t end =
        i + 1 < begins.size() ? begins[i + 1] : static_cast<std::int64_t>(dumped.size());
    program.functions.push_back({.name = fmt::format("f{}", i),
                                 .begin = static_cast<bpf::SlotIndex>(begins[i]),
                                 .end = static_cast<bpf::SlotIndex>(end)});
  }
  for (std::size_t i = 0; i < dumped.size(); ++i) {
    if (calls(i)) {
      program.slots[i].imm = dumped[i].offset;
      program.slots[i].offset = 0;
    }
  }
  return program;
}

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

std::vector<model::Finding> dump_and_line_findings(const bpf::Program& program,
                                                   const kernel::Answer& answer,
                                                   const kernel::KernelFacts& facts) {
  const auto dumped = as_source(answer.program);
  if (!dumped || answer.functions.size() != program.functions.size() ||
      census(*dumped) != census(program)) {
    return {{ErrorCode::dump_mismatch, "",
             "the calls in the kernel's dump are not those of the program"}};
  }
  std::vector<std::string> names;
  for (const bpf::Function& function : program.functions) {
    names.push_back(function.name);
  }
  std::vector<check::DumpedCall> calls;
  for (const bpf::PseudoCall& call : pseudo_calls(*dumped)) {
    calls.push_back({.name = to_string(program, call.site),
                     .callee = call.callee,
                     .imm = answer.program[call.slot].imm});
  }
  std::vector<model::Finding> findings = check::dump_findings(calls);
  std::vector<check::KernelLine> lines;
  for (const kernel::LineRow& line : answer.lines) {
    lines.push_back({.slot = line.slot, .address = line.address});
  }
  const auto decoded = decode::call_sites(kernel_image(answer, names, facts),
                                          {.endian = facts.endian, .toc = facts.toc});
  const auto of_lines = check::line_findings(lines, calls_in_code(program, *dumped, decoded));
  findings.insert(findings.end(), of_lines.begin(), of_lines.end());
  return findings;
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
  all.skipped = skipped(answer);
  if (all.skipped) {
    if (!trouble.empty()) {  // whatever it refused, it must not warn
      all.skipped.reset();
      all.findings.push_back(warned(trouble));
    }
    return all;
  }
  const std::string name = all.cell.name;
  all.cell = placed_by_kernel(linux_cell, answer);
  all.cell.name = name;
  if (jit == answer.functions.empty()) {
    all.findings.push_back({ErrorCode::jit_refused, "",
                            jit ? "the kernel interprets it: its JIT made no code"
                                : "the kernel's JIT made code, and it is off"});
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
  if (!jit) {  // else the run in the bare guest looks at it
    all.findings = check::objections(all.cell, source.value());
  } else {
    const auto dumped = as_source(answer.program);
    const bpf::Program& program = *all.cell.program;
    if (!dumped || answer.functions.size() != program.functions.size() ||
        census(*dumped) != census(program)) {
      all.skipped =
          std::max(program.slots.size(), answer.program.size()) > kMostDumpedDistance
              ? declined("a call may be further than the 16 bits that the kernel's dump has for it")
              : declined("the kernel's verifier has changed which calls the program makes",
                         "it takes away what can never be reached");
      return all;
    }
    std::vector<check::BlindedFunction> blinded;
    if (hardened) {
      auto functions = blinded_functions(program, answer, unhardened);
      if (!functions) {
        all.skipped = functions.error();
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
      kernel::Answer told = answer;
      if (!knows_lines) {
        told.lines.clear();
        all.notes.emplace_back(
            "jited_line_info is not checked: up to 6.12 it is wrong where a hardened program has "
            "several functions, see line-info-not-blinded of farcall kernel defects");
      }
      all.findings = dump_and_line_findings(program, told, kernel.facts);
      const auto of_descriptors = descriptor_findings(*all.document->image, kernel.facts.toc);
      all.findings.insert(all.findings.end(), of_descriptors.begin(), of_descriptors.end());
    } else {
      all.findings.push_back(model::as_finding(document.error()));
    }
    const auto open = check::blinding_findings(blinded);
    all.findings.insert(all.findings.end(), open.begin(), open.end());
  }
  const auto found = check::kernel_findings(all.cell, source.value(), run);
  all.findings.insert(all.findings.end(), found.begin(), found.end());
  return all;
}

}  // namespace farcall::stock

#include "stock/capture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "check/blinding_findings.hpp"
#include "check/kernel_dump_findings.hpp"
#include "check/kernel_findings.hpp"
#include "decode/call_sites.hpp"
#include "run/pipeline.hpp"
#include "stock/document.hpp"
#include "stock/dump.hpp"
#include "stock/maps.hpp"
#include "stock/refusal.hpp"
#include "stock/symbol_stories.hpp"

namespace farcall::stock {
namespace {

constexpr const char* kRunsAsRewritten =
    "in the bare guest the program is what the kernel's verifier has made of it, which makes other "
    "calls: those that the case states, the dump, lines and control flow are not checked";
constexpr const char* kChanged =
    "the kernel's dump is not checked: its verifier has changed which calls the program makes";

constexpr const char* kOfPlaces =
    "what the case states depends on where it places functions and memory, and is not checked: the "
    "kernel places them elsewhere";

constexpr const char* kNoTags =
    "the names of symbols are not checked: what the kernel has of the program is not known";

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
                               .reason = verifier_reason(answer.log, answer.error)};
  all.findings = check::verifier_findings(all.cell, run);
  if (!trouble.empty()) {
    all.findings.push_back(warned(trouble));
  }
  if (all.findings.empty()) {
    all.notes.push_back("as expected, the kernel's verifier rejects it: " + run.reason);
  }
}

// Which function a dump calls that reads or changes an array as the kernel has it: farcall's function of
// the same meaning knows its own arrays only. Null: none.
const char* array_function(std::span<const bpf::Slot> dumped, const LinuxCell& linux_cell,
                           const KernelSymbols& symbols) {
  const bool has_array =
      std::ranges::find(linux_cell.kinds, RegionKind::array) != linux_cell.kinds.end();
  for (const CalledSymbol& called :
       called_symbols(dumped, symbols).value_or(std::vector<CalledSymbol>{})) {
    const bool of_any_map = called.helper->is_of_maps() && called.symbol == called.helper->symbol;
    if (called.symbol == called.helper->of_array || (has_array && of_any_map)) {
      return called.symbol;
    }
  }
  return nullptr;
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

// Compares what a kernel tells of a run with what is expected, and makes the document for the bare
// guest.
class AnswerComparison {
 public:
  // `plain`: what its JIT makes of the program without hardening, or null. `all` has the cell as the
  // kernel has placed it.
  AnswerComparison(const LinuxCell& linux_cell, wire::KernelMode mode, const kernel::Answer& answer,
                   const kernel::Answer* plain, const AskedKernel& kernel, Captured& all)
      : linux_cell_(linux_cell),
        mode_(mode),
        answer_(answer),
        plain_(plain),
        kernel_(kernel),
        all_(all),
        asked_(all.cell.program),
        dumped_(as_source(*asked_, answer)) {}

  void compare() {
    note_what_is_not_known();
    if (is_jit() == answer_.functions.empty()) {
      all_.findings.push_back({ErrorCode::jit_refused, "",
                               is_jit() ? "the kernel interprets it: its JIT made no code"
                                        : "the kernel's JIT made code, and it is off"});
      return;
    }
    if (const auto pointee = removed_pointee(*asked_, plain_ != nullptr ? *plain_ : answer_)) {
      skip_unless_warned(declined(fmt::format(
                             "the program loads the address of {}, which the kernel's verifier has "
                             "removed, as nothing calls it: there is no such address",
                             *pointee)),
                         kernel::trouble_in(answer_.kernel_log), all_);
      return;
    }
    if (auto placed = place_helpers(answer_, kernel_.symbols, kernel_.facts.abi, all_.cell);
        !placed) {
      not_repeated_ = std::move(placed).error();
    }
    auto source = run::interpretation(all_.cell);
    if (!source) {
      all_.findings.push_back(model::as_finding(source.error()));
      return;
    }
    source_ = std::move(source).value();
    drop_what_is_of_places();
    run_ = {.engine = is_jit() ? "the kernel's JIT" : "the kernel's interpreter",
            .result = answer_.result,
            .memory = all_.cell.memory,
            .symbols = {},
            .trouble = kernel::trouble_in(answer_.kernel_log)};
    for (std::size_t i = 0; i < run_.memory.size(); ++i) {
      run_.memory[i].bytes = bytes_after(source_.memory[i], answer_.regions[i],
                                         linux_cell_.kinds[i], kernel_.facts.order());
    }
    compare_code();
    if (dumped_ && (!is_jit() || answer_.functions.size() == asked_->functions.size())) {
      add(told_wrong(*asked_, *dumped_, answer_, mode_, kernel_));
    }
    add(check::kernel_findings(all_.cell, source_, run_));
    if (not_repeated_ && is_jit()) {
      skip_unless_wrong();
    }
  }

 private:
  bool is_jit() const { return mode_ != wire::KernelMode::interpreter; }
  bool is_hardened() const { return mode_ == wire::KernelMode::hardened; }

  void add(const std::vector<model::Finding>& findings) {
    all_.findings.insert(all_.findings.end(), findings.begin(), findings.end());
  }

  void note_what_is_not_known() {
    const auto call_base = kernel_.symbols.find(kCallBaseSymbol);
    all_.cell.placement.call_base = call_base.value_or(GuestAddress{});
    if (!call_base) {
      all_.notes.emplace_back(
          "the kernel does not say where its __bpf_call_base is: there is no distance from it, and "
          "addresses in the dump are not checked");
    }
    if (!is_jit() && call_base && asked_->functions.size() > 1 &&
        !kernel_.symbols.find(interpreter_symbol(kMostInterpretedStack))) {
      all_.notes.emplace_back(
          "the kernel does not say where its interpreters are: which of them the calls in the dump "
          "name is not checked");
    }
    if (!check::is_dump_known(kernel_.series)) {
      all_.notes.push_back(
          fmt::format("what a dump of {}.{} has in the off and imm of calls is not known, and not "
                      "checked",
                      kernel_.series.major, kernel_.series.minor));
    }
  }

  // A case that is right where it has placed all, and not where the kernel has, says something of
  // places.
  void drop_what_is_of_places() {
    if (check::objections(all_.cell, source_).empty()) {
      return;
    }
    const auto own = run::interpretation(linux_cell_.cell);
    if (!own || !check::objections(linux_cell_.cell, own.value()).empty()) {
      return;
    }
    model::Expectation& expected = all_.cell.expected;
    expected.result.reset();
    expected.memory.clear();
    expected.calls.clear();
    expected.any_other_call = true;
    all_.notes.emplace_back(kOfPlaces);
  }

  // Of the code, or in the interpreter's mode of what stands for it.
  void compare_code() {
    if (!is_jit()) {  // else the run in the bare guest looks at it
      all_.findings = check::objections(all_.cell, source_);
      if (!dumped_) {
        all_.notes.emplace_back(kChanged);
      }
      return;
    }
    // What a lookup in a hash table returns is not what the code calls returns.
    const bool has_hash =
        std::ranges::find(linux_cell_.kinds, RegionKind::hash) != linux_cell_.kinds.end();
    const auto rewritten = (dumped_ && !has_hash) || plain_ == nullptr
                               ? std::nullopt
                               : as_rewritten(all_.cell, *plain_, kernel_.symbols);
    if (rewritten && answer_.functions.size() == rewritten->program.functions.size()) {
      compare_rewritten(*rewritten);
    } else if (dumped_ && !has_hash && answer_.functions.size() == asked_->functions.size()) {
      compare_own();
    } else if (!not_repeated_) {
      not_repeated_ = declined("the kernel's verifier has changed which calls the program makes",
                               "it takes away what can never be reached");
    }
  }

  // Of what the verifier has made of the program.
  void compare_rewritten(const Rewritten& rewritten) {
    // Blinding changes a dump, too, before the tags are taken.
    if (const auto tagged = as_dumped(*asked_, answer_)) {
      run_.symbols = symbol_stories(linux_cell_, *tagged, answer_, kernel_);
    } else {
      all_.notes.emplace_back(kNoTags);
    }
    all_.findings = pointer_findings(rewritten.program, answer_, kernel_.facts);
    if (is_hardened()) {
      add(check::blinding_findings(
          blinded_functions(rewritten.program, rewritten.dumped, *plain_, answer_)));
    }
    const char* const of_arrays = array_function(plain_->program, linux_cell_, kernel_.symbols);
    if (!not_repeated_ && of_arrays != nullptr) {
      not_repeated_ = declined(
          fmt::format("its code cannot run in the bare guest: it calls {}, of arrays as only the "
                      "kernel has them",
                      of_arrays));
    }
    if (!not_repeated_) {
      not_repeated_ =
          repeat_rewritten(linux_cell_, answer_, rewritten.program, run_, kernel_, all_);
    }
  }

  // Of the program as it was loaded.
  void compare_own() {
    std::vector<check::BlindedFunction> blinded;
    if (is_hardened()) {
      auto functions = blinded_functions(*asked_, answer_, plain_);
      if (!functions) {
        not_repeated_ = functions.error();
        return;
      }
      blinded = std::move(functions).value();
      if (!blinds_anything(blinded)) {
        all_.notes.emplace_back("the program has no constant that bpf_jit_harden=2 blinds");
      }
    }
    run_.symbols = symbol_stories(linux_cell_, *dumped_, answer_, kernel_);
    if (!not_repeated_) {
      not_repeated_ = repeat(linux_cell_, answer_, *dumped_, blinded, mode_, kernel_, all_);
    }
    add(check::blinding_findings(blinded));
  }

  // Where the bare guest does not run the code, nobody has seen where its branches go: that is not a
  // pass. What the kernel itself did is looked at all the same.
  void skip_unless_wrong() {
    if (not_repeated_->code != ErrorCode::jit_declined) {
      all_.findings.push_back(model::as_finding(*not_repeated_));
      return;
    }
    add(check::objections(linux_cell_.cell, source_));
    if (all_.findings.empty()) {
      all_.skipped = std::move(not_repeated_);
    }
  }

  const LinuxCell& linux_cell_;
  wire::KernelMode mode_;
  const kernel::Answer& answer_;
  const kernel::Answer* plain_;
  const AskedKernel& kernel_;
  Captured& all_;
  std::shared_ptr<const bpf::Program> asked_;
  std::optional<bpf::Program> dumped_;  // its calls are those of `asked_`
  check::Interpretation source_;
  check::KernelRun run_;
  std::optional<Error> not_repeated_;  // why the bare guest does not run the code
};

}  // namespace

std::optional<Error> why_not_asked(const LinuxCell& linux_cell, wire::KernelMode mode) {
  constexpr std::size_t kMostBlindedSlots = 10'000;
  std::size_t count = linux_cell.question.slots.size();
  for (const kernel::TailProgram& target : linux_cell.question.targets) {
    count += target.slots.size();
  }
  if (linux_cell.skipped || mode != wire::KernelMode::hardened || count <= kMostBlindedSlots) {
    return linux_cell.skipped;
  }
  return declined(
      fmt::format("not for a hardened kernel: its {} slots; blinding goes through all of "
                  "them again for each constant, and {} are the most that are asked about",
                  count, kMostBlindedSlots));
}

Captured captured(const LinuxCell& linux_cell, wire::KernelMode mode,
                  const kernel::Answered& answered, const AskedKernel& kernel,
                  const kernel::Answered* unhardened) {
  Captured all{.cell = linux_cell.cell, .document = {}, .findings = {}, .skipped = {}};
  all.skipped = why_not_asked(linux_cell, mode);
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
  if (auto refused = refusal(linux_cell, mode, answer)) {
    all.findings.push_back(*std::move(refused));
    if (!trouble.empty()) {
      all.findings.push_back(warned(trouble));
    }
    return all;
  }
  if (auto why = skipped(answer)) {
    skip_unless_warned(*std::move(why), trouble, all);
    return all;
  }
  const std::string name = all.cell.name;
  all.cell = placed_by_kernel(linux_cell, answer);
  all.cell.name = name;
  const kernel::Answer* plain = &answer;
  if (mode == wire::KernelMode::hardened) {
    const bool has_code =
        unhardened != nullptr && *unhardened && !unhardened->value().functions.empty();
    plain = has_code ? &unhardened->value() : nullptr;
  }
  AnswerComparison(linux_cell, mode, answer, plain, kernel, all).compare();
  return all;
}

}  // namespace farcall::stock

#include "scheme/measure.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bpf/codec.hpp"
#include "jit/call_target.hpp"
#include "model/schemes.hpp"
#include "run/pipeline.hpp"
#include "selection/select.hpp"

namespace farcall::scheme {
namespace {

using model::CallScheme;
using scheme::TrialOutcome;

// A question, the case that answers it, and the end of the cells' names: their placement.
struct Question {
  std::string_view text;
  std::string_view file;
  std::string_view placement;
};

constexpr std::string_view kRegions = "scheme/regions.case";

constexpr std::array kRegionQuestions = {
    Question{"text", kRegions, "text"},
    Question{"near vmalloc", kRegions, "vmalloc"},
    Question{"-2 GiB", kRegions, "2g-below"},
    Question{"+2 GiB - 4", kRegions, "2g-above"},
    Question{"-2 GiB - 4", kRegions, "beyond-below"},
    Question{"+2 GiB", kRegions, "beyond-above"},
    Question{"61 TiB", kRegions, "61t"},
    Question{"2 PiB", kRegions, "2p"},
    Question{"1 EiB", kRegions, "1e"},
};
// One call in each: what counts is the distance.
constexpr std::array kLimitQuestions = {
    Question{"callee 32767 slots away", "c/distance-last.case", ""},
    Question{"callee 32768 slots away", "c/distance-beyond.case", ""},
    Question{"branch over a call: 32766 slots", "c/distance-branch-of-pair.case", ""},
    Question{"32767 slots", "c/distance-branch.case", ""},
};

// What came of a cell, by what its user would name it.
struct Ran {
  std::string cell;  // FILE@CELL
  TrialOutcome outcome = TrialOutcome::not_run;
  std::string reason;
  const model::Document* document = nullptr;
};

std::string finding_text(const model::Finding& finding) {
  const std::string_view code = name(finding.code);
  return finding.site.empty() ? std::string(code) : fmt::format("{} {}", code, finding.site);
}

Ran judge(const model::Document& document, const model::Verdict& verdict) {
  const std::string& full = document.cell.name;
  Ran ran{.cell = fmt::format("{}{}", document.cell.case_path, full.substr(full.find('@'))),
          .document = &document};
  const std::string why = verdict.findings.empty() ? "" : finding_text(verdict.findings.front());
  switch (verdict.outcome) {
    case model::Outcome::pass:
      ran.outcome = TrialOutcome::holds;
      if (const auto& failure = document.cell.expected.failure) {
        ran.outcome = TrialOutcome::refused;
        ran.reason = finding_text({.code = failure->code, .site = failure->site});
      }
      break;
    case model::Outcome::fail:
      ran.outcome = TrialOutcome::failed;
      ran.reason = why;
      break;
    case model::Outcome::skip:
    case model::Outcome::error:
      ran.reason = why;
      break;
  }
  return ran;
}

std::string hex(const bpf::Slot& slot, std::endian order) {
  std::string text;
  for (const std::byte byte : bpf::encode(slot, order)) {
    text += fmt::format("{}{:02x}", text.empty() ? "" : " ", std::to_integer<unsigned>(byte));
  }
  return text;
}

// The instructions from where the code of the first call begins up to its branch.
std::vector<std::string> code_of_first_call(const model::CodeImage& image,
                                            std::size_t instruction) {
  const model::CodeFunction& function = image.functions[image.calls.front().site.function];
  const std::vector<std::string> texts = listing(function);
  const auto line = std::ranges::find(function.lines, instruction, &model::CodeLine::instruction);
  const auto last = static_cast<std::size_t>(bytes(image.calls.front().at - function.address)) / 4;
  std::vector<std::string> code;
  for (std::size_t word = line == function.lines.end() ? last : line->word; word <= last; ++word) {
    std::string text = texts[word];
    // The listing pads mnemonics to a column.
    while (text.find("  ") != std::string::npos) {
      text.erase(text.find("  "), 1);
    }
    code.push_back(std::move(text));
  }
  return code;
}

scheme::SchemeFindings look_at(CallScheme scheme, const Ran& ran, show::TagHash hash) {
  scheme::SchemeFindings findings{.scheme = scheme, .cell = ran.cell, .outcome = ran.outcome};
  if (!findings.was_run()) {
    return findings;
  }
  const check::Testimony prepared = run::prepare(*ran.document, 0);
  const model::LinkedProgram& linked = *prepared.linked_program;
  const bpf::Program& source = *ran.document->cell.program;
  const std::endian order = byte_order(linked.endian);
  const model::LinkedCall& call = linked.calls.front();
  const bpf::SlotIndex source_slot = pseudo_calls(source).front().slot;
  findings.placed = call.target;
  findings.jit_gets = jit::call_target(linked, 0);
  findings.interpreter_distance = interpreter_view(linked).slots[call.slot].imm;
  findings.slots_before = source.slots.size();
  findings.slots_after = linked.program.slots.size();
  findings.calls = linked.calls.size();
  findings.functions = source.functions.size();
  const bool one_a_function =
      model::scheme_info(scheme).beside == model::AddressesBeside::one_a_function;
  const std::size_t addresses = one_a_function ? linked.addresses.size() : linked.side_table.size();
  findings.bytes_beside = addresses * sizeof(std::uint64_t);
  findings.call_before = hex(source.slots[source_slot], order);
  for (bpf::SlotIndex i = 0; i < slots_at(linked, call.slot); ++i) {
    findings.call_after.push_back(hex(linked.program.slots[call.slot + i], order));
  }
  findings.code = code_of_first_call(*prepared.image, source_slot);
  const show::ProgramTags tags = show::tags(source, order, hash);
  for (const show::JitMode mode : show::kJitModes) {
    const show::ProgramDump dump = dump_program(linked, tags, mode);
    const show::RecoveredCall recovered = recover(dump).front();
    findings.dumps.push_back(
        {.mode = mode,
         .call = recovered,
         .name = recovered.callee ? dump.names[*recovered.callee] : "no function"});
  }
  return findings;
}

class Study {
 public:
  explicit Study(std::filesystem::path cases) : cases_(std::move(cases)) {}

  Result<void> run(const run::RunnerOptions& runner) {
    selection::Selection selection;
    for (const auto& questions : {std::span<const Question>(kRegionQuestions),
                                  std::span<const Question>(kLimitQuestions)}) {
      for (const Question& question : questions) {
        const std::string path = path_of(question);
        if (std::ranges::find(selection.paths, path) == selection.paths.end()) {
          selection.paths.push_back(path);
        }
      }
    }
    FARCALL_TRY(selected, selection::select_cells(selection));
    if (!selected.bad.empty()) {
      return selected.bad.front().error;
    }
    documents_ = std::move(selected.documents);
    run::run_all(documents_, runner, [this](const run::FinishedCell& finished) {
      ran_.push_back(judge(documents_[finished.index], finished.verdict));
    });
    if (ran_.size() != documents_.size()) {
      return Error{.code = ErrorCode::machine_lost,
                   .message = fmt::format("stopped when {} of {} cells were run", ran_.size(),
                                          documents_.size())};
    }
    return success();
  }

  Ran find(const Question& question, CallScheme scheme) const {
    for (const Ran& ran : ran_) {
      const model::Cell& cell = ran.document->cell;
      const bool placed =
          question.placement.empty() || cell.name.ends_with(fmt::format("-{}", question.placement));
      if (cell.case_path == path_of(question) && cell.axes.call == scheme && placed) {
        return ran;
      }
    }
    return {.cell = path_of(question), .reason = "there is no such cell"};
  }

  scheme::Trial trial(const Question& question, CallScheme scheme) const {
    const Ran ran = find(question, scheme);
    return {.question = std::string(question.text),
            .cell = ran.cell,
            .outcome = ran.outcome,
            .reason = ran.reason};
  }

 private:
  std::string path_of(const Question& question) const {
    // As short as it can be said from here.
    return (cases_ / question.file).lexically_proximate(std::filesystem::current_path()).string();
  }

  std::filesystem::path cases_;
  std::vector<model::Document> documents_;
  std::vector<Ran> ran_;
};

// The farthest of these that the scheme reaches is where it is looked at closely.
constexpr std::array<std::size_t, 2> kCloserLooks = {7, 1};  // 2 PiB, near vmalloc
static_assert(kRegionQuestions[kCloserLooks[0]].placement == "2p");
static_assert(kRegionQuestions[kCloserLooks[1]].placement == "vmalloc");

}  // namespace

Result<scheme::SchemeStudy> study_schemes(const std::filesystem::path& cases,
                                          const run::RunnerOptions& runner, show::TagHash hash) {
  Study study(cases);
  FARCALL_TRYV(study.run(runner));
  scheme::SchemeStudy result;
  for (const model::SchemeInfo& info : model::kSchemes) {
    const CallScheme scheme = info.scheme;
    Ran closer = study.find(kRegionQuestions[kCloserLooks[0]], scheme);
    if (closer.outcome != TrialOutcome::holds) {
      closer = study.find(kRegionQuestions[kCloserLooks[1]], scheme);
    }
    scheme::SchemeFindings findings = look_at(scheme, closer, hash);
    for (const Question& question : kRegionQuestions) {
      findings.regions.push_back(study.trial(question, scheme));
    }
    for (const Question& question : kLimitQuestions) {
      findings.limits.push_back(study.trial(question, scheme));
    }
    result.schemes.push_back(std::move(findings));
  }
  return result;
}

}  // namespace farcall::scheme

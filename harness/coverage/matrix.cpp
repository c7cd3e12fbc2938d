#include "coverage/matrix.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <ranges>
#include <set>
#include <utility>

#include "base/parallel.hpp"
#include "check/known_failure.hpp"
#include "coverage/code.hpp"
#include "model/rules.hpp"

namespace farcall::coverage {
namespace {

using faults::Fault;

// A fault in a document.
struct Trial {
  std::size_t fault = 0;
  std::size_t document = 0;
};

// What is larger costs time and memory, and most of it is the same again: a fault is tried in such a
// cell only where no smaller one has a place for it.
constexpr std::size_t kSmallSlots = 16384;
constexpr std::size_t kSmallMemoryBytes = std::size_t{1} << 20;

bool is_stopped(const run::RunnerOptions& runner) {
  return runner.stopped && runner.stopped();
}

Error not_all() {
  return {.code = ErrorCode::machine_lost, .message = "stopped before all faults were tried"};
}

bool is_small(const model::Document& document) {
  std::size_t bytes = 0;
  for (const bpf::MemoryRegion& region : document.cell.memory) {
    bytes += region.bytes.size();
  }
  return bytes <= kSmallMemoryBytes &&
         (document.cell.program == nullptr || document.cell.program->slots.size() <= kSmallSlots);
}

bool is_about_dump(const Fault& fault) {
  return fault.part == faults::Part::dump;
}

// Whether the fault touches the document, and what comes of it can be run at all: a function that
// has grown into the next one proves nothing.
bool touches(const Fault& fault, const model::Document& document, const faults::CodeOf& code_of) {
  const auto wrong = with_fault(fault, document, code_of);
  return wrong &&
         (is_about_dump(fault) || std::holds_alternative<faults::Mislinks>(fault.transform) ||
          check_document(*wrong, document.cell.case_path).has_value());
}

// At most kCellsOfCase of each case, spread over those that the fault touches.
std::vector<std::size_t> chosen(const Fault& fault, std::span<const model::Document> documents,
                                const faults::CodeOf& code_of) {
  std::vector<std::size_t> all;
  std::vector<std::size_t> of_case;
  const auto end_case = [&] {
    const std::size_t count = std::min(of_case.size(), kCellsOfCase);
    for (std::size_t i = 0; i < count; ++i) {
      all.push_back(of_case[i * of_case.size() / count]);
    }
    of_case.clear();
  };
  for (std::size_t i = 0; i < documents.size(); ++i) {
    if (i > 0 && documents[i].cell.case_path != documents[i - 1].cell.case_path) {
      end_case();
    }
    if (touches(fault, documents[i], code_of)) {
      of_case.push_back(i);
    }
  }
  end_case();
  return all;
}

std::string cell_name(const model::Document& document) {
  return fmt::format("{}@{}", document.cell.case_path, document.cell.name);
}

using Codes = std::set<ErrorCode>;

// What is found in cells without any fault: by a document's index.
using Found = std::map<std::size_t, Codes>;

// Whether these are all allowed.
bool is_allowed(const Codes& codes, const run::RunnerOptions& runner) {
  return std::ranges::all_of(codes, [&](ErrorCode code) {
    return std::ranges::find(runner.allowed, code) != runner.allowed.end();
  });
}

Codes codes_of(const model::Verdict& verdict) {
  Codes codes;
  for (const auto* const some : {&verdict.findings, &verdict.allowed}) {
    for (const model::Finding& finding : *some) {
      codes.insert(finding.code);
    }
  }
  return codes;
}

// Runs `wanted` without any fault, and adds what is found in them. The error is about the first
// that does not pass.
Result<void> run_right(std::span<const model::Document> documents,
                       const std::vector<std::size_t>& wanted, const run::RunnerOptions& runner,
                       Found& found) {
  const run::Documents right(
      wanted.size(), [&](std::size_t index) { return documents[wanted[index]].cell.axes; },
      [&](std::size_t index) {
        const model::Document& document = documents[wanted[index]];
        return std::make_shared<const model::Document>(
            model::Document{.cell = document.cell, .linked = {}, .image = document.image});
      });
  std::optional<Error> error;
  run_all(right, runner, [&](const run::FinishedCell& finished) {
    if (Codes codes = codes_of(finished.verdict); !codes.empty()) {
      found.emplace(wanted[finished.index], std::move(codes));
    }
    if (finished.verdict.outcome != model::Outcome::pass && !error) {
      error = as_error(finished.verdict.findings.front());
      error->message = fmt::format("{} does not pass without any fault: {}",
                                   cell_name(*finished.document), error->message);
    }
  });
  return error ? Result<void>(std::move(*error)) : success();
}

// The JIT's own words that it makes no code of what a fault makes of a program.
bool is_refusal(ErrorCode code) {
  return code == ErrorCode::jit_declined || code == ErrorCode::jit_refused ||
         code == ErrorCode::jit_unsupported;
}

void count(const run::FinishedCell& finished, const Codes& without_fault, FaultRow& row) {
  std::vector<model::Finding> findings = finished.verdict.findings;
  std::ranges::copy(finished.verdict.allowed, std::back_inserter(findings));
  std::erase_if(findings, [&](const model::Finding& finding) {
    return without_fault.contains(finding.code);
  });
  if (finished.verdict.outcome == model::Outcome::skip ||
      (!findings.empty() && is_refusal(findings.front().code))) {
    return;
  }
  ++row.cells;
  if (findings.empty()) {
    return;
  }
  if (row.caught++ == 0) {
    row.first = cell_name(*finished.document);
    row.finding = to_string(findings.front());
  }
  std::set<Witness> spoke;
  for (const model::Finding& finding : findings) {
    spoke.insert(witness_of(finding.code));
  }
  for (const Witness witness : spoke) {
    ++row.seen[static_cast<std::size_t>(witness)];
    row.alone[static_cast<std::size_t>(witness)] += spoke.size() == 1 ? 1U : 0U;
  }
}

// Makes the code of documents, and puts away that of cells which do not pass with it, where that is
// not our own JIT's.
class Right {
 public:
  Right(const Code& code, bool is_ours, const run::RunnerOptions& runner, CellCount& cells,
        Found& found)
      : code_(code), is_ours_(is_ours), runner_(runner), cells_(cells), found_(found) {}

  Result<void> make(std::span<model::Document> documents, std::size_t first) {
    compile(documents);
    return is_ours_ ? success() : leave_out(documents, first);
  }

 private:
  static constexpr std::size_t kAtOnce = 64;  // what JITs that are processes like

  void compile(std::span<model::Document> documents) {
    for_each_index((documents.size() + kAtOnce - 1) / kAtOnce, runner_.machines,
                   [&](std::size_t part) {
                     if (is_stopped(runner_)) {
                       return;
                     }
                     const std::span<model::Document> some = documents.subspan(
                         part * kAtOnce, std::min(kAtOnce, documents.size() - part * kAtOnce));
                     std::vector<const model::Document*> pointers;
                     for (const model::Document& document : some) {
                       pointers.push_back(&document);
                     }
                     std::vector<engine::Compiled> compiled = code_.compile(pointers);
                     for (std::size_t i = 0; i < some.size(); ++i) {
                       if (compiled[i].image) {
                         some[i].linked = std::move(compiled[i].linked);
                         some[i].image = std::move(compiled[i].image).value();
                       }
                     }
                   });
  }

  Result<void> leave_out(std::span<model::Document> documents, std::size_t first) {
    std::vector<std::size_t> wanted;
    for (std::size_t i = 0; i < documents.size(); ++i) {
      if (!documents[i].image) {
        ++cells_.refused;
      } else if (!check::known_failures(documents[i].cell, runner_.jit.identity).empty()) {
        ++cells_.failing;
        documents[i].image.reset();
      } else {
        wanted.push_back(i);
      }
    }
    Found found;
    (void)run_right(documents, wanted, runner_, found);
    cells_.all += documents.size();
    for (auto& [index, codes] : found) {
      if (is_allowed(codes, runner_)) {
        found_.emplace(first + index, std::move(codes));
      } else {
        ++cells_.failing;
        documents[index].image.reset();
      }
    }
    return success();
  }

  const Code& code_;
  bool is_ours_;
  const run::RunnerOptions& runner_;
  CellCount& cells_;
  Found& found_;
};

// An answer that is refused, or not.
void count(const std::optional<Error>& refused, FaultRow& row) {
  ++row.cells;
  if (refused) {
    ++row.caught;
    row.first = "a batch of two jobs";
    row.finding = to_string(*refused);
    const auto witness = static_cast<std::size_t>(witness_of(refused->code));
    ++row.seen[witness];
    ++row.alone[witness];
  }
}

}  // namespace

std::optional<Witness> FaultRow::only() const {
  std::optional<Witness> found;
  for (std::size_t i = 0; i < kWitnessCount; ++i) {
    if (seen[i] == 0) {
      continue;
    }
    if (found) {
      return std::nullopt;
    }
    found = static_cast<Witness>(i);
  }
  return found;
}

std::vector<const FaultRow*> FaultMatrix::placed() const {
  std::vector<const FaultRow*> found;
  for (const FaultRow& row : rows) {
    if (row.not_applicable.empty() && row.cells != 0) {
      found.push_back(&row);
    }
  }
  return found;
}

std::vector<const FaultRow*> FaultMatrix::unseen() const {
  std::vector<const FaultRow*> found;
  for (const FaultRow& row : rows) {
    if (row.not_applicable.empty() && row.caught == 0 && (is_ours || row.cells != 0)) {
      found.push_back(&row);
    }
  }
  return found;
}

std::vector<Witness> FaultMatrix::idle() const {
  std::vector<Witness> found;
  for (const Witness witness : kMustBeAlone) {
    if (is_whole && std::ranges::none_of(
                        rows, [witness](const FaultRow& row) { return row.only() == witness; })) {
      found.push_back(witness);
    }
  }
  return found;
}

Result<FaultMatrix> try_faults(std::span<const Fault* const> faults,
                               std::vector<model::Document> documents, run::RunnerOptions runner) {
  FaultMatrix matrix{.jit = runner.jit.name,
                     .is_ours = runner.jit.name == engine::farcall_jit().name,
                     .cells = {},
                     .rows = std::vector<FaultRow>(faults.size())};
  matrix.is_whole = matrix.is_ours && faults.size() == faults::all_faults().size();
  for (std::size_t i = 0; i < faults.size(); ++i) {
    matrix.rows[i].fault = faults[i];
    matrix.rows[i].not_applicable = not_applicable(*faults[i], matrix.jit);
    if (const auto* const answer = std::get_if<faults::Misanswers>(&faults[i]->transform)) {
      count(faults::refused_answer(*answer), matrix.rows[i]);
    }
  }
  const Code code(runner.jit, runner.stopped);
  const faults::CodeOf code_of = [&code](const model::Cell& cell) { return code.of(cell); };
  Found found;  // without any fault
  Right right(code, matrix.is_ours, runner, matrix.cells, found);

  const auto first_large = std::ranges::stable_partition(documents, is_small).begin();
  const auto small_count = static_cast<std::size_t>(first_large - documents.begin());
  const std::span<model::Document> small = std::span(documents).first(small_count);
  const std::span<model::Document> large = std::span(documents).subspan(small_count);
  FARCALL_TRYV(right.make(small, 0));
  std::vector<std::vector<std::size_t>> touched(faults.size());
  const auto wants_place = [&](std::size_t i) {
    return touched[i].empty() && matrix.rows[i].not_applicable.empty() &&
           !std::holds_alternative<faults::Misanswers>(faults[i]->transform);
  };
  for_each_index(faults.size(), runner.machines, [&](std::size_t i) {
    if (wants_place(i) && !is_stopped(runner)) {
      touched[i] = chosen(*faults[i], small, code_of);
    }
  });
  if (std::ranges::any_of(std::views::iota(std::size_t{0}, faults.size()), wants_place)) {
    FARCALL_TRYV(right.make(large, small_count));
    for_each_index(faults.size(), runner.machines, [&](std::size_t i) {
      if (wants_place(i) && !is_stopped(runner)) {
        touched[i] = chosen(*faults[i], large, code_of);
        std::ranges::for_each(touched[i], [&](std::size_t& index) { index += small_count; });
      }
    });
  }
  if (is_stopped(runner)) {
    return not_all();
  }
  if (!matrix.is_ours && matrix.cells.left() == 0) {
    return Error{.code = ErrorCode::case_selects_nothing,
                 .message = fmt::format("of {} cells, {} makes no code of {}, and {} do not pass "
                                        "without any fault: none is left to put one into",
                                        matrix.cells.all, matrix.jit, matrix.cells.refused,
                                        matrix.cells.failing),
                 .hint = fmt::format("farcall run PATH --jit {} says why", matrix.jit)};
  }
  std::vector<Trial> trials;
  std::set<std::size_t> wanted;
  for (std::size_t fault = 0; fault < faults.size(); ++fault) {
    for (const std::size_t document : touched[fault]) {
      trials.push_back({.fault = fault, .document = document});
      wanted.insert(document);
    }
  }
  if (matrix.is_ours) {
    FARCALL_TRYV(run_right(documents, {wanted.begin(), wanted.end()}, runner, found));
  }
  const std::unique_ptr<std::atomic<bool>[]> left_alone(new std::atomic<bool>[trials.size()]());
  runner.said = [&](std::size_t index, model::Observations& seen) {
    const auto [fault, document] = trials[index];
    if (const auto* const says = std::get_if<faults::Missays>(&faults[fault]->transform)) {
      left_alone[index] = !says->change(documents[document], seen);
    }
  };
  const run::Documents wrong(
      trials.size(), [&](std::size_t index) { return documents[trials[index].document].cell.axes; },
      [&](std::size_t index) {
        const auto [fault, document] = trials[index];
        // Chosen were those in which it can be put: without code of them, the run was stopped.
        return std::make_shared<const model::Document>(
            with_fault(*faults[fault], documents[document], code_of).value_or(documents[document]));
      });
  run_all(wrong, runner, [&](const run::FinishedCell& finished) {
    if (!left_alone[finished.index]) {
      const auto [fault, document] = trials[finished.index];
      const auto before = found.find(document);
      count(finished, before == found.end() ? Codes() : before->second, matrix.rows[fault]);
    }
  });
  if (is_stopped(runner)) {
    return not_all();
  }
  return matrix;
}

}  // namespace farcall::coverage

#include "coverage/matrix.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <ranges>
#include <set>
#include <utility>

#include "base/parallel.hpp"
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
bool touches(const Fault& fault, const model::Document& document) {
  const auto wrong = with_fault(fault, document);
  return wrong &&
         (is_about_dump(fault) || std::holds_alternative<faults::Mislinks>(fault.transform) ||
          check_document(*wrong, document.cell.case_path).has_value());
}

// At most kCellsOfCase of each case, spread over those that the fault touches.
std::vector<std::size_t> chosen(const Fault& fault, std::span<const model::Document> documents) {
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
    if (touches(fault, documents[i])) {
      of_case.push_back(i);
    }
  }
  end_case();
  return all;
}

std::string cell_name(const model::Document& document) {
  return fmt::format("{}@{}", document.cell.case_path, document.cell.name);
}

// Without any fault, all cells that will have one must pass.
Result<void> check_rightness(std::span<const model::Document> documents,
                             const std::set<std::size_t>& wanted,
                             const run::RunnerOptions& runner) {
  std::vector<model::Document> right;
  for (const std::size_t index : wanted) {
    right.push_back({.cell = documents[index].cell, .linked = {}, .image = {}});
  }
  std::optional<Error> error;
  run_all(run::Documents(std::move(right)), runner, [&](const run::FinishedCell& finished) {
    if (finished.verdict.outcome != model::Outcome::pass && !error) {
      error = as_error(finished.verdict.findings.front());
      error->message = fmt::format("{} does not pass without any fault: {}",
                                   cell_name(*finished.document), error->message);
    }
  });
  return error ? Result<void>(std::move(*error)) : success();
}

void count(const run::FinishedCell& finished, FaultRow& row) {
  ++row.cells;
  const std::vector<model::Finding>& findings = finished.verdict.findings;
  if (finished.verdict.outcome == model::Outcome::pass || findings.empty()) {
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

std::vector<const FaultRow*> FaultMatrix::unseen() const {
  std::vector<const FaultRow*> found;
  for (const FaultRow& row : rows) {
    if (row.caught == 0) {
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
  const auto first_large = std::ranges::stable_partition(documents, is_small).begin();
  const auto small_count = static_cast<std::size_t>(first_large - documents.begin());
  for_each_index(small_count, runner.machines,
                 [&](std::size_t i) { faults::compile(documents[i]); });
  std::vector<std::vector<std::size_t>> touched(faults.size());
  for_each_index(faults.size(), runner.machines, [&](std::size_t i) {
    touched[i] = chosen(*faults[i], std::span(documents).first(small_count));
  });
  const auto has_no_place = [&](std::size_t i) {
    return touched[i].empty() && !std::holds_alternative<faults::Misanswers>(faults[i]->transform);
  };
  if (std::ranges::any_of(std::views::iota(std::size_t{0}, faults.size()), has_no_place)) {
    for_each_index(documents.size() - small_count, runner.machines,
                   [&](std::size_t i) { faults::compile(documents[small_count + i]); });
    for_each_index(faults.size(), runner.machines, [&](std::size_t i) {
      if (has_no_place(i)) {
        touched[i] = chosen(*faults[i], std::span(documents).subspan(small_count));
        std::ranges::for_each(touched[i], [&](std::size_t& index) { index += small_count; });
      }
    });
  }
  std::vector<Trial> trials;
  std::set<std::size_t> wanted;
  for (std::size_t fault = 0; fault < faults.size(); ++fault) {
    for (const std::size_t document : touched[fault]) {
      trials.push_back({.fault = fault, .document = document});
      wanted.insert(document);
    }
  }
  FARCALL_TRYV(check_rightness(documents, wanted, runner));

  FaultMatrix matrix{.rows = std::vector<FaultRow>(faults.size()),
                     .is_whole = faults.size() == faults::all_faults().size()};
  for (std::size_t i = 0; i < faults.size(); ++i) {
    matrix.rows[i].fault = faults[i];
    if (const auto* const answer = std::get_if<faults::Misanswers>(&faults[i]->transform)) {
      count(faults::refused_answer(*answer), matrix.rows[i]);
    }
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
        return std::make_shared<const model::Document>(
            *with_fault(*faults[fault], documents[document]));
      });
  run_all(wrong, runner, [&](const run::FinishedCell& finished) {
    if (!left_alone[finished.index]) {
      count(finished, matrix.rows[trials[finished.index].fault]);
    }
  });
  return matrix;
}

}  // namespace farcall::coverage

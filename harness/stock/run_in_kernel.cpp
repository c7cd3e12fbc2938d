#include "stock/run_in_kernel.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "check/known_failure.hpp"
#include "kernel/guest.hpp"
#include "stock/capture.hpp"
#include "stock/programs.hpp"
#include "stock/stack_walk.hpp"

namespace farcall::stock {
namespace {

constexpr ErrorCode kOfEveryKernel = ErrorCode::line_mismatch;

// The cell's verdict beside what its kernel is known for.
model::Verdict with_known_failure(const model::Cell& cell, std::string_view identity,
                                  model::Verdict verdict) {
  const std::vector<model::KnownFailure> known = check::known_failures(cell, identity);
  return known.empty() || verdict.outcome == model::Outcome::skip || !check::is_about_code(verdict)
             ? verdict
             : check::against_known_failures(cell, known, std::move(verdict));
}

struct Machine {
  model::Cpu cpu{};
  model::Mmu mmu{};

  friend auto operator<=>(const Machine&, const Machine&) = default;
};

// What came of each: those of one machine are asked together. Empty once nobody waits for it.
std::vector<Captured> ask_all(const std::vector<ModeCell>& cells, const StockKernel& kernel,
                              const run::RunnerOptions& runner, const Listener& listener) {
  std::map<Machine, std::vector<std::size_t>> by_machine;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (!why_not_asked(*cells[i].cell, cells[i].mode)) {
      const model::AxisValues& axes = cells[i].cell->cell.axes;
      by_machine[{axes.cpu, axes.mmu}].push_back(i);
    }
  }
  std::vector<kernel::Answered> answers(
      cells.size(), Error{.code = ErrorCode::machine_lost, .message = "it was not asked"});
  std::vector<StackWalk> walks(cells.size());
  std::vector<AskedKernel> asked(cells.size(), kernel.asked);
  for (auto& [machine, indices] : by_machine) {
    // The switch between JIT and interpreter is the guest's: once is enough.
    std::ranges::stable_sort(indices, {}, [&](std::size_t i) { return cells[i].mode; });
    std::vector<kernel::Question> questions;
    for (const std::size_t i : indices) {
      questions.push_back(cells[i].cell->question);
      questions.back().mode = cells[i].mode;
    }
    const std::size_t first_copy = questions.size();
    // After all the others: whatever comes of them, those have been answered.
    std::vector<std::pair<std::size_t, WalkingCopy>> copies;
    for (const std::size_t i : indices) {
      if (listener.stopped()) {
        return {};
      }
      const model::Cell& cell = cells[i].cell->cell;
      const bool calls_nothing =
          cell.program->functions.size() < 2 && !makes_tail_calls(*cell.program);
      if (cells[i].mode == wire::KernelMode::interpreter || cell.expected.rejection ||
          calls_nothing) {
        continue;
      }
      auto expected = expected_walks(*cells[i].cell);
      if (!expected) {
        walks[i].unseen = expected.error().message;
        continue;
      }
      auto copy =
          walking_copy(*cells[i].cell, std::move(expected).value(), kernel.asked.facts.order());
      if (!copy) {
        walks[i].unseen = copy.error().message;
        continue;
      }
      questions.push_back(copy.value().question);
      questions.back().mode = cells[i].mode;
      copies.emplace_back(i, std::move(copy).value());
    }
    // Last: it must not change where others are placed.
    questions.push_back(symbols_question(kernel.asked.facts.order()));
    kernel::GuestSpec spec = guest_of(kernel, runner.images, runner.host);
    spec.cpu = machine.cpu;
    spec.mmu = machine.mmu;
    auto said = kernel::ask(spec, questions, {.stopped = listener.stopped, .tell = listener.note},
                            runner.machines);
    AskedKernel known = kernel.asked;
    if (said) {
      learn(said.value().back(), known);
    }
    for (std::size_t i = 0; i < indices.size(); ++i) {
      if (said) {
        answers[indices[i]] = std::move(said.value()[i]);
        asked[indices[i]] = known;
      } else {
        answers[indices[i]] = said.error();
      }
    }
    for (std::size_t i = 0; said && i < copies.size(); ++i) {
      walks[copies[i].first] =
          stack_walk(copies[i].second, said.value()[first_copy + i], kernel.asked.facts);
    }
  }
  std::map<const LinuxCell*, const kernel::Answered*> unhardened;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (cells[i].mode == wire::KernelMode::jit) {
      unhardened[cells[i].cell] = &answers[i];
    }
  }
  std::vector<Captured> all;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (listener.stopped()) {
      return {};
    }
    const auto plain = unhardened.find(cells[i].cell);
    all.push_back(captured(*cells[i].cell, cells[i].mode, answers[i], asked[i],
                           plain == unhardened.end() ? nullptr : plain->second));
    Captured& one = all.back();
    if (!walks[i].findings.empty()) {
      one.skipped.reset();  // what is skipped must not hide them
    }
    if (!one.skipped) {
      one.findings.insert(one.findings.end(), walks[i].findings.begin(), walks[i].findings.end());
      if (!walks[i].unseen.empty()) {
        one.notes.push_back(std::move(walks[i].unseen));
      }
    }
  }
  return all;
}

// What a cell comes to whose code did not run in the bare guest.
model::Verdict verdict_of(const Captured& captured) {
  if (captured.skipped) {
    return {.outcome = model::Outcome::skip, .findings = {model::as_finding(*captured.skipped)}};
  }
  model::Verdict verdict{.outcome = model::Outcome::pass, .findings = captured.findings};
  verdict.notes = captured.notes;
  if (!captured.findings.empty()) {
    verdict.outcome = outcome_of(captured.findings.front());
  }
  return verdict;
}

// What the bare guest found, and what the kernel's own run did.
model::Verdict together(model::Verdict bare, const Captured& captured) {
  if (bare.outcome == model::Outcome::pass && !captured.findings.empty()) {
    bare.outcome = outcome_of(captured.findings.front());
  }
  bare.findings.insert(bare.findings.end(), captured.findings.begin(), captured.findings.end());
  bare.notes.insert(bare.notes.end(), captured.notes.begin(), captured.notes.end());
  return bare;
}

}  // namespace

bool is_of_every_kernel(const model::Finding& finding) {
  return finding.code == kOfEveryKernel;
}

model::Verdict without(std::span<const ErrorCode> allowed, model::Verdict verdict) {
  const auto rest =
      std::ranges::stable_partition(verdict.findings, [&](const model::Finding& finding) {
        return std::ranges::find(allowed, finding.code) == allowed.end();
      });
  verdict.allowed.insert(verdict.allowed.end(), rest.begin(), rest.end());
  verdict.findings.erase(rest.begin(), rest.end());
  if (verdict.outcome == model::Outcome::fail || verdict.outcome == model::Outcome::error) {
    verdict.outcome =
        verdict.findings.empty() ? model::Outcome::pass : outcome_of(verdict.findings.front());
  }
  return verdict;
}

std::vector<ModeCell> in_modes(std::span<const LinuxCell> linux_cells,
                               std::span<const wire::KernelMode> modes) {
  std::vector<ModeCell> cells;
  for (const LinuxCell& cell : linux_cells) {
    for (const wire::KernelMode mode : modes) {
      cells.push_back({.cell = &cell, .mode = mode});
    }
  }
  return cells;
}

void run_in_kernel(const std::vector<ModeCell>& cells, const StockKernel& kernel,
                   const run::RunnerOptions& runner, const Listener& listener) {
  const std::vector<Captured> all = ask_all(cells, kernel, runner, listener);
  std::vector<model::Document> with_code;
  std::vector<std::size_t> indices;  // of those
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].document) {
      with_code.push_back(*all[i].document);
      // What is known is known of both runs together.
      with_code.back().cell.expected.known.clear();
      indices.push_back(i);
    }
  }
  std::vector<ErrorCode> allowed = runner.allowed;
  allowed.push_back(kOfEveryKernel);
  const auto judged = [&](std::size_t index, model::Verdict verdict) {
    return with_known_failure(all[index].cell, identity(kernel, cells[index].mode),
                              without(allowed, std::move(verdict)));
  };
  std::size_t next = 0;
  const auto tell_up_to = [&](std::size_t index) {
    for (; next < index && !listener.stopped(); ++next) {
      const model::Verdict verdict = judged(next, verdict_of(all[next]));
      listener.tell(next, {.cell = all[next].cell, .verdict = verdict});
    }
  };
  run::RunnerOptions options = runner;
  options.stopped = listener.stopped;
  run_all(run::Documents(std::move(with_code)), options, [&](const run::FinishedCell& finished) {
    const std::size_t index = indices[finished.index];
    tell_up_to(index);
    if (next != index) {
      return;
    }
    run::FinishedCell joined = finished;
    joined.verdict = judged(index, together(finished.verdict, all[index]));
    listener.tell(next, cell_report(joined, ""));
    ++next;
  });
  tell_up_to(all.size());
}

}  // namespace farcall::stock

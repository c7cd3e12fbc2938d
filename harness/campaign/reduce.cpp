#include "campaign/reduce.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "campaign/edits.hpp"
#include "run/pipeline.hpp"

namespace farcall::campaign {
namespace {

// A candidate may run so many times longer than what it comes from: not for ever.
constexpr std::uint64_t kBudgetTimes = 4;
constexpr std::uint64_t kBudgetAtLeast = 2000;

// So many candidates go to the guest at a time.
constexpr std::size_t kMostAtOnce = 512;

Error error(std::string message, std::string hint = {}) {
  return {.code = ErrorCode::usage_bad_argument,
          .message = std::move(message),
          .hint = std::move(hint)};
}

// The kind of what the verdict says, if that is a failure of the code, and not of the case.
Result<FindingKind> reducible(const model::Cell& cell, const model::Verdict& verdict) {
  if (verdict.findings.empty()) {
    return error(fmt::format("{} does not fail: there is nothing to reduce", cell.name));
  }
  const model::Finding& first = verdict.findings.front();
  const Blame blamed = blame(first.code);
  if (verdict.outcome == model::Outcome::skip ||
      (blamed != Blame::code && first.code != ErrorCode::jit_internal &&
       first.code != ErrorCode::jit_size_changed)) {
    return error(
        fmt::format("{} is not a failure of the code under test: {}", cell.name, to_string(first)));
  }
  return kind_of(cell, verdict);
}

class Reducer {
 public:
  Reducer(Trial& trial, Sketch sketch, std::uint64_t seed)
      : trial_(trial), sketch_(std::move(sketch)), seed_(seed) {}

  Result<Reduced> run() {
    FARCALL_TRY(cell, cell_of(sketch_));
    const auto source = run::interpreted(cell);
    budget_ = kBudgetAtLeast + kBudgetTimes * (source ? source.value().instructions : cell.budget);
    const std::size_t from = instruction_count(sketch_);
    auto seen = trial_.run({{.document = {.cell = cell}, .seed = seed_}});
    if (!seen.front()) {
      return error("stopped");
    }
    FARCALL_TRY(kind, reducible(cell, seen.front()->verdict));
    kind_ = kind;
    last_ = std::move(*seen.front());
    reduce_all();
    mend_layout();
    return Reduced{.sketch = sketch_,
                   .seed = seed_,
                   .kind = kind_,
                   .verdict = last_->verdict,
                   .shape = shape(),
                   .from = from,
                   .candidates = candidates_};
  }

 private:
  void reduce_all() {
    if (seed_ != 0) {
      if (works(std::vector{sketch_}, 0).front()) {
        seed_ = 0;
      }
    }
    take(simpler_axes(sketch_));
    take({[](Sketch& sketch) { sketch.places.clear(); }});
    std::size_t size = 0;
    do {
      size = case_text(sketch_).size();
      take(single_functions(sketch_));
      remove_lines();
      while (take(simpler_lines(sketch_))) {
      }
      remove_declarations();
      shrink_bytes();
      take(rounder_places(sketch_));
      take(simpler_axes(sketch_));
    } while (case_text(sketch_).size() < size);
  }

  // Where the layout is wrong as well, code of another length may have a good one: a case then fails
  // first by what it was reduced for.
  void mend_layout() {
    const auto layout_fails = [this](const Sketch& sketch) {
      return !works({sketch}, seed_).front() ||
             is_about_layout(last_->verdict.findings.front().code);
    };
    if (!is_about_layout(kind_.code) && layout_fails(sketch_)) {
      Sketch longer = sketch_;
      auto& lines = longer.programs.front().functions.front().lines;
      lines.insert(lines.begin(), "mov %r0, 0");
      if (!layout_fails(longer)) {
        sketch_ = std::move(longer);
      }
    }
  }

  // Which of these are still the same finding.
  std::vector<bool> works(const std::vector<Sketch>& sketches, std::uint64_t seed) {
    std::vector<bool> all(sketches.size(), false);
    std::vector<Trial::Run> runs;
    std::vector<std::size_t> whose;
    const auto flush = [&] {
      candidates_ += runs.size();
      const auto seen = trial_.run(std::exchange(runs, {}));
      for (std::size_t i = 0; i < seen.size(); ++i) {
        if (seen[i] && seen[i]->verdict.outcome == model::Outcome::fail &&
            kind_of(seen[i]->document->cell, seen[i]->verdict) == kind_) {
          all[whose[i]] = true;
          last_ = seen[i];
        }
      }
      whose.clear();
    };
    for (std::size_t i = 0; i < sketches.size(); ++i) {
      auto cell = cell_of(sketches[i]);
      if (!cell) {
        continue;
      }
      cell.value().budget = budget_;
      runs.push_back({.document = {.cell = std::move(cell).value()}, .seed = seed});
      whose.push_back(i);
      if (runs.size() == kMostAtOnce) {
        flush();
      }
    }
    if (!runs.empty()) {
      flush();
    }
    return all;
  }

  Sketch with(const std::vector<const Edit*>& edits) const {
    Sketch changed = sketch_;
    for (const Edit* const edit : edits) {
      (*edit)(changed);
    }
    return tidied(without_empty_lines(std::move(changed)));
  }

  // Tries each edit by itself, and keeps as many of those that count as go together. Whether one
  // was kept.
  bool take(const std::vector<Edit>& edits) {
    std::vector<Sketch> single;
    single.reserve(edits.size());
    for (const Edit& edit : edits) {
      single.push_back(with({&edit}));
      if (single.back() == sketch_) {
        single.back() = {};  // nothing changed; no case either
      }
    }
    const std::vector<bool> good = works(single, seed_);
    std::vector<const Edit*> all;
    std::vector<std::size_t> numbers;
    for (std::size_t i = 0; i < edits.size(); ++i) {
      if (good[i]) {
        all.push_back(&edits[i]);
        numbers.push_back(i);
      }
    }
    if (all.empty()) {
      return false;
    }
    // The longest beginning of them that counts: 1 does.
    std::vector<std::size_t> lengths;
    std::vector<Sketch> beginnings;
    for (std::size_t length = all.size(); length > 1;
         length -= std::max<std::size_t>(length / 4, 1)) {
      lengths.push_back(length);
      beginnings.push_back(with({all.begin(), all.begin() + static_cast<std::ptrdiff_t>(length)}));
    }
    const std::vector<bool> together = works(beginnings, seed_);
    const auto best = std::ranges::find(together, true);
    sketch_ = best == together.end()
                  ? std::move(single[numbers.front()])
                  : std::move(beginnings[static_cast<std::size_t>(best - together.begin())]);
    return true;
  }

  // Blocks of half the lines, then of a quarter, and so on; of single ones as long as one can go.
  void remove_lines() {
    for (std::size_t size = std::max<std::size_t>(instruction_count(sketch_) / 2, 1);;
         size = std::max<std::size_t>(size / 2, 1)) {
      while (take(fewer_lines(sketch_, size)) && size == 1) {
      }
      if (size == 1) {
        return;
      }
    }
  }

  void remove_declarations() {
    while (take(fewer_declarations(sketch_))) {
    }
    // Programs of arrays, one at a time.
    for (std::size_t a = 0; a < sketch_.arrays.size(); ++a) {
      for (std::size_t i = sketch_.arrays[a].programs.size(); i-- > 0;) {
        take({[a, i](Sketch& sketch) {
          auto& programs = sketch.arrays[a].programs;
          programs.erase(programs.begin() + static_cast<std::ptrdiff_t>(i));
        }});
      }
    }
  }

  // Memory: half of it, a byte less, and zeros.
  void shrink_bytes() {
    for (std::size_t i = 0; i < count_of_bytes(sketch_); ++i) {
      while (take({half_the_bytes(i)})) {
      }
      for (int times = 0; times < 8 && take({one_byte_less(i)}); ++times) {
      }
      take({zeroed_bytes(i)});
    }
  }

  // Run once more as it is now: what was seen last need not be of it.
  std::string shape() {
    auto cell = cell_of(sketch_).value();
    auto seen = trial_.run({{.document = {.cell = cell}, .seed = seed_}});
    if (seen.front()) {
      last_ = std::move(seen.front());
    }
    const model::Verdict& verdict = last_->verdict;
    const std::string site = verdict.findings.empty() ? "" : most_telling(verdict).site;
    if (!site.empty() && last_->testimony.image) {
      for (const model::SiteStory& story : verdict.sites) {
        if (story.name == site && story.at) {
          return call_shape(*last_->testimony.image, *story.at);
        }
      }
    }
    return is_about_layout(kind_.code) ? ""
                                       : fmt::format("{}", fmt::join(traits(*cell.program), "; "));
  }

  Trial& trial_;
  Sketch sketch_;
  std::uint64_t seed_;
  FindingKind kind_;
  std::uint64_t budget_ = 0;
  std::size_t candidates_ = 0;
  std::optional<run::FinishedCell> last_;
};

// A name as a word of a shell pattern that matches it.
std::string as_pattern(std::string_view name) {
  std::string pattern(name);
  std::ranges::replace_if(
      pattern, [](char c) { return c == ' ' || c == '*' || c == '[' || c == '\\' || c == '#'; },
      '?');
  return pattern;
}

// A run's verdict is of this kind.
bool is_of_kind(const std::optional<run::FinishedCell>& seen, const FindingKind& kind) {
  return seen && seen->verdict.outcome == model::Outcome::fail &&
         kind_of(seen->document->cell, seen->verdict) == kind;
}

}  // namespace

Result<Reduced> reduce(Trial& trial, const Sketch& sketch, std::uint64_t seed) {
  return Reducer(trial, sketch, seed).run();
}

std::string reduced_case(const Reduced& reduced, const engine::Jit& jit,
                         std::vector<std::string> comments) {
  const model::Cell cell = cell_of(reduced.sketch).value();
  const auto run = run::interpreted(cell);
  std::string outcome = "-- result\nany\n";
  if (run && !run.value().undefined_result && run.value().r0_frame == 0) {
    outcome = fmt::format("-- result\n{:#x}\n", run.value().r0);
  }
  std::string unreached;
  for (const bpf::PseudoCall& call : pseudo_calls(*cell.program)) {
    const bool reached =
        run && std::ranges::find(run.value().calls, call.site, &bpf::PseudoCall::site) !=
                   run.value().calls.end();
    if (!reached && run) {
      unreached += fmt::format("{} {} *0\n", to_string(*cell.program, call.site),
                               callee_name(*cell.program, call.callee));
    }
  }
  outcome += unreached.empty() ? "" : "-- calls\n" + unreached;
  outcome +=
      fmt::format("-- known\n{} {}\n", as_pattern(jit.identity), farcall::name(reduced.kind.code));
  return case_text(reduced.sketch, {.comments = std::move(comments), .outcome = outcome});
}

Result<ReducedDocument> reduce_document(Trial& trial, const model::Document& document,
                                        std::uint64_t seed) {
  model::Document current = document;
  auto seen = trial.run({{.document = current, .seed = seed}});
  if (!seen.front()) {
    return error("stopped");
  }
  FARCALL_TRY(kind, reducible(current.cell, seen.front()->verdict));
  using Change = std::function<void(model::Document&)>;
  const auto take = [&](const Change& change) {
    model::Document changed = current;
    change(changed);
    const auto came = trial.run({{.document = changed, .seed = seed}});
    if (is_of_kind(came.front(), kind)) {
      current = std::move(changed);
      return true;
    }
    return false;
  };
  take([](model::Document& changed) { changed.linked.reset(); });
  take([](model::Document& changed) { changed.cell.expected = {.any_other_call = true}; });
  take([](model::Document& changed) { changed.image->calls.clear(); });
  take([](model::Document& changed) { changed.image->bpf_registers.clear(); });
  take([](model::Document& changed) { changed.image->thread_area.reset(); });
  for (std::size_t i = 0; i < current.image->functions.size(); ++i) {
    take([i](model::Document& changed) { changed.image->functions[i].lines.clear(); });
    take([i](model::Document& changed) { changed.image->functions[i].pass_words.clear(); });
  }
  if (kind.site == SiteKind::none) {
    take([](model::Document& changed) { changed.cell.program = nullptr; });
  }
  for (std::size_t i = current.cell.memory.size(); i-- > 0;) {
    const auto at = static_cast<std::ptrdiff_t>(i);
    if (take([at](model::Document& changed) {
          changed.cell.memory.erase(changed.cell.memory.begin() + at);
        })) {
      continue;
    }
    while (current.cell.memory[i].bytes.size() > 1 && take([i](model::Document& changed) {
             SharedBytes& bytes = changed.cell.memory[i].bytes;
             bytes = SharedBytes::of(bytes, (bytes.size() + 1) / 2);
           })) {
    }
    take([i](model::Document& changed) {
      SharedBytes& bytes = changed.cell.memory[i].bytes;
      bytes = SharedBytes::of({}, bytes.size());
    });
  }
  for (std::size_t i = 0; i < current.cell.arguments.size(); ++i) {
    take([i](model::Document& changed) { changed.cell.arguments[i] = 0; });
  }
  return ReducedDocument{.document = std::move(current), .kind = kind, .seed = seed};
}

}  // namespace farcall::campaign

#include "campaign/campaign.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <iterator>
#include <mutex>
#include <span>
#include <string>
#include <utility>

#include "base/parallel.hpp"
#include "campaign/coverage.hpp"
#include "campaign/culprit.hpp"
#include "campaign/finding.hpp"
#include "campaign/numbers.hpp"
#include "campaign/reduce.hpp"
#include "campaign/schedule.hpp"
#include "campaign/trial.hpp"

namespace farcall::campaign {
namespace {

using Clock = std::chrono::steady_clock;

// So many findings of one block are reduced at most: a JIT that fails everywhere is still a JIT of
// a few defects. The others are counted as what they are before they are reduced.
constexpr std::size_t kMostReductions = 16;

// A machine on a host that has other things to do may be lost now and then. So many in a row, without
// a block that was done meanwhile, and there are none to be had.
constexpr unsigned kMostMachinesLost = 4;

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

std::vector<std::string> identities(std::span<const engine::Jit> jits) {
  std::vector<std::string> all;
  for (const engine::Jit& jit : jits) {
    all.push_back(jit.identity);
  }
  return all;
}

class Campaign {
 public:
  Campaign(Store& store, const CampaignOptions& options)
      : store_(store),
        options_(options),
        begin_(Clock::now()),
        schedule_({.seed = options.seed,
                   .programs = options.programs,
                   .shard = options.shard,
                   .jits = identities(options.jits)},
                  store),
        coverage_(identities(options.jits), store),
        known_(options.jits.size()) {
    for (const StoredFinding& finding : store_.findings()) {
      for (std::size_t i = 0; i < options_.jits.size(); ++i) {
        if (finding.jit == options_.jits[i].identity) {
          known_[i].push_back(finding);
        }
      }
    }
  }

  Result<void> run() {
    on_threads(options_.runner.machines, [this] { work(); });
    if (failure_) {
      return *failure_;
    }
    return success();
  }

 private:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }
  bool stopped() const { return failed_ || (options_.runner.stopped && options_.runner.stopped()); }

  // For a worker that has these trials, by JIT.
  std::optional<ScheduledBlock> next(const std::vector<std::unique_ptr<Trial>>& trials) {
    const std::scoped_lock lock(mutex_);
    if (stopped() || (options_.time && seconds() >= options_.time->count())) {
      return std::nullopt;
    }
    return schedule_.next([&trials](std::size_t jit, const model::AxisValues& axes) {
      return trials[jit] && trials[jit]->has_machine(axes);
    });
  }

  void work() {
    std::vector<std::unique_ptr<Trial>> trials(options_.jits.size());
    try {
      while (const auto item = next(trials)) {
        std::unique_ptr<Trial>& trial = trials[item->jit];
        if (!trial) {
          run::RunnerOptions runner = options_.runner;
          runner.jit = options_.jits[item->jit];
          runner.stopped = [this] { return stopped(); };
          trial = std::make_unique<Trial>(runner);
        }
        if (const std::optional<Error> lost = run_block(*trial, *item)) {
          trial.reset();
          again(*item, *lost);
        }
      }
    } catch (const std::exception& error) {
      fail({.code = ErrorCode::file_unwritable, .message = std::string(error.what())});
    }
  }

  // The block is done again, as if it had not begun.
  void again(const ScheduledBlock& item, const Error& lost) {
    {
      const std::scoped_lock lock(mutex_);
      if (++machines_lost_ < kMostMachinesLost) {
        schedule_.put_back(item);
        if (options_.machine_lost) {
          options_.machine_lost(lost);
        }
        return;
      }
    }
    fail(lost);
  }

  void fail(const Error& error) {
    const std::scoped_lock lock(mutex_);
    if (!failure_) {
      failure_ = error;
    }
    failed_ = true;
  }

  struct Failing {
    Sketch sketch;
    std::uint64_t program = 0;
    run::FinishedCell cell;
    bool is_blamed = false;  // an instruction of it fails alone, and is known
  };

  // The error of the machine, if that was lost.
  std::optional<Error> run_block(Trial& trial, const ScheduledBlock& item) {
    const auto begin = Clock::now();
    StoredBlock block{.id = schedule_.id_of(item)};
    std::vector<Sketch> sketches;
    std::vector<Trial::Run> runs;
    std::vector<std::uint64_t> numbers;
    for (std::uint64_t i = 0; i < kBlockPrograms; ++i) {
      const std::uint64_t number = number_in(item.block, i);
      Sketch sketch = program_of_campaign(item.seed, number);
      auto cell = cell_of(sketch, fmt::format("program-{}", number));
      ++block.programs;
      if (!cell) {
        ++block.errors;
        keep_own(item.jit, block, number, sketch, model::as_finding(cell.error()));
        continue;
      }
      runs.push_back({.document = {.cell = std::move(cell).value()}, .seed = number});
      sketches.push_back(std::move(sketch));
      numbers.push_back(number);
    }
    auto seen = trial.run(std::move(runs));
    if (stopped()) {
      return std::nullopt;  // the block counts for nothing: whoever goes on does it
    }
    for (const std::optional<run::FinishedCell>& cell : seen) {
      if (!cell) {
        return std::nullopt;
      }
      const std::vector<model::Finding>& findings = cell->verdict.findings;
      if (cell->verdict.outcome == model::Outcome::error &&
          blame(findings.front().code) == Blame::machine) {
        return as_error(findings.front());
      }
    }
    std::vector<Failing> failing;
    for (std::size_t i = 0; i < seen.size(); ++i) {
      run::FinishedCell& cell = *seen[i];
      cover(item.jit, block, sketches[i], numbers[i], cell);
      switch (cell.verdict.outcome) {
        case model::Outcome::pass:
          ++block.passed;
          break;
        case model::Outcome::skip:
          ++block.skipped;
          break;
        case model::Outcome::error:
        case model::Outcome::fail: {
          const model::Finding& first = cell.verdict.findings.front();
          const Blame blamed = blame(first.code);
          if (blamed == Blame::code || blamed == Blame::harness) {
            ++block.failed;
            failing.push_back(
                {.sketch = std::move(sketches[i]), .program = numbers[i], .cell = std::move(cell)});
          } else if (blamed == Blame::input) {
            fail(as_error(first));
            return std::nullopt;
          } else {
            ++block.errors;
            keep_own(item.jit, block, numbers[i], sketches[i], first);
          }
        }
      }
    }
    if (!sort(trial, item.jit, block, std::move(failing))) {
      return std::nullopt;
    }
    block.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    block.ended = now();
    const std::scoped_lock lock(mutex_);
    store_.add(block);
    machines_lost_ = 0;
    if (options_.block_done) {
      options_.block_done(store_);
    }
    return std::nullopt;
  }

  // Says of each failing program which finding it has; reduces what is none of those that are
  // known. False: it was stopped.
  bool sort(Trial& trial, std::size_t jit, StoredBlock& block, std::vector<Failing> failing) {
    std::vector<StoredFinding> news = known(jit);
    for (std::size_t reductions = 0; !failing.empty(); ++reductions) {
      for (const StoredFinding& finding : news) {
        failing = others(trial, block, finding, std::move(failing));
      }
      if (stopped()) {
        return false;
      }
      if (failing.empty()) {
        return true;
      }
      Failing first = std::move(failing.back());
      failing.pop_back();
      const FindingKind kind = kind_of(first.cell.document->cell, first.cell.verdict);
      StoredFinding finding{.code = std::string(farcall::name(kind.code)),
                            .site = std::string(name(kind.site)),
                            .shape = "not reduced",
                            .text = case_text(first.sketch),
                            .instructions = instruction_count(first.sketch),
                            .program = first.program,
                            .seed = block.id.seed};
      const bool gives_up = reductions >= kMostReductions;
      auto culprit = gives_up || first.is_blamed
                         ? std::nullopt
                         : find_culprit(trial, first.sketch, first.program, kind);
      const bool is_alone = culprit.has_value();
      std::optional<Reduced> reduced;
      if (!gives_up && !culprit && !stopped()) {
        if (auto smallest = reduce(trial, first.sketch, first.program)) {
          reduced = std::move(smallest).value();
          culprit = find_culprit(trial, reduced->sketch, reduced->seed, reduced->kind);
        }
      }
      if (stopped()) {
        return false;
      }
      news.clear();
      if (culprit || reduced) {
        describe(finding, culprit ? culprit->reduced : *reduced, trial.jit());
        news.push_back(finding);
      }
      keep(jit, finding);
      if (culprit) {
        StoredFinding as_seen = finding;
        as_seen.culprit = culprit->seen;
        know(jit, as_seen);
        news.push_back(std::move(as_seen));
      }
      if (is_alone) {
        // Whether that is all that is wrong with it, others() finds out.
        first.is_blamed = true;
        failing.push_back(std::move(first));
      } else {
        count(block, finding);
      }
    }
    return true;
  }

  static void describe(StoredFinding& finding, const Reduced& reduced, const engine::Jit& jit) {
    finding.code = std::string(farcall::name(reduced.kind.code));
    finding.site = std::string(name(reduced.kind.site));
    finding.shape = reduced.shape;
    finding.instructions = instruction_count(reduced.sketch);
    const auto cell = cell_of(reduced.sketch);
    finding.culprit = cell ? fmt::format("{}", fmt::join(traits(*cell.value().program), "\n")) : "";
    finding.text = reduced_case(
        reduced, jit,
        {fmt::format("{}; {}", to_string(reduced.kind), reduced.shape),
         fmt::format("farcall fuzz --jit '{}' --seed {}: program {}{}", jit.name, finding.seed,
                     finding.program,
                     reduced.seed == 0 ? "" : fmt::format("; run with --seed {}", reduced.seed))});
  }

  // Those that fail in another way than by `finding`; the others are counted.
  static std::vector<Failing> others(Trial& trial, StoredBlock& block, const StoredFinding& finding,
                                     std::vector<Failing> failing) {
    const std::vector<std::string> culprit = lines_of(finding.culprit);
    std::vector<Failing> left;
    std::vector<Failing> suspects;
    std::vector<Sketch> variants;
    std::vector<Trial::Run> runs;
    for (Failing& one : failing) {
      const model::Cell& cell = one.cell.document->cell;
      const FindingKind kind = kind_of(cell, one.cell.verdict);
      const bool same_kind =
          farcall::name(kind.code) == finding.code && name(kind.site) == finding.site;
      if (same_kind && shape_at_site(one.cell) == finding.shape) {
        count(block, finding);
        continue;
      }
      const std::vector<std::string> of_program = traits(*cell.program);
      const bool has_all =
          !culprit.empty() && std::ranges::all_of(culprit, [&](const std::string& text) {
            return std::ranges::binary_search(of_program, text);
          });
      Sketch variant = has_all ? without(one.sketch, *cell.program, culprit) : Sketch{};
      auto changed = has_all ? cell_of(variant) : Result<model::Cell>(Error{});
      if (!changed) {
        left.push_back(std::move(one));
        continue;
      }
      runs.push_back({.document = {.cell = std::move(changed).value()}, .seed = one.program});
      variants.push_back(std::move(variant));
      suspects.push_back(std::move(one));
    }
    auto seen = trial.run(std::move(runs));
    for (std::size_t i = 0; i < seen.size(); ++i) {
      if (seen[i] && seen[i]->verdict.outcome == model::Outcome::pass) {
        count(block, finding);
        continue;
      }
      const bool fails = seen[i] && seen[i]->verdict.outcome == model::Outcome::fail &&
                         blame(seen[i]->verdict.findings.front().code) == Blame::code;
      if (fails) {
        // What is left of it is another finding, which the known one cannot hide any more.
        const auto kind = [](const run::FinishedCell& cell) {
          return kind_of(cell.document->cell, cell.verdict);
        };
        if (kind(*seen[i]) != kind(suspects[i].cell)) {
          count(block, finding);
        }
        suspects[i].sketch = std::move(variants[i]);
        suspects[i].cell = std::move(*seen[i]);
        suspects[i].is_blamed = false;
      }
      left.push_back(std::move(suspects[i]));
    }
    return left;
  }

  static std::string shape_at_site(const run::FinishedCell& cell) {
    const model::Finding& first = most_telling(cell.verdict);
    if (first.site.empty() || !cell.testimony.image) {
      return {};
    }
    for (const model::SiteStory& story : cell.verdict.sites) {
      if (story.name == first.site && story.at) {
        return call_shape(*cell.testimony.image, *story.at);
      }
    }
    return {};
  }

  static void count(StoredBlock& block, const StoredFinding& finding) {
    const auto found =
        std::ranges::find(block.seen, finding.key(), &std::pair<std::string, std::uint64_t>::first);
    if (found != block.seen.end()) {
      ++found->second;
    } else {
      block.seen.emplace_back(finding.key(), 1);
    }
  }

  std::vector<StoredFinding> known(std::size_t jit) {
    const std::scoped_lock lock(mutex_);
    return known_[jit];
  }

  void keep(std::size_t jit, StoredFinding finding) {
    finding.jit = options_.jits[jit].identity;
    const std::scoped_lock lock(mutex_);
    finding.seconds = seconds();
    const bool is_new =
        std::ranges::find(known_[jit], finding.key(), &StoredFinding::key) == known_[jit].end();
    if (is_new) {
      known_[jit].push_back(finding);
      store_.add(finding);
      if (options_.found) {
        options_.found(finding);
      }
    }
  }

  // Of a program that is wrong itself: a defect of the generator.
  void keep_own(std::size_t jit, StoredBlock& block, std::uint64_t number, const Sketch& sketch,
                const model::Finding& found) {
    StoredFinding finding{.code = std::string(farcall::name(found.code)),
                          .site = "the generator's own",
                          .shape = found.text,
                          .text = case_text(sketch),
                          .program = number,
                          .seed = block.id.seed};
    count(block, finding);
    keep(jit, std::move(finding));
  }

  // Another form in which programs have a finding that is kept.
  void know(std::size_t jit, StoredFinding finding) {
    finding.jit = options_.jits[jit].identity;
    const std::scoped_lock lock(mutex_);
    known_[jit].push_back(std::move(finding));
  }

  // Keeps what the program has shown for the first time, and itself if there is any.
  void cover(std::size_t jit, StoredBlock& block, const Sketch& sketch, std::uint64_t number,
             const run::FinishedCell& cell) {
    std::vector<StoredCoverage> news = coverage_.news(jit, cell);
    if (news.empty()) {
      return;
    }
    block.corpus.push_back({.program = number,
                            .why = fmt::format("{}: {}", news[0].trait, news[0].shape),
                            .text = case_text(sketch)});
    std::ranges::move(news, std::back_inserter(block.coverage));
    const std::scoped_lock lock(mutex_);
    schedule_.add_around(jit, block.id.seed, number);
  }

  Store& store_;
  const CampaignOptions& options_;
  Clock::time_point begin_;
  std::mutex mutex_;
  Schedule schedule_;
  Coverage coverage_;
  unsigned machines_lost_ = 0;                     // since a block was done
  std::vector<std::vector<StoredFinding>> known_;  // by JIT
  std::atomic<bool> failed_ = false;
  std::optional<Error> failure_;
};

}  // namespace

Result<void> run_campaign(Store& store, const CampaignOptions& options) {
  return Campaign(store, options).run();
}

}  // namespace farcall::campaign

#include "run/machine_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/byte_order.hpp"
#include "check/second_look.hpp"
#include "faults/control.hpp"
#include "run/pipeline.hpp"

namespace farcall::run {
namespace {

// Jobs of one batch: enough to hide the round trip, few enough that the first results come soon, and
// that what two batches touch, some 20 KiB a job and their cells, stays in a core's own cache. With 128
// farcall's own time for a program is 1.07 times as long.
constexpr std::size_t kBatchJobs = 32;

// So many machines in a row that end before they have booted are not an accident.
constexpr unsigned kMostStarts = 3;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// A cell of which nothing has come yet. `jit` makes its code, if it has none.
FinishedCell unfinished(const Documents& documents, std::size_t index, const engine::Jit& jit) {
  FinishedCell cell{.index = index,
                    .document = documents.at(index),
                    .testimony = {},
                    .verdict = {},
                    .seed = documents.seed(index)};
  cell.jit = cell.document->image ? "" : jit.name;
  return cell;
}

model::Verdict verdict_of(const Error& error) {
  return {.findings = {model::as_finding(error)}};
}

struct PendingCell {
  FinishedCell cell;  // without a verdict as yet, unless it is looked at again
  std::unique_ptr<check::SecondLook> look = nullptr;
};

// Jobs that go to the guest together, each with the cell that it belongs to.
struct Batch {
  std::vector<PendingCell> cells;
  std::vector<model::Job> jobs;

  // Cells are large: none is moved because there are more of them.
  void reserve() {
    cells.reserve(kBatchJobs);
    jobs.reserve(kBatchJobs);
  }

  // Splits off everything after the first `count`.
  Batch split(std::size_t count) {
    const auto take = [count](auto& from) {
      std::decay_t<decltype(from)> tail(
          std::make_move_iterator(from.begin() + static_cast<std::ptrdiff_t>(count)),
          std::make_move_iterator(from.end()));
      from.resize(count);
      return tail;
    };
    return {take(cells), take(jobs)};
  }
};

// A cell that a machine had been given when it failed. Only who is run alone can be blamed.
struct Suspect {
  Batch alone;                 // of one job
  unsigned machines_lost = 0;  // that failed while they ran it
};

class MachineRun {
 public:
  MachineRun(std::optional<vm::Machine>& machine, const Documents& documents,
             const MachineRunOptions& options, const MachineRunListener& listener)
      : machine_(machine),
        documents_(documents),
        options_(options),
        listener_(listener),
        compiler_(options.jit.start(listener.stopped)) {}

  // Keeps two batches in the guest, and prepares a third meanwhile.
  Result<void> run() {
    while (!listener_.stopped() &&
           (more_ || !ready_.jobs.empty() || !running_.empty() || !suspects_.empty())) {
      if (const auto done = step(); !done && !listener_.stopped()) {
        FARCALL_TRYV(recover(done.error()));
      }
    }
    if (!running_.empty() || running_suspect_) {  // nobody waits for what it is doing
      machine_.reset();
    }
    return success();
  }

 private:
  Result<void> step() {
    if (!suspects_.empty()) {
      return run_first_suspect();
    }
    while (ready_.jobs.size() < kBatchJobs && more_ && !listener_.stopped()) {
      FARCALL_TRYV(prepare_next());
    }
    if (!ready_.jobs.empty() && running_.size() < vm::kMaxBatchesInFlight) {
      return submit();
    }
    return running_.empty() ? success() : collect();
  }

  // As many as the JIT wants at a time.
  Result<void> prepare_next() {
    const auto begin = Clock::now();
    std::vector<FinishedCell> cells;
    std::vector<ToPrepare> wanted;
    while (more_ && cells.size() < compiler_->batch()) {
      const auto index = listener_.next();
      if (!index) {
        more_ = false;
        break;
      }
      FinishedCell cell = unfinished(documents_, *index, options_.jit);
      if (cell.document->cell.control && !cell.document->image) {
        auto spoiled = faults::spoiled(*cell.document);
        if (!spoiled) {
          cell.verdict = verdict_of(spoiled.error());
          finish(std::move(cell));
          continue;
        }
        cell.document = std::make_shared<const model::Document>(std::move(spoiled).value());
        cell.jit = "";
      }
      cells.push_back(std::move(cell));
      wanted.push_back({.document = cells.back().document.get(), .seed = cells.back().seed});
    }
    std::vector<check::Testimony> prepared = prepare(wanted, *compiler_);
    if (listener_.stopped()) {
      return success();  // the JIT may not have been waited for
    }
    const double share = seconds_since(begin) / static_cast<double>(cells.size());
    ready_.reserve();
    for (std::size_t i = 0; i < cells.size(); ++i) {
      FinishedCell& cell = cells[i];
      cell.seconds = share;
      cell.testimony = std::move(prepared[i]);
      if (std::optional<model::Job> job = std::exchange(cell.testimony.job, std::nullopt)) {
        ready_.cells.emplace_back(std::move(cell));
        ready_.jobs.push_back(std::move(*job));
      } else {
        cell.verdict =
            check::check(cell.document->cell, cell.testimony, terms_of(cell.document->cell));
        finish(std::move(cell));
      }
    }
    return ready_.jobs.empty() ? success()
                               : need_machine(ready_);  // it boots while more is prepared
  }

  Result<void> need_machine(const Batch& batch) {
    if (!machine_) {
      const model::AxisValues& axes = batch.cells.front().cell.document->cell.axes;
      FARCALL_TRY(machine, vm::Machine::start(machine_spec(axes, options_.images), options_.host));
      machine_ = std::move(machine);
      batch_begin_ = Clock::now();
    }
    return success();
  }

  Result<void> submit() {
    FARCALL_TRYV(need_machine(ready_));
    const auto accepted = machine_->submit(ready_.jobs);
    if (!accepted) {
      if (is_about_job(accepted.error())) {
        refuse_first(accepted.error());
        return success();
      }
      return accepted.error();
    }
    if (running_.empty()) {
      batch_begin_ = Clock::now();
    }
    Batch rest = ready_.split(accepted.value());
    running_.push_back(std::move(ready_));
    ready_ = std::move(rest);
    return success();
  }

  Result<void> collect() {
    FARCALL_TRY(observations, machine_->collect(listener_.stopped));
    failed_starts_ = 0;
    Batch batch = std::move(running_.front());
    running_.pop_front();
    judge(std::move(batch), std::move(observations));
    return success();
  }

  // Alone on its machine, so that it is known who did it if that fails, too.
  Result<void> run_first_suspect() {
    const Batch& alone = suspects_.front().alone;
    FARCALL_TRYV(need_machine(alone));
    FARCALL_TRYV(machine_->submit(alone.jobs));
    running_suspect_ = true;
    batch_begin_ = Clock::now();
    FARCALL_TRY(observations, machine_->collect(listener_.stopped));
    running_suspect_ = false;
    failed_starts_ = 0;
    Batch batch = std::move(suspects_.front().alone);
    suspects_.pop_front();
    judge(std::move(batch), std::move(observations));
    return success();
  }

  // The machine has failed, or could not be started. Sees to it that a new one goes on; an error if
  // that is hopeless.
  Result<void> recover(const Error& error) {
    const bool booted = machine_ && machine_->booted();
    if (machine_ && listener_.lost) {
      listener_.lost();
    }
    machine_.reset();
    failed_starts_ = booted ? 0 : failed_starts_ + 1;
    if (std::exchange(running_suspect_, false)) {
      Suspect& suspect = suspects_.front();
      suspect.machines_lost += booted ? 1U : 0U;
      if (suspect.machines_lost == 2) {
        PendingCell pending = std::move(suspect.alone.cells.front());
        suspects_.pop_front();
        Error of_cell = error;
        of_cell.message = "two machines failed with this cell: " + of_cell.message;
        refuse(std::move(pending), of_cell);
      }
    }
    for (; !running_.empty(); running_.pop_front()) {
      Batch& batch = running_.front();
      while (!batch.jobs.empty()) {
        Batch rest = batch.split(1);
        suspects_.push_back({.alone = std::move(batch), .machines_lost = booted ? 1U : 0U});
        batch = std::move(rest);
      }
    }
    if (failed_starts_ < kMostStarts) {
      return success();
    }
    give_up(error);
    return error;
  }

  void judge(Batch&& batch, std::vector<model::Observations>&& observations) {
    const double share = seconds_since(batch_begin_) / static_cast<double>(batch.jobs.size());
    batch_begin_ = Clock::now();
    for (std::size_t i = 0; i < batch.jobs.size(); ++i) {
      batch.cells[i].cell.seconds += share;
      faults::falsify(*batch.cells[i].cell.document, observations[i]);
      if (options_.said) {
        options_.said(batch.cells[i].cell.index, observations[i]);
      }
      if (batch.cells[i].look) {
        compare(std::move(batch.cells[i]), std::move(batch.jobs[i]), std::move(observations[i]));
      } else {
        judge(std::move(batch.cells[i].cell), std::move(batch.jobs[i]), std::move(observations[i]));
      }
    }
  }

  // A fault that is there on purpose must be found, whatever else is allowed.
  check::Terms terms_of(const model::Cell& cell) const {
    return {.jit = options_.jit.identity,
            .allowed = cell.control ? std::span<const ErrorCode>{} : options_.allowed};
  }

  // Whether the run adds nothing to what is wrong with the emitted bytes: that depends on no seed.
  bool is_about_bytes(const FinishedCell& cell) const {
    check::Testimony unseen = cell.testimony;
    unseen.observations.reset();
    const model::Verdict verdict =
        check::check(cell.document->cell, unseen, terms_of(cell.document->cell));
    return verdict.findings.size() == cell.verdict.findings.size();
  }

  void judge(FinishedCell&& cell, model::Job&& job, model::Observations&& observations) {
    check::Testimony& testimony = cell.testimony;
    testimony.observations = without_direct_branches(
        job, byte_order(cell.document->cell.axes.endian), std::move(observations));
    testimony.job = std::move(job);
    cell.verdict = check::check(cell.document->cell, testimony, terms_of(cell.document->cell));
    model::Job given = *std::exchange(testimony.job, std::nullopt);
    if (cell.verdict.outcome == model::Outcome::pass) {
      finish(std::move(cell));
      return;
    }
    testimony.landmarks = model::landmarks(given);
    if (is_about_bytes(cell)) {
      finish(std::move(cell));
      return;
    }
    model::Job second = make_job(cell.document->cell, *testimony.image, cell.seed ^ 1,
                                 check::left_frames(testimony));
    check::Ended first = check::ended(cell.document->cell, cell.verdict, *testimony.observations);
    go_on({std::move(cell), std::make_unique<check::SecondLook>(std::move(first), std::move(given),
                                                                std::move(second))});
  }

  void compare(PendingCell&& pending, model::Job&& job, model::Observations&& observations) {
    const model::Cell& cell = pending.cell.document->cell;
    check::Testimony testimony = pending.cell.testimony;
    testimony.observations =
        without_direct_branches(job, byte_order(cell.axes.endian), std::move(observations));
    testimony.job = std::move(job);
    pending.look->take(
        check::ended(cell, check::check(cell, testimony, terms_of(cell)), *testimony.observations));
    go_on(std::move(pending));
  }

  // The next job of a cell that is looked at again, or its end.
  void go_on(PendingCell&& pending) {
    if (std::optional<model::Job> job = pending.look->next_job()) {
      ready_.jobs.push_back(std::move(*job));
      ready_.cells.push_back(std::move(pending));
      return;
    }
    pending.look->conclude(pending.cell.verdict, pending.cell.seed ^ 1);
    finish(std::move(pending.cell));
  }

  // Errors of submit() that are about its first job, not about the machine.
  static bool is_about_job(const Error& error) { return blame(error.code) == Blame::input; }

  // The first job that is ready cannot be mapped as its image asks: that is the image's failure.
  void refuse_first(const Error& error) {
    FinishedCell cell = std::move(ready_.cells.front().cell);
    ready_ = ready_.split(1);
    cell.testimony.refusal = error;
    cell.verdict = check::check(cell.document->cell, cell.testimony, terms_of(cell.document->cell));
    finish(std::move(cell));
  }

  // Makes an error of every cell that has no verdict yet. One that has failed has.
  void give_up(const Error& error) {
    for (Suspect& suspect : suspects_) {
      for (PendingCell& pending : suspect.alone.cells) {
        refuse(std::move(pending), error);
      }
    }
    for (PendingCell& pending : ready_.cells) {
      refuse(std::move(pending), error);
    }
  }

  void finish(FinishedCell&& cell) {
    cell.verdict = check::against_control(cell.document->cell, std::move(cell.verdict));
    listener_.finish(std::move(cell));
  }

  // An error, unless it has failed already and was only run again.
  void refuse(PendingCell&& pending, const Error& error) {
    if (!pending.look || !pending.look->is_repeated()) {
      pending.cell.verdict = verdict_of(error);
    }
    finish(std::move(pending.cell));
  }

  std::optional<vm::Machine>& machine_;
  const Documents& documents_;
  const MachineRunOptions& options_;
  const MachineRunListener& listener_;
  std::unique_ptr<engine::Compiler> compiler_;
  bool more_ = true;  // cells to prepare
  Batch ready_;
  std::deque<Batch> running_;
  std::deque<Suspect> suspects_;  // run before anything else
  bool running_suspect_ = false;  // the first of them is in the guest
  unsigned failed_starts_ = 0;    // in a row
  Clock::time_point batch_begin_;
};

}  // namespace

vm::MachineSpec machine_spec(const model::AxisValues& axes, const std::filesystem::path& images) {
  return {.endian = axes.endian,
          .cpu = axes.cpu,
          .mmu = axes.mmu,
          .image = (images / vm::image_name(axes.endian, axes.mmu)).string()};
}

Result<void> run_on_machine(std::optional<vm::Machine>& machine, const Documents& documents,
                            const MachineRunOptions& options, const MachineRunListener& listener) {
  return MachineRun(machine, documents, options, listener).run();
}

std::function<std::optional<std::size_t>()> each_of(std::size_t count) {
  return [next = std::size_t{0}, count]() mutable {
    return next < count ? std::optional(next++) : std::nullopt;
  };
}

FinishedCell not_run(const Documents& documents, std::size_t index, const engine::Jit& jit,
                     const Error& error) {
  FinishedCell cell = unfinished(documents, index, jit);
  cell.verdict = verdict_of(error);
  return cell;
}

report::CellReport cell_report(const FinishedCell& cell, std::string replay) {
  const check::Testimony& testimony = cell.testimony;
  return {.cell = cell.document->cell,
          .verdict = cell.verdict,
          .image = testimony.image ? &*testimony.image : nullptr,
          .observations = testimony.observations ? &*testimony.observations : nullptr,
          .landmarks = testimony.landmarks,
          .replay = std::move(replay),
          .seconds = cell.seconds,
          .seed = cell.seed,
          .jit = cell.jit};
}

}  // namespace farcall::run

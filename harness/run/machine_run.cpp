#include "run/machine_run.hpp"

#include <chrono>
#include <deque>
#include <iterator>
#include <utility>
#include <vector>

#include "run/pipeline.hpp"

namespace farcall::run {
namespace {

// Jobs of one batch: enough to hide the round trip, few enough that the first results come soon.
constexpr std::size_t kBatchJobs = 256;

// So many machines in a row that end before they have booted are no accident.
constexpr unsigned kMostStarts = 3;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Jobs that go to the guest together, each with the cell that it belongs to.
struct Batch {
  std::vector<FinishedCell> cells;  // without a verdict as yet
  std::vector<model::Job> jobs;

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
             const std::filesystem::path& images, const MachineRunListener& listener,
             vm::Host& host)
      : machine_(machine),
        documents_(documents),
        images_(images),
        listener_(listener),
        host_(host) {}

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
    while (ready_.jobs.size() < kBatchJobs && more_) {
      FARCALL_TRYV(prepare_next());
    }
    if (!ready_.jobs.empty() && running_.size() < vm::kMaxBatchesInFlight) {
      return submit();
    }
    return running_.empty() ? success() : collect();
  }

  Result<void> prepare_next() {
    const auto index = listener_.next();
    if (!index) {
      more_ = false;
      return success();
    }
    const auto begin = Clock::now();
    auto document = documents_.at(*index);
    Prepared prepared = prepare(*document, *index + 1);
    FinishedCell cell{.index = *index,
                      .document = std::move(document),
                      .testimony = std::move(prepared.testimony),
                      .verdict = {}};
    cell.seconds = seconds_since(begin);
    if (!prepared.job) {
      judge(std::move(cell));
      return success();
    }
    ready_.cells.push_back(std::move(cell));
    ready_.jobs.push_back(std::move(*prepared.job));
    return need_machine(ready_);  // it boots while more is prepared
  }

  Result<void> need_machine(const Batch& batch) {
    if (!machine_) {
      const model::AxisValues& axes = batch.cells.front().document->cell.axes;
      FARCALL_TRY(machine, vm::Machine::start(machine_spec(axes, images_), host_));
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
        FinishedCell cell = std::move(suspect.alone.cells.front());
        suspects_.pop_front();
        Error of_cell = error;
        of_cell.message = "two machines failed with this cell: " + of_cell.message;
        cell.verdict = not_run(of_cell);
        listener_.finish(std::move(cell));
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

  void judge(Batch batch, std::vector<model::Observations> observations) {
    const double share = seconds_since(batch_begin_) / static_cast<double>(batch.jobs.size());
    batch_begin_ = Clock::now();
    for (std::size_t i = 0; i < batch.jobs.size(); ++i) {
      FinishedCell& cell = batch.cells[i];
      cell.testimony.job = &batch.jobs[i];
      cell.testimony.observations = std::move(observations[i]);
      cell.seconds += share;
      judge(std::move(cell));
    }
  }

  void judge(FinishedCell cell) {
    cell.verdict = check::check(cell.document->cell, cell.testimony);
    if (cell.testimony.job != nullptr && cell.verdict.outcome != model::Outcome::pass) {
      cell.testimony.landmarks = model::landmarks(*cell.testimony.job);
    }
    cell.testimony.job = nullptr;  // it ends with its batch
    listener_.finish(std::move(cell));
  }

  // Errors of submit() that are about its first job, not about the machine.
  static bool is_about_job(const Error& error) { return blame(error.code) == Blame::input; }

  // The first job that is ready cannot be mapped as its image asks: that is the image's failure.
  void refuse_first(const Error& error) {
    FinishedCell cell = std::move(ready_.cells.front());
    ready_ = ready_.split(1);
    cell.testimony.refusal = error;
    judge(std::move(cell));
  }

  // Makes an error of every cell that has no verdict yet.
  void give_up(const Error& error) {
    const auto refuse = [&](std::vector<FinishedCell>& cells) {
      for (FinishedCell& cell : cells) {
        cell.verdict = not_run(error);
        listener_.finish(std::move(cell));
      }
    };
    for (Suspect& suspect : suspects_) {
      refuse(suspect.alone.cells);
    }
    refuse(ready_.cells);
  }

  std::optional<vm::Machine>& machine_;
  const Documents& documents_;
  const std::filesystem::path& images_;
  const MachineRunListener& listener_;
  vm::Host& host_;
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
                            const std::filesystem::path& images, const MachineRunListener& listener,
                            vm::Host& host) {
  return MachineRun(machine, documents, images, listener, host).run();
}

std::function<std::optional<std::size_t>()> each_of(std::size_t count) {
  return [next = std::size_t{0}, count]() mutable {
    return next < count ? std::optional(next++) : std::nullopt;
  };
}

model::Verdict not_run(const Error& error) {
  return {.findings = {model::as_finding(error)}};
}

}  // namespace farcall::run

#include "run/runner.hpp"

#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>
#include <optional>
#include <span>
#include <thread>

#include "run/pipeline.hpp"
#include "vm/machine.hpp"

namespace farcall::run {
namespace {

// Jobs of one batch: enough to hide the round trip, few enough that the first results come soon.
constexpr std::size_t kBatchJobs = 256;

// A second machine of the same kind pays when it has this many cells to itself: a boot costs as
// much as running about a thousand.
constexpr std::size_t kCellsForAnotherMachine = 2000;

// Calls the sink in the order of the documents, whatever the order of completion.
class InOrder {
 public:
  InOrder(const std::vector<model::Document>& documents, bool stop_at_failure,
          const std::function<void(const Outcome&)>& sink)
      : documents_(documents),
        stop_at_failure_(stop_at_failure),
        sink_(sink),
        waiting_(documents.size()) {}

  // Nothing that is finished from now on is handed out.
  bool stopped() const { return stopped_; }

  void finish(std::size_t index, check::Testimony testimony, model::Verdict verdict) {
    const std::scoped_lock lock(mutex_);
    waiting_[index] = Finished{std::move(testimony), std::move(verdict)};
    for (; !stopped_ && next_ < waiting_.size() && waiting_[next_]; ++next_) {
      Finished& finished = *waiting_[next_];
      sink_({documents_[next_], finished.testimony, finished.verdict});
      stopped_ = stop_at_failure_ && finished.verdict.outcome != model::Outcome::pass;
      waiting_[next_].reset();
    }
  }

 private:
  struct Finished {
    check::Testimony testimony;
    model::Verdict verdict;
  };

  const std::vector<model::Document>& documents_;
  bool stop_at_failure_;
  const std::function<void(const Outcome&)>& sink_;
  std::atomic<bool> stopped_ = false;
  std::mutex mutex_;
  std::size_t next_ = 0;
  std::vector<std::optional<Finished>> waiting_;
};

// Jobs that go to the guest together, each with the cell that it belongs to.
struct Batch {
  std::vector<std::size_t> cells;
  std::vector<check::Testimony> testimonies;
  std::vector<model::Job> jobs;

  // Splits off everything behind the first `count`.
  Batch split(std::size_t count) {
    const auto take = [count](auto& from) {
      std::decay_t<decltype(from)> tail(
          std::make_move_iterator(from.begin() + static_cast<std::ptrdiff_t>(count)),
          std::make_move_iterator(from.end()));
      from.resize(count);
      return tail;
    };
    return {take(cells), take(testimonies), take(jobs)};
  }
};

// Some cells that need the same machine, on one such machine.
class MachineRun {
 public:
  MachineRun(const std::vector<model::Document>& documents, std::span<const std::size_t> cells,
             const RunnerOptions& options, InOrder& results)
      : documents_(documents), cells_(cells), options_(options), results_(results) {}

  // Keeps two batches in the guest, and prepares a third meanwhile.
  void run() {
    while (!results_.stopped() && (!cells_.empty() || !ready_.jobs.empty() || !running_.empty())) {
      if (const auto done = step(); !done) {
        give_up(done.error());
        return;
      }
    }
  }

 private:
  Result<void> step() {
    while (ready_.jobs.size() < kBatchJobs && !cells_.empty()) {
      BOOST_OUTCOME_TRY(prepare_next());
    }
    if (!ready_.jobs.empty() && running_.size() < vm::kMaxBatchesInFlight) {
      return submit();
    }
    return running_.empty() ? success() : collect();
  }

  Result<void> prepare_next() {
    const std::size_t index = cells_.front();
    const model::Document& document = documents_[index];
    Prepared prepared = prepare(document, index + 1);
    cells_ = cells_.subspan(1);
    if (!prepared.job) {
      model::Verdict verdict = check::check(document.cell, prepared.testimony);
      results_.finish(index, std::move(prepared.testimony), std::move(verdict));
      return success();
    }
    ready_.cells.push_back(index);
    ready_.testimonies.push_back(std::move(prepared.testimony));
    ready_.jobs.push_back(std::move(*prepared.job));
    if (!machine_) {  // it boots while more is prepared
      BOOST_OUTCOME_TRY(machine, vm::Machine::start(machine_spec(document.cell.axes)));
      machine_ = std::move(machine);
    }
    return success();
  }

  vm::MachineSpec machine_spec(const model::AxisValues& axes) const {
    return {.endian = axes.endian,
            .cpu = axes.cpu,
            .mmu = axes.mmu,
            .image = (options_.images / vm::image_name(axes.endian, axes.mmu)).string()};
  }

  Result<void> submit() {
    const auto accepted = machine_->submit(ready_.jobs);
    if (!accepted) {
      if (is_about_job(accepted.error())) {
        refuse_first(accepted.error());
        return success();
      }
      return accepted.error();
    }
    Batch rest = ready_.split(accepted.value());
    running_.push_back(std::move(ready_));
    ready_ = std::move(rest);
    return success();
  }

  Result<void> collect() {
    BOOST_OUTCOME_TRY(observations, machine_->collect());
    Batch batch = std::move(running_.front());
    running_.pop_front();
    for (std::size_t i = 0; i < batch.jobs.size(); ++i) {
      check::Testimony& testimony = batch.testimonies[i];
      testimony.job = &batch.jobs[i];
      testimony.observations = std::move(observations[i]);
      model::Verdict verdict = check::check(documents_[batch.cells[i]].cell, testimony);
      results_.finish(batch.cells[i], std::move(testimony), std::move(verdict));
    }
    return success();
  }

  // Errors of submit() that are about its first job, not about the machine.
  static bool is_about_job(const Error& error) {
    return error.code == ErrorCode::machine_job_too_large || name(error.code).starts_with("place.");
  }

  // The first job that is ready cannot be mapped as its image asks: that is the image's failure.
  void refuse_first(const Error& error) {
    const std::size_t index = ready_.cells.front();
    check::Testimony testimony = std::move(ready_.testimonies.front());
    ready_ = ready_.split(1);
    testimony.refusal = error;
    model::Verdict verdict = check::check(documents_[index].cell, testimony);
    results_.finish(index, std::move(testimony), std::move(verdict));
  }

  // Makes an error of every cell that has no verdict yet.
  void give_up(const Error& error) {
    std::vector<std::size_t> left;
    for (const Batch& batch : running_) {
      std::ranges::copy(batch.cells, std::back_inserter(left));
    }
    std::ranges::copy(ready_.cells, std::back_inserter(left));
    std::ranges::copy(cells_, std::back_inserter(left));
    for (const std::size_t index : left) {
      results_.finish(index, {}, {.findings = {{error.code, "", error.message}}});
    }
  }

  const std::vector<model::Document>& documents_;
  std::span<const std::size_t> cells_;  // not yet prepared
  const RunnerOptions& options_;
  InOrder& results_;
  std::optional<vm::Machine> machine_;
  Batch ready_;
  std::deque<Batch> running_;
};

// The part of a cell's axes that decides which machine it needs.
auto machine_key(const model::AxisValues& axes) {
  return std::tuple(axes.guest, axes.endian, axes.cpu, axes.mmu);
}

// Cells by the machine that they need; a large group is cut for several machines.
std::vector<std::vector<std::size_t>> groups(const std::vector<model::Document>& documents,
                                             std::size_t machines) {
  std::vector<std::size_t> order(documents.size());
  std::ranges::generate(order, [next = std::size_t{0}]() mutable { return next++; });
  const auto key = [&documents](std::size_t i) { return machine_key(documents[i].cell.axes); };
  std::ranges::stable_sort(order, {}, key);

  std::vector<std::vector<std::size_t>> all;
  for (auto begin = order.begin(); begin != order.end();) {
    const auto end =
        std::find_if(begin, order.end(), [&](std::size_t i) { return key(i) != key(*begin); });
    const auto cells = static_cast<std::size_t>(end - begin);
    const std::size_t parts = std::clamp(cells / kCellsForAnotherMachine, std::size_t{1}, machines);
    for (std::size_t part = 0; part < parts; ++part) {
      all.emplace_back(begin + static_cast<std::ptrdiff_t>(cells * part / parts),
                       begin + static_cast<std::ptrdiff_t>(cells * (part + 1) / parts));
    }
    begin = end;
  }
  return all;
}

}  // namespace

void run_all(const std::vector<model::Document>& documents, const RunnerOptions& options,
             const std::function<void(const Outcome&)>& sink) {
  InOrder results(documents, options.stop_at_failure, sink);
  const auto work = groups(documents, options.machines);
  std::atomic<std::size_t> next = 0;
  const auto worker = [&] {
    for (std::size_t i = next++; i < work.size() && !results.stopped(); i = next++) {
      MachineRun(documents, work[i], options, results).run();
    }
  };
  // A guest dies with the thread that started it, so each worker ends its machine before itself.
  std::vector<std::jthread> others(std::min<std::size_t>(options.machines, work.size()) -
                                   std::min<std::size_t>(work.size(), 1));
  for (std::jthread& other : others) {
    other = std::jthread(worker);
  }
  worker();
}

}  // namespace farcall::run

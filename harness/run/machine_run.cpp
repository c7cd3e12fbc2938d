#include "run/machine_run.hpp"

#include <algorithm>
#include <deque>
#include <iterator>

#include "run/pipeline.hpp"

namespace farcall::run {
namespace {

// Jobs of one batch: enough to hide the round trip, few enough that the first results come soon.
constexpr std::size_t kBatchJobs = 256;

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

class MachineRun {
 public:
  MachineRun(std::optional<vm::Machine>& machine, const std::vector<model::Document>& documents,
             std::span<const std::size_t> cells, const std::filesystem::path& images,
             const MachineRunListener& listener)
      : machine_(machine),
        documents_(documents),
        cells_(cells),
        images_(images),
        listener_(listener) {}

  // Keeps two batches in the guest, and prepares a third meanwhile.
  void run() {
    while (!listener_.stopped() && (!cells_.empty() || !ready_.jobs.empty() || !running_.empty())) {
      if (const auto done = step(); !done) {
        give_up(done.error());
        return;
      }
    }
    if (!running_.empty()) {  // nobody waits for what it is doing
      machine_.reset();
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
      listener_.finish(index, std::move(prepared.testimony), std::move(verdict));
      return success();
    }
    ready_.cells.push_back(index);
    ready_.testimonies.push_back(std::move(prepared.testimony));
    ready_.jobs.push_back(std::move(*prepared.job));
    if (!machine_) {  // it boots while more is prepared
      BOOST_OUTCOME_TRY(machine, vm::Machine::start(machine_spec(document.cell.axes, images_)));
      machine_ = std::move(machine);
    }
    return success();
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
      testimony.job = nullptr;  // it ends with the batch
      listener_.finish(batch.cells[i], std::move(testimony), std::move(verdict));
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
    listener_.finish(index, std::move(testimony), std::move(verdict));
  }

  // Makes an error of every cell that has no verdict yet.
  void give_up(const Error& error) {
    machine_.reset();
    std::vector<std::size_t> left;
    for (const Batch& batch : running_) {
      std::ranges::copy(batch.cells, std::back_inserter(left));
    }
    std::ranges::copy(ready_.cells, std::back_inserter(left));
    std::ranges::copy(cells_, std::back_inserter(left));
    for (const std::size_t index : left) {
      listener_.finish(index, {}, {.findings = {{error.code, "", error.message}}});
    }
  }

  std::optional<vm::Machine>& machine_;
  const std::vector<model::Document>& documents_;
  std::span<const std::size_t> cells_;  // not yet prepared
  const std::filesystem::path& images_;
  const MachineRunListener& listener_;
  Batch ready_;
  std::deque<Batch> running_;
};

}  // namespace

vm::MachineSpec machine_spec(const model::AxisValues& axes, const std::filesystem::path& images) {
  return {.endian = axes.endian,
          .cpu = axes.cpu,
          .mmu = axes.mmu,
          .image = (images / vm::image_name(axes.endian, axes.mmu)).string()};
}

void run_on_machine(std::optional<vm::Machine>& machine,
                    const std::vector<model::Document>& documents,
                    std::span<const std::size_t> cells, const std::filesystem::path& images,
                    const MachineRunListener& listener) {
  MachineRun(machine, documents, cells, images, listener).run();
}

}  // namespace farcall::run

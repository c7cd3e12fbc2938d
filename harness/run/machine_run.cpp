#include "run/machine_run.hpp"

#include <deque>
#include <iterator>
#include <utility>
#include <vector>

#include "run/pipeline.hpp"

namespace farcall::run {
namespace {

// Jobs of one batch: enough to hide the round trip, few enough that the first results come soon.
constexpr std::size_t kBatchJobs = 256;

// Jobs that go to the guest together, each with the cell that it belongs to.
struct Batch {
  std::vector<FinishedCell> cells;  // without a verdict as yet
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
    return {take(cells), take(jobs)};
  }
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
    while (!listener_.stopped() && (more_ || !ready_.jobs.empty() || !running_.empty())) {
      if (const auto done = step(); !done) {
        give_up(done.error());
        return done;
      }
    }
    if (!running_.empty()) {  // nobody waits for what it is doing
      machine_.reset();
    }
    return success();
  }

 private:
  Result<void> step() {
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
    auto document = documents_.at(*index);
    Prepared prepared = prepare(*document, *index + 1);
    FinishedCell cell{.index = *index,
                      .document = std::move(document),
                      .testimony = std::move(prepared.testimony),
                      .verdict = {}};
    if (!prepared.job) {
      judge(std::move(cell));
      return success();
    }
    ready_.cells.push_back(std::move(cell));
    ready_.jobs.push_back(std::move(*prepared.job));
    if (!machine_) {  // it boots while more is prepared
      const model::AxisValues axes = documents_.axes(*index);
      FARCALL_TRY(machine, vm::Machine::start(machine_spec(axes, images_), host_));
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
    FARCALL_TRY(observations, machine_->collect());
    Batch batch = std::move(running_.front());
    running_.pop_front();
    for (std::size_t i = 0; i < batch.jobs.size(); ++i) {
      check::Testimony& testimony = batch.cells[i].testimony;
      testimony.job = &batch.jobs[i];
      testimony.observations = std::move(observations[i]);
      judge(std::move(batch.cells[i]));
    }
    return success();
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
  static bool is_about_job(const Error& error) {
    return error.code == ErrorCode::machine_job_too_large || name(error.code).starts_with("place.");
  }

  // The first job that is ready cannot be mapped as its image asks: that is the image's failure.
  void refuse_first(const Error& error) {
    FinishedCell cell = std::move(ready_.cells.front());
    ready_ = ready_.split(1);
    cell.testimony.refusal = error;
    judge(std::move(cell));
  }

  // Makes an error of every cell that has no verdict yet.
  void give_up(const Error& error) {
    machine_.reset();
    running_.push_back(std::move(ready_));
    for (Batch& batch : running_) {
      for (FinishedCell& cell : batch.cells) {
        cell.verdict = not_run(error);
        listener_.finish(std::move(cell));
      }
    }
  }

  std::optional<vm::Machine>& machine_;
  const Documents& documents_;
  const std::filesystem::path& images_;
  const MachineRunListener& listener_;
  vm::Host& host_;
  bool more_ = true;  // cells to prepare
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
  const std::string remedy = error.hint.empty() ? "" : "; " + error.hint;
  return {.findings = {{error.code, "", error.message + remedy}}};
}

}  // namespace farcall::run

#include "run/machine_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "run/garbage.hpp"
#include "run/pipeline.hpp"

namespace farcall::run {
namespace {

// Jobs of one batch: enough to hide the round trip, few enough that the first results come soon.
constexpr std::size_t kBatchJobs = 256;

// How a job ended, as far as that must not depend on what nobody has written.
struct End {
  model::Ending ending = model::Ending::returned;
  std::optional<GuestAddress> fault;
  std::vector<std::pair<ErrorCode, std::string>> findings;  // and their sites
  std::optional<std::uint64_t> result;
  std::vector<model::JobRegion> memory;

  friend bool operator==(const End&, const End&) = default;
};

End end_of(const model::Cell& cell, const model::Verdict& verdict,
           const model::Observations& observed) {
  End end{.ending = observed.ending};
  for (const model::JobRegion& region : observed.memory) {
    if (std::ranges::find(cell.memory, region.address, &bpf::MemoryRegion::address) !=
        cell.memory.end()) {
      end.memory.push_back(region);
    }
  }
  if (observed.fault) {
    end.fault = observed.fault->address;
  }
  if (!cell.expected.no_result) {
    end.result = verdict.result;
  }
  for (const model::Finding& finding : verdict.findings) {
    end.findings.emplace_back(finding.code, finding.site);
  }
  return end;
}

// The search for what a cell that failed read before anybody had written it. It runs once more with
// the other seed of its pair; if it ends differently, with what lies between the two.
struct Search {
  model::Job first;
  model::Job second;
  End end;               // of the first
  std::string told;      // how the second ended
  std::size_t same = 0;  // with so many pieces of the second's garbage it ends as the first did
  std::optional<std::size_t> differs = {};  // with so many it does not; empty: not known to
  std::size_t asked = 0;

  // The pieces of the next job; nothing: the search is over.
  bool next() {
    asked = differs ? same + (*differs - same) / 2 : garbage_pieces(first);
    return !differs || *differs - same > 1;
  }
  model::Job job() const { return with_garbage(first, second, asked); }
};

std::string describe_end(const model::Verdict& verdict) {
  if (verdict.findings.empty()) {
    return std::string(name(verdict.outcome));
  }
  return fmt::format("{}: {}", name(verdict.findings.front().code), verdict.findings.front().text);
}

struct PendingCell {
  FinishedCell cell;  // without a verdict as yet, unless there is a search
  std::unique_ptr<Search> search = nullptr;
};

// Jobs that go to the guest together, each with the cell that it belongs to.
struct Batch {
  std::vector<PendingCell> cells;
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
    const std::uint64_t seed = documents_.seed(*index);
    Prepared prepared = prepare(*document, seed);
    FinishedCell cell{.index = *index,
                      .document = std::move(document),
                      .testimony = std::move(prepared.testimony),
                      .verdict = {},
                      .seed = seed};
    if (!prepared.job) {
      cell.verdict = check::check(cell.document->cell, cell.testimony);
      listener_.finish(std::move(cell));
      return success();
    }
    ready_.cells.push_back({std::move(cell)});
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
      if (batch.cells[i].search) {
        compare(std::move(batch.cells[i]), batch.jobs[i], std::move(observations[i]));
      } else {
        judge(std::move(batch.cells[i].cell), std::move(batch.jobs[i]), std::move(observations[i]));
      }
    }
    return success();
  }

  void judge(FinishedCell cell, model::Job job, model::Observations observations) {
    check::Testimony& testimony = cell.testimony;
    testimony.job = &job;
    testimony.observations = std::move(observations);
    cell.verdict = check::check(cell.document->cell, testimony);
    testimony.job = nullptr;
    if (cell.verdict.outcome == model::Outcome::pass) {
      listener_.finish(std::move(cell));
      return;
    }
    testimony.landmarks = model::landmarks(job);
    model::Job second = make_job(cell.document->cell, *testimony.image, cell.seed ^ 1);
    End end = end_of(cell.document->cell, cell.verdict, *testimony.observations);
    run_again({std::move(cell), std::make_unique<Search>(Search{
                                    std::move(job), std::move(second), std::move(end), {}})});
  }

  // The cell's next job, or its end.
  void run_again(PendingCell pending) {
    if (pending.search->next()) {
      ready_.jobs.push_back(pending.search->job());
      ready_.cells.push_back(std::move(pending));
      return;
    }
    const Search& search = *pending.search;
    FinishedCell& cell = pending.cell;
    cell.verdict.findings.insert(
        cell.verdict.findings.begin(),
        {ErrorCode::guest_unwritten_value, "",
         fmt::format("the code reads {} before anybody has written it; with --seed {} it ends "
                     "otherwise: {}",
                     garbage_name(search.first, search.same), cell.seed ^ 1, search.told)});
    listener_.finish(std::move(cell));
  }

  void compare(PendingCell pending, const model::Job& job, model::Observations observations) {
    Search& search = *pending.search;
    const model::Cell& cell = pending.cell.document->cell;
    check::Testimony testimony = pending.cell.testimony;
    testimony.job = &job;
    testimony.observations = std::move(observations);
    const model::Verdict verdict = check::check(cell, testimony);
    const bool same = end_of(cell, verdict, *testimony.observations) == search.end;
    if (same && !search.differs) {  // what nobody has written does not matter
      listener_.finish(std::move(pending.cell));
      return;
    }
    if (!search.differs) {
      search.told = describe_end(verdict);
    }
    if (same) {
      search.same = search.asked;
    } else {
      search.differs = search.asked;
    }
    run_again(std::move(pending));
  }

  // Errors of submit() that are about its first job, not about the machine.
  static bool is_about_job(const Error& error) {
    return error.code == ErrorCode::machine_job_too_large || name(error.code).starts_with("place.");
  }

  // The first job that is ready cannot be mapped as its image asks: that is the image's failure.
  void refuse_first(const Error& error) {
    FinishedCell cell = std::move(ready_.cells.front().cell);
    ready_ = ready_.split(1);
    cell.testimony.refusal = error;
    cell.verdict = check::check(cell.document->cell, cell.testimony);
    listener_.finish(std::move(cell));
  }

  // Makes an error of every cell that has no verdict yet. One that has failed has.
  void give_up(const Error& error) {
    machine_.reset();
    running_.push_back(std::move(ready_));
    for (Batch& batch : running_) {
      for (PendingCell& pending : batch.cells) {
        if (!pending.search) {
          pending.cell.verdict = not_run(error);
        }
        listener_.finish(std::move(pending.cell));
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
  return {.findings = {{error.code, "", error.message}}};
}

}  // namespace farcall::run

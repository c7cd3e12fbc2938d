#include "run/runner.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>

#include "run/machine_run.hpp"

namespace farcall::run {
namespace {

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
  const MachineRunListener listener = {
      .finish =
          [&results](std::size_t index, check::Testimony testimony, model::Verdict verdict) {
            results.finish(index, std::move(testimony), std::move(verdict));
          },
      .stopped = [&results] { return results.stopped(); }};
  const auto worker = [&] {
    for (std::size_t i = next++; i < work.size() && !results.stopped(); i = next++) {
      std::optional<vm::Machine> machine;
      run_on_machine(machine, documents, work[i], options.images, listener);
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

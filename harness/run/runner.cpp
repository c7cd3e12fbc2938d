#include "run/runner.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "base/parallel.hpp"
#include "run/machine_run.hpp"

namespace farcall::run {
namespace {

// A second machine of the same kind pays when it has this many cells to itself: a boot costs as
// much as running about a thousand.
constexpr std::size_t kCellsForAnotherMachine = 2000;

// Cells are handed out in their order but run machine by machine. No cell is run before one that is
// so many earlier, so that few have to wait for their turn.
constexpr std::size_t kWindow = 16'384;

// Calls the sink in the order of the documents, whatever the order of completion.
class InOrder {
 public:
  InOrder(const RunnerOptions& options, const std::function<void(const FinishedCell&)>& sink,
          const std::function<void(const model::Verdict&)>& ended)
      : options_(options), sink_(sink), ended_(ended) {}

  // Nothing more needs to be run.
  bool stopped() const { return stopped_ || (options_.stopped && options_.stopped()); }

  void lost_machine() { ++machines_lost_; }

  // Once nobody runs anything any more: hands out what has ended, but for what did not come.
  RunSummary end() {
    while (!stopped_ && !waiting_.empty()) {
      next_ = waiting_.begin()->first;
      hand_out_first();
    }
    return {.machines_lost = machines_lost_};
  }

  void finish(FinishedCell&& cell) {
    if (cell.verdict.outcome == model::Outcome::pass) {
      std::optional<model::CodeImage> image = std::move(cell.testimony.image);
      cell.testimony = {};
      cell.testimony.image = std::move(image);
    }
    const std::scoped_lock lock(mutex_);
    if (ended_ && !stopped_) {
      ended_(cell.verdict);
    }
    if (stopped_ || cell.index != next_) {
      const std::size_t index = cell.index;
      waiting_.emplace(index, std::move(cell));
      return;
    }
    hand_out(cell);
    while (!stopped_ && !waiting_.empty() && waiting_.begin()->first == next_) {
      hand_out_first();
    }
  }

 private:
  void hand_out_first() { hand_out(waiting_.extract(waiting_.begin()).mapped()); }

  void hand_out(const FinishedCell& cell) {
    ++next_;
    sink_(cell);
    stopped_ = options_.stop_at_failure && cell.verdict.outcome != model::Outcome::pass;
  }

  const RunnerOptions& options_;
  const std::function<void(const FinishedCell&)>& sink_;
  const std::function<void(const model::Verdict&)>& ended_;
  std::atomic<bool> stopped_ = false;  // at a failure
  std::atomic<std::size_t> machines_lost_ = 0;
  std::mutex mutex_;
  std::size_t next_ = 0;
  std::map<std::size_t, FinishedCell> waiting_;  // by index
};

// Everything that decides which machine a cell needs.
using MachineKind = std::tuple<model::GuestKind, model::Endian, model::Cpu, model::Mmu>;

// Whether a machine of one kind can go on as one of the other, which saves a boot: from hash to radix
// translation it can.
bool can_become(const MachineKind& from, const MachineKind& to) {
  const auto& [guest, endian, cpu, mmu] = from;
  return from == to || (mmu == model::Mmu::hash && has_radix(cpu) &&
                        to == MachineKind{guest, endian, cpu, model::Mmu::radix});
}

// Who runs what: cells of one window that need the same kind of machine are a group, and machines
// take the cells of their group one by one.
class Schedule {
 public:
  struct Group {
    MachineKind kind;
    std::vector<std::size_t> cells;
    std::size_t taken = 0;
    unsigned machines = 0;

    std::size_t left() const { return cells.size() - taken; }
  };

  explicit Schedule(const Documents& documents) {
    std::map<MachineKind, Group> found;
    for (std::size_t i = 0; i < documents.size(); ++i) {
      const model::AxisValues axes = documents.axes(i);
      const MachineKind kind = {axes.guest, axes.endian, axes.cpu, axes.mmu};
      found.try_emplace(kind, Group{.kind = kind, .cells = {}}).first->second.cells.push_back(i);
      if ((i + 1) % kWindow == 0 || i + 1 == documents.size()) {
        Window& window = windows_.emplace_back();
        for (auto& [of, group] : found) {
          window.push_back(std::move(group));
        }
        found.clear();
      }
    }
  }

  // The group that a machine should run which was of this kind, or a new one: of the first window that
  // has one, a group without any machine that it can run as it is, or else one that no other machine
  // will come to. If there is none, one that has enough for another machine. Null: nothing is left to
  // do.
  Group* join(const std::optional<MachineKind>& kind) {
    const std::scoped_lock lock(mutex_);
    Group* found = nullptr;
    for (std::size_t i = 0; i < windows_.size() && found == nullptr; ++i) {
      found = waiting(windows_[i], kind);
    }
    for (std::size_t i = 0; i < windows_.size() && found == nullptr; ++i) {
      const auto large = std::ranges::find_if(
          windows_[i], [](const Group& group) { return group.left() >= kCellsForAnotherMachine; });
      found = large == windows_[i].end() ? nullptr : &*large;
    }
    if (found != nullptr) {
      ++found->machines;
    }
    return found;
  }

  std::optional<std::size_t> next(Group& group) {
    const std::scoped_lock lock(mutex_);
    return group.left() > 0 ? std::optional(group.cells[group.taken++]) : std::nullopt;
  }

  // The machine runs no more of this group; the number of others that do.
  unsigned leave(Group& group) {
    const std::scoped_lock lock(mutex_);
    return --group.machines;
  }

 private:
  using Window = std::vector<Group>;

  static Group* waiting(Window& window, const std::optional<MachineKind>& kind) {
    const auto waits = [](const Group& group) { return group.left() > 0 && group.machines == 0; };
    auto found = std::ranges::find_if(window, [&](const Group& group) {
      return waits(group) && kind && can_become(*kind, group.kind);
    });
    if (found == window.end()) {
      const auto is_left_for = [&](const Group& other, const Group& group) {
        return other.kind != group.kind && can_become(other.kind, group.kind) &&
               (other.machines > 0 || other.left() > 0);
      };
      found = std::ranges::find_if(window, [&](const Group& group) {
        return waits(group) && std::ranges::none_of(window, [&](const Group& other) {
                 return is_left_for(other, group);
               });
      });
    }
    return found == window.end() ? nullptr : &*found;
  }

  std::mutex mutex_;
  std::vector<Window> windows_;
};

// Runs groups until there are no more, on one machine after the other.
void work(const Documents& documents, const RunnerOptions& options, Schedule& schedule,
          InOrder& results) {
  std::optional<vm::Machine> machine;
  std::optional<MachineKind> kind;
  Schedule::Group* group = schedule.join(kind);
  while (group != nullptr && !results.stopped()) {
    if (!kind || !can_become(*kind, group->kind)) {
      machine.reset();
    } else if (machine && kind != group->kind) {
      machine->use_radix();
    }
    kind = group->kind;
    const auto next = [&] { return schedule.next(*group); };
    const auto done =
        run_on_machine(machine, documents,
                       {.images = options.images,
                        .host = *options.host,
                        .jit = options.jit,
                        .allowed = options.allowed,
                        .said = options.said},
                       {.next = next,
                        .finish = [&](FinishedCell&& cell) { results.finish(std::move(cell)); },
                        .stopped = [&] { return results.stopped(); },
                        .lost = [&] { results.lost_machine(); }});
    if (done) {
      // Joined before the other is left: in between, what this machine can become has a machine that
      // comes to it, and nobody boots another.
      Schedule::Group* const following = schedule.join(kind);
      schedule.leave(*group);
      group = following;
      continue;
    }
    if (schedule.leave(*group) == 0) {
      while (const auto index = next()) {
        results.finish(not_run(documents, *index, options.jit, done.error()));
      }
    }
    group = schedule.join(kind);
  }
}

}  // namespace

RunSummary run_all(const Documents& documents, const RunnerOptions& options,
                   const std::function<void(const FinishedCell&)>& sink,
                   const std::function<void(const model::Verdict&)>& ended) {
  if (documents.size() == 0) {
    return {};
  }
  InOrder results(options, sink, ended);
  Schedule schedule(documents);
  // A guest dies with the thread that started it, so each worker ends its machine before itself.
  on_threads(std::min<std::size_t>(options.machines, documents.size()),
             [&] { work(documents, options, schedule, results); });
  return results.end();
}

}  // namespace farcall::run

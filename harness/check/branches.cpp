#include "check/branches.hpp"

#include <algorithm>
#include <utility>

#include "bpf/instruction.hpp"
#include "model/code_map.hpp"

namespace farcall::check {
namespace {

class Branches {
 public:
  Branches(const bpf::Program& program, const model::CodeImage& image,
           const StepComparison& comparison, std::span<const model::Step> cpu)
      : program_(program), map_(code_map(program, image)), comparison_(comparison), cpu_(cpu) {}

  std::vector<BranchPair> run() {
    // Between two BPF instructions at which the CPU was seen is its way from one to the other.
    const std::vector<StepPair>& pairs = comparison_.pairs;
    std::optional<std::size_t> before;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      const bool differs = comparison_.difference && comparison_.difference->pair == i;
      if (differs && pairs[i].differing == 0) {
        part(before, i);
        return std::move(rows_);
      }
      if (pairs[i].cpu) {
        go(before, i);
        before = i;
      }
      if (differs) {
        take(cpu_.size());
        const auto next = std::ranges::find_if(
            rows_, [&](const BranchPair& row) { return *row.step > pairs[i].cpu->number; });
        if (next != rows_.end()) {
          next->differs = true;
          rows_.erase(next + 1, rows_.end());
        }
        return std::move(rows_);
      }
    }
    take(cpu_.size());
    return std::move(rows_);
  }

 private:
  // The branches of all steps before `end` that were not taken yet.
  void take(std::size_t end) {
    for (; next_ < end; ++next_) {
      if (cpu_[next_].from != GuestAddress{}) {
        rows_.push_back({.step = next_, .interpreter = {}});
      }
    }
  }

  // Where the interpreter goes on at the pair `to`, if that is not after the one before it.
  std::optional<bpf::SlotIndex> jump(std::optional<std::size_t> before, std::size_t to) const {
    if (!before) {
      return std::nullopt;
    }
    const std::vector<StepPair>& pairs = comparison_.pairs;
    for (std::size_t i = *before; i < to; ++i) {
      const bpf::SlotIndex slot = pairs[i].interpreter.slot;
      if (pairs[i + 1].interpreter.slot != slot + bpf::slots_of(program_.slots[slot].opcode)) {
        return pairs[to].interpreter.slot;
      }
    }
    return std::nullopt;
  }

  // Both went the same way: a jump of the interpreter's is the last branch on it.
  void go(std::optional<std::size_t> before, std::size_t to) {
    const std::size_t taken = rows_.size();
    take(comparison_.pairs[to].cpu->number + 1);
    if (rows_.size() > taken) {
      rows_.back().interpreter = jump(before, to);
    }
  }

  // They part: at the first branch that leaves the code of the instruction before, or for want of
  // one.
  void part(std::optional<std::size_t> before, std::size_t to) {
    const StepPair& pair = comparison_.pairs[to];
    const std::size_t taken = rows_.size();
    take(pair.cpu ? pair.cpu->number + 1 : cpu_.size());
    const model::PlacedInstruction* const from =
        before ? map_.of(comparison_.pairs[*before].interpreter.slot) : nullptr;
    const auto leaving = std::find_if(
        rows_.begin() + static_cast<std::ptrdiff_t>(taken), rows_.end(),
        [&](const BranchPair& row) { return map_.at(cpu_[*row.step].address) != from; });
    if (leaving != rows_.end()) {
      leaving->interpreter = pair.interpreter.slot;
      leaving->differs = true;
      rows_.erase(leaving + 1, rows_.end());
    } else {
      rows_.push_back({.step = {}, .interpreter = pair.interpreter.slot, .differs = true});
    }
  }

  const bpf::Program& program_;
  const model::CodeMap map_;
  const StepComparison& comparison_;
  const std::span<const model::Step> cpu_;
  std::size_t next_ = 0;  // of cpu_
  std::vector<BranchPair> rows_;
};

}  // namespace

std::vector<BranchPair> compare_branches(const bpf::Program& program, const model::CodeImage& image,
                                         const StepComparison& comparison,
                                         std::span<const model::Step> cpu) {
  return Branches(program, image, comparison, cpu).run();
}

}  // namespace farcall::check

#include "check/steps.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "bpf/disassembler.hpp"
#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"
#include "check/findings.hpp"
#include "model/code_map.hpp"

namespace farcall::check {
namespace {

constexpr std::uint32_t kArguments = 0b11'1110;  // r1 … r5
constexpr std::uint32_t kContext = 0b10;         // r1
constexpr std::uint32_t kResult = 0b1;           // r0
constexpr std::uint32_t kFrame = 1U << bpf::kFramePointer;

// An instruction that the CPU is seen to come to. All exits of a function that has an epilogue are
// seen there, and are one.
struct Place {
  std::uint32_t function = 0;
  bpf::SlotIndex slot = 0;
  bool is_exit = false;
};

const bpf::InstructionInfo& info_at(const bpf::Program& program, bpf::SlotIndex slot) {
  return *bpf::find(program.slots[slot]);
}

bool is_exit(const bpf::Program& program, bpf::SlotIndex slot) {
  return info_at(program, slot).operation == bpf::Operation::exit;
}

std::unordered_map<std::uint64_t, Place> places(const bpf::Program& program,
                                                const model::CodeMap& map) {
  std::unordered_map<std::uint64_t, Place> all;
  for (const model::PlacedInstruction& placed : map.instructions) {
    const auto& epilogue = map.epilogues[placed.function];
    const bool exits = is_exit(program, placed.slot);
    if (placed.bytes != 0 && (!exits || !epilogue || *epilogue == placed.begin)) {
      all[placed.begin.value] = {placed.function, placed.slot, exits};
    } else if (exits && epilogue) {
      all.try_emplace(epilogue->value, Place{placed.function, placed.slot, true});
    }
  }
  return all;
}

// What is known of a function that runs: which registers hold a value, and what r10 is.
struct Frame {
  std::uint32_t defined = kArguments | kFrame;
  std::uint64_t interpreter_r10 = 0;
  std::optional<std::uint64_t> cpu_r10;
  bool names_r10 = false;
};

class Comparison {
 public:
  Comparison(const bpf::Program& program, const model::CodeImage& image,
             std::span<const bpf::InterpreterStep> interpreter, std::span<const model::Step> cpu)
      : program_(program),
        image_(image),
        map_(code_map(program, image)),
        places_(places(program, map_)),
        interpreter_(interpreter),
        cpu_(cpu) {}

  StepComparison run() {
    for (const bpf::InterpreterStep& step : interpreter_) {
      enter(step);
      const Frame& frame = frames_.back();
      StepPair pair{.interpreter = step,
                    .defined = frame.names_r10 ? frame.defined : frame.defined & ~kFrame};
      const model::PlacedInstruction* const placed = map_.of(step.slot);
      const bool seen = placed != nullptr && (placed->bytes != 0 || is_exit(program_, step.slot));
      std::string what;
      if (seen) {
        what = meet(step, pair);
      }
      result_.pairs.push_back(pair);
      if (!what.empty()) {
        result_.difference =
            StepDifference{.pair = result_.pairs.size() - 1, .what = std::move(what)};
        break;
      }
      leave(step);
    }
    return std::move(result_);
  }

 private:
  // The frames that are alive at this step. A function that is not of the program has one too while
  // it calls back, but takes no steps.
  void enter(const bpf::InterpreterStep& step) {
    const std::size_t depth = step.depth + std::size_t{1};
    const auto called = std::exchange(called_, std::nullopt);
    const bool called_back = frames_.size() > depth;
    frames_.resize(std::min(frames_.size(), depth));
    if (called_back || (called && frames_.size() == depth && step.slot == *called + 1)) {
      // Whoever was called is not of the program, and has returned.
      std::uint32_t& defined = frames_.back().defined;
      const bool tail_call = called && is_tail_call(program_.slots[*called]);  // which went nowhere
      defined = (defined & ~(kArguments | kResult)) | (tail_call ? 0 : kResult);
    } else if (called && frames_.size() == depth) {
      // A tail call: another program begins, with r1.
      const std::uint32_t context = frames_.back().defined & kContext;
      frames_.pop_back();
      enter_function(step, context);
    }
    const bool calls_back = frames_.size() + 1 < depth;
    while (frames_.size() < depth) {
      enter_function(step, frames_.empty() ? kArguments
                           : calls_back    ? kContext
                                           : frames_.back().defined & kArguments);
    }
  }

  void enter_function(const bpf::InterpreterStep& step, std::uint32_t arguments) {
    const std::uint32_t function = bpf::function_at(program_, step.slot).value_or(0);
    frames_.push_back({.defined = arguments | kFrame,
                       .interpreter_r10 = step.registers[bpf::kFramePointer],
                       .names_r10 = names_r10(program_.functions[function])});
  }

  bool names_r10(const bpf::Function& function) const {
    return std::ranges::any_of(instructions(program_, function), [this](bpf::SlotIndex at) {
      const bpf::Slot& slot = program_.slots[at];
      return slot.dst == bpf::kFramePointer || slot.src == bpf::kFramePointer;
    });
  }

  // What holds a value after the instruction.
  void leave(const bpf::InterpreterStep& step) {
    const bpf::InstructionInfo& info = info_at(program_, step.slot);
    const bpf::Slot& slot = program_.slots[step.slot];
    std::uint32_t& defined = frames_.back().defined;
    if (info.operation == bpf::Operation::exit && frames_.size() > 1) {
      std::uint32_t& caller = frames_[frames_.size() - 2].defined;
      caller = (caller & ~kArguments) | kResult;
      frames_.pop_back();
    } else if (info.operation == bpf::Operation::call ||
               info.operation == bpf::Operation::call_external ||
               info.operation == bpf::Operation::call_register) {
      called_ = step.slot;
    } else if (info.writes_dst()) {
      defined |= 1U << slot.dst;
    } else if (info.writes_src()) {
      defined |= 1U << slot.src;
    } else if (info.operation == bpf::Operation::compare_exchange) {
      defined |= kResult;
    }
  }

  // Finds where the CPU went, and compares. Returns what differs, empty if nothing does.
  std::string meet(const bpf::InterpreterStep& step, StepPair& pair) {
    const Place* place = nullptr;
    for (; next_ < cpu_.size() && place == nullptr; ++next_) {
      const auto found = places_.find(cpu_[next_].address.value);
      place = found == places_.end() ? nullptr : &found->second;
    }
    if (place == nullptr) {
      return cpu_.empty() ? "the CPU took no step"
                          : fmt::format("the CPU never came here; the last it was seen at is {}",
                                        describe(image_, cpu_.back().address));
    }
    const model::Step& cpu = cpu_[next_ - 1];
    pair.cpu = CpuStep{.number = next_ - 1, .address = cpu.address};
    for (std::size_t i = 0; i < bpf::kRegisterCount; ++i) {
      pair.cpu->registers[i] = cpu.gpr[image_.bpf_registers[i]];
    }
    const std::uint32_t function = bpf::function_at(program_, step.slot).value_or(0);
    const bool same = place->is_exit ? is_exit(program_, step.slot) && place->function == function
                                     : place->slot == step.slot;
    if (!same) {
      const bpf::Function& there = program_.functions[place->function];
      return fmt::format("the CPU came to {}+{} ({}) at {}", there.name, place->slot - there.begin,
                         bpf::disassemble_instruction(program_, place->slot),
                         to_string(cpu.address));
    }
    return compare_registers(step, pair);
  }

  std::string compare_registers(const bpf::InterpreterStep& step, StepPair& pair) {
    Frame& frame = frames_.back();
    if (frame.names_r10) {
      frame.cpu_r10 = pair.cpu->registers[bpf::kFramePointer];
    }
    std::string what;
    for (std::size_t i = 0; i < bpf::kFramePointer; ++i) {
      const bool is_pointer = (step.code_pointers >> i & 1) != 0;
      const std::uint64_t wanted =
          is_pointer ? image_.code_pointers[step.registers[i]].address.value : step.registers[i];
      const std::uint64_t seen = pair.cpu->registers[i];
      if ((frame.defined >> i & 1) != 0 && !same_value(wanted, seen)) {
        pair.differing |= 1U << i;
        what += fmt::format("{}r{} is {:#x}, the interpreter has {:#x}", what.empty() ? "" : "; ",
                            i, seen, wanted);
      }
    }
    return what;
  }

  bool same_value(std::uint64_t wanted, std::uint64_t seen) const {
    if (wanted == seen) {
      return true;
    }
    return std::ranges::any_of(frames_, [&](const Frame& frame) {
      const std::uint64_t below = frame.interpreter_r10 - wanted;
      return frame.cpu_r10 && below <= bpf::kFrameBytes && *frame.cpu_r10 - seen == below;
    });
  }

  const bpf::Program& program_;
  const model::CodeImage& image_;
  const model::CodeMap map_;
  const std::unordered_map<std::uint64_t, Place> places_;
  const std::span<const bpf::InterpreterStep> interpreter_;
  const std::span<const model::Step> cpu_;
  std::size_t next_ = 0;                  // of cpu_
  std::optional<bpf::SlotIndex> called_;  // by the last instruction, which is here
  std::vector<Frame> frames_;
  StepComparison result_;
};

}  // namespace

StepComparison compare_steps(const bpf::Program& program, const model::CodeImage& image,
                             std::span<const bpf::InterpreterStep> interpreter,
                             std::span<const model::Step> cpu) {
  return Comparison(program, image, interpreter, cpu).run();
}

}  // namespace farcall::check

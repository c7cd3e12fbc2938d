// The instructions of a program, or of a part of it, one by one:
//
//   for (const SlotIndex at : instructions(program, function)) {
//     … program.slots[at] …  // the first slot of each, though one may take two
//   }
//
// The algorithms of std::ranges that read once take it, too.
#pragma once

#include <cstddef>
#include <iterator>
#include <span>
#include <vector>

#include "bpf/instruction.hpp"
#include "bpf/program.hpp"

namespace farcall::bpf {

class InstructionRange {
 public:
  class Iterator {
   public:
    using value_type = SlotIndex;
    using difference_type = std::ptrdiff_t;

    Iterator(std::span<const Slot> slots, SlotIndex at) : slots_(slots), at_(at) {}

    SlotIndex operator*() const { return at_; }
    Iterator& operator++() {
      at_ += slots_of(slots_[at_].opcode);
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t /*end*/) const { return at_ >= slots_.size(); }

   private:
    std::span<const Slot> slots_;  // to the end of the range
    SlotIndex at_;
  };

  // The slots stay where they are, and those that are still to come keep their opcodes.
  InstructionRange(std::span<const Slot> slots, SlotIndex begin) : slots_(slots), begin_(begin) {}

  Iterator begin() const { return {slots_, begin_}; }
  static std::default_sentinel_t end() { return {}; }

 private:
  std::span<const Slot> slots_;
  SlotIndex begin_;
};

inline InstructionRange instructions(std::span<const Slot> slots) {
  return {slots, 0};
}
inline InstructionRange instructions(const Program& program) {
  return {program.slots, 0};
}
inline InstructionRange instructions(const Program& program, const Function& function) {
  return {std::span(program.slots).first(function.end), function.begin};
}
// A loop over a temporary would read what is gone.
InstructionRange instructions(const std::vector<Slot>&& slots) = delete;
InstructionRange instructions(const Program&& program) = delete;
InstructionRange instructions(const Program&& program, const Function& function) = delete;

}  // namespace farcall::bpf

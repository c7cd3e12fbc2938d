#include "bpf/divide.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"

namespace farcall::bpf {

Slot with_callee_in_dst(Slot slot) {
  if (slot.opcode == kCallRegisterOpcode && slot.dst == 0 && slot.imm > 0 &&
      slot.imm < kRegisterCount) {
    slot.dst = static_cast<std::uint8_t>(slot.imm);
    slot.imm = 0;
  }
  return slot;
}

Result<void> divide_into_functions(Program& program) {
  std::vector<SlotIndex> begins = {0};
  for (const SlotIndex at : instructions(program)) {
    Slot& slot = program.slots[at];
    slot = with_callee_in_dst(slot);
    const InstructionInfo* const info = find(slot);
    if (info == nullptr || !info->names_function()) {
      continue;
    }
    if (info->is_call() && slot.imm == -1) {
      return Error{.code = ErrorCode::elf_unrelocated_call,
                   .message =
                       "the call's imm is -1, as before relocation: nothing says whom it "
                       "calls",
                   .where = program.origins.at(at)};
    }
    const std::int64_t target = std::int64_t{at} + 1 + slot.imm;
    if (target > 0 && target < std::ssize(program.slots)) {
      begins.push_back(static_cast<SlotIndex>(target));
    }
  }
  std::ranges::sort(begins);
  begins.erase(std::unique(begins.begin(), begins.end()), begins.end());
  begins.push_back(static_cast<SlotIndex>(program.slots.size()));
  for (std::size_t i = 0; i + 1 < begins.size(); ++i) {
    program.functions.push_back({.name = i == 0 ? "main" : fmt::format("f{}", i),
                                 .begin = begins[i],
                                 .end = begins[i + 1],
                                 .anonymous = true});
  }
  return success();
}

}  // namespace farcall::bpf

#include "bpf/program.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bpf/instruction.hpp"

namespace farcall::bpf {

std::string to_string(const Program& program, CallSite site) {
  if (site.function >= program.functions.size()) {
    return fmt::format("?{}[{}]", site.function, site.ordinal);
  }
  return fmt::format("{}[{}]", program.functions[site.function].name, site.ordinal);
}

std::optional<std::uint32_t> function_named(const Program& program, std::string_view name) {
  const auto found = std::ranges::find(program.functions, name, &Function::name);
  if (found == program.functions.end()) {
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(found - program.functions.begin());
}

std::optional<std::uint32_t> function_at(const Program& program, SlotIndex slot) {
  const auto after = std::ranges::upper_bound(program.functions, slot, {}, &Function::begin);
  if (after == program.functions.begin() || slot >= std::prev(after)->end) {
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(after - program.functions.begin() - 1);
}

std::vector<PseudoCall> pseudo_calls(const Program& program) {
  std::vector<PseudoCall> calls;
  for (std::uint32_t number = 0; number < program.functions.size(); ++number) {
    const Function& function = program.functions[number];
    std::uint32_t ordinal = 0;
    for (SlotIndex at = function.begin; at < function.end;
         at += slots_of(program.slots[at].opcode)) {
      const Slot& slot = program.slots[at];
      const InstructionInfo* info = find(slot.opcode);
      if (info == nullptr || info->operation != Operation::call) {
        continue;
      }
      const SlotIndex target = at + 1 + static_cast<SlotIndex>(slot.imm);
      const auto callee = function_at(program, target);
      if (slot.src == kPseudoCall && callee) {
        calls.push_back(
            {.site = {.function = number, .ordinal = ordinal}, .slot = at, .callee = *callee});
      }
      ++ordinal;
    }
  }
  return calls;
}

}  // namespace farcall::bpf

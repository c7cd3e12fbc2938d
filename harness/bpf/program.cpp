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

namespace {

constexpr std::string_view kCallxAddress = "callx-address";

}  // namespace

std::string_view extension_name(Callx callx) {
  return callx == Callx::address ? kCallxAddress : std::string_view{};
}

std::optional<Callx> extension_named(std::string_view text) {
  return text == kCallxAddress ? std::optional(Callx::address) : std::nullopt;
}

std::vector<CallInstruction> call_instructions(const Program& program) {
  std::vector<CallInstruction> calls;
  for (std::uint32_t number = 0; number < program.functions.size(); ++number) {
    const Function& function = program.functions[number];
    std::uint32_t ordinal = 0;
    for (SlotIndex at = function.begin; at < function.end;
         at += slots_of(program.slots[at].opcode)) {
      const Slot& slot = program.slots[at];
      const InstructionInfo* info = find(slot);
      if (info == nullptr || !info->is_call()) {
        continue;
      }
      calls.push_back({.site = {.function = number, .ordinal = ordinal},
                       .slot = at,
                       .callee = info->form == Form::local_callee
                                     ? function_at(program, local_target(at, slot))
                                     : std::nullopt});
      ++ordinal;
    }
  }
  return calls;
}

std::vector<PseudoCall> pseudo_calls(const Program& program) {
  std::vector<PseudoCall> calls;
  for (const CallInstruction& call : call_instructions(program)) {
    if (call.callee) {
      calls.push_back({.site = call.site, .slot = call.slot, .callee = *call.callee});
    }
  }
  return calls;
}

}  // namespace farcall::bpf

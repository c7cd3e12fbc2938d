#include "bpf/program.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"
#include "bpf/source_line.hpp"
#include "bpf/stack_argument.hpp"

namespace farcall::bpf {

std::string to_string(const Program& program, CallSite site) {
  if (site.function >= callee_count(program)) {
    return fmt::format("?{}[{}]", site.function, site.ordinal);
  }
  return fmt::format("{}[{}]", callee_name(program, site.function), site.ordinal);
}

std::size_t callee_count(const Program& program) {
  return program.functions.size() + program.externals.size();
}

const std::string& callee_name(const Program& program, std::uint32_t callee) {
  const std::size_t functions = program.functions.size();
  return callee < functions ? program.functions[callee].name
                            : program.externals[callee - functions].name;
}

std::optional<std::uint32_t> callee_named(const Program& program, std::string_view name) {
  if (const auto function = function_named(program, name)) {
    return function;
  }
  const auto found = std::ranges::find(program.externals, name, &External::name);
  if (found == program.externals.end()) {
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(std::ssize(program.functions) +
                                    (found - program.externals.begin()));
}

std::optional<std::uint32_t> external_with_id(const Program& program, ExternalKind kind,
                                              std::int64_t id) {
  const auto found = std::ranges::find_if(program.externals, [&](const External& external) {
    return external.kind == kind && external.id == id;
  });
  if (found == program.externals.end()) {
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(std::ssize(program.functions) +
                                    (found - program.externals.begin()));
}

bool is_program(const Program& program, std::uint32_t function) {
  return function == 0 || program.functions[function].begins_program;
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

// In the order of Callx.
constexpr std::array<std::string_view, 3> kExtensions = {"", "callx-address", "callx-helper"};

// Whom the call instruction at `at` calls, if the instruction says it.
std::optional<std::uint32_t> fixed_callee(const Program& program, const InstructionInfo& info,
                                          SlotIndex at) {
  const Slot& slot = program.slots[at];
  if (info.form == Form::local_callee) {
    return function_at(program, local_target(at, slot));
  }
  if (info.operation != Operation::call_external) {
    return std::nullopt;
  }
  const ExternalKind kind = info.form == Form::kfunc ? ExternalKind::kfunc : ExternalKind::helper;
  return external_with_id(program, kind, slot.imm);
}

}  // namespace

std::string_view extension_name(Callx callx) {
  return kExtensions[static_cast<std::size_t>(callx)];
}

std::optional<Callx> extension_named(std::string_view text) {
  const auto* const found = std::ranges::find(kExtensions, text);
  if (text.empty() || found == kExtensions.end()) {
    return std::nullopt;
  }
  return static_cast<Callx>(found - kExtensions.begin());
}

std::vector<CallInstruction> call_instructions(const Program& program) {
  std::vector<CallInstruction> calls;
  for (std::uint32_t number = 0; number < program.functions.size(); ++number) {
    const Function& function = program.functions[number];
    std::uint32_t ordinal = 0;
    for (const SlotIndex at : instructions(program, function)) {
      const Slot& slot = program.slots[at];
      const InstructionInfo* info = find(slot);
      if (info == nullptr || !info->is_site()) {
        continue;
      }
      calls.push_back({.site = {.function = number, .ordinal = ordinal},
                       .slot = at,
                       .callee = fixed_callee(program, *info, at),
                       .is_jump = info->operation == Operation::jump_register});
      ++ordinal;
    }
  }
  for (std::uint32_t i = 0; i < program.externals.size(); ++i) {
    if (program.externals[i].calls_back) {
      calls.push_back(
          {.site = {.function = static_cast<std::uint32_t>(program.functions.size()) + i,
                    .ordinal = 0},
           .slot = static_cast<SlotIndex>(program.slots.size())});
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

std::string source_line(const Program& program, SlotIndex slot) {
  const auto after = std::ranges::upper_bound(program.lines, slot, {}, &SourceLine::slot);
  if (after == program.lines.begin()) {
    return {};
  }
  const SourceLine& line = *std::prev(after);
  const auto function = function_at(program, slot);
  return function && line.slot >= program.functions[*function].begin
             ? fmt::format(", {}: `{}`", to_string(line.where), line.text)
             : std::string{};
}

bool has_stack_arguments(const Program& program) {
  return std::ranges::any_of(program.slots, [](const Slot& slot) {
    const InstructionInfo* const info = find(slot);
    return info != nullptr && stack_argument(slot, *info).has_value();
  });
}

}  // namespace farcall::bpf

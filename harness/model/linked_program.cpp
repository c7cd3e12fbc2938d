#include "model/linked_program.hpp"

#include <algorithm>

#include "bpf/codec.hpp"
#include "bpf/instruction.hpp"
#include "model/schemes.hpp"

namespace farcall::model {
namespace {

using bpf::Slot;
using bpf::SlotIndex;

// `ja +0`.
constexpr Slot kSkip = {.opcode = std::ranges::find(bpf::kInstructions, bpf::Operation::jump,
                                                    &bpf::InstructionInfo::operation)
                                      ->opcode};

bool jumps_into_a_pair(const LinkedProgram& linked) {
  const std::vector<Slot>& slots = linked.program.slots;
  std::vector<bool> is_second(slots.size());
  for (const LinkedCall& call : linked.calls) {
    if (!is_external(linked, call)) {
      is_second[call.slot + 1] = true;
    }
  }
  for (SlotIndex at = 0; at < slots.size(); at += slots_at(linked, at)) {
    const bpf::InstructionInfo* const info = bpf::find(slots[at]);
    if (info == nullptr || !info->is_jump()) {
      continue;
    }
    const std::int64_t target = std::int64_t{at} + 1 + bpf::displacement(slots[at], *info);
    if (target >= 0 && target < std::ssize(slots) && is_second[static_cast<SlotIndex>(target)]) {
      return true;
    }
  }
  return false;
}

}  // namespace

GuestAddress map_address(const Cell& cell, const bpf::Map& map) {
  const auto region = std::ranges::find(cell.memory, map.name, &bpf::MemoryRegion::name);
  return region == cell.memory.end() ? GuestAddress{} : region->address;
}

bool is_external(const LinkedProgram& linked, const LinkedCall& call) {
  return call.callee >= linked.program.functions.size();
}

SlotIndex slots_at(const LinkedProgram& linked, SlotIndex at) {
  const Slot& slot = linked.program.slots[at];
  const bpf::InstructionInfo* const info = bpf::find(slot);
  const bool is_pseudo_call = info != nullptr && info->form == bpf::Form::local_callee;
  return is_pseudo_call ? scheme_info(linked.scheme).slots : bpf::slots_of(slot.opcode);
}

bpf::Program interpreter_view(const LinkedProgram& linked) {
  const SchemeInfo& scheme = scheme_info(linked.scheme);
  bpf::Program program = linked.program;
  for (SlotIndex at = 0; at < program.slots.size(); at += slots_at(linked, at)) {
    Slot& slot = program.slots[at];
    const bpf::InstructionInfo* const info = bpf::find(slot);
    if (info != nullptr && info->operation == bpf::Operation::load_function) {
      slot.src = 0;  // the address is in the immediate
    }
  }
  for (const LinkedCall& call : linked.calls) {
    if (is_external(linked, call)) {
      continue;
    }
    Slot& slot = program.slots[call.slot];
    slot.imm = scheme.distance == DistanceField::imm ? slot.imm : slot.offset;
    slot.offset = 0;
    if (scheme.slots == 2) {
      program.slots[call.slot + 1] = kSkip;
    }
  }
  return program;
}

bool is_consistent(const LinkedProgram& linked) {
  const std::vector<Slot>& slots = linked.program.slots;
  const std::size_t functions = linked.program.functions.size();
  const std::size_t callees = bpf::callee_count(linked.program);
  const bool calls_fit = std::ranges::all_of(linked.calls, [&](const LinkedCall& call) {
    const SlotIndex taken = is_external(linked, call) ? 1 : scheme_info(linked.scheme).slots;
    return call.slot < slots.size() && slots.size() - call.slot >= taken && call.callee < callees &&
           call.site.function < functions;
  });
  if (!calls_fit || linked.addresses.size() != callees ||
      linked.maps.size() != linked.program.maps.size()) {
    return false;
  }
  const SchemeInfo& scheme = scheme_info(linked.scheme);
  const auto each_pseudo_call = [&](const auto& holds) {
    return std::ranges::all_of(linked.calls, [&](const LinkedCall& call) {
      return is_external(linked, call) || holds(slots[call.slot]);
    });
  };
  if (scheme.beside == AddressesBeside::one_a_call &&
      linked.side_table.size() != linked.calls.size()) {
    return false;
  }
  if (scheme.beside == AddressesBeside::one_a_function &&
      !each_pseudo_call([functions](const Slot& slot) {
        return static_cast<std::uint32_t>(slot.imm) < functions;
      })) {
    return false;
  }
  return scheme.slots == 1 ||
         (each_pseudo_call([](const Slot& slot) { return slot.imm == kPairMark; }) &&
          !jumps_into_a_pair(linked));
}

}  // namespace farcall::model

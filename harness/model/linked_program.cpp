#include "model/linked_program.hpp"

#include <algorithm>
#include <array>

#include "bpf/codec.hpp"
#include "bpf/instruction.hpp"

namespace farcall::model {
namespace {

using bpf::Slot;
using bpf::SlotIndex;

const Slot& first_slot(const LinkedProgram& linked, std::size_t call) {
  return linked.program.slots[linked.calls[call].slot];
}

std::int32_t imm_of(const Slot& slot) {
  return slot.imm;
}

std::int32_t offset_of(const Slot& slot) {
  return slot.offset;
}

// How the parties that read a linked call find what they need; one row a scheme.
struct CallReader {
  CallScheme scheme = {};
  SlotIndex slots = 1;  // that a call takes
  std::int32_t (*distance)(const Slot& first) = nullptr;
  GuestAddress (*jit_target)(const LinkedProgram& linked, std::size_t call) = nullptr;
};

constexpr std::array kReaders = {
    CallReader{.scheme = CallScheme::imm32,
               .distance = offset_of,
               .jit_target =
                   [](const LinkedProgram& linked, std::size_t call) {
                     const std::int64_t from_base = first_slot(linked, call).imm;
                     return linked.call_base + static_cast<Displacement>(from_base);
                   }},
    CallReader{.scheme = CallScheme::aux64,
               .distance = imm_of,
               .jit_target = [](const LinkedProgram& linked,
                                std::size_t call) { return linked.side_table[call]; }},
    CallReader{.scheme = CallScheme::pair64,
               .slots = 2,
               .distance = offset_of,
               .jit_target =
                   [](const LinkedProgram& linked, std::size_t call) {
                     const Slot& second = linked.program.slots[linked.calls[call].slot + 1];
                     return GuestAddress{bpf::word_of(second, byte_order(linked.endian))};
                   }},
    CallReader{
        .scheme = CallScheme::table,
        .distance = offset_of,
        .jit_target =
            [](const LinkedProgram& linked, std::size_t call) {
              return linked.addresses[static_cast<std::uint32_t>(first_slot(linked, call).imm)];
            }},
};

const CallReader& reader(const LinkedProgram& linked) {
  return *std::ranges::find(kReaders, linked.scheme, &CallReader::scheme);
}

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

bool is_external(const LinkedProgram& linked, const LinkedCall& call) {
  return call.callee >= linked.program.functions.size();
}

GuestAddress jit_target(const LinkedProgram& linked, std::size_t call) {
  if (is_external(linked, linked.calls[call])) {
    return linked.addresses[linked.calls[call].callee];
  }
  return reader(linked).jit_target(linked, call);
}

SlotIndex slots_at(const LinkedProgram& linked, SlotIndex at) {
  const Slot& slot = linked.program.slots[at];
  const bpf::InstructionInfo* const info = bpf::find(slot);
  const bool is_pseudo_call = info != nullptr && info->form == bpf::Form::local_callee;
  return is_pseudo_call ? reader(linked).slots : bpf::slots_of(slot.opcode);
}

bpf::Program interpreter_view(const LinkedProgram& linked) {
  const CallReader& scheme = reader(linked);
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
    slot.imm = scheme.distance(slot);
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
    const SlotIndex taken = is_external(linked, call) ? 1 : reader(linked).slots;
    return call.slot < slots.size() && slots.size() - call.slot >= taken && call.callee < callees &&
           call.site.function < functions;
  });
  if (!calls_fit || linked.addresses.size() != callees ||
      linked.maps.size() != linked.program.maps.size()) {
    return false;
  }
  switch (linked.scheme) {
    case CallScheme::imm32:
      return true;
    case CallScheme::aux64:
      return linked.side_table.size() == linked.calls.size();
    case CallScheme::pair64:
      return std::ranges::all_of(linked.calls,
                                 [&](const LinkedCall& call) {
                                   return is_external(linked, call) ||
                                          slots[call.slot].imm == kPairMark;
                                 }) &&
             !jumps_into_a_pair(linked);
    case CallScheme::table:
      return std::ranges::all_of(linked.calls, [&](const LinkedCall& call) {
        return is_external(linked, call) ||
               static_cast<std::uint32_t>(slots[call.slot].imm) < functions;
      });
  }
  return false;
}

}  // namespace farcall::model

#include "show/program_dump.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "bpf/codec.hpp"
#include "bpf/instruction.hpp"
#include "model/schemes.hpp"
#include "show/symbol.hpp"

namespace farcall::show {
namespace {

using model::DumpedAddress;

bool is_pseudo_call(const bpf::Slot& slot) {
  const bpf::InstructionInfo* const info = bpf::find(slot);
  return info != nullptr && info->operation == bpf::Operation::call && slot.src == bpf::kPseudoCall;
}

// The address that the call at `at` gives away, by the dump alone.
std::optional<GuestAddress> address_of(const ProgramDump& dump, bpf::SlotIndex at) {
  const bpf::Slot& slot = dump.slots[at];
  GuestAddress address;
  switch (model::scheme_info(dump.scheme).dumped) {
    case DumpedAddress::nowhere:
      break;
    case DumpedAddress::imm_from_call_base:
      if (dump.call_base.value != 0) {
        address = dump.call_base + static_cast<Displacement>(slot.imm);
      }
      break;
    case DumpedAddress::second_slot:
      address = {bpf::word_of(dump.slots[at + 1], byte_order(dump.endian))};
      break;
    case DumpedAddress::array_by_imm:
      if (static_cast<std::size_t>(slot.imm) < dump.addresses.size()) {
        address = dump.addresses[static_cast<std::size_t>(slot.imm)];
      }
      break;
  }
  return address.value == 0 ? std::nullopt : std::optional(address);
}

// What a reader of that mode does not get.
model::Hidden hidden(const model::SchemeInfo& scheme, JitMode mode) {
  switch (mode) {
    case JitMode::on:
      break;
    case JitMode::off:
      return scheme.jit_off;
    case JitMode::restricted:
      return scheme.restricted;
  }
  return model::Hidden::nothing;
}

// In place of addresses.
void name_functions(bpf::Program& program, const std::vector<GuestAddress>& addresses,
                    const model::LinkedProgram& linked) {
  for (bpf::SlotIndex at = 0; at < program.slots.size(); at += model::slots_at(linked, at)) {
    bpf::Slot& slot = program.slots[at];
    const bpf::InstructionInfo* const info = bpf::find(slot);
    if (info == nullptr || info->operation != bpf::Operation::load_function) {
      continue;
    }
    bpf::Slot& second = program.slots[at + 1];
    const auto found = std::ranges::find(addresses, GuestAddress{bpf::immediate64(slot, second)});
    const auto number = static_cast<std::size_t>(found - addresses.begin());
    const bool known = number < program.functions.size();
    slot.imm = known ? static_cast<std::int32_t>(program.functions[number].begin - at - 1) : 0;
    second.imm = known ? static_cast<std::int32_t>(number) : 0;
  }
}

}  // namespace

std::string_view name(JitMode mode) {
  static constexpr std::array<std::string_view, 3> kNames = {"on", "off", "restricted"};
  return kNames[static_cast<std::size_t>(mode)];
}

ProgramDump dump_program(const model::LinkedProgram& linked, const ProgramTags& tags,
                         JitMode mode) {
  bpf::Program program = linked.program;
  name_functions(program, linked.addresses, linked);
  ProgramDump dump{.scheme = linked.scheme,
                   .endian = linked.endian,
                   .slots = std::move(program.slots),
                   .functions = linked.program.functions,
                   .names = symbol_names(linked.program, tags)};
  const model::SchemeInfo& scheme = model::scheme_info(linked.scheme);
  const model::Hidden hide = hidden(scheme, mode);
  switch (scheme.dumped) {
    case DumpedAddress::nowhere:
      break;
    case DumpedAddress::imm_from_call_base:
      if (hide == model::Hidden::nothing) {
        dump.call_base = linked.call_base;
        break;
      }
      for (const model::LinkedCall& call : linked.calls) {
        dump.slots[call.slot].imm = 0;
      }
      break;
    case DumpedAddress::second_slot:
      for (const model::LinkedCall& call : linked.calls) {
        if (hide != model::Hidden::nothing) {
          dump.slots[call.slot + 1] = {};
        }
      }
      break;
    case DumpedAddress::array_by_imm:
      if (hide != model::Hidden::absent) {
        dump.addresses = linked.addresses;
      }
      if (hide == model::Hidden::zeroed) {
        std::ranges::fill(dump.addresses, GuestAddress{});
      }
      break;
  }
  return dump;
}

bpf::SlotIndex slots_at(const ProgramDump& dump, bpf::SlotIndex at) {
  const bpf::Slot& slot = dump.slots[at];
  return is_pseudo_call(slot) ? model::scheme_info(dump.scheme).slots : bpf::slots_of(slot.opcode);
}

std::vector<RecoveredCall> recover(const ProgramDump& dump) {
  const bool in_imm = model::scheme_info(dump.scheme).distance == model::DistanceField::imm;
  std::vector<RecoveredCall> calls;
  for (bpf::SlotIndex at = 0; at < dump.slots.size(); at += slots_at(dump, at)) {
    const bpf::Slot& slot = dump.slots[at];
    if (!is_pseudo_call(slot)) {
      continue;
    }
    RecoveredCall call{
        .slot = at, .distance = in_imm ? slot.imm : slot.offset, .address = address_of(dump, at)};
    const std::int64_t target = std::int64_t{at} + 1 + call.distance;
    const auto callee = std::ranges::find_if(
        dump.functions, [target](const bpf::Function& one) { return one.begin == target; });
    if (callee != dump.functions.end()) {
      call.callee = static_cast<std::uint32_t>(callee - dump.functions.begin());
    }
    calls.push_back(call);
  }
  return calls;
}

}  // namespace farcall::show

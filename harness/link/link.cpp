#include "link/link.hpp"

#include <algorithm>
#include <cstdlib>
#include <span>

#include "bpf/codec.hpp"
#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"
#include "link/scheme.hpp"

namespace farcall::link {
namespace {

Result<void> encode(model::LinkedProgram& linked) {
  switch (linked.scheme) {
    case model::CallScheme::imm32:
      return encode_imm32(linked);
    case model::CallScheme::aux64:
      return encode_aux64(linked);
    case model::CallScheme::pair64:
      return encode_pair64(linked);
    case model::CallScheme::table:
      return encode_table(linked);
  }
  std::abort();  // no other scheme is there
}

// Function pointers are the functions' addresses whatever the scheme.
void fill_in_pointers(bpf::Program& program, std::span<const GuestAddress> addresses) {
  for (const bpf::SlotIndex at : instructions(program)) {
    bpf::Slot& slot = program.slots[at];
    const bpf::InstructionInfo* const info = bpf::find(slot);
    if (info != nullptr && info->operation == bpf::Operation::load_function) {
      const auto function = bpf::function_at(program, bpf::local_target(at, slot));
      const auto [low, high] = bpf::load_immediate64_slots(slot.dst, addresses[*function].value);
      slot.imm = low.imm;
      program.slots[at + 1].imm = high.imm;
    }
  }
}

}  // namespace

Result<model::LinkedProgram> link_program(const model::Cell& cell) {
  model::LinkedProgram linked{.scheme = cell.axes.call,
                              .endian = cell.axes.endian,
                              .program = *cell.program,
                              .addresses = cell.placement.functions,
                              .call_base = cell.placement.call_base,
                              .toc = cell.placement.toc};
  for (const bpf::Map& map : linked.program.maps) {
    linked.maps.push_back(map_address(cell, map));
  }
  for (const bpf::PseudoCall& call : pseudo_calls(linked.program)) {
    linked.calls.push_back({.site = call.site,
                            .slot = call.slot,
                            .callee = call.callee,
                            .target = linked.addresses[call.callee]});
  }
  fill_in_pointers(linked.program, linked.addresses);
  FARCALL_TRYV(encode(linked));
  return linked;
}

}  // namespace farcall::link

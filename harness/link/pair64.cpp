// A call takes two slots, so that the program grows by one slot a call, and everything that counts
// slots over a call is counted anew: branches, distances of calls, extents of functions. Some of it
// may then be farther away than 16 bits can say.
#include <fmt/format.h>

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/bits.hpp"
#include "bpf/codec.hpp"
#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"
#include "link/scheme.hpp"

namespace farcall::link {
namespace {

// Where each slot of the source comes to lie, and the end of the program after the last one.
std::vector<bpf::SlotIndex> moved_slots(const model::LinkedProgram& linked) {
  const std::size_t count = linked.program.slots.size();
  std::vector<bpf::SlotIndex> moved(count + 1);
  auto call = linked.calls.begin();
  bpf::SlotIndex grown_by = 0;
  for (bpf::SlotIndex at = 0; at <= count; ++at) {
    moved[at] = at + grown_by;
    if (call != linked.calls.end() && call->slot == at) {
      grown_by += is_external(linked, *call) ? 0U : 1U;
      ++call;
    }
  }
  return moved;
}

// The program with room after each call; branches and calls are still those of the source.
bpf::Program grown(bpf::Program source, std::span<const bpf::SlotIndex> moved) {
  bpf::Program program{.functions = std::move(source.functions),
                       .callx = source.callx,
                       .externals = std::move(source.externals),
                       .maps = std::move(source.maps),
                       .code_pointers = std::move(source.code_pointers)};
  for (bpf::Function& function : program.functions) {
    function.begin = moved[function.begin];
    function.end = moved[function.end];
  }
  for (bpf::CodePointer& pointer : program.code_pointers) {
    pointer.slot = moved[pointer.slot];
  }
  program.slots.resize(moved.back());
  for (std::size_t at = 0; at < source.slots.size(); ++at) {
    program.slots[moved[at]] = source.slots[at];
  }
  // A call's second slot comes from where its first one does.
  program.origins = source.origins.grown(moved);
  return program;
}

Error branch_out_of_range(const bpf::Program& program, bpf::SlotIndex at, std::int64_t distance) {
  const bpf::Function& function = program.functions[*bpf::function_at(program, at)];
  return {
      .code = ErrorCode::link_branch_out_of_range,
      .message = fmt::format("{}+{}: with two slots for each call this branch goes over {} slots; "
                             "`off` reaches -32768 … 32767",
                             function.name, at - function.begin, distance),
      .where = program.origins.at(at),
      .hint = "the other schemes do not make a program grow"};
}

// `source_slots` are slots before they moved.
Result<void> move_branches(bpf::Program& program, std::span<const bpf::Slot> source_slots,
                           std::span<const bpf::SlotIndex> moved) {
  for (const bpf::SlotIndex at : instructions(source_slots)) {
    const bpf::Slot& slot = source_slots[at];
    const bpf::InstructionInfo& info = *bpf::find(slot.opcode);
    if (!info.is_jump()) {
      continue;
    }
    const auto target =
        static_cast<bpf::SlotIndex>(std::int64_t{at} + 1 + bpf::displacement(slot, info));
    const std::int64_t distance = std::int64_t{moved[target]} - moved[at] - 1;
    if (info.form == bpf::Form::target32) {
      program.slots[moved[at]].imm = static_cast<std::int32_t>(distance);
      continue;
    }
    if (!fits_signed(distance, 16)) {
      return branch_out_of_range(program, moved[at], distance);
    }
    program.slots[moved[at]].offset = static_cast<std::int16_t>(distance);
  }
  return success();
}

}  // namespace

Result<void> encode_pair64(model::LinkedProgram& linked) {
  const std::vector<bpf::SlotIndex> moved = moved_slots(linked);
  const std::vector<bpf::Slot> source_slots = linked.program.slots;
  linked.program = grown(std::move(linked.program), moved);
  FARCALL_TRYV(move_branches(linked.program, source_slots, moved));
  for (model::LinkedCall& call : linked.calls) {
    call.slot = moved[call.slot];
    if (is_external(linked, call)) {
      continue;
    }
    FARCALL_TRYV(keep_distance_in_offset(linked, call));
    linked.program.slots[call.slot].imm = model::kPairMark;
    linked.program.slots[call.slot + 1] =
        bpf::slot_of_word(call.target.value, byte_order(linked.endian));
  }
  return success();
}

}  // namespace farcall::link

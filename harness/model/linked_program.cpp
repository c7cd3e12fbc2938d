#include "model/linked_program.hpp"

#include <array>

namespace farcall::model {
namespace {

// How the parties that read a linked call find what they need; one row a scheme.
struct CallReader {
  GuestAddress (*jit_target)(const LinkedProgram& linked, std::size_t call);
  std::int32_t (*displacement_slots)(const bpf::Slot& slot);  // pc-relative, for the interpreter
};

constexpr CallReader kImm32 = {
    .jit_target =
        [](const LinkedProgram& linked, std::size_t call) {
          const std::int64_t from_base = linked.program.slots[linked.calls[call].slot].imm;
          return linked.call_base + static_cast<Displacement>(from_base);
        },
    .displacement_slots = [](const bpf::Slot& slot) -> std::int32_t { return slot.offset; },
};

constexpr CallReader kAux64 = {
    .jit_target = [](const LinkedProgram& linked,
                     std::size_t call) { return linked.side_table[call]; },
    .displacement_slots = [](const bpf::Slot& slot) { return slot.imm; },
};

const CallReader& reader(CallScheme scheme) {
  return scheme == CallScheme::imm32 ? kImm32 : kAux64;
}

}  // namespace

GuestAddress jit_target(const LinkedProgram& linked, std::size_t call) {
  return reader(linked.scheme).jit_target(linked, call);
}

bpf::Program interpreter_view(const LinkedProgram& linked) {
  bpf::Program program = linked.program;
  for (const LinkedCall& call : linked.calls) {
    bpf::Slot& slot = program.slots[call.slot];
    slot.imm = reader(linked.scheme).displacement_slots(slot);
    slot.offset = 0;
  }
  return program;
}

}  // namespace farcall::model

#include "bpf/interpreter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "bpf/instruction.hpp"
#include "bpf/interpreter_calls.hpp"
#include "bpf/interpreter_machine.hpp"
#include "bpf/interpreter_memory.hpp"
#include "bpf/interpreter_values.hpp"

namespace farcall::bpf {
namespace interpreter {
namespace {

bool may_goto_jumps(Machine& machine) {
  std::uint32_t& left = machine.stack.back().may_gotos;
  if (left == 0) {
    return true;
  }
  --left;
  return false;
}

// What a load of a map's address, or of that of its values, loads.
Result<GuestAddress> map_address(const Machine& machine) {
  const std::vector<Slot>& slots = machine.program.slots;
  const Map& map = machine.program.maps[static_cast<std::size_t>(slots[machine.pc].imm)];
  FARCALL_TRY(begin, map_begin(machine, map));
  return begin + map_offset(slots[machine.pc], slots[machine.pc + 1]);
}

}  // namespace

Result<void> execute(Machine& machine) {
  const Program& program = machine.program;
  RegisterFile& registers = machine.registers;
  SlotIndex& pc = machine.pc;
  const std::size_t depth = machine.frames.size();
  while (true) {
    if (machine.run.instructions == machine.limits.instructions) {
      return located(machine,
                     {.code = ErrorCode::interpreter_budget,
                      .message = fmt::format("still running after {} instructions, the "
                                             "budget: `farcall run --budget N` sets another",
                                             machine.limits.instructions)});
    }
    ++machine.run.instructions;
    if (machine.limits.watch) {
      InterpreterStep step{.slot = pc, .depth = static_cast<std::uint32_t>(machine.frames.size())};
      for (std::size_t i = 0; i < registers.size(); ++i) {
        const auto number = code_pointer_number(registers[i]);
        step.registers[i] = number ? *number : registers[i].bits;
        step.code_pointers |= number ? 1U << i : 0U;
      }
      machine.limits.watch(step);
    }
    const Slot& slot = program.slots[pc];
    const InstructionInfo& info = *find(slot);
    switch (info.operation) {
      case Operation::load_immediate64:
        registers[slot.dst] = {.bits = immediate64(slot, program.slots[pc + 1])};
        pc += 2;
        break;
      case Operation::load_map:
      case Operation::load_map_value: {
        FARCALL_TRY(address, map_address(machine));
        registers[slot.dst] = {.bits = address.value};
        pc += 2;
        break;
      }
      case Operation::load_function: {
        const auto function = function_at(program, local_target(pc, slot));
        registers[slot.dst] = {.bits = machine.addresses[*function].value};
        pc += 2;
        break;
      }
      case Operation::call:
      case Operation::call_external:
      case Operation::call_register: {
        FARCALL_TRYV(call(machine));
        break;
      }
      case Operation::jump_register: {
        FARCALL_TRYV(jump_register(machine));
        break;
      }
      case Operation::may_goto:
        pc += may_goto_jumps(machine) ? static_cast<SlotIndex>(displacement(slot, info)) + 1 : 1;
        break;
      case Operation::exit:
        if (machine.frames.size() == depth) {
          return success();
        }
        leave(machine);
        break;
      default: {
        if (info.memory_bytes != 0) {
          const Result<void> done = access_memory(machine, info, slot);
          if (!done) {
            return located(machine, done.error());
          }
        } else if (info.is_jump()) {
          FARCALL_TRY(taken, jumps(machine, info, slot));
          pc += taken ? static_cast<SlotIndex>(displacement(slot, info)) : 0;
        } else {
          registers[slot.dst] = arithmetic(machine, info, slot);
        }
        ++pc;
        break;
      }
    }
  }
}

}  // namespace interpreter

Result<InterpreterRun> interpret(const Program& program, std::span<const GuestAddress> addresses,
                                 const std::array<std::uint64_t, 5>& arguments,
                                 GuestAddress stack_top, AddressSpace& memory,
                                 const InterpreterLimits& limits) {
  using namespace interpreter;
  Machine machine{.program = program, .addresses = addresses, .memory = memory, .limits = limits};
  std::ranges::transform(arguments, machine.registers.begin() + 1,
                         [](std::uint64_t argument) { return Value{.bits = argument}; });
  FARCALL_TRYV(find_code_pointers(machine));
  begin_function(machine, stack_top, 0);
  FARCALL_TRYV(execute(machine));
  const Value& result = machine.registers[0];
  machine.run.r0 = result.bits;
  machine.run.r0_frame = result.undefined == 0 ? result.frame : 0;
  if (result.undefined != 0) {
    machine.run.undefined_result = undefined(machine, "the result, %r0,", result);
  }
  FARCALL_TRYV(check_memory(machine));
  GuestAddress top = stack_top;
  for (const std::uint32_t function : machine.left) {
    LeftFrame& frame =
        machine.run.frames.emplace_back(LeftFrame{.function = function, .bytes = {}});
    for (const auto& [at, value] : memory.defined_in_frame(top, kFrameBytes)) {
      frame.bytes.push_back({static_cast<std::uint32_t>(top.value - at.value), value});
    }
    top.value -= kFrameBytes;
  }
  while (machine.run.frames.size() > 1 && machine.run.frames.back().bytes.empty()) {
    machine.run.frames.pop_back();
  }
  return std::move(machine.run);
}

}  // namespace farcall::bpf

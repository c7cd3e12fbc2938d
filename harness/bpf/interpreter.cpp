#include "bpf/interpreter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/bits.hpp"
#include "base/byte_order.hpp"
#include "bpf/instruction.hpp"

namespace farcall::bpf {
namespace {

constexpr std::size_t kFirstSaved = 6;  // r6 … r9 belong to the caller
constexpr std::size_t kSavedCount = 4;

using RegisterFile = std::array<std::uint64_t, kRegisterCount>;

// What a call keeps for its return.
struct Caller {
  SlotIndex resume = 0;
  std::array<std::uint64_t, kSavedCount> saved = {};
};

struct Machine {
  const Program& program;
  AddressSpace& memory;
  RegisterFile registers = {};
  SlotIndex pc = 0;
};

// A value as a two's complement number of 32 or 64 bits.
std::int64_t as_signed(std::uint64_t value, unsigned width) {
  return sign_extend(value, width);
}

// An operand or a result of 32 or 64 bits: the upper half of a 32-bit one is zero.
std::uint64_t truncate(std::uint64_t value, unsigned width) {
  return bit_field(value, 0, width);
}

// RFC 9669 section 4.1: division truncates towards zero, a division by zero gives 0, and the least
// number divided by −1 is itself. The negation of `a` is all that division by −1 is.
std::uint64_t signed_quotient(std::uint64_t a, std::uint64_t b, unsigned width) {
  const std::int64_t divisor = as_signed(b, width);
  if (divisor == 0 || divisor == -1) {
    return a * b;
  }
  return static_cast<std::uint64_t>(as_signed(a, width) / divisor);
}

// ALU operations on operands that are truncated to `width` already. RFC 9669 section 4.1.
std::uint64_t compute(Operation operation, std::uint64_t a, std::uint64_t b, unsigned width) {
  const auto shift = static_cast<unsigned>(b & (width - 1));
  switch (operation) {
    case Operation::add:
      return a + b;
    case Operation::sub:
      return a - b;
    case Operation::mul:
      return a * b;
    case Operation::div:
      return b == 0 ? 0 : a / b;
    case Operation::mod:
      return b == 0 ? a : a % b;
    case Operation::signed_div:
      return signed_quotient(a, b, width);
    case Operation::signed_mod:
      return a - signed_quotient(a, b, width) * b;
    case Operation::bit_or:
      return a | b;
    case Operation::bit_and:
      return a & b;
    case Operation::bit_xor:
      return a ^ b;
    case Operation::lsh:
      return a << shift;
    case Operation::rsh:
      return a >> shift;
    case Operation::arsh:
      return static_cast<std::uint64_t>(as_signed(a, width) >> shift);
    case Operation::neg:
      return 0 - a;
    default:
      return b;  // mov
  }
}

// Jump conditions on operands that are truncated to `width` already. RFC 9669 section 4.3.
bool holds(Operation operation, std::uint64_t a, std::uint64_t b, unsigned width) {
  const std::int64_t signed_a = as_signed(a, width);
  const std::int64_t signed_b = as_signed(b, width);
  switch (operation) {
    case Operation::jump_if_equal:
      return a == b;
    case Operation::jump_if_not_equal:
      return a != b;
    case Operation::jump_if_set:
      return (a & b) != 0;
    case Operation::jump_if_greater:
      return a > b;
    case Operation::jump_if_greater_equal:
      return a >= b;
    case Operation::jump_if_less:
      return a < b;
    case Operation::jump_if_less_equal:
      return a <= b;
    case Operation::jump_if_signed_greater:
      return signed_a > signed_b;
    case Operation::jump_if_signed_greater_equal:
      return signed_a >= signed_b;
    case Operation::jump_if_signed_less:
      return signed_a < signed_b;
    case Operation::jump_if_signed_less_equal:
      return signed_a <= signed_b;
    default:
      return true;  // jump
  }
}

// Byte order instructions. RFC 9669 section 4.2.
std::uint64_t reordered(const InstructionInfo& info, std::endian machine, std::uint64_t value) {
  const bool swaps = info.operation == Operation::swap ||
                     (info.operation == Operation::to_big) != (machine == std::endian::big);
  return swaps ? byte_swapped(value << (64 - info.swap_bits)) : truncate(value, info.swap_bits);
}

// What an atomic instruction leaves in memory. RFC 9669 section 5.3.
std::uint64_t updated(Operation operation, std::uint64_t old, std::uint64_t source,
                      std::uint64_t expected) {
  switch (operation) {
    case Operation::atomic_add:
      return old + source;
    case Operation::atomic_or:
      return old | source;
    case Operation::atomic_and:
      return old & source;
    case Operation::atomic_xor:
      return old ^ source;
    case Operation::compare_exchange:
      return old == expected ? source : old;
    default:
      return source;  // exchange
  }
}

// `main+3`, the slot that an error is about.
std::string name_of(const Program& program, SlotIndex slot) {
  const auto number = function_at(program, slot);
  const Function& function = program.functions[number.value_or(0)];
  return fmt::format("{}+{}", function.name, slot - function.begin);
}

Error located(const Machine& machine, Error error) {
  if (machine.pc < machine.program.origins.size()) {
    error.where = machine.program.origins[machine.pc];
  }
  error.message = fmt::format("{}: {}", name_of(machine.program, machine.pc), error.message);
  return error;
}

// Both operands of an ALU or jump instruction, of its width.
struct Operands {
  std::uint64_t a = 0;
  std::uint64_t b = 0;
};
Operands operands(const Machine& machine, const InstructionInfo& info, const Slot& slot) {
  std::uint64_t second = machine.registers[slot.src];
  if (info.source == Source::immediate) {
    second = static_cast<std::uint64_t>(std::int64_t{slot.imm});
  } else if (info.sign_bits != 0) {
    second = static_cast<std::uint64_t>(as_signed(second, info.sign_bits));
  }
  return {truncate(machine.registers[slot.dst], info.width), truncate(second, info.width)};
}

bool jumps(const Machine& machine, const InstructionInfo& info, const Slot& slot) {
  const auto [a, b] = operands(machine, info, slot);
  return holds(info.operation, a, b, info.width);
}

std::uint64_t arithmetic(const Machine& machine, const InstructionInfo& info, const Slot& slot) {
  if (info.swap_bits != 0) {
    return reordered(info, machine.memory.order(), machine.registers[slot.dst]);
  }
  const auto [a, b] = operands(machine, info, slot);
  return truncate(compute(info.operation, a, b, info.width), info.width);
}

Result<void> atomic(Machine& machine, const InstructionInfo& info, const Slot& slot,
                    GuestAddress address) {
  if (address.value % info.memory_bytes != 0) {
    return Error{.code = ErrorCode::interpreter_bad_access,
                 .message = fmt::format("{} at {}: an atomic access must be aligned to its size",
                                        info.mnemonic, to_string(address))};
  }
  BOOST_OUTCOME_TRY(old, machine.memory.load(address, info.memory_bytes));
  const std::uint64_t value = updated(info.operation, old, machine.registers[slot.src],
                                      truncate(machine.registers[0], info.width));
  BOOST_OUTCOME_TRYV(machine.memory.store(address, info.memory_bytes, value));
  if (info.fetches) {
    machine.registers[info.writes_src() ? slot.src : 0] = old;
  }
  return success();
}

Result<void> access_memory(Machine& machine, const InstructionInfo& info, const Slot& slot) {
  const auto address_from = [&](std::uint8_t base) {
    return GuestAddress{machine.registers[base]} + static_cast<Displacement>(slot.offset);
  };
  if (info.form == Form::load) {
    BOOST_OUTCOME_TRY(value, machine.memory.load(address_from(slot.src), info.memory_bytes));
    const bool is_signed = info.operation == Operation::load_signed;
    machine.registers[slot.dst] =
        is_signed ? static_cast<std::uint64_t>(as_signed(value, 8U * info.memory_bytes)) : value;
    return success();
  }
  if (info.form == Form::atomic) {
    return atomic(machine, info, slot, address_from(slot.dst));
  }
  const std::uint64_t value = info.source == Source::immediate
                                  ? static_cast<std::uint64_t>(std::int64_t{slot.imm})
                                  : machine.registers[slot.src];
  return machine.memory.store(address_from(slot.dst), info.memory_bytes, value);
}

std::optional<std::uint32_t> function_placed_at(std::span<const GuestAddress> addresses,
                                                std::uint64_t address) {
  const auto found = std::ranges::find(addresses, GuestAddress{address});
  if (found == addresses.end()) {
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(found - addresses.begin());
}

}  // namespace

Result<InterpreterRun> interpret(const Program& program, std::span<const GuestAddress> addresses,
                                 const std::array<std::uint64_t, 5>& arguments,
                                 GuestAddress stack_top, AddressSpace& memory,
                                 const InterpreterLimits& limits) {
  Machine machine{.program = program, .memory = memory};
  RegisterFile& registers = machine.registers;
  std::ranges::copy(arguments, registers.begin() + 1);
  registers[kFramePointer] = stack_top.value;

  const std::vector<CallInstruction> sites = call_instructions(program);
  std::vector<Caller> callers;
  InterpreterRun run;
  SlotIndex& pc = machine.pc;
  while (true) {
    if (run.instructions == limits.instructions) {
      return located(machine, {.code = ErrorCode::interpreter_budget,
                               .message = fmt::format("still running after {} instructions",
                                                      limits.instructions)});
    }
    ++run.instructions;
    const Slot& slot = program.slots[pc];
    const InstructionInfo& info = *find(slot);
    switch (info.operation) {
      case Operation::load_immediate64:
        registers[slot.dst] = immediate64(slot, program.slots[pc + 1]);
        pc += 2;
        break;
      case Operation::load_function: {
        const auto function = function_at(program, local_target(pc, slot));
        registers[slot.dst] = addresses[*function].value;
        pc += 2;
        break;
      }
      case Operation::call:
      case Operation::call_register: {
        const auto call = std::ranges::lower_bound(sites, pc, {}, &CallInstruction::slot);
        const auto callee =
            call->callee ? call->callee : function_placed_at(addresses, registers[slot.dst]);
        if (!callee) {
          Error error = located(
              machine,
              {.code = ErrorCode::interpreter_bad_call,
               .message = fmt::format("call through %r{} to {}: no function is there", slot.dst,
                                      to_string(GuestAddress{registers[slot.dst]}))});
          error.site = to_string(program, call->site);
          return error;
        }
        if (callers.size() + 1 >= limits.call_depth) {
          Error error =
              located(machine, {.code = ErrorCode::interpreter_call_depth,
                                .message = fmt::format("more than {} frames", limits.call_depth)});
          error.site = to_string(program, call->site);
          return error;
        }
        run.calls.push_back({.site = call->site, .slot = pc, .callee = *callee});
        Caller& caller = callers.emplace_back(Caller{.resume = pc + 1});
        std::copy_n(registers.begin() + kFirstSaved, kSavedCount, caller.saved.begin());
        registers[kFramePointer] -= kFrameBytes;
        pc = program.functions[*callee].begin;
        break;
      }
      case Operation::exit:
        if (callers.empty()) {
          run.r0 = registers[0];
          return run;
        }
        std::ranges::copy(callers.back().saved, registers.begin() + kFirstSaved);
        registers[kFramePointer] += kFrameBytes;
        pc = callers.back().resume;
        callers.pop_back();
        break;
      default: {
        if (info.memory_bytes != 0) {
          const Result<void> done = access_memory(machine, info, slot);
          if (!done) {
            return located(machine, done.error());
          }
        } else if (info.is_jump()) {
          pc += jumps(machine, info, slot) ? static_cast<SlotIndex>(displacement(slot, info)) : 0;
        } else {
          registers[slot.dst] = arithmetic(machine, info, slot);
        }
        ++pc;
        break;
      }
    }
  }
}

}  // namespace farcall::bpf

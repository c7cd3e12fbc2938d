#include "bpf/interpreter_values.hpp"

#include "bpf/operation_result.hpp"

namespace farcall::bpf::interpreter {
namespace {

Operands operands(const Machine& machine, const InstructionInfo& info, const Slot& slot) {
  Value second = machine.registers[slot.src];
  if (info.source == Source::immediate) {
    second = {.bits = static_cast<std::uint64_t>(std::int64_t{slot.imm})};
  } else if (info.source == Source::none) {
    second = {};
  } else if (info.sign_bits != 0) {
    second = sign_extended(second, info.sign_bits);
  }
  return {truncated(machine.registers[slot.dst], info.width), truncated(second, info.width),
          info.source == Source::src_register && slot.src == slot.dst && info.sign_bits == 0};
}

// Whether a comparison of pointers, or of a pointer with a number, comes out the same wherever the
// stack is: two of one frame, or a number that is not an address in it. Sets them to be compared.
bool compares_pointers(const Machine& machine, const InstructionInfo& info, Operands& both) {
  auto& [a, b, same] = both;
  if (a.frame == 0 && b.frame == 0) {
    return false;
  }
  const bool apart = (a.frame == 0 && a.undefined == 0 && !is_in_stack(machine, a.bits)) ||
                     (b.frame == 0 && b.undefined == 0 && !is_in_stack(machine, b.bits));
  const bool fixed = a.undefined == 0 && b.undefined == 0 &&
                     info.operation != Operation::jump_if_set && (a.frame == b.frame || apart);
  if (!fixed) {
    a = opaque(a);
    b = opaque(b);
  }
  return fixed;
}

bool is_move(Operation operation) {
  return operation == Operation::mov || operation == Operation::mov_signed;
}

}  // namespace

Value partly_defined(const InstructionInfo& info, const Operands& both, std::uint64_t bits) {
  auto [a, b, same] = both;
  const Operation operation = info.operation;
  if (is_move(operation)) {
    b.bits = bits;
    return b;  // truncated() and sign_extended() have seen to the rest
  }
  if (info.width == 64) {
    const bool adds = operation == Operation::add && (a.frame == 0 || b.frame == 0);
    const bool subtracts = operation == Operation::sub && (b.frame == 0 || a.frame == b.frame);
    if (adds || subtracts) {
      return {.bits = bits,
              .undefined = undefined_bits(operation, a, b, info.width, same),
              .frame = adds ? a.frame | b.frame : a.frame - b.frame,
              .origin = a.undefined != 0 ? a.origin : b.origin};
    }
  }
  a = opaque(a);
  b = opaque(b);
  return {.bits = bits,
          .undefined = truncate(undefined_bits(operation, a, b, info.width, same), info.width),
          .origin = a.undefined != 0 ? a.origin : b.origin};
}

Value arithmetic(const Machine& machine, const InstructionInfo& info, const Slot& slot) {
  if (info.swap_bits != 0) {
    const Value value = opaque(machine.registers[slot.dst]);
    const std::endian order = machine.memory.order();
    return {.bits = reordered(info, order, value.bits),
            .undefined = reordered(info, order, value.undefined),
            .origin = value.origin};
  }
  const Operands both = operands(machine, info, slot);
  const std::uint64_t bits =
      truncate(compute(info.operation, both.a.bits, both.b.bits, info.width), info.width);
  if ((is_move(info.operation) || both.a.is_plain()) && both.b.is_plain()) {
    return {.bits = bits};
  }
  return partly_defined(info, both, bits);
}

Result<bool> jumps(const Machine& machine, const InstructionInfo& info, const Slot& slot) {
  if (info.form != Form::branch) {
    return true;
  }
  Operands both = operands(machine, info, slot);
  const auto& [a, b, same] = both;
  if (!(a.is_plain() && b.is_plain()) && !compares_pointers(machine, info, both) &&
      !is_decided(info.operation, a, b, info.width, same)) {
    const bool first = a.undefined != 0;
    return undefined(machine, register_text("its condition", first ? slot.dst : slot.src),
                     first ? a : b);
  }
  return holds(info.operation, a.bits, b.bits, info.width);
}

}  // namespace farcall::bpf::interpreter

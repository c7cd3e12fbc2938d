#include "bpf/interpreter_memory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/bits.hpp"
#include "bpf/interpreter_values.hpp"
#include "bpf/operation_result.hpp"
#include "bpf/stack_argument.hpp"

namespace farcall::bpf::interpreter {
namespace {

Error access_error(std::string message) {
  return {.code = ErrorCode::interpreter_bad_access, .message = std::move(message)};
}

// The address of an access of `info.memory_bytes`. It is known, and one in the stack is in a frame
// that is still there, and lies in it as a whole.
Result<GuestAddress> checked_address(Machine& machine, const InstructionInfo& info,
                                     const Slot& slot, std::uint8_t base) {
  const Value& value = machine.registers[base];
  const GuestAddress address = GuestAddress{value.bits} + static_cast<Displacement>(slot.offset);
  if (value.undefined != 0) {
    return undefined(machine, register_text("the address", base), value);
  }
  if (value.frame == 0) {
    if (is_in_stack(machine, address.value) && address != machine.stack.front().top) {
      return access_error(
          fmt::format("{} at {}, in the stack, by an address that is not made of %r10",
                      info.mnemonic, to_string(address)));
    }
    return address;
  }
  const auto frame = std::ranges::find(machine.stack.rbegin(), machine.stack.rend(), value.frame,
                                       &StackFrame::number);
  if (frame == machine.stack.rend()) {
    return access_error(
        fmt::format("{} in the frame of a function that has returned", info.mnemonic));
  }
  const auto offset = static_cast<std::int64_t>(address.value - frame->top.value);
  constexpr auto kFrame = static_cast<std::int64_t>(kFrameBytes);
  if (offset < -kFrame || offset > -static_cast<std::int64_t>(info.memory_bytes)) {
    return access_error(
        fmt::format("{} of {} byte{} at r10{:+} of {} frame: a frame is the {} bytes "
                    "below r10",
                    info.mnemonic, info.memory_bytes, info.memory_bytes == 1 ? "" : "s", offset,
                    frame == machine.stack.rbegin() ? "its" : "a caller's", kFrameBytes));
  }
  if (-offset > std::int64_t{frame->bytes}) {
    frame->bytes =
        static_cast<std::uint32_t>(align_up(static_cast<std::uint64_t>(-offset), kStackUnit));
    count_stack(machine);
  }
  return address;
}

// What an atomic operation does to memory.
Operation without_atomicity(Operation operation) {
  switch (operation) {
    case Operation::atomic_add:
      return Operation::add;
    case Operation::atomic_or:
      return Operation::bit_or;
    case Operation::atomic_and:
      return Operation::bit_and;
    case Operation::atomic_xor:
      return Operation::bit_xor;
    default:
      not_implemented("the interpreter's undefined atomics", operation);
  }
}

// What an atomic instruction leaves in memory, as updated() says, of values of its width.
Result<Value> updated_value(const Machine& machine, const InstructionInfo& info, const Value& old,
                            const Value& source) {
  const Value expected = truncated(machine.registers[0], info.width);
  const std::uint64_t bits = updated(info.operation, old.bits, source.bits, expected.bits);
  switch (info.operation) {
    case Operation::compare_exchange: {
      if (!(old.is_plain() && expected.is_plain()) &&
          !(old.frame == expected.frame && old.undefined == 0 && expected.undefined == 0) &&
          !is_decided(Operation::jump_if_equal, opaque(old), opaque(expected), info.width, false)) {
        return undefined(machine, "the comparison", opaque(old).undefined != 0 ? old : expected);
      }
      return old.bits == expected.bits ? source : old;
    }
    case Operation::exchange:
      return source;
    default: {
      if (old.is_plain() && source.is_plain()) {
        return Value{.bits = bits};
      }
      InstructionInfo alu = info;
      alu.operation = without_atomicity(info.operation);
      return partly_defined(alu, {.a = old, .b = source}, bits);
    }
  }
}

// What is loaded where the address of an instruction is.
Value loaded_code_pointer(const Machine& machine, GuestAddress address, unsigned size,
                          Value value) {
  for (std::size_t i = 0; i < machine.code_pointers.size(); ++i) {
    const GuestAddress at = machine.code_pointers[i];
    if (address == at && size == 8) {
      return code_pointer(i);
    }
    if (address.value - at.value < 8 || at.value - address.value < size) {
      value.origin = code_pointer(i).origin;
    }
  }
  return value;
}

// What `address` holds; it is this instruction that reads it.
Result<Value> load_value(const Machine& machine, GuestAddress address, unsigned size) {
  FARCALL_TRY(value, machine.memory.load_value(address, size));
  if (value.undefined != 0) {
    value.origin = {.kind = Origin::Kind::memory, .slot = machine.pc};
    return loaded_code_pointer(machine, address, size, value);
  }
  return value;
}

// Remembers who stores what is undefined outside of the stack: whether it stays is seen at the end.
Result<void> store_value(Machine& machine, GuestAddress address, unsigned size,
                         const Value& value) {
  FARCALL_TRYV(machine.memory.store_value(address, size, value));
  if (value.undefined != 0 && !is_in_stack(machine, address.value)) {
    std::erase_if(machine.undefined_stores, [&](const UndefinedStore& store) {
      return store.address == address && store.size == size;
    });
    machine.undefined_stores.push_back({address, size, machine.pc, value.origin});
  }
  return success();
}

// An argument beyond the fifth, which is loaded or passed on.
void access_argument(Machine& machine, StackArgument argument, const InstructionInfo& info,
                     const Slot& slot) {
  const Value unwritten = undefined_value({.kind = Origin::Kind::memory, .slot = machine.pc});
  StackFrame& frame = machine.stack.back();
  if (argument.is_own) {
    const bool is_given = argument.number < frame.arguments.size();
    machine.registers[slot.dst] = is_given ? frame.arguments[argument.number] : unwritten;
    return;
  }
  if (argument.number >= frame.passed.size()) {
    frame.passed.resize(argument.number + 1, unwritten);
  }
  frame.passed[argument.number] =
      info.source == Source::immediate
          ? Value{.bits = static_cast<std::uint64_t>(std::int64_t{slot.imm})}
          : machine.registers[slot.src];
}

Result<void> check_alignment(const InstructionInfo& info, GuestAddress address) {
  if (address.value % info.memory_bytes != 0) {
    return access_error(fmt::format("{} at {}: an atomic access must be aligned to its size",
                                    info.mnemonic, to_string(address)));
  }
  return success();
}

Result<void> atomic(Machine& machine, const InstructionInfo& info, const Slot& slot) {
  FARCALL_TRY(address, checked_address(machine, info, slot, slot.dst));
  FARCALL_TRYV(check_alignment(info, address));
  FARCALL_TRY(old, load_value(machine, address, info.memory_bytes));
  const Value source = truncated(machine.registers[slot.src], info.width);
  FARCALL_TRY(value, updated_value(machine, info, old, source));
  FARCALL_TRYV(store_value(machine, address, info.memory_bytes, value));
  if (info.fetches) {
    machine.registers[info.writes_src() ? slot.src : 0] = old;
  }
  return success();
}

}  // namespace

Result<void> find_code_pointers(Machine& machine) {
  for (const CodePointer& pointer : machine.program.code_pointers) {
    const auto& regions = machine.memory.regions();
    const auto region = std::ranges::find(regions, pointer.region, &MemoryRegion::name);
    if (region == regions.end() || region->bytes.size() < 8 ||
        pointer.offset > region->bytes.size() - 8) {
      return Error{.code = ErrorCode::interpreter_bad_access,
                   .message = fmt::format("there is no memory for the address of an instruction "
                                          "at {}+{}",
                                          pointer.region, pointer.offset)};
    }
    const GuestAddress at = region->address + pointer.offset;
    machine.code_pointers.push_back(at);
    machine.memory.undefine(at, 8);
  }
  return success();
}

Result<void> access_memory(Machine& machine, const InstructionInfo& info, const Slot& slot) {
  if (const auto argument = stack_argument(slot, info)) {
    access_argument(machine, *argument, info, slot);
    return success();
  }
  if (info.form == Form::load) {
    FARCALL_TRY(address, checked_address(machine, info, slot, slot.src));
    if (info.orders()) {
      FARCALL_TRYV(check_alignment(info, address));
    }
    FARCALL_TRY(value, load_value(machine, address, info.memory_bytes));
    machine.registers[slot.dst] = info.operation == Operation::load_signed
                                      ? sign_extended(value, 8U * info.memory_bytes)
                                      : value;
    return success();
  }
  if (info.form == Form::atomic) {
    return atomic(machine, info, slot);
  }
  FARCALL_TRY(address, checked_address(machine, info, slot, slot.dst));
  if (info.orders()) {
    FARCALL_TRYV(check_alignment(info, address));
  }
  const Value value = info.source == Source::immediate
                          ? Value{.bits = static_cast<std::uint64_t>(std::int64_t{slot.imm})}
                          : machine.registers[slot.src];
  return store_value(machine, address, info.memory_bytes, truncated(value, 8U * info.memory_bytes));
}

Result<void> check_memory(Machine& machine) {
  const auto& regions = machine.memory.regions();
  for (std::size_t i = 0; i + 1 < regions.size(); ++i) {  // the last is the stack
    const auto& pointers = machine.memory.pointers(i);
    std::ranges::copy(pointers, std::back_inserter(machine.run.stack_pointers));
    const auto at = regions[i].writable ? machine.memory.first_undefined(i) : std::nullopt;
    if (!at) {
      continue;
    }
    const auto store = std::ranges::find_if(
        machine.undefined_stores.rbegin(), machine.undefined_stores.rend(),
        [&](const UndefinedStore& one) { return at->value - one.address.value < one.size; });
    Value value = opaque({.frame = 1});  // a part of a pointer
    if (store != machine.undefined_stores.rend()) {
      machine.pc = store->slot;
      value = undefined_value(store->origin);
    }
    return undefined(
        machine,
        fmt::format("{}+{} at the end", regions[i].name, at->value - regions[i].address.value),
        value);
  }
  return success();
}

}  // namespace farcall::bpf::interpreter

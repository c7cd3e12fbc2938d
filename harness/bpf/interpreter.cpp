#include "bpf/interpreter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/bits.hpp"
#include "base/byte_order.hpp"
#include "bpf/disassembler.hpp"
#include "bpf/instruction.hpp"
#include "bpf/value.hpp"

namespace farcall::bpf {
namespace {

constexpr std::size_t kFirstSaved = 6;  // r6 … r9 belong to the caller
constexpr std::size_t kSavedCount = 4;
constexpr std::uint32_t kStackUnit = 32;  // Linux's verifier, round_up() in check_max_stack_depth()

using RegisterFile = std::array<Value, kRegisterCount>;

// A call under way: its site, and what it keeps for its return.
struct Frame {
  CallSite site;
  SlotIndex resume = 0;
  std::array<Value, kSavedCount> saved = {};
};

// The stack frame of a function that runs: its number, and r10.
struct StackFrame {
  std::uint32_t number = 0;
  GuestAddress top;
  std::uint32_t may_gotos = kMayGotoLimit;  // how often may_goto goes on yet
  std::uint32_t bytes = kStackUnit;         // what StackUse counts of it
};

// A store of what is undefined.
struct UndefinedStore {
  GuestAddress address;
  std::uint64_t size = 0;
  SlotIndex slot = 0;
  Origin origin;
};

struct Machine {
  const Program& program;
  std::span<const GuestAddress> addresses;
  AddressSpace& memory;
  const InterpreterLimits& limits;
  std::vector<CallInstruction> sites = call_instructions(program);
  RegisterFile registers = {};
  SlotIndex pc = 0;
  std::vector<Frame> frames = {};
  std::vector<StackFrame> stack = {};    // the innermost last
  std::uint32_t frame_count = 0;         // that have been there so far
  std::vector<std::uint32_t> left = {};  // whose frames are untouched, see InterpreterRun::frames
  std::uint64_t tail_calls = 0;
  std::vector<UndefinedStore> undefined_stores = {};  // outside of the stack
  std::vector<GuestAddress> code_pointers = {};       // where in memory each is
  InterpreterRun run = {};
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
    case Operation::mov:
    case Operation::mov_signed:
      return b;
    default:
      not_implemented("the interpreter's arithmetic", operation);
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
      not_implemented("the interpreter's conditions", operation);
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
    case Operation::exchange:
      return source;
    default:
      not_implemented("the interpreter's atomics", operation);
  }
}

// `main+3`, the slot that an error is about.
std::string name_of(const Program& program, SlotIndex slot) {
  const auto number = function_at(program, slot);
  const Function& function = program.functions[number.value_or(0)];
  return fmt::format("{}+{}", function.name, slot - function.begin);
}

Error located(const Machine& machine, Error error) {
  if (error.code == ErrorCode::case_undefined_value) {
    return error;  // it is already
  }
  if (machine.pc < machine.program.origins.size()) {
    error.where = machine.program.origins[machine.pc];
  }
  error.message = fmt::format("{}: {}", name_of(machine.program, machine.pc), error.message);
  return error;
}

// `main+2 (call local f)`, with the line of the source that a compiler made it of.
std::string describe_slot(const Program& program, SlotIndex slot) {
  std::string text =
      fmt::format("{} ({})", name_of(program, slot), disassemble_instruction(program, slot));
  const auto after = std::ranges::upper_bound(program.lines, slot, {}, &SourceLine::slot);
  if (after != program.lines.begin()) {
    const SourceLine& line = *std::prev(after);
    if (line.slot >= program.functions[function_at(program, slot).value_or(0)].begin) {
      text += fmt::format(", {}: `{}`", to_string(line.where), line.text);
    }
  }
  return text;
}

std::string describe_origin(const Program& program, const Origin& origin) {
  switch (origin.kind) {
    case Origin::Kind::never_written:
      return fmt::format("%r{}, which {} has not written", origin.reg,
                         program.functions[function_at(program, origin.slot).value_or(0)].name);
    case Origin::Kind::lost_by_call:
      return fmt::format("%r{}, which nobody has written after {}", origin.reg,
                         describe_slot(program, origin.slot));
    case Origin::Kind::memory:
      return fmt::format("memory that {} reads and nobody has written",
                         describe_slot(program, origin.slot));
    case Origin::Kind::stack_position:
      return "where in memory the stack is";
    case Origin::Kind::instruction:
      return fmt::format("where the code of {} begins",
                         name_of(program, program.code_pointers[origin.slot].slot));
    default:
      return "a value that is not defined";
  }
}

// The case's error where its meaning depends on `value`; `what` does.
Error undefined(const Machine& machine, std::string_view what, const Value& value) {
  Error error{.code = ErrorCode::case_undefined_value,
              .hint = "write it first; a value that nobody uses may stay undefined"};
  if (machine.pc < machine.program.origins.size()) {
    error.where = machine.program.origins[machine.pc];
  }
  error.message = fmt::format("{}: {} depends on {}", describe_slot(machine.program, machine.pc),
                              what, describe_origin(machine.program, opaque(value).origin));
  return error;
}

std::string register_text(std::string_view what, unsigned number) {
  return fmt::format("{}, %r{},", what, number);
}

// Both operands of an ALU or jump instruction, of its width.
struct Operands {
  Value a;
  Value b;
  bool same = false;  // both are one register, as it is
};
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

// Whether an address is somewhere in the stack's memory.
bool is_in_stack(const Machine& machine, std::uint64_t address) {
  const GuestAddress top = machine.stack.front().top;
  return top.value - address <= machine.limits.call_depth * kFrameBytes;
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

bool is_move(Operation operation) {
  return operation == Operation::mov || operation == Operation::mov_signed;
}

// The result, of which `bits` are known, where an operand is not a number that is all known.
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

Error access_error(std::string message) {
  return {.code = ErrorCode::interpreter_bad_access, .message = std::move(message)};
}

void count_stack(Machine& machine) {
  StackUse now{.frames = static_cast<std::uint32_t>(machine.stack.size())};
  for (const StackFrame& frame : machine.stack) {
    now.bytes += frame.bytes;
  }
  StackUse& most = machine.run.stack_use;
  most = {.frames = std::max(most.frames, now.frames), .bytes = std::max(most.bytes, now.bytes)};
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
      alu.operation = info.operation == Operation::atomic_add   ? Operation::add
                      : info.operation == Operation::atomic_or  ? Operation::bit_or
                      : info.operation == Operation::atomic_and ? Operation::bit_and
                                                                : Operation::bit_xor;
      return partly_defined(alu, {.a = old, .b = source}, bits);
    }
  }
}

// What stands for an address that only the JIT knows. Arithmetic gives other bits, of the same
// origin.
Value code_pointer(std::size_t number) {
  Value value =
      undefined_value({.kind = Origin::Kind::instruction, .slot = static_cast<SlotIndex>(number)});
  value.bits = ~std::uint64_t{number};
  return value;
}

std::optional<std::uint32_t> code_pointer_number(const Value& value) {
  const bool whole = value.origin.kind == Origin::Kind::instruction &&
                     value.undefined == ~std::uint64_t{0} &&
                     value.bits == ~std::uint64_t{value.origin.slot};
  return whole ? std::optional(value.origin.slot) : std::nullopt;
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

Result<void> access_memory(Machine& machine, const InstructionInfo& info, const Slot& slot) {
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

std::optional<std::uint32_t> callee_at(const Machine& machine, std::uint64_t address) {
  const auto found = std::ranges::find(machine.addresses, GuestAddress{address});
  if (found == machine.addresses.end()) {
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(found - machine.addresses.begin());
}

Error at_site(const Machine& machine, CallSite site, ErrorCode code, std::string message) {
  Error error = located(machine, {.code = code, .message = std::move(message)});
  error.site = to_string(machine.program, site);
  return error;
}

bool may_goto_jumps(Machine& machine) {
  std::uint32_t& left = machine.stack.back().may_gotos;
  if (left == 0) {
    return true;
  }
  --left;
  return false;
}

// Nobody has written these registers.
void lose(Machine& machine, std::size_t first, std::size_t end, Origin origin) {
  for (std::size_t i = first; i < end; ++i) {
    origin.reg = static_cast<std::uint8_t>(i);
    machine.registers[i] = undefined_value(origin);
  }
}

// What a function that begins finds: its arguments, and a frame that nobody has written.
void begin_function(Machine& machine, GuestAddress top, std::uint32_t function) {
  machine.pc = machine.program.functions[function].begin;
  const Origin origin{.kind = Origin::Kind::never_written, .slot = machine.pc};
  lose(machine, 0, 1, origin);
  lose(machine, kFirstSaved, kFirstSaved + kSavedCount, origin);
  machine.stack.push_back({.number = ++machine.frame_count, .top = top});
  machine.memory.add_frame(top, kFrameBytes);
  if (const std::size_t depth = machine.stack.size() - 1; depth <= machine.left.size()) {
    machine.left.resize(depth);
    machine.left.push_back(function);
  }
  count_stack(machine);
  machine.registers[kFramePointer] = {.bits = top.value, .frame = machine.frame_count};
}

void lose_arguments(Machine& machine, SlotIndex call) {
  lose(machine, 1, kFirstSaved, {.kind = Origin::Kind::lost_by_call, .slot = call});
}

// Enters a function: its frame, its first slot.
Result<void> enter(Machine& machine, CallSite site, std::uint32_t function) {
  if (machine.frames.size() + 1 >= machine.limits.call_depth) {
    return at_site(machine, site, ErrorCode::interpreter_call_depth,
                   fmt::format("more than {} frames", machine.limits.call_depth));
  }
  machine.run.calls.push_back({.site = site, .slot = machine.pc, .callee = function});
  Frame& frame = machine.frames.emplace_back(Frame{.site = site, .resume = machine.pc + 1});
  std::copy_n(machine.registers.begin() + kFirstSaved, kSavedCount, frame.saved.begin());
  begin_function(machine, {machine.stack.back().top.value - kFrameBytes}, function);
  return success();
}

void leave(Machine& machine) {
  const Frame& frame = machine.frames.back();
  machine.stack.pop_back();
  std::ranges::copy(frame.saved, machine.registers.begin() + kFirstSaved);
  machine.registers[kFramePointer] = {.bits = machine.stack.back().top.value,
                                      .frame = machine.stack.back().number};
  lose_arguments(machine, frame.resume - 1);
  machine.pc = frame.resume;
  machine.frames.pop_back();
}

// A number that an external function has passed on, which may be a pointer into a frame.
Value from_external(const Machine& machine, std::uint64_t number) {
  for (const StackFrame& frame : machine.stack) {
    if (frame.top.value - number - 1 < kFrameBytes) {
      return {.bits = number, .frame = frame.number};
    }
  }
  return {.bits = number};
}

Result<void> execute(Machine& machine);

Result<GuestAddress> map_begin(const Machine& machine, const Map& map) {
  const auto& regions = machine.memory.regions();
  const auto region = std::ranges::find(regions, map.name, &MemoryRegion::name);
  if (region == regions.end()) {
    return located(machine, {.code = ErrorCode::interpreter_bad_access,
                             .message = fmt::format("there is no memory of map {}", map.name)});
  }
  return region->address;
}

// What an external function sees of the machine while it runs.
class ExternalCall final : public Caller {
 public:
  ExternalCall(Machine& machine, std::uint32_t callee) : machine_(machine), callee_(callee) {}

  AddressSpace& memory() override { return machine_.memory; }
  std::size_t depth() const override { return machine_.frames.size(); }
  const External& callee() const override {
    return machine_.program.externals[callee_ - machine_.program.functions.size()];
  }
  Result<GuestAddress> map(std::uint32_t map) const override {
    return map_begin(machine_, machine_.program.maps[map]);
  }
  GuestAddress frame_pointer() const override { return {machine_.registers[kFramePointer].bits}; }

  Result<std::uint64_t> call_back(GuestAddress function,
                                  std::span<const std::uint64_t> arguments) override {
    const CallSite site{.function = callee_, .ordinal = 0};
    const auto callee = callee_at(machine_, function.value);
    if (!callee || *callee >= machine_.program.functions.size()) {
      return at_site(
          machine_, site, ErrorCode::interpreter_bad_call,
          fmt::format("call back to {}: no function of the program is there", to_string(function)));
    }
    const SlotIndex resume = machine_.pc;
    FARCALL_TRYV(enter(machine_, site, *callee));
    lose(machine_, 1, kFirstSaved, {.kind = Origin::Kind::never_written, .slot = machine_.pc});
    std::ranges::transform(
        arguments, machine_.registers.begin() + 1,
        [this](std::uint64_t argument) { return from_external(machine_, argument); });
    FARCALL_TRYV(execute(machine_));
    const Value result = machine_.registers[0];
    if (result.undefined != 0) {
      return undefined(machine_,
                       fmt::format("%r0, which {} uses,", callee_name(machine_.program, callee_)),
                       result);
    }
    leave(machine_);
    machine_.pc = resume;
    return result.bits;
  }

  Result<void> store_return_address(GuestAddress to, std::size_t level) override {
    FARCALL_TRYV(machine_.memory.store(to, 8, 0));
    machine_.run.return_addresses.push_back(
        {.at = to, .site = machine_.frames[machine_.frames.size() - 1 - level].site});
    return success();
  }

 private:
  Machine& machine_;
  std::uint32_t callee_;
};

Result<void> call_external(Machine& machine, CallSite site, std::uint32_t callee) {
  const External& external = machine.program.externals[callee - machine.program.functions.size()];
  Arguments arguments;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const ValueType type = external.signature.arguments[i];
    const Value& given = machine.registers[i + 1];
    if (i < external.signature.argument_count && truncated(given, type.bits).undefined != 0) {
      Error error =
          undefined(machine, register_text("an argument", static_cast<unsigned>(i + 1)), given);
      error.site = to_string(machine.program, site);
      return error;
    }
    arguments[i] = extended(given.bits, type);
  }
  machine.run.calls.push_back({.site = site, .slot = machine.pc, .callee = callee});
  machine.frames.push_back({.site = site});
  ExternalCall call(machine, callee);
  const Result<std::uint64_t> result = external.meaning(call, arguments);
  if (!result) {
    return result.error().where.file.empty() && result.error().site.empty() &&
                   result.error().hint.empty()
               ? at_site(machine, site, result.error().code,
                         fmt::format("{}: {}", external.name, result.error().message))
               : result.error();
  }
  machine.frames.pop_back();
  machine.left.resize(std::min(machine.left.size(), machine.stack.size()));
  lose_arguments(machine, machine.pc);
  machine.registers[0] = from_external(machine, result.value());
  ++machine.pc;
  return success();
}

// A tail call that goes nowhere.
void pass_by(Machine& machine) {
  lose(machine, 0, kFirstSaved, {.kind = Origin::Kind::lost_by_call, .slot = machine.pc});
  ++machine.pc;
}

// Linux checks in this order, and so does the JIT: the index, the limit, the element.
Result<void> tail_call(Machine& machine, CallSite site) {
  const Value wanted = truncated(machine.registers[3], 32);
  for (const auto& [number, argument] : {std::pair(2U, machine.registers[2]), {3U, wanted}}) {
    if (opaque(argument).undefined != 0) {
      return undefined(machine, register_text("where it goes", number), argument);
    }
  }
  const GuestAddress array{machine.registers[2].bits};
  const std::uint64_t index = wanted.bits;
  FARCALL_TRY(elements, machine.memory.load(array, 4));
  if (index >= elements || machine.tail_calls >= kTailCallLimit) {
    pass_by(machine);
    return success();
  }
  FARCALL_TRY(address, machine.memory.load(array + (kArrayHeaderBytes + 8 * index), 8));
  if (address == 0) {
    pass_by(machine);
    return success();
  }
  const auto callee = callee_at(machine, address);
  if (!callee || *callee >= machine.program.functions.size() ||
      !is_program(machine.program, *callee)) {
    return at_site(
        machine, site, ErrorCode::interpreter_bad_call,
        fmt::format("tail call to {}: no program is there", to_string(GuestAddress{address})));
  }
  ++machine.tail_calls;
  machine.run.calls.push_back({.site = site, .slot = machine.pc, .callee = *callee});
  const GuestAddress top = machine.stack.back().top;
  machine.stack.pop_back();  // the program that begins has a frame of its own in its place
  lose(machine, 2, kFirstSaved, {.kind = Origin::Kind::lost_by_call, .slot = machine.pc});
  begin_function(machine, top, *callee);
  return success();
}

Result<void> call(Machine& machine) {
  const Slot& slot = machine.program.slots[machine.pc];
  const auto instruction =
      std::ranges::lower_bound(machine.sites, machine.pc, {}, &CallInstruction::slot);
  const CallSite site = instruction->site;
  std::optional<std::uint32_t> callee = instruction->callee;
  if (!callee && find(slot)->operation == Operation::call_external) {
    return tail_call(machine, site);
  }
  const Value& target = machine.registers[slot.dst];
  if (!callee && opaque(target).undefined != 0) {
    return undefined(machine, register_text("whom it calls", slot.dst), target);
  }
  if (machine.program.callx == Callx::helper && !callee) {
    const auto number = static_cast<std::int64_t>(target.bits);
    callee = external_with_id(machine.program, ExternalKind::helper, number);
    if (!callee) {
      return at_site(
          machine, site, ErrorCode::interpreter_bad_call,
          fmt::format("call through %r{} of helper {}: there is none", slot.dst, number));
    }
  }
  if (!callee) {
    callee = callee_at(machine, target.bits);
  }
  if (!callee) {
    return at_site(machine, site, ErrorCode::interpreter_bad_call,
                   fmt::format("call through %r{} to {}: no function is there", slot.dst,
                               to_string(GuestAddress{target.bits})));
  }
  return *callee < machine.program.functions.size() ? enter(machine, site, *callee)
                                                    : call_external(machine, site, *callee);
}

// Goes where the address of an instruction leads.
Result<void> jump_register(Machine& machine) {
  const Program& program = machine.program;
  const std::uint8_t dst = program.slots[machine.pc].dst;
  const CallSite site =
      std::ranges::lower_bound(machine.sites, machine.pc, {}, &CallInstruction::slot)->site;
  const Value& target = machine.registers[dst];
  const auto number = code_pointer_number(target);
  if (!number && opaque(target).undefined != 0) {
    Error error = undefined(machine, register_text("where it goes", dst), target);
    error.hint = "a jump goes to an address as it is in a table";
    error.site = to_string(program, site);
    return error;
  }
  if (!number) {
    return at_site(machine, site, ErrorCode::interpreter_bad_call,
                   fmt::format("jump through %r{} to {}: that is not from a table of addresses of "
                               "instructions",
                               dst, to_string(GuestAddress{target.bits})));
  }
  const SlotIndex to = program.code_pointers[*number].slot;
  if (function_at(program, to) != site.function) {
    return at_site(machine, site, ErrorCode::interpreter_bad_call,
                   fmt::format("jump through %r{} to {}, which is in another function", dst,
                               name_of(program, to)));
  }
  machine.run.calls.push_back(
      {.site = site, .slot = machine.pc, .callee = site.function, .pointer = *number});
  machine.pc = to;
  return success();
}

// Where in memory the addresses of instructions are; nobody knows what they are.
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

// What a load of a map's address, or of that of its values, loads.
Result<GuestAddress> map_address(const Machine& machine) {
  const std::vector<Slot>& slots = machine.program.slots;
  const Map& map = machine.program.maps[static_cast<std::size_t>(slots[machine.pc].imm)];
  FARCALL_TRY(begin, map_begin(machine, map));
  return begin + map_offset(slots[machine.pc], slots[machine.pc + 1]);
}

// Runs until the function returns in whose first slot the machine is.
Result<void> execute(Machine& machine) {
  const Program& program = machine.program;
  RegisterFile& registers = machine.registers;
  SlotIndex& pc = machine.pc;
  const std::size_t depth = machine.frames.size();
  while (true) {
    if (machine.run.instructions == machine.limits.instructions) {
      return located(machine, {.code = ErrorCode::interpreter_budget,
                               .message = fmt::format("still running after {} instructions, the "
                                                      "budget: `farcall run --budget N` is another",
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

// What is left in memory outside of the stack: nothing that is undefined; where pointers are.
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

}  // namespace

Result<InterpreterRun> interpret(const Program& program, std::span<const GuestAddress> addresses,
                                 const std::array<std::uint64_t, 5>& arguments,
                                 GuestAddress stack_top, AddressSpace& memory,
                                 const InterpreterLimits& limits) {
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

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

// A call under way: its site, and what it keeps for its return.
struct Frame {
  CallSite site;
  SlotIndex resume = 0;
  std::array<std::uint64_t, kSavedCount> saved = {};
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
  std::vector<std::uint32_t> may_gotos = {};  // by depth: how often they go on
  std::uint64_t tail_calls = 0;
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

Result<void> check_alignment(const InstructionInfo& info, GuestAddress address) {
  if (address.value % info.memory_bytes != 0) {
    return Error{.code = ErrorCode::interpreter_bad_access,
                 .message = fmt::format("{} at {}: an atomic access must be aligned to its size",
                                        info.mnemonic, to_string(address))};
  }
  return success();
}

Result<void> atomic(Machine& machine, const InstructionInfo& info, const Slot& slot,
                    GuestAddress address) {
  FARCALL_TRYV(check_alignment(info, address));
  FARCALL_TRY(old, machine.memory.load(address, info.memory_bytes));
  const std::uint64_t value = updated(info.operation, old, machine.registers[slot.src],
                                      truncate(machine.registers[0], info.width));
  FARCALL_TRYV(machine.memory.store(address, info.memory_bytes, value));
  if (info.fetches) {
    machine.registers[info.writes_src() ? slot.src : 0] = old;
  }
  return success();
}

Result<void> access_memory(Machine& machine, const InstructionInfo& info, const Slot& slot) {
  const auto address_from = [&](std::uint8_t base) {
    return GuestAddress{machine.registers[base]} + static_cast<Displacement>(slot.offset);
  };
  if (info.orders()) {
    FARCALL_TRYV(
        check_alignment(info, address_from(info.form == Form::load ? slot.src : slot.dst)));
  }
  if (info.form == Form::load) {
    FARCALL_TRY(value, machine.memory.load(address_from(slot.src), info.memory_bytes));
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

// A function begins: its instructions may_goto go on as often as ever.
void reset_may_goto(Machine& machine) {
  machine.may_gotos.resize(std::max(machine.may_gotos.size(), machine.frames.size() + 1));
  machine.may_gotos[machine.frames.size()] = kMayGotoLimit;
}

bool may_goto_jumps(Machine& machine) {
  std::uint32_t& left = machine.may_gotos[machine.frames.size()];
  if (left == 0) {
    return true;
  }
  --left;
  return false;
}

// Enters a function: its frame, its first slot.
Result<void> enter(Machine& machine, CallSite site, std::uint32_t function) {
  RegisterFile& registers = machine.registers;
  if (machine.frames.size() + 1 >= machine.limits.call_depth) {
    return at_site(machine, site, ErrorCode::interpreter_call_depth,
                   fmt::format("more than {} frames", machine.limits.call_depth));
  }
  machine.run.calls.push_back({.site = site, .slot = machine.pc, .callee = function});
  Frame& frame = machine.frames.emplace_back(Frame{.site = site, .resume = machine.pc + 1});
  std::copy_n(registers.begin() + kFirstSaved, kSavedCount, frame.saved.begin());
  registers[kFramePointer] -= kFrameBytes;
  machine.pc = machine.program.functions[function].begin;
  reset_may_goto(machine);
  return success();
}

void leave(Machine& machine) {
  const Frame& frame = machine.frames.back();
  std::ranges::copy(frame.saved, machine.registers.begin() + kFirstSaved);
  machine.registers[kFramePointer] += kFrameBytes;
  machine.pc = frame.resume;
  machine.frames.pop_back();
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
  GuestAddress frame_pointer() const override { return {machine_.registers[kFramePointer]}; }

  Result<std::uint64_t> call_back(GuestAddress function, const Arguments& arguments) override {
    const CallSite site{.function = callee_, .ordinal = 0};
    const auto callee = callee_at(machine_, function.value);
    if (!callee || *callee >= machine_.program.functions.size()) {
      return at_site(
          machine_, site, ErrorCode::interpreter_bad_call,
          fmt::format("call back to {}: no function of the program is there", to_string(function)));
    }
    const SlotIndex resume = machine_.pc;
    FARCALL_TRYV(enter(machine_, site, *callee));
    std::ranges::copy(arguments, machine_.registers.begin() + 1);
    FARCALL_TRYV(execute(machine_));
    leave(machine_);
    machine_.pc = resume;
    return machine_.registers[0];
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
    arguments[i] = extended(machine.registers[i + 1], external.signature.arguments[i]);
  }
  machine.run.calls.push_back({.site = site, .slot = machine.pc, .callee = callee});
  machine.frames.push_back({.site = site});
  ExternalCall call(machine, callee);
  const Result<std::uint64_t> result = external.meaning(call, arguments);
  if (!result) {
    return result.error().where.file.empty() && result.error().site.empty()
               ? at_site(machine, site, result.error().code,
                         fmt::format("{}: {}", external.name, result.error().message))
               : result.error();
  }
  machine.frames.pop_back();
  machine.registers[0] = result.value();
  ++machine.pc;
  return success();
}

// Linux checks in this order, and so does the JIT: the index, the limit, the element.
Result<void> tail_call(Machine& machine, CallSite site) {
  const GuestAddress array{machine.registers[2]};
  const std::uint64_t index = truncate(machine.registers[3], 32);
  FARCALL_TRY(elements, machine.memory.load(array, 4));
  if (index >= elements || machine.tail_calls >= kTailCallLimit) {
    ++machine.pc;
    return success();
  }
  FARCALL_TRY(address, machine.memory.load(array + (kArrayHeaderBytes + 8 * index), 8));
  if (address == 0) {
    ++machine.pc;
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
  machine.pc = machine.program.functions[*callee].begin;
  reset_may_goto(machine);
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
  if (machine.program.callx == Callx::helper && !callee) {
    const auto number = static_cast<std::int64_t>(machine.registers[slot.dst]);
    callee = external_with_id(machine.program, ExternalKind::helper, number);
    if (!callee) {
      return at_site(
          machine, site, ErrorCode::interpreter_bad_call,
          fmt::format("call through %r{} of helper {}: there is none", slot.dst, number));
    }
  }
  if (!callee) {
    callee = callee_at(machine, machine.registers[slot.dst]);
  }
  if (!callee) {
    return at_site(machine, site, ErrorCode::interpreter_bad_call,
                   fmt::format("call through %r{} to {}: no function is there", slot.dst,
                               to_string(GuestAddress{machine.registers[slot.dst]})));
  }
  return *callee < machine.program.functions.size() ? enter(machine, site, *callee)
                                                    : call_external(machine, site, *callee);
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
                               .message = fmt::format("still running after {} instructions",
                                                      machine.limits.instructions)});
    }
    ++machine.run.instructions;
    if (machine.limits.watch) {
      machine.limits.watch({.slot = pc,
                            .depth = static_cast<std::uint32_t>(machine.frames.size()),
                            .registers = registers});
    }
    const Slot& slot = program.slots[pc];
    const InstructionInfo& info = *find(slot);
    switch (info.operation) {
      case Operation::load_immediate64:
        registers[slot.dst] = immediate64(slot, program.slots[pc + 1]);
        pc += 2;
        break;
      case Operation::load_map:
      case Operation::load_map_value: {
        FARCALL_TRY(address, map_address(machine));
        registers[slot.dst] = address.value;
        pc += 2;
        break;
      }
      case Operation::load_function: {
        const auto function = function_at(program, local_target(pc, slot));
        registers[slot.dst] = machine.addresses[*function].value;
        pc += 2;
        break;
      }
      case Operation::call:
      case Operation::call_external:
      case Operation::call_register: {
        FARCALL_TRYV(call(machine));
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

}  // namespace

Result<InterpreterRun> interpret(const Program& program, std::span<const GuestAddress> addresses,
                                 const std::array<std::uint64_t, 5>& arguments,
                                 GuestAddress stack_top, AddressSpace& memory,
                                 const InterpreterLimits& limits) {
  Machine machine{.program = program, .addresses = addresses, .memory = memory, .limits = limits};
  std::ranges::copy(arguments, machine.registers.begin() + 1);
  machine.registers[kFramePointer] = stack_top.value;
  reset_may_goto(machine);
  FARCALL_TRYV(execute(machine));
  machine.run.r0 = machine.registers[0];
  return std::move(machine.run);
}

}  // namespace farcall::bpf

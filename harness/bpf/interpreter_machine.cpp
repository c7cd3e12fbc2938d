#include "bpf/interpreter_machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "bpf/disassembler.hpp"
#include "bpf/source_line.hpp"

namespace farcall::bpf::interpreter {

std::string name_of(const Program& program, SlotIndex slot) {
  const auto number = function_at(program, slot);
  const Function& function = program.functions[number.value_or(0)];
  return fmt::format("{}+{}", function.name, slot - function.begin);
}

namespace {

// `main+2 (call local f)`, with the line of the source that a compiler made it of.
std::string describe_slot(const Program& program, SlotIndex slot) {
  return fmt::format("{} ({}){}", name_of(program, slot), disassemble_instruction(program, slot),
                     source_line(program, slot));
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
    case Origin::Kind::none:
    case Origin::Kind::return_address:
      break;
  }
  return "a value that is not defined";
}

}  // namespace

bool is_in_stack(const Machine& machine, std::uint64_t address) {
  const GuestAddress top = machine.stack.front().top;
  return top.value - address <= machine.limits.call_depth * kFrameBytes;
}

void count_stack(Machine& machine) {
  StackUse now{.frames = static_cast<std::uint32_t>(machine.stack.size())};
  for (const StackFrame& frame : machine.stack) {
    now.bytes += frame.bytes;
  }
  StackUse& most = machine.run.stack_use;
  most = {.frames = std::max(most.frames, now.frames), .bytes = std::max(most.bytes, now.bytes)};
}

void lose(Machine& machine, std::size_t first, std::size_t end, Origin origin) {
  for (std::size_t i = first; i < end; ++i) {
    origin.reg = static_cast<std::uint8_t>(i);
    machine.registers[i] = undefined_value(origin);
  }
}

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

std::optional<std::uint32_t> callee_at(const Machine& machine, std::uint64_t address) {
  const auto found = std::ranges::find(machine.addresses, GuestAddress{address});
  if (found == machine.addresses.end()) {
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(found - machine.addresses.begin());
}

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

Result<GuestAddress> map_begin(const Machine& machine, const Map& map) {
  const auto& regions = machine.memory.regions();
  const auto region = std::ranges::find(regions, map.name, &MemoryRegion::name);
  if (region == regions.end()) {
    return located(machine, {.code = ErrorCode::interpreter_bad_access,
                             .message = fmt::format("there is no memory of map {}", map.name)});
  }
  return region->address;
}

std::string register_text(std::string_view what, unsigned number) {
  return fmt::format("{}, %r{},", what, number);
}

Error located(const Machine& machine, Error error) {
  if (error.code == ErrorCode::case_undefined_value) {
    return error;  // it is already
  }
  error.where = machine.program.origins.at(machine.pc);
  error.message = fmt::format("{}{}: {}", name_of(machine.program, machine.pc),
                              source_line(machine.program, machine.pc), error.message);
  return error;
}

Error at_site(const Machine& machine, CallSite site, ErrorCode code, std::string message) {
  Error error = located(machine, {.code = code, .message = std::move(message)});
  error.site = to_string(machine.program, site);
  return error;
}

Error undefined(const Machine& machine, std::string_view what, const Value& value) {
  Error error{.code = ErrorCode::case_undefined_value,
              .hint = "write it first; a value that nobody uses may stay undefined"};
  error.where = machine.program.origins.at(machine.pc);
  error.message = fmt::format("{}: {} depends on {}", describe_slot(machine.program, machine.pc),
                              what, describe_origin(machine.program, opaque(value).origin));
  return error;
}

}  // namespace farcall::bpf::interpreter

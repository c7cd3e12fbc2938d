#include "bpf/interpreter_calls.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace farcall::bpf::interpreter {
namespace {

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
  std::vector<Value> passed = std::exchange(machine.stack.back().passed, {});
  begin_function(machine, {machine.stack.back().top.value - kFrameBytes}, function);
  machine.stack.back().arguments = std::move(passed);
  return success();
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
  machine.stack.back().passed.clear();  // neither it nor whom it calls back sees them
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

}  // namespace

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

Result<void> jump_register(Machine& machine) {
  const Program& program = machine.program;
  const std::uint8_t dst = program.slots[machine.pc].dst;
  const CallSite site =
      std::ranges::lower_bound(machine.sites, machine.pc, {}, &CallInstruction::slot)->site;
  const Value& target = machine.registers[dst];
  const auto number = code_pointer_number(target);
  if (!number && opaque(target).undefined != 0) {
    Error error = undefined(machine, register_text("where it goes", dst), target);
    error.hint = "a jump goes where an element of a table leads: add nothing to it";
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
      {.site = site, .slot = machine.pc, .callee = site.function, .pointer = number});
  machine.pc = to;
  return success();
}

}  // namespace farcall::bpf::interpreter

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/instruction.hpp"
#include "bpf/interpreter.hpp"
#include "bpf/value.hpp"

// The state of the interpreter, which its files share and nobody else includes: interpreter_values
// (arithmetic and conditions), interpreter_memory (loads, stores, atomics), interpreter_calls, and
// interpreter, which fetches and dispatches.
namespace farcall::bpf::interpreter {

inline constexpr std::size_t kFirstSaved = 6;  // r6 … r9 belong to the caller
inline constexpr std::size_t kSavedCount = 4;
// Linux's verifier, round_up() in check_max_stack_depth()
inline constexpr std::uint32_t kStackUnit = 32;

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
  std::vector<Value> arguments = {};        // the sixth and those after it
  std::vector<Value> passed = {};           // such that the next call gets
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

// Whether an address is somewhere in the stack's memory.
bool is_in_stack(const Machine& machine, std::uint64_t address);

// Counts the stack that is there now, for InterpreterRun::stack_use.
void count_stack(Machine& machine);

// Nobody has written these registers.
void lose(Machine& machine, std::size_t first, std::size_t end, Origin origin);

// What a function that begins finds: its arguments, and a frame that nobody has written.
void begin_function(Machine& machine, GuestAddress top, std::uint32_t function);

// Whose address that is, a function or an external of the program.
std::optional<std::uint32_t> callee_at(const Machine& machine, std::uint64_t address);

// What stands for an address that only the JIT knows. Arithmetic gives other bits, of the same
// origin.
Value code_pointer(std::size_t number);

// The number of the code pointer that a value is, as a whole.
std::optional<std::uint32_t> code_pointer_number(const Value& value);

// Where the header of a map is.
Result<GuestAddress> map_begin(const Machine& machine, const Map& map);

// `main+3`, the slot that an error is about.
std::string name_of(const Program& program, SlotIndex slot);

// `the address, %r3,`
std::string register_text(std::string_view what, unsigned number);

// `error` with where in the program and in its source it happened.
Error located(const Machine& machine, Error error);

// The error of a call.
Error at_site(const Machine& machine, CallSite site, ErrorCode code, std::string message);

// The case's error where its meaning depends on `value`; `what` does.
Error undefined(const Machine& machine, std::string_view what, const Value& value);

}  // namespace farcall::bpf::interpreter

// A BPF program as values: instruction slots, functions, call sites. RFC 9669 section 3.
//
// Slots are the unit of everything that counts BPF instructions: jump and call displacements, the
// extent of a function, a program counter. A 64-bit immediate load takes two slots.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "bpf/external.hpp"
#include "bpf/origins.hpp"

namespace farcall::bpf {

// How many instructions a run of the interpreter may take if nothing else is said.
inline constexpr std::uint64_t kDefaultBudget = 1'000'000;

// One 8-byte slot with its fields apart. How they lie in memory is the codec's business.
struct Slot {
  std::uint8_t opcode = 0;
  std::uint8_t dst = 0;  // 0 … 15
  std::uint8_t src = 0;  // 0 … 15
  std::int16_t offset = 0;
  std::int32_t imm = 0;

  friend bool operator==(const Slot&, const Slot&) = default;
};

// A position in a program, in slots from its start.
using SlotIndex = std::uint32_t;

// src of a `call`: how its target is named.
inline constexpr std::uint8_t kHelperCall = 0;  // number of a helper
inline constexpr std::uint8_t kPseudoCall = 1;  // callee's slot relative to the next slot
inline constexpr std::uint8_t kKfuncCall = 2;   // id of a kfunc's type

// The helper that is really an instruction: bpf_tail_call of Linux. With r1 = context, r2 = the
// address of a program array, r3 = an index of 32 bits, the program at that index runs in place of
// the calling function, and returns to that function's caller. If there is no such program, or this
// would be one tail call too many, execution goes on after the call.
inline constexpr std::int32_t kTailCall = 12;
inline constexpr std::uint64_t kTailCallLimit = 33;  // of one run, as in Linux

// A program array in memory, and any other: two words of 32 bits, how many elements it has and how
// many bytes each, and then the elements. Those of a program array are function pointers; 0: empty.
inline constexpr std::uint64_t kArrayHeaderBytes = 8;

// src of a 64-bit immediate load: what is loaded.
inline constexpr std::uint8_t kPseudoMap = 1;       // the address of a map
inline constexpr std::uint8_t kPseudoMapValue = 2;  // that of a byte of an array's values
inline constexpr std::uint8_t kPseudoFunction = 4;  // the address of the function at a slot

// A map that a program names by its number, which stands where Linux has a file descriptor. Its
// contents are the memory region of that name: an array, or, of an object, also a hash table.
struct Map {
  std::string name;
  std::uint32_t value_bytes = 0;  // of all its values together; 0: a program array, without any
  // Linux has values of it for each CPU, or drops elements of it when it is full (LRU); here it is a
  // plain array or hash table.
  bool simplified = false;

  friend bool operator==(const Map&, const Map&) = default;
};

// What opcode 0x8d, a call through a register, means in a program. RFC 9669 does not have it.
enum class Callx : std::uint8_t {
  none,     // nothing: validate() refuses it
  address,  // dst holds the address of a function, as a function pointer load makes it
  helper,   // dst holds the number of a helper; all 64 bits count
};

// The extension that a case file names for it: `callx-address`, `callx-helper`. None has no name.
std::string_view extension_name(Callx callx);
std::optional<Callx> extension_named(std::string_view text);

struct Function {
  std::string name;
  SlotIndex begin = 0;
  SlotIndex end = 0;  // one past the last slot
  // Linux would not know its name, as there is no label and no BTF: symbols do not contain it.
  bool anonymous = false;
  bool begins_program = false;  // a tail call may go to it; to the first function it always may

  friend bool operator==(const Function&, const Function&) = default;
};

// The address of an instruction that lies in memory, eight bytes at `offset` of the region of that
// name: an element of a table that `gotox` jumps through. Where the code of the instruction begins
// only the JIT knows.
struct CodePointer {
  std::string region;
  std::uint64_t offset = 0;
  SlotIndex slot = 0;  // where the instruction begins

  friend bool operator==(const CodePointer&, const CodePointer&) = default;
};

// A line of the source that a compiler made instructions of, from `slot` on.
struct SourceLine {
  SlotIndex slot = 0;
  SourceLocation where;
  std::string text;
};

// Functions lie back to back: the first begins at slot 0, each begins where the one before ends,
// and the last ends with the program. The first is the entry.
struct Program {
  std::vector<Slot> slots;
  std::vector<Function> functions;
  Callx callx = Callx::none;
  std::vector<External> externals;         // what it may call besides; no two of a kind with one id
  std::vector<Map> maps;                   // by their numbers; no two of one name
  std::vector<CodePointer> code_pointers;  // by region and offset, ascending

  Origins origins;  // of as many as slots, or of none

  // By slot; none if nothing says so.
  std::vector<SourceLine> lines;

  friend bool operator==(const Program& a, const Program& b) {
    return a.slots == b.slots && a.functions == b.functions && a.callx == b.callx &&
           a.externals == b.externals && a.maps == b.maps && a.code_pointers == b.code_pointers;
  }
};

// Whatever is called has a number: the functions of the program, and then its externals.
std::size_t callee_count(const Program& program);
const std::string& callee_name(const Program& program, std::uint32_t callee);
std::optional<std::uint32_t> callee_named(const Program& program, std::string_view name);
std::optional<std::uint32_t> external_with_id(const Program& program, ExternalKind kind,
                                              std::int64_t id);

// Whether a tail call may go to that function.
bool is_program(const Program& program, std::uint32_t function);

// The `ordinal`-th call instruction of function number `function`, both from 0, in program order.
// Every call instruction counts, whether it is ever reached or not, and so does every `gotox`, which
// goes to its own function. Written `main[0]`. An external that calls back does so at a site of its
// own, `loop[0]`.
struct CallSite {
  std::uint32_t function = 0;
  std::uint32_t ordinal = 0;

  friend auto operator<=>(const CallSite&, const CallSite&) = default;
};

// A call instruction of a program.
struct CallInstruction {
  CallSite site;
  SlotIndex slot = 0;
  std::optional<std::uint32_t> callee;  // its number; empty: only a run says which
  bool is_jump = false;                 // a `gotox`

  friend bool operator==(const CallInstruction&, const CallInstruction&) = default;
};

// A call and whom it calls: of a pseudo call that is fixed, of one through a register it is what
// happened in a run.
struct PseudoCall {
  CallSite site;
  SlotIndex slot = 0;
  std::uint32_t callee = 0;  // number of the function
  // Of a `gotox`, which of Program::code_pointers it went by.
  std::optional<std::uint32_t> pointer = {};

  friend bool operator==(const PseudoCall&, const PseudoCall&) = default;
};

std::string to_string(const Program& program, CallSite site);
std::optional<std::uint32_t> function_named(const Program& program, std::string_view name);
std::optional<std::uint32_t> function_at(const Program& program, SlotIndex slot);

// All calls in program order, and after them, at slot program.slots.size(), those of externals.
// The program is one that validate() accepts.
std::vector<CallInstruction> call_instructions(const Program& program);

// Those of them whose callee is fixed.
std::vector<PseudoCall> pseudo_calls(const Program& program);

}  // namespace farcall::bpf

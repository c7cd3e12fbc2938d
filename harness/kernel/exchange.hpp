// What a Linux guest is asked, and what it says: wire/kernel_batch.hpp as values.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/error.hpp"
#include "bpf/program.hpp"
#include "wire/kernel_batch.hpp"

namespace farcall::kernel {

// As cells have it: `jit`, `interpreter`, `hardened`.
std::string_view name(wire::KernelMode mode);

// A map that the program names itself.
struct MapDefinition {
  wire::KernelMapType type{};
  std::uint32_t key_bytes = 4;
  std::uint32_t value_bytes = 0;
  std::uint32_t entries = 0;
  // Of an array of programs, one for each element: 0 is the question's program, then its targets;
  // wire::kNoKernelProgram.
  std::vector<std::uint32_t> programs = {};
};

// Memory of a program: an array of one value, in pages of its own. Or a map.
struct Region {
  std::vector<std::byte> bytes;  // of a map, what wire::KernelMapType says
  bool writable = true;
  std::optional<MapDefinition> map = {};
};

// The function that begins at a slot, and its type in the BTF.
struct FunctionType {
  std::uint32_t slot = 0;
  std::uint32_t type = 0;
};

// The instruction of a slot is on this line of a file that nobody names.
struct SourceLine {
  std::uint32_t slot = 0;
  std::uint32_t line_and_column = 0;
};

// Says which function each begin of a program is, and that each instruction is a line: a program
// with it is called by its functions' names, and the kernel says where the code of each line is.
struct TypeInformation {
  std::vector<std::byte> btf;  // in the kernel's byte order
  std::vector<FunctionType> functions;
  std::vector<SourceLine> lines;
};

// `names` are those of the functions that begin at these slots; what C does not admit in a name is
// an underscore.
struct NamedFunction {
  std::string name;
  std::uint32_t begin = 0;  // in slots
};
inline constexpr std::uint32_t kFirstFunctionType = 3;  // the number of the first of them
TypeInformation type_information(std::span<const bpf::Slot> slots,
                                 std::span<const NamedFunction> functions, std::endian order);

// What the kernel is told that this function is called: the beginning of a name that is too long to
// be told whole of its symbol, bpf_prog_TAG_NAME.
std::string name_in_c(const std::string& name);

// A program that tail calls may go to.
struct TailProgram {
  std::vector<bpf::Slot> slots;
  TypeInformation types = {};
};

// A program to load and run. A 64-bit immediate load with src 2 names a region by its number, and
// with its second half a byte of it; one with src 1 a region that is a map.
struct Question {
  std::vector<bpf::Slot> slots;
  std::vector<Region> regions;
  wire::KernelMode mode = wire::KernelMode::jit;
  std::uint32_t crowd_mebibytes = 0;  // of other maps; at most wire::kMostCrowdMebibytes
  TypeInformation types = {};         // may be empty
  wire::KernelProgramType type = wire::KernelProgramType::syscall;
  bool as_listed = false;  // symbols as /proc/kallsyms has them, which takes 2 s for each function
  // What r1 points to at entry, of a raw tracepoint: read-only, at most
  // wire::kMostKernelContextBytes. Empty: r1 is 0.
  std::vector<std::byte> context = {};
  std::vector<TailProgram> targets = {};
  // A raw tracepoint that runs at each bpf_trace_printk of the others, in its context of the kernel:
  // it may walk the stack. Empty: there is none. No answer is about it.
  std::vector<bpf::Slot> observer = {};
};

struct JitedFunction {
  GuestAddress address;
  std::string symbol;  // what the kernel calls it; as_listed: empty if it is not listed
  std::vector<std::uint32_t> words;

  friend bool operator==(const JitedFunction&, const JitedFunction&) = default;
};

// Where the kernel says that the code of an instruction begins.
struct LineRow {
  std::uint32_t slot = 0;  // of the program as the kernel has it
  GuestAddress address;
  std::uint32_t loaded_slot =
      0;  // of the program as it was loaded, if type_information() is its BTF

  friend bool operator==(const LineRow&, const LineRow&) = default;
};

// Memory of the kernel as it was before the run.
struct KernelPiece {
  GuestAddress address;
  std::vector<std::byte> bytes;

  friend bool operator==(const KernelPiece&, const KernelPiece&) = default;
};

struct RegionAfter {
  GuestAddress address;
  std::vector<std::byte> bytes;
  // Of a map, with the JIT on: its structure with the values of an array, the first of which is so
  // far from its beginning; of an array of programs also one piece for each element.
  std::vector<KernelPiece> pieces = {};
  std::uint32_t values_at = 0;

  friend bool operator==(const RegionAfter&, const RegionAfter&) = default;
};

// Where in an answer a program begins.
struct ProgramBegin {
  std::uint32_t function = 0;
  std::uint32_t slot = 0;

  friend bool operator==(const ProgramBegin&, const ProgramBegin&) = default;
};

// Of a question with targets, what is said of the programs is one after the other: slots and numbers
// of functions count on, as in a bpf::Program that holds them all.
struct Answer {
  wire::KernelOutcome outcome{};
  std::uint32_t error = 0;  // the kernel's errno, where it did not come to the end
  // r0, the lower half; of no_code_of_one and not_put the program: 0 the question's, 1 its first target.
  std::uint32_t result = 0;
  std::vector<JitedFunction> functions;  // in the program's order; none: it was interpreted
  std::vector<bpf::Slot> program;        // as the kernel has it
  // Which functions of the question's BTFs these are, and where each begins in `program`.
  std::vector<FunctionType> function_types = {};
  std::vector<LineRow> lines;        // of its code, in order
  std::vector<RegionAfter> regions;  // after the run
  std::string log;                   // the verifier's, if it rejected the program
  std::string kernel_log;            // the kernel's since the answer before
  // Of the question's program, and of each target; none, if it did not come that far.
  std::vector<ProgramBegin> programs = {};
};

// As many of the questions, from the first on, as wire::kMostBatchBytes hold, as
// wire/kernel_batch.hpp has them, for a kernel of that byte order.
struct Batch {
  std::vector<std::byte> bytes;
  std::size_t question_count = 0;  // 0: the first alone is too large
};
Batch batch(std::span<const Question> questions, std::uint64_t nonce, std::endian order);

// What the agent wrote: answers to the first questions, to all of them if it is whole.
struct Reply {
  std::vector<Answer> answers;
  bool is_whole = false;
};
// machine.bad-answer: it is not a reply to this batch, or no agent writes such.
Result<Reply> read_reply(std::span<const std::byte> bytes, std::span<const Question> questions,
                         std::uint64_t nonce, std::endian order);

}  // namespace farcall::kernel

// What host and the agent in a Linux guest exchange: a batch of BPF programs, and the kernel's
// answers.
//
// Freestanding: images/linux compiles this header too. Everything is little-endian, whatever the
// kernel's byte order, but for what the kernel itself reads and writes: slots, BTF, function types,
// source lines, code, programs and the bytes of regions are in its own.
//
// Both pass through a window of memory that host and guest share, a piece at a time, and single
// bytes over the guest's second terminal say whose turn it is. The agent sends a WindowCall; the
// host does what it says and sends kGoOn, but for the last. What is said through the terminal alone
// would take a second for a few hundred kilobytes.
//
//   batch    KernelBatch, then for each question a KernelProgram, its slots, its BTF, as many
//            function types and source lines as it says, the context, its observer's slots,
//            each of its regions (KernelRegion, bytes), and each program that its tail calls may go to
//            (KernelTarget, slots, BTF, function types, source lines)
//   reply    KernelReply with kReplyBegin, then for each question a KernelAnswer, its functions,
//            code, program as the kernel has it, the types of its functions, lines
//            (KernelLine), regions (KernelRegionAfter, bytes, pieces), the verifier's log, the kernel's log since the answer before,
//            and the same once more for each program that tail calls may go to, without regions and the kernel's log; then
//            KernelReply once more, with kReplyEnd
//
// A region is memory that the program has, an array map of one value, or a map of its own. A 64-bit
// immediate load with src 2 names it by its number in the first half of the imm, and a byte of its
// values in the second; one with src 1 names the map itself.
//
// An answer counts only with the batch's nonce and count at both ends.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/byte_order.hpp"

namespace farcall::wire {

inline constexpr std::uint64_t kKernelBatchMagic = 0x66617263'6b626174;  // "farckbat"
inline constexpr std::uint64_t kReplyBegin = 0x66617263'72626567;        // "farcrbeg"
inline constexpr std::uint64_t kReplyEnd = 0x66617263'72656e64;          // "farcrend"

inline constexpr std::uint32_t kWindowBytes = std::uint32_t{4} << 20;

// At the window's begin; the piece is after it.
struct KernelWindow {
  ul32 batch_bytes;  // of the piece, if it is one of the batch
  // Of the piece, if it is one of the reply: it grows as the agent writes, so that nothing is lost of
  // a guest that dies; the host sets it to 0 when it has taken the piece.
  ul32 reply_bytes;
};
static_assert(sizeof(KernelWindow) == 8);
inline constexpr std::uint32_t kPieceBytes = kWindowBytes - sizeof(KernelWindow);

enum class WindowCall : std::uint8_t {
  give = 'g',  // the agent wants the next piece of the batch; the first time, it is ready for one
  take = 't',  // the window is full of the reply
  end = 'e',   // the rest of the reply is there, and no more will come
};
inline constexpr std::uint8_t kGoOn = '.';

struct KernelBatch {
  ul64 magic;
  ul64 nonce;
  ul32 program_count;
  ul32 byte_count;  // with this header; at most kMostBatchBytes
};
static_assert(sizeof(KernelBatch) == 24);

// Who runs a program; `hardened`: the JIT, with bpf_jit_harden = 2.
enum class KernelMode : std::uint32_t { jit = 0, interpreter = 1, hardened = 2 };

// What a program is to the kernel.
enum class KernelProgramType : std::uint32_t {
  syscall = 0,         // of all types, it is run without a packet, and may use most helpers
  raw_tracepoint = 1,  // the only one of these, up to 6.12, that may name an array of programs
};

struct KernelProgram {
  ul32 slot_count;
  ul32 region_count;  // at most kMostKernelRegions
  ul32 mode;          // KernelMode
  // So many maps of 1 MiB are there while it is loaded, in the area that the JIT has its memory of;
  // at most kMostCrowdMebibytes.
  ul32 crowd_mebibytes;
  ul32 btf_bytes;  // 0: the program has none, and no function types and lines
  ul32 function_type_count;
  ul32 line_count;
  ul32 type;  // KernelProgramType
  // 1: its symbols are those of /proc/kallsyms, which takes 2 s for each function.
  ul32 as_listed;
  ul32 context_bytes;  // what r1 points to, of a raw tracepoint; 0: r1 is 0
  ul32 target_count;   // at most kMostKernelTargets
  // Of a raw tracepoint that runs at each bpf_trace_printk of the others; 0: there is none. Nothing is
  // said of it.
  ul32 observer_slot_count;
};
static_assert(sizeof(KernelProgram) == 48);

// A program that tail calls may go to: of the same type and mode as the one that is run.
struct KernelTarget {
  ul32 slot_count;
  ul32 btf_bytes;
  ul32 function_type_count;
  ul32 line_count;
};
static_assert(sizeof(KernelTarget) == 16);

// As Linux's bpf_func_info and bpf_line_info have them: two numbers, and four.
inline constexpr std::uint32_t kFunctionTypeBytes = 8;
inline constexpr std::uint32_t kSourceLineBytes = 16;

inline constexpr std::uint32_t kMostBatchBytes = std::uint32_t{64} << 20;
inline constexpr std::uint32_t kMostCrowdMebibytes = 128;
inline constexpr std::uint32_t kMostKernelRegions = 32;
inline constexpr std::uint32_t kMostKernelRegionBytes = std::uint32_t{1} << 20;

inline constexpr std::uint32_t kMostKernelTargets = 32;
inline constexpr std::uint32_t kMostKernelContextBytes = 96;  // twelve arguments of a tracepoint

// Maps, by their numbers in Linux. Their bytes in the batch, and in the answer after the run:
enum class KernelMapType : std::uint32_t {
  none = 0,   // memory: an array of one value in pages of its own, and its bytes
  hash = 1,   // nothing; its elements in any order, each the key and the value
  array = 2,  // its values back to back
  programs =
      3,  // of each element, which program: ul32, 0 the one that is run, then its targets; nothing
};
inline constexpr std::uint32_t kNoKernelProgram = ~std::uint32_t{0};

struct KernelRegion {
  ul32 byte_count;  // at most kMostKernelRegionBytes
  ul32 read_only;   // 1: for the program
  ul32 map_type;    // KernelMapType; the others are 0 if it is none
  ul32 key_bytes;
  ul32 value_bytes;
  ul32 entry_count;
};
static_assert(sizeof(KernelRegion) == 24);

// In the kernel each value of an array begins at a multiple of so many bytes after the first.
inline constexpr std::uint32_t kKernelValueAlignment = 8;
// What of a program's structure is reported: the address of its code is within.
inline constexpr std::uint32_t kKernelProgramBytes = 128;

// Of all regions of a question together, how many pieces of the kernel's memory there may be in the
// answer, and of how many bytes.
inline constexpr std::uint32_t kMostKernelPieces = 1024;
inline constexpr std::uint32_t kMostKernelPieceBytes = std::uint32_t{16} << 20;
// More than what a kernel has of an array before its first value.
inline constexpr std::uint32_t kMostArrayStructureBytes = 4096;

struct KernelReply {
  ul64 magic;
  ul64 nonce;
  ul32 program_count;
  ul32 reserved;
};
static_assert(sizeof(KernelReply) == 24);

// How far the kernel came with a program; `error` is its errno.
enum class KernelOutcome : std::uint32_t {
  done = 0,
  rejected = 1,   // by the verifier, whose words are the log
  not_run = 2,    // the test run failed
  not_known = 3,  // the kernel does not tell of it
  no_memory = 4,  // there is no map for its regions, or the map does not take its elements
  // An array of programs does not take one of the programs, `result` says which: because the JIT is on
  // and has made no code of it, or nobody knows why.
  no_code_of_one = 5,
  not_put = 6,
};

// What follows it: KernelFunction[function_count], then as many bytes as each says, in this order.
struct KernelAnswer {
  ul32 outcome;
  ul32 error;
  ul32
      result;  // what the test run returned: r0, the lower half; or 0 for the program, 1 for its first target
  ul32 function_count;
  ul32 code_bytes;  // of all functions, back to back; 0: it is not JITed
  ul32 program_bytes;
  ul32 region_count;
  ul32 log_bytes;
  ul32 kernel_log_bytes;
  ul32 line_count;
  ul32 function_type_count;  // 0: the program has no BTF
  ul32 target_count;         // as many more answers are about the same question
};
static_assert(sizeof(KernelAnswer) == 48);

inline constexpr std::size_t kKernelSymbolBytes = 128;

struct KernelFunction {
  ul64 address;  // of the symbol
  ul32 code_bytes;
  ul32 reserved;
  // What the kernel calls that address, up to a zero byte; as_listed, what /proc/kallsyms has there.
  char symbol[kKernelSymbolBytes] = {};
};
static_assert(sizeof(KernelFunction) == 16 + kKernelSymbolBytes);

// A row of jited_line_info, with the slot that the same row of line_info has.
struct KernelLine {
  ul64 address;
  ul32 slot;  // of the program as the kernel has it
  ul32 line_and_column;
};
static_assert(sizeof(KernelLine) == 16);

// After its bytes there are as many pieces: KernelPiece, bytes. With the JIT on there is one of an
// array, and of an array of programs one more for each element: the structure of its program.
struct KernelRegionAfter {
  ul64 address;  // of the value; of a map, of the structure that a load with src 1 loads
  ul32 byte_count;
  ul32 piece_count;
  ul32 values_at;  // of a map: how far after `address` the first value, or element, of an array is
  ul32 reserved;
};
static_assert(sizeof(KernelRegionAfter) == 24);

// Memory of the kernel as it was before the run.
struct KernelPiece {
  ul64 address;  // 0: an element without a program, and no bytes
  ul32 byte_count;
  ul32 reserved;
};
static_assert(sizeof(KernelPiece) == 16);

}  // namespace farcall::wire

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
//   batch    KernelBatch, then for each program a KernelProgram, its slots, its BTF, as many
//            function types and source lines as it says, and each of its regions: KernelRegion,
//            bytes
//   reply    KernelReply with kReplyBegin, then for each program a KernelAnswer, its functions,
//            code, program as the kernel has it, the types of its functions, lines
//            (KernelLine), regions (KernelRegionAfter, bytes), the verifier's log, the kernel's log since the answer before; then
//            KernelReply once more, with kReplyEnd
//
// A region is memory that the program has: an array map of one value. A 64-bit immediate load with
// src 2 names it by its number in the first half of the imm, and a byte of it in the second.
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
  raw_tracepoint = 1,  // may walk the stack
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
};
static_assert(sizeof(KernelProgram) == 36);

// As Linux's bpf_func_info and bpf_line_info have them: two numbers, and four.
inline constexpr std::uint32_t kFunctionTypeBytes = 8;
inline constexpr std::uint32_t kSourceLineBytes = 16;

inline constexpr std::uint32_t kMostBatchBytes = std::uint32_t{64} << 20;
inline constexpr std::uint32_t kMostCrowdMebibytes = 128;
inline constexpr std::uint32_t kMostKernelRegions = 32;
inline constexpr std::uint32_t kMostKernelRegionBytes = std::uint32_t{1} << 20;

struct KernelRegion {
  ul32 byte_count;  // at most kMostKernelRegionBytes
  ul32 read_only;   // 1: for the program
};
static_assert(sizeof(KernelRegion) == 8);

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
  no_memory = 4,  // there is no map for its regions
};

// What follows it: KernelFunction[function_count], then as many bytes as each says, in this order.
struct KernelAnswer {
  ul32 outcome;
  ul32 error;
  ul32 result;  // what the test run returned: r0, the lower half
  ul32 function_count;
  ul32 code_bytes;  // of all functions, back to back; 0: it is not JITed
  ul32 program_bytes;
  ul32 region_count;
  ul32 log_bytes;
  ul32 kernel_log_bytes;
  ul32 line_count;
  ul32 function_type_count;  // 0: the program has no BTF
};
static_assert(sizeof(KernelAnswer) == 44);

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

struct KernelRegionAfter {
  ul64 address;
  ul32 byte_count;
  ul32 reserved;
};
static_assert(sizeof(KernelRegionAfter) == 16);

}  // namespace farcall::wire

/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What farcall and a JIT process tell each other: `farcall run PATH --jit exec:COMMAND`.
 *
 * farcall starts COMMAND once for each of its workers, and writes requests to its standard input,
 * many at a time. The process writes one answer for each to its standard output, in the same order,
 * and hands it over before it reads the next request: so whoever crashes is known. It ends when its
 * input does. What it writes to its standard error is shown when it fails.
 *
 * All numbers are little-endian, whatever the machines. A request is a header, and then tables:
 *
 *    0  u32  bytes of the whole request, this word included
 *    4  u32  number of the request, which the answer has, too
 *    8  u32  flags: FARCALL_BIG_ENDIAN, FARCALL_ELFV1
 *   12  u32  CPU: 8, 9 or 10
 *   16  u64  TOC: r2 as callers set it
 *   24  u64  call base: __bpf_call_base
 *   32  u32  functions, externals, maps, slots: how many of each
 *   48       functions: u64 address, u32 first slot, u32 slot after the last, u32 flags
 *            (FARCALL_PROGRAM: a tail call may go to it), u32 0
 *            externals: u64 address, u64 local entry, u32 kind (0 helper, 1 kfunc), i32 id as in
 *            `imm` of a call, u8[8] types: of five arguments, then of the result; bits of the value,
 *            and 0x80 if it is signed
 *            maps: u64 address, u32 bytes of its values, u32 elements of an array of programs; else 0
 *            slots: u8 opcode, u8 dst | src << 4, i16 offset, i32 imm; as RFC 9669 has them: `imm` of
 *            a local call counts slots, src 1 of a 64-bit load is the number of a map in `imm`
 *            for each array of programs, its elements: u32 function; FARCALL_NO_PROGRAM: none
 *
 * The first function is the entry. Each function's code must lie at the function's address, where
 * others will look for it. An external's local entry is its code for callers that have the TOC in r2
 * already; with ELFv1 an address is that of a descriptor, as a function's is.
 *
 * An answer is an image
 *
 *    0  u32  bytes of the whole answer, this word included
 *    4  u32  number
 *    8  u32  status: FARCALL_IMAGE
 *   12  u32  functions: how many
 *   16  u8   r0 … r10: the numbers of the ppc64 registers that hold them; 255: not told
 *   27  u8   flags: FARCALL_NO_TOC: it calls externals at their addresses, not at local entries
 *   28  u32  arrays: how many
 *   32  u32  bytes of the thread area, a multiple of 4
 *   36       the thread area: what r13 is to point to, read-only. If there is one, the code loads r2
 *            from it, gets none on entry, and its tail calls are the jumps to where CTR points
 *            arrays, each: u64 address, u32 bytes, u32 0, then the bytes: what the code reads as an
 *            array of programs, read-only, in the place of the map at that address
 *            functions, each: u64 address, u32 words, u32 words of its descriptor, u32 words that a
 *            tail call leaves out, u32 words of stubs and data at its end, which nothing in the
 *            function leads to, u32 lines, u32 calls, u32 passes, then
 *              words:  u32 each, as numbers, the descriptor first
 *              lines:  u32 instruction, u32 word where its code begins; instructions count from 0 in
 *                      this function, a 64-bit load is one; the last row may be the epilogue's
 *              calls:  u32 word of each branch that is a call instruction's, in program order
 *              passes: u32 words that each pass of the JIT had
 *
 * or the reason why there is none: the first 12 bytes with another status, and text. Only functions
 * with their addresses and words are needed. What is not told (0 lines, 0 calls, 0 passes), farcall
 * finds in the bytes, or does without.
 */
#ifndef FARCALL_JIT_H
#define FARCALL_JIT_H

typedef unsigned char farcall_u8;
typedef unsigned int farcall_u32;
typedef unsigned long long farcall_u64;

enum {
  FARCALL_BIG_ENDIAN = 1,
  FARCALL_ELFV1 = 2,
  FARCALL_PROGRAM = 1,
  FARCALL_NO_PROGRAM = -1,
  FARCALL_NO_TOC = 1,

  FARCALL_IMAGE = 0,       /* here is the code */
  FARCALL_UNSUPPORTED = 1, /* this JIT does not do such programs: the cell is skipped */
  FARCALL_REFUSED = 2,     /* it should have made code and did not: the cell fails */
  FARCALL_WARNED = 3,      /* it made code, and said that something is wrong: the cell fails */

  FARCALL_HEADER_BYTES = 48,
  FARCALL_FUNCTION_BYTES = 24,
  FARCALL_EXTERNAL_BYTES = 32,
  FARCALL_MAP_BYTES = 16,
  FARCALL_SLOT_BYTES = 8,
  FARCALL_ANSWER_BYTES = 36,
  FARCALL_ARRAY_BYTES = 16,
  FARCALL_ANSWER_FUNCTION_BYTES = 36
};

static inline farcall_u32 farcall_get32(const farcall_u8* at) {
  return at[0] | (farcall_u32)at[1] << 8 | (farcall_u32)at[2] << 16 | (farcall_u32)at[3] << 24;
}
static inline farcall_u64 farcall_get64(const farcall_u8* at) {
  return farcall_get32(at) | (farcall_u64)farcall_get32(at + 4) << 32;
}
/* Both return where the next value goes. */
static inline farcall_u8* farcall_put32(farcall_u8* at, farcall_u32 value) {
  at[0] = (farcall_u8)value;
  at[1] = (farcall_u8)(value >> 8);
  at[2] = (farcall_u8)(value >> 16);
  at[3] = (farcall_u8)(value >> 24);
  return at + 4;
}
static inline farcall_u8* farcall_put64(farcall_u8* at, farcall_u64 value) {
  return farcall_put32(farcall_put32(at, (farcall_u32)value), (farcall_u32)(value >> 32));
}

/* A request in memory: its header's numbers, and where its tables begin. */
struct farcall_request {
  farcall_u32 bytes, number, flags, cpu;
  farcall_u64 toc, call_base;
  farcall_u32 function_count, external_count, map_count, slot_count;
  const farcall_u8 *functions, *externals, *maps, *slots, *arrays;
};

static inline struct farcall_request farcall_request_at(const farcall_u8* at) {
  struct farcall_request request;
  request.bytes = farcall_get32(at);
  request.number = farcall_get32(at + 4);
  request.flags = farcall_get32(at + 8);
  request.cpu = farcall_get32(at + 12);
  request.toc = farcall_get64(at + 16);
  request.call_base = farcall_get64(at + 24);
  request.function_count = farcall_get32(at + 32);
  request.external_count = farcall_get32(at + 36);
  request.map_count = farcall_get32(at + 40);
  request.slot_count = farcall_get32(at + 44);
  request.functions = at + FARCALL_HEADER_BYTES;
  request.externals = request.functions + FARCALL_FUNCTION_BYTES * request.function_count;
  request.maps = request.externals + FARCALL_EXTERNAL_BYTES * request.external_count;
  request.slots = request.maps + FARCALL_MAP_BYTES * request.map_count;
  request.arrays = request.slots + FARCALL_SLOT_BYTES * request.slot_count;
  return request;
}

#endif

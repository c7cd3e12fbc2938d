/* SPDX-License-Identifier: BSD-2-Clause
 *
 * From a request to the kernel's programs, as its verifier leaves them for the JIT.
 * A part of glue.c, which says what it is for.
 */
#pragma once

#include "callees.h"

static const char* why_not; /* the reason for declining the program */

static u32 function_begin(u32 number) {
  return farcall_get32(request.functions + number * FARCALL_FUNCTION_BYTES + 8);
}
static u32 function_end(u32 number) {
  return farcall_get32(request.functions + number * FARCALL_FUNCTION_BYTES + 12);
}
static u64 function_address(u32 number) {
  return farcall_get64(request.functions + number * FARCALL_FUNCTION_BYTES);
}

/* Functions belong to the program that begins last before them, or with them. Tail calls lead from
 * one program to another, and nothing else does. */
static int begins_program(u32 number) {
  return number == 0 || farcall_get32(request.functions + number * FARCALL_FUNCTION_BYTES + 16) &
                            FARCALL_PROGRAM;
}
static u32 program_begin(u32 number) {
  while (!begins_program(number))
    --number;
  return number;
}
static u32 program_end(u32 number) {
  do
    ++number;
  while (number < request.function_count && !begins_program(number));
  return number;
}

/* The function of the same program as `caller` that begins at `slot`, counted from that program's
 * first. */
static s32 function_at(s64 slot, u32 caller) {
  const u32 begin = program_begin(caller), end = program_end(caller);
  for (u32 i = begin; i < end; ++i)
    if (function_begin(i) == slot)
      return i - begin;
  why_not = "a function of another program, other than by a tail call";
  return 0;
}

static void set_wide(struct bpf_insn* load, u64 value) {
  load[0].imm = (u32)value;
  load[1].imm = (u32)(value >> 32);
}

enum {
  MAP_HEADER_BYTES = 8,
  CALL = BPF_JMP | BPF_CALL,
  CALLX = BPF_JMP | BPF_CALL | BPF_X,
  WIDE_LOAD = BPF_LD | BPF_IMM | BPF_DW,
  TAIL_CALL_HELPER = 12,
  TAIL_CALL = BPF_JMP | BPF_TAIL_CALL
};
static const u64 kPlaceholder = 0xc008000000000000ull;

/* What a tree's JIT says that it supports; what it does not say it does not. */
#define SUPPORTS(question) \
  extern bool question(void) __attribute__((weak)); \
  static bool farcall_##question(void) { return question && question(); }
SUPPORTS(bpf_jit_supports_kfunc_call)
SUPPORTS(bpf_jit_supports_arena)
SUPPORTS(bpf_jit_supports_percpu_insn)
SUPPORTS(bpf_jit_supports_subprog_tailcalls)

/* As the kernel's verifier leaves a call for the JIT. */
static void convert_call(struct bpf_insn* call, u32 slot, u32 caller) {
  if (call->src_reg == BPF_PSEUDO_CALL) {
    const s32 callee = function_at((s64)slot + 1 + call->imm, caller);
    if (callee > S16_MAX)
      why_not = "more functions than the offset of a call can number";
    call->off = callee;
    call->imm = 1;
  } else if (call->src_reg == 0) {
    if (call->imm == TAIL_CALL_HELPER) {
      if (program_end(caller) - program_begin(caller) > 1 &&
          !farcall_bpf_jit_supports_subprog_tailcalls())
        why_not = "tail calls in a program of several functions, which this JIT does not support";
      call->code = TAIL_CALL;
      call->imm = 0;
      return;
    }
    for (u32 i = 0; i < request.external_count; ++i) {
      const farcall_u8* const external = request.externals + i * FARCALL_EXTERNAL_BYTES;
      if (is_kfunc(external) || (s32)farcall_get32(external + 20) != call->imm)
        continue;
      const s64 distance = farcall_get64(external) - request.call_base;
      if (distance != (s32)distance)
        why_not = "a helper more than 2 GiB from __bpf_call_base, which Linux cannot express";
      call->imm = distance;
      return;
    }
  }
}

static void convert_load(struct bpf_insn* load, u32 slot, u32 caller) {
  switch (load->src_reg) {
    case BPF_PSEUDO_MAP_FD:
      set_wide(load, farcall_get64(request.maps + (u32)load->imm * FARCALL_MAP_BYTES));
      load->src_reg = 0;
      break;
    case BPF_PSEUDO_MAP_VALUE:
      set_wide(load, farcall_get64(request.maps + (u32)load->imm * FARCALL_MAP_BYTES) +
                         MAP_HEADER_BYTES + (u32)load[1].imm);
      load->src_reg = 0;
      break;
    case BPF_PSEUDO_FUNC:
      load->off = function_at((s64)slot + 1 + load->imm, caller);
      set_wide(load, kPlaceholder);
      break;
  }
}

/* Instructions that this kernel's verifier does not let through. */
static int is_too_new(const struct bpf_insn* insn) {
#ifdef BPF_MEMSX
  return 0;
#else
  const u8 class = BPF_CLASS(insn->code), op = BPF_OP(insn->code);
  const int is_alu = class == BPF_ALU || class == BPF_ALU64;
  if (is_alu && insn->off && (op == BPF_DIV || op == BPF_MOD || op == BPF_MOV))
    return 1;
  if (insn->code == (BPF_ALU64 | BPF_END))
    return 1;
  if (class == BPF_LDX && BPF_MODE(insn->code) == 0x80)
    return 1;
  return insn->code == (BPF_JMP32 | BPF_JA);
#endif
}

/* Why the verifier refuses the instruction, or rewrites it to what this glue has no model of. */
static const char* why_refused(const struct bpf_insn* insn) {
  const u8 class = BPF_CLASS(insn->code), op = BPF_OP(insn->code);
  const int is_alu = class == BPF_ALU || class == BPF_ALU64;
  if (is_alu && (op == BPF_DIV || op == BPF_MOD) && BPF_SRC(insn->code) == BPF_K && !insn->imm)
    return "a division by the constant 0, which Linux's verifier refuses";
  if (insn->code == 0xe5)
    return "may_goto, which Linux's verifier rewrites";
  if (insn->code == (BPF_ALU64 | BPF_MOV | BPF_X) && insn->off == 1 &&
      !farcall_bpf_jit_supports_arena())
    return "a cast between address spaces, which this JIT does not support";
  if (insn->code == (BPF_ALU64 | BPF_MOV | BPF_X) && insn->off == 1)
    return "a cast between address spaces, which this glue has no model of";
  if (insn->code == (BPF_ALU64 | BPF_MOV | BPF_X) && insn->off == -1 &&
      !farcall_bpf_jit_supports_percpu_insn())
    return "an address of per-CPU data, which this JIT does not support";
  if (insn->code == (BPF_ALU64 | BPF_MOV | BPF_X) && insn->off == -1)
    return "an address of per-CPU data, which this glue has no model of";
  if (insn->code == (BPF_JMP | BPF_CALL) && insn->src_reg == BPF_PSEUDO_KFUNC_CALL &&
      !farcall_bpf_jit_supports_kfunc_call())
    return "a call of a kfunc, which this JIT does not support";
  return NULL;
}

static struct bpf_insn instruction(u8 code, u8 dst, u8 src, s16 off, s32 imm) {
  struct bpf_insn insn = {.code = code, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm};
  return insn;
}

/* Constant blinding: no immediate of the program is in its code as it is. */
static u32 next_secret(void) {
  static u32 state = 0x9e3779b9;
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state;
}

enum { MOST_BLINDED = 6, MOV64 = BPF_ALU64 | BPF_MOV | BPF_K, XOR64 = BPF_ALU64 | BPF_XOR | BPF_K };

static int has_constant(const struct bpf_insn* insn) {
  const u8 class = BPF_CLASS(insn->code), op = BPF_OP(insn->code);
  if (class == BPF_ST)
    return BPF_MODE(insn->code) == BPF_MEM;
  if (BPF_SRC(insn->code) != BPF_K)
    return 0;
  if (class == BPF_ALU || class == BPF_ALU64)
    return op != BPF_NEG && op != BPF_END && op != BPF_LSH && op != BPF_RSH && op != BPF_ARSH;
  return (class == BPF_JMP || class == BPF_JMP32) && op != BPF_JA && op != BPF_CALL &&
         op != BPF_EXIT && op <= BPF_JSLE;
}

/* Writes what stands for `from` without its constant, and returns how many instructions that is. */
static u32 blind(const struct bpf_insn* from, struct bpf_insn* to) {
  const s32 secret = next_secret(), other = next_secret();
  if (from->code == WIDE_LOAD && from->src_reg == 0) {
    const u8 dst = from->dst_reg;
    to[0] = instruction(MOV64, BPF_REG_AX, 0, 0, from[1].imm ^ secret);
    to[1] = instruction(XOR64, BPF_REG_AX, 0, 0, secret);
    to[2] = instruction(BPF_ALU64 | BPF_LSH | BPF_K, BPF_REG_AX, 0, 0, 32);
    to[3] = instruction(BPF_ALU | BPF_MOV | BPF_K, dst, 0, 0, from->imm ^ other);
    to[4] = instruction(BPF_ALU | BPF_XOR | BPF_K, dst, 0, 0, other);
    to[5] = instruction(BPF_ALU64 | BPF_OR | BPF_X, dst, BPF_REG_AX, 0, 0);
    return 6;
  }
  if (!has_constant(from)) {
    to[0] = from[0];
    if (from->code != WIDE_LOAD)
      return 1;
    to[1] = from[1];
    return 2;
  }
  to[0] = instruction(MOV64, BPF_REG_AX, 0, 0, from->imm ^ secret);
  to[1] = instruction(XOR64, BPF_REG_AX, 0, 0, secret);
  to[2] = instruction(BPF_CLASS(from->code) == BPF_ST ? BPF_STX | BPF_MEM | BPF_SIZE(from->code)
                                                      : from->code | BPF_X,
                      from->dst_reg, BPF_REG_AX, from->off, 0);
  return 3;
}

/* Where each slot of a function begins in the program that the JIT gets, and where that ends. */
static u32** slot_starts;

static int is_jump(const struct bpf_insn* insn) {
  const u8 class = BPF_CLASS(insn->code), op = BPF_OP(insn->code);
  return (class == BPF_JMP || class == BPF_JMP32) && op != BPF_CALL && op != BPF_EXIT &&
         insn->code != TAIL_CALL;
}

/* The program of the `count` instructions `from`: they themselves, or blinded. */
static void put_program(struct bpf_prog* program, const struct bpf_insn* from, u32 count,
                        u32* starts) {
  u32 length = 0;
  for (u32 i = 0; i < count; ++i) {
    const int is_wide = from[i].code == WIDE_LOAD;
    starts[i] = length;
#ifdef FARCALL_BLINDED
    length += blind(&from[i], &program->insnsi[length]);
#else
    program->insnsi[length++] = from[i];
    if (is_wide)
      program->insnsi[length++] = from[i + 1];
#endif
    if (is_wide)
      starts[++i] = length - 1;
  }
  starts[count] = length;
  program->len = length;
  for (u32 i = 0; i < count; ++i) {
    if (is_jump(&from[i])) {
      struct bpf_insn* const jump = &program->insnsi[starts[i + 1] - 1];
      const int by_imm = from[i].code == (BPF_JMP32 | BPF_JA);
      const s32 target = i + 1 + (by_imm ? from[i].imm : from[i].off);
      const s32 distance = (s32)starts[target] - (s32)starts[i + 1];
      if (by_imm)
        jump->imm = distance;
      else if (distance != (s16)distance)
        why_not = "a jump that is too long for its offset once constants are blinded";
      else
        jump->off = distance;
    }
    if (from[i].code == WIDE_LOAD)
      ++i;
  }
}

/* A load that may fault, as of a pointer that the verifier only trusts to be one of the kernel's. */
static int becomes_probing(const struct bpf_insn* insn) {
#ifdef FARCALL_PROBED
  return BPF_CLASS(insn->code) == BPF_LDX && insn->src_reg != BPF_REG_FP &&
         (BPF_MODE(insn->code) == BPF_MEM || BPF_MODE(insn->code) == 0x80 /* BPF_MEMSX */);
#else
  return 0;
#endif
}

static int is_probing(const struct bpf_insn* insn) {
  return BPF_CLASS(insn->code) == BPF_LDX &&
         (BPF_MODE(insn->code) == BPF_PROBE_MEM || BPF_MODE(insn->code) == 0x40 /* …_MEMSX */);
}

static struct bpf_prog* convert_function(u32 number, struct bpf_prog_aux* aux) {
  const u32 begin = function_begin(number), count = function_end(number) - begin;
  struct bpf_prog* const program =
      take(sizeof(*program) + (MOST_BLINDED * (size_t)count + 1) * sizeof(struct bpf_insn));
  struct bpf_insn* const source = take(count * sizeof(*source));
  int uses_frame = 0;
  program->aux = aux;
  aux->prog = program;
  program->jit_requested = 1;
  for (u32 i = 0; i < count; ++i) {
    const farcall_u8* const slot = request.slots + (begin + i) * FARCALL_SLOT_BYTES;
    struct bpf_insn* const insn = &source[i];
    insn->code = slot[0];
    insn->dst_reg = slot[1] & 15;
    insn->src_reg = slot[1] >> 4;
    insn->off = slot[2] | slot[3] << 8;
    insn->imm = farcall_get32(slot + 4);
  }
  for (u32 i = 0; i < count; ++i) {
    struct bpf_insn* const insn = &source[i];
    uses_frame |= insn->dst_reg == BPF_REG_FP || insn->src_reg == BPF_REG_FP;
    if (is_too_new(insn))
      why_not = "an instruction that this kernel does not know";
    else if (why_refused(insn))
      why_not = why_refused(insn);
    else if (insn->code == CALL)
      convert_call(insn, begin + i, number);
    else if (insn->code == WIDE_LOAD)
      convert_load(insn, begin + i++, number);
    else if (becomes_probing(insn)) {
      insn->code ^= BPF_MODE(insn->code) == BPF_MEM ? BPF_MEM ^ BPF_PROBE_MEM : 0x80 ^ 0x40;
      ++aux->num_exentries;
    }
  }
  slot_starts[number] = take((count + 1ul) * sizeof(u32));
  put_program(program, source, count, slot_starts[number]);
  aux->stack_depth = uses_frame ? MAX_BPF_STACK : 0;
  return program;
}

/* What is known once every function has its address. */
static void set_addresses(struct bpf_prog* program) {
  struct bpf_prog** const functions = program->aux->func;
  for (u32 i = 0; i < program->len; ++i) {
    struct bpf_insn* const insn = &program->insnsi[i];
    if (insn->code == CALL && insn->src_reg == BPF_PSEUDO_CALL)
      insn->imm = (u32)((u64)functions[insn->off]->bpf_func - request.call_base);
    if (insn->code == WIDE_LOAD) {
      if (insn->src_reg == BPF_PSEUDO_FUNC)
        set_wide(insn, (u64)functions[insn->off]->bpf_func);
      ++i;
    }
  }
}

/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What the powerpc BPF JIT of a Linux source tree needs to run as a process, as farcall_jit.h
 * describes one: programs come in as a kernel's verifier hands them to its JIT, and code goes out.
 * Compiled with that tree's headers, linked with its unmodified JIT, without a libc, and run by
 * qemu-user.
 *
 * What the JIT calls of the kernel is defined here by its name, in assembler, because the kernel's
 * prototypes change from version to version where their arguments do not.
 */
#include <asm/paca.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/filter.h>
#include <linux/stdarg.h>

#include "bpf_jit.h"
#include "farcall_jit.h"

enum { SYS_READ = 3, SYS_WRITE = 4, SYS_EXIT = 1, SYS_MMAP = 90 };

static long system_call(long number, long a, long b, long c, long d, long e, long f) {
  register long r0 asm("r0") = number;
  register long r3 asm("r3") = a;
  register long r4 asm("r4") = b;
  register long r5 asm("r5") = c;
  register long r6 asm("r6") = d;
  register long r7 asm("r7") = e;
  register long r8 asm("r8") = f;
  asm volatile("sc\n\tbns+ 1f\n\tneg 3,3\n1:"
               : "+r"(r0), "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6), "+r"(r7), "+r"(r8)
               :
               : "r9", "r10", "r11", "r12", "cr0", "ctr", "xer", "memory");
  return r3;
}

/* The kernel's name for a function of the glue. */
#define ALIAS(kernel_name, own_name) \
  asm(".globl " #kernel_name "\n\t.set " #kernel_name ", " #own_name)

static void say(const char* text) {
  long length = 0;
  while (text[length])
    ++length;
  system_call(SYS_WRITE, 2, (long)text, length, 0, 0, 0);
}

static void __attribute__((noreturn)) leave(int status) {
  for (;;)
    system_call(SYS_EXIT, status, 0, 0, 0, 0, 0);
}

static void __attribute__((noreturn)) give_up(const char* why, const char* what) {
  say(why);
  say(what);
  say("\n");
  leave(70);
}

/* Called by what stands in for each symbol that neither the JIT nor this file has. */
void __attribute__((noreturn)) farcall_missing(const char* symbol) {
  give_up("the kernel's JIT called a function that farcall's glue lacks: ", symbol);
}

void* memset(void* to, int value, size_t count) {
  char* at = to;
  while (count--)
    *at++ = value;
  return to;
}

void* memcpy(void* to, const void* from, size_t count) {
  char* at = to;
  const char* source = from;
  while (count--)
    *at++ = *source++;
  return to;
}

void* farcall_memset32(u32* to, u32 value, size_t bytes) {
  for (size_t i = 0; i < bytes / 4; ++i)
    to[i] = value;
  return to;
}
ALIAS(__memset32, farcall_memset32);

/* Memory: from one piece, all of it given back after each program. */
enum { ARENA_BYTES = 1 << 30 };
static char *arena, *arena_next;

static void* take(size_t bytes) {
  bytes = (bytes + 15) & ~15ul;
  if (arena_next + bytes > arena + ARENA_BYTES)
    give_up("a program needs more than 1 GiB of memory", "");
  void* const taken = arena_next;
  arena_next += bytes;
  return memset(taken, 0, bytes);
}

void* farcall_kmalloc(size_t bytes, unsigned flags) {
  return take(bytes);
}
ALIAS(__kmalloc, farcall_kmalloc);
ALIAS(__kmalloc_noprof, farcall_kmalloc);
ALIAS(kvmalloc_node, farcall_kmalloc);

void* farcall_kmalloc_cache(void* cache, unsigned flags, size_t bytes) {
  return take(bytes);
}
ALIAS(kmalloc_trace, farcall_kmalloc_cache);
ALIAS(kmem_cache_alloc_trace, farcall_kmalloc_cache);
ALIAS(__kmalloc_cache_noprof, farcall_kmalloc_cache);

void* farcall_kvmalloc_node(size_t bytes, void* buckets, unsigned flags, int node) {
  return take(bytes);
}
ALIAS(__kvmalloc_node_noprof, farcall_kvmalloc_node);

void farcall_free(const void* memory) {}
ALIAS(kfree, farcall_free);
ALIAS(kvfree, farcall_free);

char farcall_caches[1 << 16];
ALIAS(kmalloc_caches, farcall_caches);

/* What the kernel says: the last words are the reason for a refusal. */
static char words[400];

static void note_character(char character) {
  unsigned length = 0;
  while (words[length])
    ++length;
  if (length + 1 < sizeof(words)) {
    words[length] = character;
    words[length + 1] = 0;
  }
}

static void note(const char* text) {
  words[0] = 0;
  for (; *text; ++text)
    note_character(*text);
}

static void note_number(u64 number, unsigned base, int width) {
  char digits[24];
  int count = 0;
  for (; number || !count; number /= base)
    digits[count++] = "0123456789abcdef"[number % base];
  for (int i = count; i < width; ++i)
    note_character('0');
  while (count)
    note_character(digits[--count]);
}

/* Of the kernel's formats, what its JIT uses: %d, %u, %x, %c, %s and %p, with widths and lengths. */
int farcall_printk(const char* format, ...) {
  va_list values;
  va_start(values, format);
  words[0] = 0;
  /* The level is SOH and a digit. */
  for (const char* at = format[0] == 1 && format[1] ? format + 2 : format; *at; ++at) {
    if (*at != '%') {
      note_character(*at);
      continue;
    }
    int width = 0, is_long = 0;
    for (++at; (*at >= '0' && *at <= '9') || *at == 'l' || *at == 'z' || *at == '#' || *at == '-';
         ++at) {
      is_long |= *at == 'l' || *at == 'z';
      if (*at >= '0' && *at <= '9')
        width = 10 * width + *at - '0';
    }
    const char* text;
    s64 number;
    switch (*at) {
      case 's':
        for (text = va_arg(values, const char*); text && *text; ++text)
          note_character(*text);
        break;
      case 'c':
        note_character(va_arg(values, int));
        break;
      case 'd':
      case 'i':
        number = is_long ? va_arg(values, long) : va_arg(values, int);
        if (number < 0)
          note_character('-');
        note_number(number < 0 ? -number : number, 10, width);
        break;
      case 'u':
      case 'x':
      case 'X':
        number = is_long ? va_arg(values, unsigned long) : va_arg(values, unsigned);
        note_number(number, *at == 'u' ? 10 : 16, width);
        break;
      case 'p':
        note_number(va_arg(values, unsigned long), 16, 16);
        while ((at[1] >= 'a' && at[1] <= 'z') || (at[1] >= 'A' && at[1] <= 'Z'))
          ++at; /* the kind of pointer */
        break;
      case 0:
        --at;
        break;
      default:
        note_character(*at);
    }
  }
  va_end(values);
  return 0;
}
ALIAS(_printk, farcall_printk);

int farcall_ratelimit(void) {
  return 1;
}
ALIAS(___ratelimit, farcall_ratelimit);

static int warned;

void farcall_warn(const char* file, int line) {
  if (warned++)
    return;
  farcall_printk("WARN at %s:%d", file, line);
}

/* The program at hand, and what is known of addresses. */
static struct farcall_request request;
unsigned long farcall_toc;

int bpf_jit_enable = 1;
unsigned long powerpc_security_features;
int farcall_no(void) {
  return 0;
}
/* As compiled, before a kernel patches its branches at boot, each feature is there. */
char farcall_feature_keys[1 << 12];
ALIAS(cpu_feature_keys, farcall_feature_keys);
ALIAS(stf_barrier_type_get, farcall_no);

static const farcall_u8* external_at(unsigned long address) {
  for (u32 i = 0; i < request.external_count; ++i) {
    const farcall_u8* const external = request.externals + i * FARCALL_EXTERNAL_BYTES;
    if (farcall_get64(external) == address || farcall_get64(external + 8) == address)
      return external;
  }
  return NULL;
}

static int is_kfunc(const farcall_u8* external) {
  return farcall_get32(external + 16) == 1;
}

/* A kernel without a TOC has no entries for who has it already. */
unsigned long farcall_function_entry(void* function) {
#ifdef CONFIG_PPC_KERNEL_PCREL
  return (unsigned long)function;
#endif
  const farcall_u8* const external = external_at((unsigned long)function);
  return external ? farcall_get64(external + 8) : (unsigned long)function;
}

/* Helpers are the kernel's own text, kfuncs that of a module. */
int farcall_core_kernel_text(unsigned long address) {
  const farcall_u8* const external = external_at(address);
  return external && !is_kfunc(external);
}
ALIAS(core_kernel_text, farcall_core_kernel_text);
ALIAS(kernel_text_address, farcall_core_kernel_text);

bool farcall_is_module_text_address(unsigned long address) {
  const farcall_u8* const external = external_at(address);
  return external && is_kfunc(external);
}
ALIAS(is_module_text_address, farcall_is_module_text_address);

static const farcall_u8* kfunc_with_id(s32 id) {
  for (u32 i = 0; i < request.external_count; ++i) {
    const farcall_u8* const external = request.externals + i * FARCALL_EXTERNAL_BYTES;
    if (is_kfunc(external) && (s32)farcall_get32(external + 20) == id)
      return external;
  }
  return NULL;
}

/* A local call has its callee's number in `off`; the callee's address is known in the last pass. */
int farcall_get_func_addr(const struct bpf_prog* program, const struct bpf_insn* call,
                          bool last_pass, u64* address, bool* is_fixed) {
  *is_fixed = call->src_reg != BPF_PSEUDO_CALL;
  if (call->src_reg == BPF_PSEUDO_CALL) {
    *address = last_pass ? (u64)program->aux->func[call->off]->bpf_func : 0;
    return 0;
  }
  if (call->src_reg == BPF_PSEUDO_KFUNC_CALL) {
    const farcall_u8* const kfunc = kfunc_with_id(call->imm);
    if (!kfunc)
      return -EINVAL;
    *address = farcall_get64(kfunc);
    return 0;
  }
  *address = request.call_base + call->imm;
  return 0;
}
ALIAS(bpf_jit_get_func_addr, farcall_get_func_addr);

static struct btf_func_model model;

const struct btf_func_model* farcall_kfunc_model(const struct bpf_prog* program,
                                                 const struct bpf_insn* call) {
  const farcall_u8* const kfunc = kfunc_with_id(call->imm);
  if (!kfunc)
    return NULL;
  memset(&model, 0, sizeof(model));
  model.ret_size = (kfunc[29] & 0x7f) / 8;
  model.nr_args = 5;
  for (int i = 0; i < 5; ++i) {
    model.arg_size[i] = (kfunc[24 + i] & 0x7f) / 8;
#ifdef BTF_FMODEL_SIGNED_ARG
    model.arg_flags[i] = kfunc[24 + i] & 0x80 ? BTF_FMODEL_SIGNED_ARG : 0;
#endif
  }
  return &model;
}
ALIAS(bpf_jit_find_kfunc_model, farcall_kfunc_model);

/* Images: each has guard words in front and after it, and an address where it is to lie in the end. */
enum { GUARD_BYTES = 4096, GUARD = 0xa5a5a5a5 };

struct image {
  u64 address;
  u8* writable;
  u32 bytes;
  const u32* offsets; /* of each instruction's code; null: the JIT has not said */
};
static struct image* images;
static u32 image_now;

static u8* new_image(u32 bytes, void (*fill)(void* area, unsigned size)) {
  struct image* const image = &images[image_now];
  bytes = (bytes + 3) & ~3u;
  u8* const memory = take(bytes + 2 * GUARD_BYTES);
  farcall_memset32((u32*)memory, GUARD, bytes + 2 * GUARD_BYTES);
  image->writable = memory + GUARD_BYTES;
  image->bytes = bytes;
  fill(image->writable, bytes);
  return image->writable;
}

static int guards_are_intact(const struct image* image) {
  const u32* const before = (const u32*)(image->writable - GUARD_BYTES);
  const u32* const after = (const u32*)(image->writable + image->bytes);
  for (u32 i = 0; i < GUARD_BYTES / 4; ++i)
    if (before[i] != GUARD || after[i] != GUARD)
      return 0;
  return 1;
}

/* The header lies in front of the image by as much in both places: the JIT counts on that. */
void* farcall_pack_alloc(unsigned bytes, u8** final_image, unsigned alignment,
                         void** writable_header, u8** writable_image,
                         void (*fill)(void* area, unsigned size)) {
  *writable_image = new_image(bytes, fill);
  *writable_header = *writable_image - 16;
  *final_image = (u8*)images[image_now].address;
  return *final_image - 16;
}
ALIAS(bpf_jit_binary_pack_alloc, farcall_pack_alloc);
ALIAS(bpf_jit_binary_pack_finalize, farcall_no);
ALIAS(bpf_jit_binary_pack_free, farcall_no);

/* Older kernels write where the code lies: that only its own address may come of it is seen to by
 * compile_all(). */
void* farcall_binary_alloc(unsigned bytes, u8** image, unsigned alignment,
                           void (*fill)(void* area, unsigned size)) {
  *image = new_image(bytes, fill);
  return *image - 16;
}
ALIAS(bpf_jit_binary_alloc, farcall_binary_alloc);
ALIAS(bpf_jit_binary_free, farcall_no);
ALIAS(bpf_jit_binary_lock_ro, farcall_no);
ALIAS(flush_icache_range, farcall_no);
ALIAS(find_vm_area, farcall_no);
ALIAS(change_memory_attr, farcall_no);
ALIAS(set_memory_ro, farcall_no);
ALIAS(set_memory_x, farcall_no);
ALIAS(set_memory_rox, farcall_no);

void farcall_fill_linfo(struct bpf_prog* program, const u32* offsets) {
  images[image_now].offsets = offsets;
}
ALIAS(bpf_prog_fill_jited_linfo, farcall_fill_linfo);

u64 farcall_no_address(void) {
  return 0;
}
ALIAS(bpf_arena_get_kern_vm_start, farcall_no_address);
ALIAS(bpf_arena_get_user_vm_start, farcall_no_address);
ALIAS(bpf_prog_update_insn_ptrs, farcall_no);

/* Nobody asked for blinding: the program is its own. */
struct bpf_prog* farcall_blind_constants(struct bpf_prog* program) {
  return program;
}
ALIAS(bpf_jit_blind_constants, farcall_blind_constants);

typedef struct bpf_prog* compile_program(struct bpf_prog* program);
typedef struct bpf_prog* compile_in_environment(void* environment, struct bpf_prog* program);

static struct bpf_prog* compile(struct bpf_prog* program) {
  return _Generic(&bpf_int_jit_compile,
      compile_program *: ((compile_program*)(void*)bpf_int_jit_compile)(program),
      default: ((compile_in_environment*)(void*)bpf_int_jit_compile)(NULL, program));
}

/* ---- from a request to the kernel's programs ---- */

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

static struct bpf_prog** programs;

/* What is wrong with a function's exception table: each load that may fault has an entry of its own
 * word, in order, and code that puts 0 in its place and goes on after it. */
static const char* table_defect(const struct bpf_prog* program, const struct image* image) {
  const u32 count = program->aux->num_exentries;
  if (!count)
    return NULL;
  const u8* const told = (const u8*)program->aux->extable;
  /* Older kernels say where they wrote it, newer ones where it is to lie. */
  const u64 written = (u64)told - (u64)image->writable;
  const u64 offset = written < image->bytes ? written : (u64)told - image->address;
  if (offset + count * sizeof(struct exception_table_entry) > image->bytes)
    return "the exception table is outside the memory that was asked for";
  const struct exception_table_entry* entry = (const void*)(image->writable + offset);
  const struct codegen_context* const context = take(sizeof(*context));
  bpf_jit_init_reg_mapping((struct codegen_context*)context);
  for (u32 i = 0; i < program->len; ++i) {
    const struct bpf_insn* const insn = &program->insnsi[i];
    if (is_probing(insn)) {
      const u64 begin = image->offsets[i], end = image->offsets[i + 1];
      const u64 load = (const u8*)&entry->insn + entry->insn - image->writable - FUNCTION_DESCR_SIZE;
      const u8* const fixup = (const u8*)&entry->fixup + entry->fixup;
      if (load < begin || load >= end || load % 4)
        return "a load that may fault has no entry in the exception table";
      if (fixup < image->writable + program->jited_len || fixup >= image->writable + offset)
        return "code of the exception table is not between the program's and the table";
      const u32 zero = ((const u32*)fixup)[0], back = ((const u32*)fixup)[1];
      const s32 distance = (s32)(back << 6) >> 6 & ~3;
      if (zero != (0x38000000u | context->b2p[insn->dst_reg] << 21))
        return "code of the exception table does not put 0 in place of what was to be loaded";
      if (back >> 26 != 18 || back & 3 ||
          fixup + 4 + distance != image->writable + FUNCTION_DESCR_SIZE + end)
        return "code of the exception table does not lead back to the instruction after the load";
      ++entry;
    }
    if (insn->code == WIDE_LOAD)
      ++i;
  }
  return NULL;
}

/* The outcome, one of FARCALL_IMAGE and its like. */
static u32 compile_all(void) {
  const u32 count = request.function_count;
  programs = take(count * sizeof(*programs));
  images = take(count * sizeof(*images));
  slot_starts = take(count * sizeof(*slot_starts));
  for (u32 i = 0; i < count; ++i) {
    struct bpf_prog_aux* const aux = take(sizeof(*aux));
    programs[i] = convert_function(i, aux);
    const u32 first = program_begin(i), functions = program_end(i) - first;
    programs[i]->is_func = functions > 1;
    aux->func = programs + first;
    aux->func_cnt = functions;
    aux->func_idx = i - first;
    images[i].address = function_address(i);
    if (images[i].address == 0)
      why_not = "a function at address 0, which stands for one that has no address yet";
  }
  if (why_not) {
    note(why_not);
    return FARCALL_UNSUPPORTED;
  }
  /* The extra pass, once every function of a program has its address. */
  for (int pass = 0; pass < 2; ++pass) {
    for (u32 i = 0; i < count; ++i) {
      image_now = i;
      if (pass && !programs[i]->is_func)
        continue;
      if (pass)
        set_addresses(programs[i]);
      struct bpf_prog* const compiled = compile(programs[i]);
      if (compiled != programs[i] || !compiled->jited) {
        if (!words[0])
          note("the kernel's JIT left the program to the interpreter, and does not say why");
        return FARCALL_REFUSED;
      }
      /* Older kernels leave the address that they write to. */
      compiled->bpf_func = (void *)images[i].address;
    }
    for (u32 i = 0; i < count; ++i)
      programs[i]->bpf_func = (void*)images[i].address;
  }
  for (u32 i = 0; i < count; ++i)
    if (!guards_are_intact(&images[i])) {
      note("the JIT wrote outside the memory that it had asked for");
      return FARCALL_WARNED;
    }
  for (u32 i = 0; i < count && !warned; ++i) {
    const char* const defect = images[i].offsets ? table_defect(programs[i], &images[i]) : NULL;
    if (defect) {
      note(defect);
      return FARCALL_WARNED;
    }
  }
  return warned ? FARCALL_WARNED : FARCALL_IMAGE;
}

/* ---- from the kernel's programs to an answer ---- */

static char paca_memory[sizeof(struct paca_struct)] __attribute__((aligned(128)));
enum {
  PACA_BYTES = 128,
#ifdef CONFIG_PPC_KERNEL_PCREL
  ANSWER_FLAGS = FARCALL_NO_TOC
#else
  ANSWER_FLAGS = 0
#endif
};

/* Newer kernels end each function with stubs for what attaches to it, and data among them. */
extern int bpf_jit_ool_stub __attribute__((weak));

static u32 stub_words(void) {
  return &bpf_jit_ool_stub ? bpf_jit_ool_stub / 4 : 0;
}

/* How many words of a program's beginning a tail call leaves out: up to the one that stores the
 * count of tail calls, 0, below r1. */
static u32 tail_entry_words(const struct bpf_prog* program) {
  enum { STD = 62u << 26, STORED = 0xffff0003, NEGATIVE = 0x8000, MOST_WORDS = 128 };
  u32 words[MOST_WORDS] = {};
  struct codegen_context* const context = take(sizeof(*context));
  bpf_jit_init_reg_mapping(context);
  context->seen = SEEN_TAILCALL;
  bpf_jit_build_prologue(words, context);
  const u32 store = STD | context->b2p[MAX_BPF_JIT_REG] << 21 | 1 << 16;
  for (u32 i = 0; i < context->idx; ++i)
    if ((words[i] & STORED) == store && words[i] & NEGATIVE)
      return i + 1;
  return 0;
}

/* What the code of tail calls reads: struct bpf_array, and of each program that it points to, the
 * struct bpf_prog up to where its code is. */
enum { PROGRAM_BYTES = (offsetof(struct bpf_prog, bpf_func) + 8 + 15) & ~15ul };

static u32 array_bytes(u32 elements) {
  return ((offsetof(struct bpf_array, ptrs) + 8ul * elements + 15) & ~15ul) +
         (u64)PROGRAM_BYTES * elements;
}

static u32 map_elements(u32 number) {
  return farcall_get32(request.maps + number * FARCALL_MAP_BYTES + 12);
}

static u32 array_count(void) {
  u32 count = 0;
  for (u32 i = 0; i < request.map_count; ++i)
    count += map_elements(i) != 0;
  return count;
}

static farcall_u8* put_arrays(farcall_u8* at) {
  const farcall_u8* element = request.arrays;
  for (u32 i = 0; i < request.map_count; ++i) {
    const u32 elements = map_elements(i), bytes = array_bytes(elements);
    if (!elements)
      continue;
    const u64 address = farcall_get64(request.maps + i * FARCALL_MAP_BYTES);
    at = farcall_put32(farcall_put32(farcall_put64(at, address), bytes), 0);
    char* const image = take(bytes);
    struct bpf_array* const array = (struct bpf_array*)image;
    array->map.max_entries = elements;
    for (u32 k = 0; k < elements; ++k, element += 4) {
      const u32 number = farcall_get32(element);
      const u32 place = bytes - (elements - k) * PROGRAM_BYTES;
      if (number == (u32)FARCALL_NO_PROGRAM)
        continue;
      array->ptrs[k] = (void*)(address + place);
      *(u64*)(image + place + offsetof(struct bpf_prog, bpf_func)) = function_address(number);
    }
    memcpy(at, image, bytes);
    at += bytes;
  }
  return at;
}

static farcall_u8* put_function(farcall_u8* at, u32 number) {
  const struct bpf_prog* const program = programs[number];
  const struct image* const image = &images[number];
  const u32 descriptor = FUNCTION_DESCR_SIZE / 4, word_count = program->jited_len / 4;
  at = farcall_put64(at, image->address);
  at = farcall_put32(at, word_count);
  at = farcall_put32(at, descriptor);
  at = farcall_put32(at, begins_program(number) ? tail_entry_words(program) : 0);
  at = farcall_put32(at, stub_words());
  farcall_u8* const line_count_at = at;
  at = farcall_put32(at, 0);
  at = farcall_put32(at, 0);
  at = farcall_put32(at, 0);
  for (u32 i = 0; i < word_count; ++i)
    at = farcall_put32(at, ((const u32*)image->writable)[i]);
  u32 lines = 0;
  if (image->offsets) {
    const u32 begin = function_begin(number), slots = function_end(number) - begin;
    for (u32 i = 0; i <= slots; ++i) {
      at = farcall_put32(at, lines++);
      at = farcall_put32(at, descriptor + image->offsets[slot_starts[number][i]] / 4);
      if (i < slots && request.slots[(begin + i) * FARCALL_SLOT_BYTES] == WIDE_LOAD)
        ++i;
    }
  }
  farcall_put32(line_count_at, lines);
  return at;
}

static size_t answer_bytes(void) {
  size_t bytes = FARCALL_ANSWER_BYTES + PACA_BYTES;
  for (u32 i = 0; i < request.map_count; ++i)
    if (map_elements(i))
      bytes += FARCALL_ARRAY_BYTES + array_bytes(map_elements(i));
  for (u32 i = 0; i < request.function_count; ++i)
    bytes += FARCALL_ANSWER_FUNCTION_BYTES + programs[i]->jited_len +
             8ul * (function_end(i) - function_begin(i) + 1);
  return bytes;
}

static farcall_u8* put_image(farcall_u8* at) {
  struct codegen_context* const context = take(sizeof(*context));
  bpf_jit_init_reg_mapping(context);
  at = farcall_put32(at, request.function_count);
  for (int i = 0; i <= BPF_REG_FP; ++i)
    *at++ = context->b2p[i];
  *at++ = ANSWER_FLAGS;
  at = farcall_put32(at, array_count());
  at = farcall_put32(at, PACA_BYTES);
  memcpy(at, paca_memory, PACA_BYTES);
  at += PACA_BYTES;
  at = put_arrays(at);
  for (u32 i = 0; i < request.function_count; ++i)
    at = put_function(at, i);
  return at;
}

/* Whether the JIT's own words are that it does not do such a program. */
static int is_about_limits(void) {
  static const char* const kLimits[] = {"unsupported", "out of range"};
  for (unsigned i = 0; i < ARRAY_SIZE(kLimits); ++i)
    for (const char* at = words; *at; ++at) {
      unsigned n = 0;
      while (kLimits[i][n] && at[n] == kLimits[i][n])
        ++n;
      if (!kLimits[i][n])
        return 1;
    }
  return 0;
}

static void write_all(const farcall_u8* at, size_t bytes) {
  while (bytes) {
    const long wrote = system_call(SYS_WRITE, 1, (long)at, bytes, 0, 0, 0);
    if (wrote <= 0)
      leave(0);
    at += wrote;
    bytes -= wrote;
  }
}

static void answer(const farcall_u8* bytes) {
  request = farcall_request_at(bytes);
  why_not = NULL;
  warned = 0;
  words[0] = 0;
  farcall_toc = request.toc;
#ifndef CONFIG_PPC_KERNEL_PCREL
  local_paca->kernel_toc = request.toc;
#else
  local_paca->kernelbase = request.call_base & ~0xffffffffffull;
#endif
  u32 status = compile_all();
  if (status == FARCALL_REFUSED && is_about_limits())
    status = FARCALL_UNSUPPORTED;
  farcall_u8* const out = take(status == FARCALL_IMAGE ? answer_bytes() : 12 + sizeof(words));
  farcall_u8* end = farcall_put32(farcall_put32(out + 4, request.number), status);
  if (status == FARCALL_IMAGE) {
    end = put_image(end);
  } else {
    for (unsigned i = 0; words[i]; ++i)
      *end++ = words[i];
  }
  farcall_put32(out, end - out);
  write_all(out, end - out);
}

static void read_all(farcall_u8* at, size_t bytes) {
  while (bytes) {
    const long got = system_call(SYS_READ, 0, (long)at, bytes, 0, 0, 0);
    if (got <= 0)
      leave(0);
    at += got;
    bytes -= got;
  }
}

void farcall_main(void) {
  enum { READ_WRITE = 3, PRIVATE_ANONYMOUS_NORESERVE = 0x62 };
  const long mapped =
      system_call(SYS_MMAP, 0, ARENA_BYTES, READ_WRITE, PRIVATE_ANONYMOUS_NORESERVE, -1, 0);
  if (mapped < 0 && mapped > -4096)
    give_up("no memory", "");
  arena = (char*)mapped;
  for (;;) {
    arena_next = arena;
    farcall_u8 size[4];
    read_all(size, sizeof(size));
    const u32 bytes = farcall_get32(size);
    farcall_u8* const memory = take(bytes);
    memcpy(memory, size, sizeof(size));
    read_all(memory + sizeof(size), bytes - sizeof(size));
    answer(memory);
  }
}

/* r2 as the linker means it, and r13, where the kernel's code finds its per-CPU area. */
asm(".text\n"
    ".globl _start\n"
    "_start:\n"
    "\tbcl 20,31,1f\n"
    "1:\tmflr 2\n"
    "\taddis 2,2,(.TOC.-1b)@ha\n"
    "\taddi 2,2,(.TOC.-1b)@l\n"
    "\taddis 13,2,paca_memory@toc@ha\n"
    "\taddi 13,13,paca_memory@toc@l\n"
    "\tli 0,0\n"
    "\tstdu 0,-128(1)\n"
    "\tbl farcall_main\n"
    "\tnop\n");

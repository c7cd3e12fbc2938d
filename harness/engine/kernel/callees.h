/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What the JIT calls of the kernel: memory, messages, addresses of functions, places for code.
 * A part of glue.c, which says what it is for.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/filter.h>
#include <linux/stdarg.h>

#include "bpf_jit.h"
#include "farcall_jit.h"
#include "process.h"

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

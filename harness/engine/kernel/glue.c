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

#include "programs.h"

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

/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A JIT for programs of two instructions, `mov %r0, N` and `exit`, to show how farcall_jit.h is used:
 *
 *    cc -o example_jit example_jit.c && farcall run two.case --jit exec:./example_jit
 */
#include <stdio.h>
#include <stdlib.h>

#include "farcall_jit.h"

enum { MOV_IMMEDIATE = 0xb7, EXIT = 0x95 };

/* The words of such a program; 0: it is another one. */
static unsigned compile(const struct farcall_request* request, farcall_u32 words[4]) {
  const farcall_u8* const slots = request->slots;
  const farcall_u32 number = farcall_get32(slots + 4);
  if (request->flags & FARCALL_ELFV1 || request->function_count != 1 || request->slot_count != 2 ||
      slots[0] != MOV_IMMEDIATE || (slots[1] & 15) != 0 || slots[FARCALL_SLOT_BYTES] != EXIT)
    return 0;
  words[0] = 0x3c600000 | number >> 16;      /* lis r3, high half */
  words[1] = 0x60630000 | (number & 0xffff); /* ori r3, r3, low half */
  words[2] = 0x4e800020;                     /* blr */
  return 3;
}

static farcall_u8* put_image(farcall_u8* at, const struct farcall_request* request,
                             const farcall_u32* words, unsigned count) {
  at = farcall_put32(at, 1); /* functions */
  for (int i = 0; i < 16; ++i)
    *at++ = i < 11 ? 255 : 0; /* where registers are is not told; no flags, no arrays */
  at = farcall_put32(at, 0);  /* no thread area */
  at = farcall_put64(at, farcall_get64(request->functions));
  at = farcall_put32(at, count);
  for (int i = 0; i < 6; ++i)
    at = farcall_put32(at, 0); /* no descriptor, tail entry, stubs, lines, calls, passes */
  for (unsigned i = 0; i < count; ++i)
    at = farcall_put32(at, words[i]);
  return at;
}

int main(void) {
  farcall_u8 size[4], answer[256];
  while (fread(size, 1, sizeof(size), stdin) == sizeof(size)) {
    const farcall_u32 bytes = farcall_get32(size);
    farcall_u8* const memory = malloc(bytes);
    farcall_put32(memory, bytes);
    if (fread(memory + 4, 1, bytes - 4, stdin) != bytes - 4)
      return 1;
    const struct farcall_request request = farcall_request_at(memory);
    farcall_u32 words[4];
    const unsigned count = compile(&request, words);
    farcall_u8* end = farcall_put32(answer + 4, request.number);
    if (count != 0) {
      end = put_image(farcall_put32(end, FARCALL_IMAGE), &request, words, count);
    } else {
      end = farcall_put32(end, FARCALL_UNSUPPORTED);
      end += sprintf((char*)end, "anything but mov and exit");
    }
    farcall_put32(answer, (farcall_u32)(end - answer));
    fwrite(answer, 1, (size_t)(end - answer), stdout);
    fflush(stdout); /* before the next request is read */
    free(memory);
  }
  return 0;
}

/* Programs with a callee, or the target of a branch, as far away as the 16 bits of `off` can say.
 *
 * Distances are in slots from the one after the call or the branch.
 */
typedef unsigned long long u64;

#define function static __attribute__((noinline))

#define SLOTS(number, instruction) ".rept " #number "\n\t" instruction "\n\t.endr"

function u64 callee(void) {
  u64 value;
  asm volatile("%0 = 7" : "=r"(value));
  return value;
}

/* 32765 slots. Functions come in the order in which they are called, so this is before callee(). */
function u64 filler(void) {
  u64 value;
  asm volatile(SLOTS(32764, "%0 = 1") : "=r"(value));
  return value;
}

/* callee() is 32767 slots after its call. */
u64 last(void) {
  return filler() + callee();
}

/* One slot more. */
u64 beyond(void) {
  u64 sum = filler() + callee();
  asm volatile("%0 += 1" : "+r"(sum));
  return sum;
}

/* The branch for `skip` goes over 32767 slots, one of them a call. */
u64 branch(u64 skip) {
  if (skip) {
    return 5;
  }
  u64 value = callee();
  asm volatile(SLOTS(32766, "%0 += 1") : "+r"(value));
  return value;
}

/* One slot less than branch(): a call of two slots still leaves it within reach. */
u64 branch_of_pair(u64 skip) {
  if (skip) {
    return 5;
  }
  u64 value = callee();
  asm volatile(SLOTS(32765, "%0 += 1") : "+r"(value));
  return value;
}

/* Branches on either side of what a conditional branch of ppc64 reaches, 32 KiB: each of these
 * additions is one word.
 */
typedef unsigned long long u64;

#define ADD(number) ".rept " #number "\n\t%[sum] += 1\n\t.endr\n\t"

#define OVER(number)                                                                        \
  "if %[skip] != 0 goto over_" #number "_%=\n\t" ADD(number) "over_" #number "_%=:\n\t"   \
  "%[sum] += 1\n\t"

/* Four branches over 8189 to 8192 words, all of them taken or none. */
u64 forwards(u64 skip) {
  u64 sum = 0;
  asm volatile(OVER(8189) OVER(8190) OVER(8191) OVER(8192)
               : [sum] "+r"(sum)
               : [skip] "r"(skip));
  return sum;
}

#define BACK(number)                                                                           \
  "%[left] = %[again]\n\tback_" #number "_%=:\n\t" ADD(number) "%[left] += -1\n\t"            \
  "if %[left] s> -1 goto back_" #number "_%=\n\t"

/* Likewise back, each taken `again` times and then not. */
u64 backwards(u64 again) {
  u64 sum = 0;
  u64 left;
  asm volatile(BACK(8189) BACK(8190) BACK(8191) BACK(8192)
               : [sum] "+r"(sum), [left] "=&r"(left)
               : [again] "r"(again));
  return sum;
}

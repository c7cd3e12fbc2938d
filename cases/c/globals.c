/* Global variables of every kind, pointers among them, and functions that are called through a table and by argument.
 *
 * The pointers are filled in when everything has its place.
 */
typedef unsigned long long u64;

#define function static __attribute__((noinline))

typedef u64 (*operation)(u64);

function u64 twice(u64 x) { return x * 2; }
function u64 square(u64 x) { return x * x; }

static const operation operations[2] = {twice, square};
static const u64 weights[4] = {3, 5, 7, 11};
static u64 total;
u64 count = 40;
const u64 *volatile which = &weights[2];

function u64 apply(operation f, u64 x) { return f(x) + 1; }

/* total = weights[i] + weights[2], one of the operations on it, and the square of 41 and 1. */
u64 globals(u64 i) {
  total += weights[i & 3] + *which;
  count++;
  return operations[i & 1](total) + apply(square, count);
}

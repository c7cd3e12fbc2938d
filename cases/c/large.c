/* More than 16 MiB of zeros, as the kernel's own test_skeleton.c has, of which both ends and a byte in between are used. */
typedef unsigned char u8;
typedef unsigned long long u64;

static u8 field[16 << 20];
u64 sums[4];

static __attribute__((noinline)) u8 raise(u64 index) { return field[index & (sizeof field - 1)] += 7; }

u64 large(u64 index)
{
	field[sizeof field - 1] = 3;
	sums[3] = raise(index) + raise(index) + raise(-1);
	return sums[3];
}

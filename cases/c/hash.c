// A hash table and an array, by the helpers that look up, set and delete elements of maps.
typedef unsigned int u32;
typedef unsigned long u64;

#define SEC(name) __attribute__((section(name)))

struct {
	int (*type)[1]; /* a hash table */
	u32 *key;
	u64 *value;
	int (*max_entries)[8];
} seen SEC(".maps");

struct {
	int (*type)[2]; /* an array */
	u32 *key;
	u64 *value;
	int (*max_entries)[4];
} sums SEC(".maps");

static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*erase)(void *map, const void *key) = (void *)3;

static __attribute__((noinline)) u64 remember(u32 key, u64 value)
{
	u64 *old = lookup(&seen, &key);

	if (old)
		*old += value;
	else
		update(&seen, &key, &value, 1);
	old = lookup(&seen, &key);
	return old ? *old : 0;
}

SEC("tc") u64 hash(void)
{
	u32 key = 7, last = 3;
	u64 sum = remember(7, 100) + remember(8, 1) + remember(7, 20);
	u64 *kept = lookup(&sums, &last);

	erase(&seen, &key);
	if (kept)
		*kept = sum;
	return sum + (lookup(&seen, &key) ? 1000 : 0);
}

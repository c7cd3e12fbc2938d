// An array and a hash table whose values each CPU has for itself: one CPU finds what it left there.
typedef unsigned int u32;
typedef unsigned long u64;

#define SEC(name) __attribute__((section(name)))

struct {
	int (*type)[6]; /* an array of each CPU */
	u32 *key;
	u64 *value;
	int (*max_entries)[4];
} counts SEC(".maps");

struct {
	int (*type)[5]; /* a hash table of each CPU */
	u32 *key;
	u64 *value;
	int (*max_entries)[8];
} seen SEC(".maps");

static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;

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

SEC("tc") u64 per_cpu(void)
{
	u32 first = 0, last = 3;
	u64 sum = remember(7, 100) + remember(8, 1) + remember(7, 20);
	u64 *kept = lookup(&counts, &last);

	update(&counts, &first, &sum, 0);
	if (kept)
		*kept += 5;
	kept = lookup(&counts, &first);
	return (kept ? *kept : 0) + 1000;
}

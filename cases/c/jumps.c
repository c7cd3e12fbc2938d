// Tail calls between programs of one object, through its program array.
typedef unsigned int u32;
typedef unsigned long u64;

#define SEC(name) __attribute__((section(name)))

struct {
	int (*type)[3]; /* a program array */
	int (*key_size)[4];
	int (*value_size)[4];
	int (*max_entries)[3];
} jumps SEC(".maps");

struct {
	int (*type)[1]; /* a hash table */
	u32 *key;
	u64 *value;
	int (*max_entries)[8];
} seen SEC(".maps");

static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*erase)(void *map, const void *key) = (void *)3;
static long (*tail_call)(void *context, void *programs, u32 index) = (void *)12;

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

SEC("tc/last") u64 last(void *context)
{
	u32 key = 7;
	u64 sum = remember(7, 100) + remember(8, 1);

	erase(&seen, &key);
	return sum + (lookup(&seen, &key) ? 1000 : 0) + (context ? 5000 : 0);
}

SEC("tc/first") u64 first(void *context)
{
	remember(7, 20);
	tail_call(context, &jumps, 1); /* empty */
	tail_call(context, &jumps, 2);
	return 1;
}

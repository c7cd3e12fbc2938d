// What an object may call and use without having it: helpers, kernel functions, functions of other
// objects, maps, variables of the kernel.
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name)))
#define NOINLINE __attribute__((noinline))

struct context {
	u32 length;
	u32 mark;
};

struct value {
	u64 count, bytes;
};

struct {
	int (*type)[2]; /* an array */
	u32 *key;
	struct value *value;
	int (*max_entries)[4];
} counts SEC(".maps");

struct {
	int (*type)[27]; /* a ring buffer: nothing can be looked up in it */
	int (*max_entries)[4096];
} events SEC(".maps");

static void *(*lookup)(void *map, const void *key) = (void *)1;
static u64 (*ktime)(void) = (void *)5;
static long (*output)(void *ring, void *data, u64 size, u64 flags) = (void *)130;

extern int kernel_function(signed char a, unsigned short b, void *c) SEC(".ksyms");
extern long elsewhere(long a);
extern int CONFIG_HZ SEC(".kconfig");

static NOINLINE u64 account(u32 key, u64 bytes)
{
	struct value *value = lookup(&counts, &key);

	if (!value)
		return ktime();
	value->count++;
	value->bytes += bytes;
	return value->bytes;
}

SEC("tc") u64 stubs(struct context *context)
{
	u64 record[2] = {context->mark, CONFIG_HZ};
	u64 sum = account(1, 100) + account(1, 11) + account(9, 1);

	output(&events, record, sizeof record, 0);
	sum += kernel_function(-1, 65535, record) + elsewhere(sum);
	return sum + context->length;
}

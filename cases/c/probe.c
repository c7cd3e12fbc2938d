// What a program of Linux's tracing looks like: it reads an object of the kernel field by field,
// and returns nothing.
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name)))

struct object {
	u64 unused;
	u32 id;
	u32 users;
};

static long (*probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static long (*get_current_comm)(void *to, u32 size) = (void *)16;

u64 seen, letters;

SEC("raw_tracepoint") void probe(u64 *context)
{
	const struct object *object = (void *)context[0];
	u32 id, users;
	char name[16];

	probe_read_kernel(&id, sizeof id, &object->id);
	probe_read_kernel(&users, sizeof users, &object->users);
	get_current_comm(name, sizeof name);
	seen += id + users + 1;
	for (u32 i = 0; i < sizeof name; ++i)
		letters += name[i] != 0;
}

SEC("raw_tracepoint") void nothing(u64 *context)
{
	seen = context[0];
}

struct waiter {
	struct waiter *next;
	u64 wakeups;
};

SEC("raw_tracepoint") u64 wake(u64 *context)
{
	struct waiter *waiter = (void *)context[1];

	waiter->wakeups++;
	waiter->next = 0;
	return waiter->wakeups;
}

// What follows the number is not part of the type: as many arguments as the system call has.
struct enter {
	u64 number;
	u64 arguments[];
};

SEC("tracepoint") u64 enter(struct enter *context)
{
	return context->arguments[5] + 3;
}

struct picture {
	u64 pixels[128 * 1024 + 1];
};

// Whoever loads it says how many elements it has.
struct {
	int (*type)[2]; /* an array */
	u32 *key;
	u64 *value;
} sized_later SEC(".maps");

struct {
	int (*type)[2];
	u32 *key;
	struct picture *value;
	int (*max_entries)[1];
} pictures SEC(".maps");

static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;

SEC("raw_tracepoint") u64 draw(void)
{
	const u32 first = 0, tenth = 9;
	const u64 number = 20;
	struct picture *picture = lookup(&pictures, &first);
	u64 *later;

	if (!picture || update(&sized_later, &tenth, &number, 0))
		return 1;
	picture->pixels[128 * 1024] = 22;
	later = lookup(&sized_later, &tenth);
	return later ? *later + picture->pixels[128 * 1024] : 2;
}

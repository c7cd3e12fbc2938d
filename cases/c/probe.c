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

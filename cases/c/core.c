// A program that looks at a task as a kernel of another version has it: kernel-types.c.
struct credentials {
	unsigned int uid;
	unsigned int gid;
} __attribute__((preserve_access_index));

struct task {
	int pid;
	int group;
	unsigned int flags : 4;
	unsigned int state : 4;
	struct credentials credentials;
	char name[8];
	int removed;
} __attribute__((preserve_access_index));

enum state { state_running = 0, state_stopped = 1 };

#define NOINLINE __attribute__((noinline))

static NOINLINE long who(struct task *task)
{
	return task->pid + 256 * task->credentials.gid + 65536 * task->name[2];
}

static NOINLINE long more(struct task *task)
{
	if (__builtin_preserve_field_info(task->removed, 2))
		return task->removed;
	return __builtin_preserve_enum_value(*(enum state *)state_stopped, 1);
}

long core(struct task *task)
{
	return who(task) + (more(task) << 32);
}

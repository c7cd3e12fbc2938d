// The types of a kernel, for core.c: other offsets, another size, a member less.
struct credentials {
	unsigned long usage;
	unsigned int uid;
	unsigned int gid;
};

struct task {
	unsigned long stack;
	struct credentials credentials;
	char name[16];
	int group;
	int pid;
};

enum state { state_running = 0, state_asleep = 3, state_stopped = 5 };

struct task task;
enum state state;

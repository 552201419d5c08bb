/*
 * Runs out of memory for real: oom_target LIMIT WAY [NODES]
 *
 *   LIMIT  as, as-soft, data: what is limited, so that nothing more can be mapped;
 *          outside: as, past the C library and some time before, as another process does it;
 *          overcommit: nothing, but what fails is more than the kernel promises to anybody;
 *          committed: the same, with more than half of what it still promises taken (a mapping that
 *          is not touched), so that it cannot promise a copy of this process
 *   WAY    malloc, calloc, realloc, reallocarray, aligned_alloc, posix_memalign, memalign, valloc,
 *          pvalloc, new, new-nothrow, new-aligned: what fails; or
 *          small: malloc of 64 bytes until it fails; burst: many failures; threads: four at a time;
 *          absurd: a request that no machine can serve; full: not a byte of address space is left
 *
 * A list of NODES nodes hangs on g_list. Prints "nodes N", and how the failure looked. Exit status
 * 0 if it looked as it does without a library in front of malloc.
 */
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <linux/capability.h>
#include <malloc.h>
#include <new>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct node {
	node *next;
	char rest[56];
};

extern node *g_list;
node *g_list;
static unsigned long n_nodes;

static bool add_node()
{
	node *n = static_cast<node *>(malloc(sizeof(node)));
	if (!n)
		return false;
	memset(n->rest, 0, sizeof(n->rest));
	n->next = g_list;
	g_list = n;
	n_nodes++;
	return true;
}

static void die(const char *what)
{
	perror(what);
	_exit(99);
}

/* Root may raise a hard limit again. */
static void give_up_privilege()
{
	__user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	__user_cap_data_struct data[2];
	if (syscall(SYS_capget, &header, data))
		die("capget");
	data[0].effective &= ~(1u << CAP_SYS_RESOURCE);
	data[0].permitted &= ~(1u << CAP_SYS_RESOURCE);
	data[0].inheritable = 0;
	if (syscall(SYS_capset, &header, data))
		die("capset");
}

static unsigned long statm(int field)
{
	unsigned long v[7] = {0};
	FILE *f = fopen("/proc/self/statm", "r");
	if (!f || fscanf(f, "%lu %lu %lu %lu %lu %lu %lu", v, v + 1, v + 2, v + 3, v + 4, v + 5,
			  v + 6) != 7)
		die("statm");
	fclose(f);
	return v[field] * 4096;
}

static size_t large = 64 << 20; /* what fails at once */

static unsigned long meminfo(const char *key)
{
	char line[128];
	unsigned long kib = 0;
	FILE *f = fopen("/proc/meminfo", "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, key, strlen(key)))
			kib = strtoul(line + strlen(key), nullptr, 10);
	}
	if (!kib)
		die("meminfo");
	fclose(f);
	return kib << 10;
}

static void limit(const char *which)
{
	if (!strcmp(which, "overcommit") || !strcmp(which, "committed")) {
		large = 8 * meminfo("MemTotal:") / 4096 * 4096;
		unsigned long left = meminfo("CommitLimit:") - meminfo("Committed_AS:");
		if (!strcmp(which, "committed") &&
			mmap(nullptr, left / 16 * 10, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
			die("mmap");
		return;
	}
	give_up_privilege();
	if (!strcmp(which, "outside")) {
		const size_t room = 96 << 20;
		struct rlimit l = {statm(0) + room, statm(0) + room};
		if (syscall(SYS_prlimit64, 0, RLIMIT_AS, &l, nullptr))
			die("prlimit64");
		sleep(2);
		return;
	}
	bool data = !strcmp(which, "data"), soft = !strcmp(which, "as-soft");
	/* what the streams and the allocator hold free is used by who gets there first */
	unsigned long now = statm(data ? 5 : 0);
	struct rlimit l = {now, soft ? RLIM_INFINITY : now};
	if (setrlimit(data ? RLIMIT_DATA : RLIMIT_AS, &l))
		die("setrlimit");
}

static int bad;

static void check(bool right, const char *what)
{
	if (!right) {
		fprintf(stderr, "%s: not as it should be, errno %d\n", what, errno);
		bad = 1;
	}
}

static void *volatile sink; /* keeps the compiler from leaving an allocation out */

static void fail_malloc()
{
	errno = 0;
	sink = malloc(large);
	check(!sink && errno == ENOMEM, "malloc");
}

static void fail(const char *way)
{
	void *p = nullptr;
	errno = 0;
	if (!strcmp(way, "malloc")) {
		fail_malloc();
	} else if (!strcmp(way, "calloc")) {
		sink = calloc(large / 16, 16);
		check(!sink && errno == ENOMEM, way);
	} else if (!strcmp(way, "realloc")) {
		p = malloc(100);
		strcpy(static_cast<char *>(p), "still here");
		sink = realloc(p, large);
		check(!sink && errno == ENOMEM && !strcmp(static_cast<char *>(p), "still here"),
			way);
	} else if (!strcmp(way, "reallocarray")) {
		sink = reallocarray(nullptr, large / 16, 16);
		check(!sink && errno == ENOMEM, way);
	} else if (!strcmp(way, "aligned_alloc")) {
		sink = aligned_alloc(4096, large);
		check(!sink && errno == ENOMEM, way);
	} else if (!strcmp(way, "posix_memalign")) {
		check(posix_memalign(&p, 64, large) == ENOMEM && !p && !errno, way);
	} else if (!strcmp(way, "memalign")) {
		sink = memalign(64, large);
		check(!sink && errno == ENOMEM, way);
	} else if (!strcmp(way, "valloc")) {
		sink = valloc(large);
		check(!sink && errno == ENOMEM, way);
	} else if (!strcmp(way, "pvalloc")) {
		sink = pvalloc(large);
		check(!sink && errno == ENOMEM, way);
	} else if (!strcmp(way, "new")) {
		bool thrown = false;
		try {
			sink = new char[large];
		} catch (const std::bad_alloc &) {
			thrown = true;
		}
		check(thrown, way);
	} else if (!strcmp(way, "new-nothrow")) {
		sink = new (std::nothrow) char[large];
		check(!sink, way);
	} else if (!strcmp(way, "new-aligned")) {
		bool thrown = false;
		try {
			sink = operator new(large, std::align_val_t(128));
		} catch (const std::bad_alloc &) {
			thrown = true;
		}
		check(thrown, way);
	} else {
		fprintf(stderr, "unknown way %s\n", way);
		_exit(98);
	}
}

static pthread_barrier_t limited;

static void *thread_main(void *)
{
	pthread_barrier_wait(&limited);
	for (int i = 0; i < 100; i++)
		fail_malloc();
	return nullptr;
}

int main(int argc, char **argv)
{
	static char buffer[4096];
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	unsigned long wanted = argc > 3 ? strtoul(argv[3], nullptr, 0) : 20000;
	const char *way = argv[2];
	while (n_nodes < wanted && add_node())
		;
	if (!strcmp(way, "absurd")) {
		void *p = malloc(100);
		for (size_t size : {size_t(PTRDIFF_MAX) + 1, SIZE_MAX, size_t(1) << 60}) {
			errno = 0;
			sink = malloc(size);
			check(!sink && errno == ENOMEM, "malloc");
			errno = 0;
			sink = realloc(p, size);
			check(!sink && errno == ENOMEM, "realloc");
		}
		errno = 0;
		volatile size_t half = SIZE_MAX / 2;
		sink = calloc(half, 3);
		check(!sink && errno == ENOMEM, "calloc");
		errno = 0;
		sink = reallocarray(p, half, 3);
		check(!sink && errno == ENOMEM, "reallocarray");
		errno = 0;
		sink = aligned_alloc(3, 100); /* an alignment that is none: not a want of memory */
		check(malloc(0), "malloc(0)");
	} else if (!strcmp(way, "threads")) {
		pthread_t t[4];
		pthread_barrier_init(&limited, nullptr, 5);
		for (pthread_t &thread : t)
			if (pthread_create(&thread, nullptr, thread_main, nullptr))
				die("pthread_create");
		limit(argv[1]);
		pthread_barrier_wait(&limited);
		for (pthread_t &thread : t)
			pthread_join(thread, nullptr);
		fail_malloc();
	} else {
		limit(argv[1]);
		if (!strcmp(way, "small")) {
			while (add_node())
				;
		} else if (!strcmp(way, "burst")) {
			for (int i = 0; i < 1000; i++)
				fail_malloc();
		} else if (!strcmp(way, "full")) {
			while (mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
				MAP_FAILED)
				;
			while (add_node())
				;
		} else {
			fail(way);
		}
	}
	char line[64];
	int n = snprintf(line, sizeof(line), "nodes %lu\n", n_nodes);
	return write(1, line, static_cast<size_t>(n)) == n ? bad : 97;
}

/*
 * Builds a heap that is known object by object, writes the manifest of it, and is dumped.
 *
 *   heap_target --manifest FILE [--objects N] [--threads N] [--seed N] [--mode MODE]
 *               [--exit-threads] [--churn-during] [--block-brk] [--foreign-sbrk]
 *
 * MODE: signal (raise SIGUSR2), api (call holdfast_dump), wait (print "ready PID" and read standard
 * input to its end), exit (leave at once). See README.md.
 */
#include <errno.h>
#include <getopt.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "holdfast/holdfast.h"
#include "manifest.h"
#include "shapes.h"
#include "wipe.h"

enum mode { MODE_SIGNAL, MODE_API, MODE_WAIT, MODE_EXIT };
enum { STACK_DEPTH = 4, DURING_SLOTS = 1000 };

static struct options {
	const char *manifest;
	size_t n_objects;
	unsigned n_threads;
	uint64_t seed;
	enum mode mode;
	int exit_threads, churn_during, block_brk, foreign_sbrk;
} options = {.n_objects = 1000, .n_threads = 1, .seed = 1};

static pthread_barrier_t churned, built;
static unsigned n_parked, released; /* atomic */

static struct t_builder builder_of(unsigned thread)
{
	return (struct t_builder){.thread = thread,
		.slot = thread,
		.random = (options.seed * T_MAX_THREADS + thread + 1) * 0x9e3779b97f4a7c15};
}

/* With --exit-threads every second helper thread is gone before the dump. */
static int lives(unsigned thread)
{
	return !options.exit_threads || thread % 2 == 0;
}

/* Something in the way of the growing heap: the main arena goes on in mappings elsewhere. */
static void block_brk(void)
{
	enum { GAP = 512 << 10 };
	char *at = (char *)(((uintptr_t)sbrk(0) + GAP) & -(uintptr_t)4096);
	if (mmap(at, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) !=
		at)
		t_die("mmap behind the heap");
}

/* Somebody else's memory in the middle of the heap. */
static void take_foreign_sbrk(void)
{
	if (sbrk(3 * 4096 + 48) == (void *)-1)
		t_die("sbrk");
}

static void build(struct t_builder *b)
{
	size_t n = options.n_objects / options.n_threads;
	if (options.block_brk && b->thread == 0)
		block_brk();
	t_hand_over(b, n / 8);
	t_build(b, n * 3 / 4, lives(b->thread));
	if (options.foreign_sbrk && b->thread == 0)
		take_foreign_sbrk();
	t_churn(b, n / 3 + 8, 4 * n);
	b->slot += T_MAX_THREADS;
	t_build(b, n / 8, 0);
	pthread_barrier_wait(&churned);
	t_free_handed_over((b->thread + 1) % options.n_threads);
	pthread_barrier_wait(&built);
	t_wipe();
}

static void churn_until_released(struct t_builder *b)
{
	struct t_hidden slots = t_hidden_alloc(DURING_SLOTS);
	while (!__atomic_load_n(&released, __ATOMIC_ACQUIRE)) {
		size_t i = t_below(b, slots.n);
		free(t_hidden_get(&slots, i));
		t_hidden_set(&slots, i, malloc(t_below(b, 500)));
	}
	for (size_t i = 0; i < slots.n; i++)
		free(t_hidden_get(&slots, i));
	t_hidden_free(&slots);
}

/* Not by libc: who is in its code may be inside malloc, and the walk's figures are not certain. */
static void wait_or_yield(long call)
{
	register long no_timeout __asm__("r10") = 0;
	__asm__ volatile("syscall"
			 : "+a"(call)
			 : "D"(&released), "S"((long)FUTEX_WAIT_PRIVATE), "d"(0L), "r"(no_timeout)
			 : "rcx", "r11", "memory");
}

/* The bottom frame of a helper thread during the dump: asleep, running, or allocating. */
static void park(void *context)
{
	struct t_builder *b = context;
	t_wipe();
	__atomic_fetch_add(&n_parked, 1, __ATOMIC_RELEASE);
	if (options.churn_during && b->thread % 2)
		churn_until_released(b);
	while (!__atomic_load_n(&released, __ATOMIC_ACQUIRE))
		wait_or_yield(b->thread % 4 == 1 ? SYS_sched_yield : SYS_futex);
}

static void *thread_main(void *arg)
{
	struct t_builder b = builder_of((unsigned)(uintptr_t)arg);
	build(&b);
	if (lives(b.thread))
		t_hold_on_stack(&b, STACK_DEPTH, park, &b);
	return NULL;
}

static void read_to_end(int fd)
{
	char c;
	while (read(fd, &c, 1) > 0)
		;
}

static void be_dumped(void)
{
	int status = 0;
	switch (options.mode) {
	case MODE_SIGNAL:
		raise(SIGUSR2);
		break;
	case MODE_API:
		status = holdfast_dump(NULL);
		break;
	case MODE_WAIT:
		dprintf(STDOUT_FILENO, "ready %d\n", (int)getpid());
		t_wipe();
		read_to_end(STDIN_FILENO);
		break;
	case MODE_EXIT:
		break;
	}
	if (status) {
		errno = -status;
		t_die("holdfast_dump");
	}
}

/* The bottom frame of the main thread. */
static void be_dumped_when_all_parked(void *context)
{
	unsigned expected = 0;
	for (unsigned i = 1; i < options.n_threads; i++)
		expected += (unsigned)lives(i);
	while (__atomic_load_n(&n_parked, __ATOMIC_ACQUIRE) < expected)
		usleep(1000);
	t_manifest_write(options.manifest);
	t_wipe();
	be_dumped();
}

/* The heap must be as good as before. */
static void use_heap(void)
{
	for (size_t i = 0; i < 10000; i++) {
		char *p = malloc(i % 700 + 1);
		if (!p)
			t_die("malloc after the dump");
		memset(p, 1, i % 700 + 1);
		free(p);
	}
}

static enum mode parse_mode(const char *text)
{
	static const char *const name[] = {"signal", "api", "wait", "exit"};
	for (int i = 0; i < 4; i++) {
		if (!strcmp(text, name[i]))
			return (enum mode)i;
	}
	errno = EINVAL;
	t_die(text);
}

static void parse_options(int argc, char **argv)
{
	static const struct option known[] = {
		{"manifest", required_argument, NULL, 'f'},
		{"objects", required_argument, NULL, 'n'},
		{"threads", required_argument, NULL, 't'},
		{"seed", required_argument, NULL, 's'},
		{"mode", required_argument, NULL, 'm'},
		{"exit-threads", no_argument, &options.exit_threads, 1},
		{"churn-during", no_argument, &options.churn_during, 1},
		{"block-brk", no_argument, &options.block_brk, 1},
		{"foreign-sbrk", no_argument, &options.foreign_sbrk, 1},
		{0},
	};
	for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
		switch (c) {
		case 'f':
			options.manifest = optarg;
			break;
		case 'n':
			options.n_objects = (size_t)strtod(optarg, NULL);
			break;
		case 't':
			options.n_threads = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 's':
			options.seed = strtoull(optarg, NULL, 10);
			break;
		case 'm':
			options.mode = parse_mode(optarg);
			break;
		case 0:
			break;
		default:
			exit(2);
		}
	}
	errno = EINVAL;
	if (!options.manifest || !options.n_threads || options.n_threads > T_MAX_THREADS ||
		options.n_objects / options.n_threads < 100)
		t_die("usage: heap_target --manifest FILE [options]; 100 objects a thread at "
		      "least");
}

int main(int argc, char **argv)
{
	pthread_t thread[T_MAX_THREADS];
	parse_options(argc, argv);
	t_manifest_open(options.n_objects);
	pthread_barrier_init(&churned, NULL, options.n_threads);
	pthread_barrier_init(&built, NULL, options.n_threads);
	for (unsigned i = 1; i < options.n_threads; i++) {
		if (pthread_create(&thread[i], NULL, thread_main, (void *)(uintptr_t)i))
			t_die("pthread_create");
	}
	struct t_builder b = builder_of(0);
	build(&b);
	for (unsigned i = 1; i < options.n_threads; i++) {
		if (!lives(i))
			pthread_join(thread[i], NULL);
	}
	t_wipe();
	t_hold_on_stack(&b, STACK_DEPTH, be_dumped_when_all_parked, NULL);
	__atomic_store_n(&released, 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &released, FUTEX_WAKE_PRIVATE, T_MAX_THREADS, NULL, NULL, 0);
	for (unsigned i = 1; i < options.n_threads; i++) {
		if (lives(i))
			pthread_join(thread[i], NULL);
	}
	use_heap();
	return 0;
}

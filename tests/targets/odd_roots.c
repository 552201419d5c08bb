/*
 * Objects that one unusual place each holds, and objects that only dead memory points to.
 *
 *   odd_roots       makes them, prints a line for each, dumps itself through the API, checks that
 *                   its threads go on and ends
 *   odd_roots wait  the same, but prints "ready" and waits for the end of its input instead
 *
 * Lines: "NAME ADDRESS KIND ROOT": KIND is the root's kind in the dump, or "leaked"; ROOT is a part
 * of its name, or "-".
 */
#include <errno.h>
#include <holdfast/holdfast.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "wipe.h"

enum { SIZE = 200 };
static const uintptr_t MASK = 0x5a5a5a5a5a5a5a5a; /* addresses that hold nothing */

static atomic_int stop;
static atomic_uint n_ready;
static uintptr_t hidden[32]; /* addresses, masked */
static unsigned n_hidden;

static void announce(const char *name, uintptr_t masked, const char *kind, const char *root)
{
	printf("%s %#lx %s %s\n", name, (unsigned long)(masked ^ MASK), kind, root);
	hidden[n_hidden++] = masked;
}

static uintptr_t masked_object(void)
{
	void *p = malloc(SIZE);
	memset(p, 0, SIZE);
	return (uintptr_t)p ^ MASK;
}

/* Registers: the pointer is put together in assembly and is nowhere else while the thread spins. */

#define SPIN(load, reg, clear)                                                                     \
	__asm__ volatile(load "lock addl $1, %[ready]\n"                                           \
			      "1: pause\n"                                                         \
			      "cmpl $0, %[stop]\n"                                                 \
			      "je 1b\n" clear                                                      \
			 : [ready] "+m"(n_ready)                                                   \
			 : [stop] "m"(stop), [masked] "m"(*masked), [mask] "m"(MASK)               \
			 : "rax", reg, "memory", "cc")

static void *in_r12(void *arg)
{
	const uintptr_t *masked = arg;
	SPIN("mov %[masked], %%r12\n xor %[mask], %%r12\n", "r12", "xor %%r12d, %%r12d\n");
	return NULL;
}

static void *in_xmm7_high(void *arg)
{
	const uintptr_t *masked = arg;
	SPIN("mov %[masked], %%rax\n xor %[mask], %%rax\n movq %%rax, %%xmm7\n pslldq $8, %%xmm7\n"
	     "xor %%eax, %%eax\n",
		"xmm7", "pxor %%xmm7, %%xmm7\n");
	return NULL;
}

static void *in_ymm9_high(void *arg)
{
	const uintptr_t *masked = arg;
	SPIN("mov %[masked], %%rax\n xor %[mask], %%rax\n vmovq %%rax, %%xmm8\n"
	     "vpxor %%ymm9, %%ymm9, %%ymm9\n vinsertf128 $1, %%xmm8, %%ymm9, %%ymm9\n"
	     "vpxor %%xmm8, %%xmm8, %%xmm8\n xor %%eax, %%eax\n",
		"xmm9", "vzeroupper\n vpxor %%xmm9, %%xmm9, %%xmm9\n");
	return NULL;
}

static void *in_zmm20(void *arg)
{
	const uintptr_t *masked = arg;
	SPIN("mov %[masked], %%rax\n xor %[mask], %%rax\n vpxorq %%zmm20, %%zmm20, %%zmm20\n"
	     "vmovq %%rax, %%xmm20\n vshufi64x2 $0x3f, %%zmm20, %%zmm20, %%zmm20\n xor %%eax, "
	     "%%eax\n",
		"memory", "vpxorq %%zmm20, %%zmm20, %%zmm20\n vzeroupper\n");
	return NULL;
}

/* A thread in a signal handler on an alternate stack: its own stack, below, is live too. */

static void spin_in_handler(int number)
{
	(void)number;
	atomic_fetch_add(&n_ready, 1);
	while (!stop)
		usleep(1000);
}

static void *on_signal_stack(void *arg)
{
	const uintptr_t *masked = arg;
	stack_t alternate = {.ss_sp = mmap(NULL, 65536, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		.ss_size = 65536};
	sigaltstack(&alternate, NULL);
	void *volatile held = (void *)(*masked ^ MASK);
	raise(SIGUSR1);
	return held;
}

/* A thread that ends: glibc keeps its stack, and what is on it holds nothing. */

static void *leave_on_dead_stack(void *arg)
{
	const uintptr_t *masked = arg;
	void *volatile copies[64];
	for (int i = 0; i < 64; i++)
		copies[i] = (void *)(*masked ^ MASK);
	return copies[63] ? NULL : arg;
}

static void leave_below_sp(const uintptr_t *masked)
{
	void *volatile copies[2500]; /* most of them far below the caller's frame */
	for (int i = 0; i < 2500; i++)
		copies[i] = (void *)(*masked ^ MASK);
	(void)copies[0];
}

static void start(void *(*fn)(void *), uintptr_t *masked)
{
	static pthread_t threads[16];
	static unsigned n;
	unsigned before = n_ready;
	pthread_create(&threads[n++], NULL, fn, masked);
	while (n_ready == before)
		usleep(1000);
}

static void *mapping(int flags, int fd)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (page == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return page;
}

static void put(void *place, uintptr_t masked)
{
	*(void **)place = (void *)(masked ^ MASK);
}

static void make_register_roots(void)
{
	static uintptr_t o[5];
	for (int i = 0; i < 5; i++)
		o[i] = masked_object();
	start(in_r12, &o[0]);
	announce("r12", o[0], "register", "registers");
	start(in_xmm7_high, &o[1]);
	announce("xmm7", o[1], "register", "registers");
	if (__builtin_cpu_supports("avx2")) {
		start(in_ymm9_high, &o[2]);
		announce("ymm9", o[2], "register", "registers");
	}
	if (__builtin_cpu_supports("avx512f")) {
		start(in_zmm20, &o[3]);
		announce("zmm20", o[3], "register", "registers");
	}
	signal(SIGUSR1, SIG_DFL);
	sigaction(SIGUSR1,
		&(struct sigaction){.sa_handler = spin_in_handler, .sa_flags = SA_ONSTACK}, NULL);
	start(on_signal_stack, &o[4]);
	announce("signal_stack", o[4], "stack", "stack");
}

static void make_memory_roots(void)
{
	uintptr_t o[5];
	for (int i = 0; i < 5; i++)
		o[i] = masked_object();
	put(mapping(MAP_SHARED | MAP_ANONYMOUS, -1), o[0]);
	announce("shared_anonymous", o[0], "mapping", "/dev/zero");
	int fd = memfd_create("odd", 0);
	if (fd < 0 || ftruncate(fd, 4096))
		exit(1);
	put(mapping(MAP_SHARED, fd), o[1]);
	announce("memfd", o[1], "mapping", "memfd:odd");

	/* A regular file that is shared is no root, unless it is registered. */
	char name[] = "/tmp/odd_roots.XXXXXX";
	int file = mkstemp(name);
	if (file < 0 || ftruncate(file, 8192) || unlink(name))
		exit(1);
	void *page = mapping(MAP_SHARED, file);
	put(page, o[2]);
	if (holdfast_register_root(page, 64, "my_cache"))
		exit(1);
	announce("registered", o[2], "registered", "my_cache");

	void *read_only = mapping(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	put(read_only, o[3]);
	announce("private_anonymous", o[3], "mapping", "mapping");

	/* A page of a private file mapping that was written to. */
	char name2[] = "/tmp/odd_roots.XXXXXX";
	int file2 = mkstemp(name2);
	if (file2 < 0 || ftruncate(file2, 4096) || unlink(name2))
		exit(1);
	put(mapping(MAP_PRIVATE, file2), o[4]);
	announce("private_file", o[4], "mapping", "odd_roots");
	memset(o, 0, sizeof(o));
}

/* What a thread returns is kept for pthread_join(). */

static atomic_int ending;

static void *return_it(void *arg)
{
	const uintptr_t *masked = arg;
	ending = gettid();
	return (void *)(*masked ^ MASK);
}

static pthread_t end_one(uintptr_t *masked, bool detached)
{
	pthread_attr_t attr;
	pthread_t thread;
	char path[64];
	ending = 0;
	pthread_attr_init(&attr);
	if (detached)
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_create(&thread, &attr, return_it, masked);
	while (!ending)
		usleep(1000);
	snprintf(path, sizeof(path), "/proc/self/task/%d", ending);
	while (access(path, F_OK) == 0)
		usleep(1000);
	return thread;
}

static void make_results(void)
{
	static uintptr_t o[3];
	for (int i = 0; i < 3; i++)
		o[i] = masked_object();
	end_one(&o[0], false);
	announce("result_of_unjoined_thread", o[0], "mapping", "ended thread");
	end_one(&o[1], true);
	announce("result_of_detached_thread", o[1], "leaked", "-");
	pthread_join(end_one(&o[2], false), NULL);
	announce("result_of_joined_thread", o[2], "leaked", "-");
}

static void make_leaks(void)
{
	uintptr_t dead_stack = masked_object(), below_sp = masked_object();
	pthread_t thread;
	pthread_create(&thread, NULL, leave_on_dead_stack, &dead_stack);
	pthread_join(thread, NULL);
	announce("dead_stack_of_ended_thread", dead_stack, "leaked", "-");
	leave_below_sp(&below_sp);
	announce("dead_stack_below_sp", below_sp, "leaked", "-");
}

/* For a dump from outside: until the end of standard input. */
static int wait_for_end(void)
{
	char byte;
	printf("ready\n");
	fflush(stdout);
	t_wipe();
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}

int main(int argc, char **argv)
{
	void *labelled = malloc(64);
	holdfast_label(labelled, "my label");
	printf("label %p\n", labelled);
	make_register_roots();
	make_memory_roots();
	t_wipe();
	make_leaks();
	make_results();
	fflush(stdout);
	int result = argc > 1 ? wait_for_end() : holdfast_dump(NULL);
	stop = 1;
	if (result) {
		fprintf(stderr, "holdfast_dump: %s\n", strerror(-result));
		return 1;
	}
	/* The program can still use what it hid. */
	for (unsigned i = 0; i < n_hidden; i++)
		*(volatile char *)(hidden[i] ^ MASK) = 1;
	free(labelled);
	return 0;
}

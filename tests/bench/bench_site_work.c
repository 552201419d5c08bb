/*
 * Work for bench_site.py: allocation and freeing 16 frames deep, as bench_site_work churn THREADS
 * STEPS, or bench_site_work keep THREADS OBJECTS. Prints the CPU seconds and the peak resident size
 * in KiB.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { DEPTH = 12, SLOTS = 10000, WAYS = 64 };

struct work {
	size_t steps;
	uint64_t seed;
	void **slots;
};

static uint64_t random_number(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static __attribute__((noinline)) void *leaf_a(size_t size)
{
	void *p = malloc(size);
	__asm__ volatile("" ::: "memory");
	return p;
}

static __attribute__((noinline)) void *leaf_b(size_t size)
{
	void *p = malloc(size);
	__asm__ volatile("nop" ::: "memory"); /* not the same function as leaf_a */
	return p;
}

/* The leaf is chosen at the bottom, a frame in between by the way: 2 × 2 stacks. */
static __attribute__((noinline)) void *inner(unsigned way, size_t size)
{
	void *p = way & 1 ? leaf_a(size) : leaf_b(size);
	__asm__ volatile("" ::: "memory");
	return p;
}

static void step(struct work *w)
{
	uint64_t r = random_number(&w->seed);
	void **slot = &w->slots[r % SLOTS];
	free(*slot);
	size_t size = 16 + (r >> 32) % 240;
	*slot = inner((unsigned)(r >> 50) % WAYS, size);
	*(char *)*slot = 1;
}

static __attribute__((noinline)) void run(struct work *w, int depth)
{
	if (depth) {
		run(w, depth - 1);
		__asm__ volatile("" ::: "memory");
		return;
	}
	for (size_t i = 0; i < w->steps; i++)
		step(w);
}

static void *churn(void *arg)
{
	struct work *w = arg;
	w->slots = calloc(SLOTS, sizeof(*w->slots));
	run(w, DEPTH);
	return NULL;
}

static __attribute__((noinline)) void keep_all(size_t n, int depth)
{
	if (depth) {
		keep_all(n, depth - 1);
		__asm__ volatile("" ::: "memory");
		return;
	}
	void *head = NULL;
	uint64_t seed = 1;
	for (size_t i = 0; i < n; i++) {
		uint64_t r = random_number(&seed);
		void **p = inner((unsigned)r % WAYS, 16 + (r >> 32) % 176);
		*p = head;
		head = p;
	}
	while (head) {
		void *next = *(void **)head;
		free(head);
		head = next;
	}
}

static void *keep(void *arg)
{
	keep_all(((struct work *)arg)->steps, DEPTH);
	return NULL;
}

int main(int argc, char **argv)
{
	enum { MAX = 64 };
	pthread_t thread[MAX];
	struct work work[MAX];
	int n = argc == 4 ? atoi(argv[2]) : 0;
	if (n < 1 || n > MAX)
		return 2;
	bool churns = strcmp(argv[1], "churn") == 0;
	size_t steps = strtoull(argv[3], NULL, 10) / (churns ? 1 : (size_t)n);
	for (int i = 0; i < n; i++) {
		work[i] = (struct work){steps, (uint64_t)i + 1, NULL};
		pthread_create(&thread[i], NULL, churns ? churn : keep, &work[i]);
	}
	for (int i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	printf("%ld.%06ld %ld\n",
		usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
			(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000000,
		(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) % 1000000, usage.ru_maxrss);
	return 0;
}

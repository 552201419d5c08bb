/*
 * Days of churn: site_soak SECONDS THREADS. Threads come and go, sizes change with the phase,
 * objects are freed by other threads than those that made them. When each phase has had its turn a
 * few times the time begins; each tenth of it a line: steps so far, and the resident anonymous and
 * file-backed memory in KiB. At the end nothing lives.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_THREADS = 16, SLOTS = 20000, STEPS = 20000, PHASES = 7, LINES = 10, WARM = 3 };

#define NOINLINE __attribute__((noinline))
#define STAY     __asm__ volatile("" ::: "memory")

static void *slots[SLOTS];
static unsigned phase, seed;
static uint64_t n_steps;

static NOINLINE void *leaf(size_t size)
{
	void *p = malloc(size);
	STAY;
	return p;
}

static NOINLINE void *grown(size_t size)
{
	void *p = realloc(calloc(1, size / 2 + 1), size);
	STAY;
	return p;
}

static NOINLINE void *chain(size_t size, unsigned way, unsigned depth)
{
	void *p = depth ? chain(size, way, depth - 1) : way & 1 ? grown(size) : leaf(size);
	STAY;
	return p;
}

static size_t size_of(unsigned r)
{
	static const size_t most[PHASES] = {64, 4000, 200, 1000, 32, 20000, 500};
	return 1 + r % most[__atomic_load_n(&phase, __ATOMIC_RELAXED) % PHASES];
}

static NOINLINE void *churn(void *arg)
{
	unsigned r = __atomic_add_fetch(&seed, 1, __ATOMIC_RELAXED);
	(void)arg;
	for (int i = 0; i < STEPS; i++) {
		void *p = chain(size_of((unsigned)rand_r(&r)), (unsigned)rand_r(&r) & 1,
			(unsigned)rand_r(&r) % 8);
		free(__atomic_exchange_n(
			&slots[(unsigned)rand_r(&r) % SLOTS], p, __ATOMIC_ACQ_REL));
	}
	__atomic_add_fetch(&n_steps, STEPS, __ATOMIC_RELAXED);
	return NULL;
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void report(void)
{
	char line[256];
	long anonymous = 0, file = 0;
	FILE *status = fopen("/proc/self/status", "r");
	while (status && fgets(line, sizeof(line), status)) {
		sscanf(line, "RssAnon: %ld", &anonymous);
		sscanf(line, "RssFile: %ld", &file);
	}
	if (status)
		fclose(status);
	printf("%lu %ld %ld\n", n_steps, anonymous, file);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	double seconds = argc == 3 ? atof(argv[1]) : 0, start = now();
	int n_threads = argc == 3 ? atoi(argv[2]) : 0;
	pthread_t thread[MAX_THREADS];
	if (seconds <= 0 || n_threads < 1 || n_threads > MAX_THREADS)
		return 2;
	for (int line = 1, round = 0; line <= LINES; round++) {
		for (int i = 0; i < n_threads; i++)
			pthread_create(&thread[i], NULL, churn, NULL);
		for (int i = 0; i < n_threads; i++)
			pthread_join(thread[i], NULL);
		__atomic_add_fetch(&phase, 1, __ATOMIC_RELAXED);
		if (round < WARM * PHASES)
			start = now();
		for (; line <= LINES && now() - start >= seconds * line / LINES; line++)
			report();
	}
	for (int i = 0; i < SLOTS; i++)
		free(slots[i]);
	return 0;
}

/*
 * What the hooks cost, on a machine whose speed changes by the second: slices of churn through the
 * C library's own functions and through those of the library that is preloaded, in turn, on the
 * same heap.
 *
 *     LD_PRELOAD=libholdfast.so HOLDFAST=sample=512K bench_site_slices THREADS PAIRS
 *
 * A slice is 100,000 pairs of malloc and free, 16 frames deep (some 3 ms, with 26 samples of one in
 * 512 KiB). Prints the median over all pairs of neighbouring slices of the ratio of their times,
 * with its quartiles, and the same of the C library against itself. The start of the process is not
 * in it (bench_site.py has that).
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { DEPTH = 12, SLOTS = 10000, STEPS = 100000, MAX_THREADS = 16, WARM_UP = 3, KINDS = 3 };

struct way {
	void *(*allocate)(size_t size);
	void (*release)(void *p);
};

static struct way ways[KINDS]; /* the C library, the same again, what is preloaded */
static int n_pairs;

struct work {
	struct way now;
	uint64_t seed;
	/* what one way allocates it frees itself: the recorder would never hear of it otherwise */
	void **slots[KINDS];
	void **now_slots;
	double *ratios[KINDS];
};

static uint64_t random_number(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static __attribute__((noinline)) void *leaf(const struct work *w, size_t size)
{
	void *p = w->now.allocate(size);
	__asm__ volatile("" ::: "memory");
	return p;
}

static __attribute__((noinline)) void *inner(const struct work *w, size_t size)
{
	void *p = leaf(w, size);
	__asm__ volatile("" ::: "memory");
	return p;
}

static __attribute__((noinline)) void churn(struct work *w, int depth)
{
	if (depth) {
		churn(w, depth - 1);
		__asm__ volatile("" ::: "memory");
		return;
	}
	for (int i = 0; i < STEPS; i++) {
		uint64_t r = random_number(&w->seed);
		void **slot = &w->now_slots[r % SLOTS];
		w->now.release(*slot);
		*slot = inner(w, 16 + (r >> 32) % 240);
		*(char *)*slot = 1;
	}
}

static double slice(struct work *w, int kind)
{
	struct timespec start, end;
	w->now = ways[kind];
	w->now_slots = w->slots[kind];
	clock_gettime(CLOCK_MONOTONIC, &start);
	churn(w, DEPTH);
	clock_gettime(CLOCK_MONOTONIC, &end);
	return (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
}

static void *run(void *arg)
{
	struct work *w = arg;
	w->slots[0] = w->slots[1] = calloc(SLOTS, sizeof(void *));
	w->slots[2] = calloc(SLOTS, sizeof(void *));
	for (int i = 0; i < WARM_UP * KINDS; i++)
		slice(w, i % KINDS);
	for (int i = 0; i < n_pairs; i++) {
		for (int kind = 1; kind < KINDS; kind++) {
			double first = slice(w, i % 2 ? kind : 0),
			       second = slice(w, i % 2 ? 0 : kind);
			w->ratios[kind][i] = i % 2 ? first / second : second / first;
		}
	}
	return NULL;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void print(const char *name, struct work *work, int n_threads, int kind)
{
	size_t n = (size_t)n_threads * (size_t)n_pairs;
	double *all = malloc(n * sizeof(*all));
	for (size_t i = 0; i < n; i++)
		all[i] = work[i / (size_t)n_pairs].ratios[kind][i % (size_t)n_pairs];
	qsort(all, n, sizeof(*all), compare);
	printf("%s %.4f (quartiles %.4f %.4f)\n", name, all[n / 2], all[n / 4], all[n * 3 / 4]);
	free(all);
}

int main(int argc, char **argv)
{
	pthread_t thread[MAX_THREADS];
	struct work work[MAX_THREADS];
	int n_threads = argc == 3 ? atoi(argv[1]) : 0;
	n_pairs = argc == 3 ? atoi(argv[2]) : 0;
	void *libc = dlopen("libc.so.6", RTLD_LAZY);
	if (n_threads < 1 || n_threads > MAX_THREADS || n_pairs < 1 || !libc)
		return 2;
	ways[0] = ways[1] = (struct way){
		(void *(*)(size_t))dlsym(libc, "malloc"), (void (*)(void *))dlsym(libc, "free")};
	ways[2] = (struct way){malloc, free};
	if (ways[2].allocate == ways[0].allocate)
		fprintf(stderr, "nothing is preloaded\n");
	for (int i = 0; i < n_threads; i++) {
		work[i] = (struct work){.seed = (uint64_t)i + 1};
		for (int kind = 0; kind < KINDS; kind++)
			work[i].ratios[kind] = malloc((size_t)n_pairs * sizeof(double));
	}
	for (int i = 0; i < n_threads; i++)
		pthread_create(&thread[i], NULL, run, &work[i]);
	for (int i = 0; i < n_threads; i++)
		pthread_join(thread[i], NULL);
	print("the C library again", work, n_threads, 1);
	print("preloaded", work, n_threads, 2);
	return 0;
}

/*
 * Allocates a known heap under a heap profiler: 1000 objects of 10000 bytes by large_one() and 3000
 * of 100 bytes by small_one() live at the end, 4000 more of 100 bytes were freed.
 * ../profiles/README.md has the commands.
 */
#include <stdio.h>
#include <stdlib.h>
#ifdef GPERFTOOLS
#	include <gperftools/heap-profiler.h>
#endif
#ifdef JEMALLOC
#	include <jemalloc/jemalloc.h>
#endif

#define NOINLINE __attribute__((noinline))
#define STAY     __asm__ volatile("" ::: "memory")

enum { KEPT = 4000 };
static void *kept[KEPT];

static NOINLINE void *small_one(void)
{
	void *p = malloc(100);
	STAY;
	return p;
}

static NOINLINE void *large_one(void)
{
	void *p = malloc(10000);
	STAY;
	return p;
}

static NOINLINE void fill(void)
{
	for (int i = 0; i < KEPT; i++) {
		kept[i] = i % 4 ? small_one() : large_one();
		free(small_one());
	}
}

int main(int argc, char **argv)
{
#ifdef GPERFTOOLS
	HeapProfilerStart(argv[1]);
#endif
	fill();
#ifdef GPERFTOOLS
	HeapProfilerDump("end");
	HeapProfilerStop();
#endif
#ifdef JEMALLOC
	const char *name = argv[1];
	mallctl("prof.dump", NULL, NULL, &name, sizeof(name));
#endif
	return kept[7] == NULL;
}

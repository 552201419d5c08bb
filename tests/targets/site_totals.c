/*
 * A program of which is known how much each function allocates, and how much of it lives:
 * site_totals prints a line a function: name, objects allocated, bytes allocated, objects that
 * live, bytes that live. Then it is killed.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define NOINLINE __attribute__((noinline))
/* After a call, so that it is no tail call; the text keeps functions apart that are alike. */
#define STAY(text) __asm__ volatile("# " text ::: "memory")

static void **kept;

/* Every fourth object is freed at once; sizes go round between least and least + spread. */
#define WORK(name)                                                                                 \
	static NOINLINE void *leaf_##name(size_t size)                                             \
	{                                                                                          \
		void *p = malloc(size);                                                            \
		STAY(#name);                                                                       \
		return p;                                                                          \
	}                                                                                          \
	static NOINLINE void name(size_t n, size_t least, size_t spread)                           \
	{                                                                                          \
		size_t bytes = 0, n_live = 0, live = 0;                                            \
		for (size_t i = 0; i < n; i++) {                                                   \
			size_t size = least + i * 7919 % spread;                                   \
			void **p = leaf_##name(size);                                              \
			bytes += size;                                                             \
			if (i % 4 == 0) {                                                          \
				free(p);                                                           \
				continue;                                                          \
			}                                                                          \
			*p = kept;                                                                 \
			kept = p;                                                                  \
			n_live++;                                                                  \
			live += size;                                                              \
		}                                                                                  \
		printf("leaf_" #name " %zu %zu %zu %zu\n", n, bytes, n_live, live);                \
	}

WORK(tiny)
WORK(small)
WORK(large)
WORK(mixed)

int main(void)
{
	tiny(400000, 8, 1);
	small(80000, 100, 500);
	large(240, 50000, 400000);
	mixed(4000, 1000, 30000);
	fflush(stdout);
	raise(SIGKILL);
	return 1;
}

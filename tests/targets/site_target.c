/*
 * A program that knows where each of its objects was allocated: site_target MANIFEST THREADS HOW.
 * Threads allocate and free at random through chains of functions, free each other's objects, and
 * write a line an object that lives at the end: address, size, tid, then the functions that were on
 * the stack, innermost first. Then the process ends HOW: exit, _exit, kill, abort. C and C++.
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_THREADS = 16, SLOTS = 2000, STEPS = 60000, ROUNDS = 4, MAX_DEPTH = 8 };

#define NOINLINE __attribute__((noinline))
#define STAY     __asm__ volatile("" ::: "memory")

struct object {
	uintptr_t hidden; /* address, inverted */
	size_t size;
	int tid;
	unsigned way, depth, kind;
};

static struct object (*objects)[SLOTS];
static unsigned n_threads;
static pthread_barrier_t barrier;

#ifdef __cplusplus
#	include <new>
enum { KINDS = 5, ALIGNED = 64 };
static const char *const leaf_name[KINDS] = {
	"leaf_new", "leaf_malloc", "leaf_array", "leaf_nothrow", "leaf_over"};

static NOINLINE void *leaf_new(size_t size)
{
	void *p = ::operator new(size);
	STAY;
	return p;
}

static NOINLINE void *leaf_array(size_t size)
{
	void *p = ::operator new[](size);
	STAY;
	return p;
}

static NOINLINE void *leaf_nothrow(size_t size)
{
	void *p = ::operator new(size, std::nothrow);
	STAY;
	return p;
}

static NOINLINE void *leaf_over(size_t size)
{
	void *p = ::operator new[](size, std::align_val_t(ALIGNED), std::nothrow);
	STAY;
	return p;
}

static void release(void *p, size_t size, unsigned kind)
{
	if (kind == 0)
		::operator delete(p, size);
	else if (kind == 1)
		free(p);
	else if (kind == 2)
		::operator delete[](p);
	else if (kind == 3)
		::operator delete(p, std::nothrow);
	else
		::operator delete[](p, std::align_val_t(ALIGNED));
}
#else
enum { KINDS = 4 };
static const char *const leaf_name[KINDS] = {
	"leaf_calloc", "leaf_malloc", "leaf_realloc", "leaf_aligned"};

static NOINLINE void *leaf_calloc(size_t size)
{
	void *p = calloc(1, size);
	STAY;
	return p;
}

static NOINLINE void *leaf_realloc(size_t size)
{
	void *p = realloc(malloc(size / 2 + 1), size);
	STAY;
	return p;
}

static NOINLINE void *leaf_aligned(size_t size)
{
	void *p = NULL;
	if (posix_memalign(&p, 128, size))
		abort();
	STAY;
	return p;
}

static void release(void *p, size_t size, unsigned kind)
{
	(void)size;
	(void)kind;
	free(p);
}
#endif

static NOINLINE void *leaf_malloc(size_t size)
{
	void *p = malloc(size);
	STAY;
	return p;
}

static NOINLINE void *leaf(size_t size, unsigned kind)
{
	void *p;
#ifdef __cplusplus
	p = kind == 0   ? leaf_new(size)
	    : kind == 1 ? leaf_malloc(size)
	    : kind == 2 ? leaf_array(size)
	    : kind == 3 ? leaf_nothrow(size)
			: leaf_over(size);
#else
	p = kind == 0   ? leaf_calloc(size)
	    : kind == 1 ? leaf_malloc(size)
	    : kind == 2 ? leaf_realloc(size)
			: leaf_aligned(size);
#endif
	STAY;
	return p;
}

/* A chain of calls: bit `depth - 1` of way chooses which of the two functions comes next. One keeps
 * little on its stack, the other an array whose size is known at run time only. */
static NOINLINE void *chain(size_t size, unsigned way, unsigned depth, unsigned kind);

static NOINLINE void *narrow(size_t size, unsigned way, unsigned depth, unsigned kind)
{
	void *p = chain(size, way, depth - 1, kind);
	STAY;
	return p;
}

static NOINLINE void *wide(size_t size, unsigned way, unsigned depth, unsigned kind)
{
	volatile char *array = (volatile char *)__builtin_alloca(16 + way * 8);
	array[0] = 1;
	void *p = chain(size, way, depth - 1, kind);
	STAY;
	return array[0] ? p : NULL;
}

static NOINLINE void *chain(size_t size, unsigned way, unsigned depth, unsigned kind)
{
	void *p = depth == 0               ? leaf(size, kind)
		  : way >> (depth - 1) & 1 ? wide(size, way, depth, kind)
					   : narrow(size, way, depth, kind);
	STAY;
	return p;
}

static NOINLINE void work(struct object *slots, unsigned *seed)
{
	for (int i = 0; i < STEPS / ROUNDS; i++) {
		struct object *o = &slots[rand_r(seed) % SLOTS];
		if (o->hidden)
			release((void *)~o->hidden, o->size, o->kind);
		unsigned r = rand_r(seed) % 1000;
		o->size = r ? 1 + r * r / 500 : (3u << 20) + (unsigned)rand_r(seed) % 1000;
		o->tid = gettid();
		o->depth = (unsigned)rand_r(seed) % MAX_DEPTH;
		o->way = (unsigned)rand_r(seed) % (1u << o->depth);
		o->kind = (unsigned)rand_r(seed) % KINDS;
#ifdef __cplusplus
		/* libstdc++ asks malloc for no other sizes */
		if (o->kind == 4)
			o->size = (o->size + ALIGNED - 1) / ALIGNED * ALIGNED;
#endif
		o->hidden = ~(uintptr_t)chain(o->size, o->way, o->depth, o->kind);
	}
}

static void *thread_main(void *arg)
{
	size_t me = (size_t)arg;
	unsigned seed = (unsigned)me + 1;
	for (size_t round = 0; round < ROUNDS; round++) {
		work(objects[(me + round) % n_threads], &seed);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

static void write_object(FILE *file, const struct object *o)
{
	fprintf(file, "0x%lx %zu %d %s leaf", (unsigned long)~o->hidden, o->size, o->tid,
		leaf_name[o->kind]);
	for (unsigned d = 1; d <= o->depth; d++)
		fprintf(file, " chain %s", o->way >> (d - 1) & 1 ? "wide" : "narrow");
	fprintf(file, " chain work thread_main\n");
}

int main(int argc, char **argv)
{
	pthread_t thread[MAX_THREADS];
	if (argc != 4)
		return 2;
	n_threads = (unsigned)atoi(argv[2]);
	objects = (struct object(*)[SLOTS])mmap(NULL, sizeof(*objects) * n_threads,
		PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_barrier_init(&barrier, NULL, n_threads);
	for (size_t i = 0; i < n_threads; i++)
		pthread_create(&thread[i], NULL, thread_main, (void *)i);
	for (size_t i = 0; i < n_threads; i++)
		pthread_join(thread[i], NULL);
	FILE *file = fopen(argv[1], "w");
	if (!file)
		return 1;
	for (size_t t = 0; t < n_threads; t++) {
		for (size_t i = 0; i < SLOTS; i++) {
			if (objects[t][i].hidden)
				write_object(file, &objects[t][i]);
		}
	}
	fclose(file);
	if (strcmp(argv[3], "_exit") == 0)
		_exit(0);
	if (strcmp(argv[3], "kill") == 0)
		raise(SIGKILL);
	if (strcmp(argv[3], "abort") == 0)
		abort();
	return 0;
}

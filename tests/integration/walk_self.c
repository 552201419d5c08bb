/*
 * A program that walks its own heap and knows the truth: every call of the malloc family is
 * recorded in a table, then a forked child walks its copy of the heap
 * and compares object by object, sizes with malloc_usable_size() and counters with mallinfo2().
 *
 *     walk_self SCENARIO [ARG]        exit 0 if all was exact; one line a check on stdout
 *
 * The program must not be built with a sanitizer: its malloc is glibc's. Everything in the child
 * and in the recording wrappers avoids malloc and stdio.
 */
#include <errno.h>
#include <gnu/libc-version.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/sys.h"
#include "image/image.h"
#include "walk/walk.h"

#include "../unit/walk/pieces.h"

enum {
	TABLE_SLOTS = 1 << 23,
	MAX_THREADS = 128,
	MAX_REPORTED = 20,
};

static const uint64_t TOMBSTONE = 1;

#ifndef __GLIBC_PREREQ
#	error "glibc only"
#endif
#if !__GLIBC_PREREQ(2, 33)
#	define mallinfo2 mallinfo
typedef uint32_t mallinfo_t; /* it counts in int */
#else
typedef uint64_t mallinfo_t;
#endif

/* The child sees it as it was at the fork. */
struct truth {
	uint64_t tp[MAX_THREADS], pc[MAX_THREADS];
	uint32_t n_threads;
	struct mallinfo2 info;
	uint64_t table[TABLE_SLOTS];
	uint64_t usable[TABLE_SLOTS]; /* as malloc_usable_size() says */
};

static struct truth *truth;
static bool silent; /* no details */

/* Of the table; fewer make a check faster. */
static uint64_t n_slots = TABLE_SLOTS;

static uint64_t slot_of(uint64_t ptr)
{
	return ((ptr >> 4) * 0x9e3779b97f4a7c15ull >> 40) % n_slots;
}

static void record(void *ptr)
{
	if (!ptr)
		return;
	if (!truth) {
		void *memory = mmap(NULL, sizeof(struct truth), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (memory == MAP_FAILED)
			abort();
		truth = memory; /* the first allocation is before any thread */
	}
	uint64_t i = slot_of((uint64_t)ptr);
	for (;; i = (i + 1) % n_slots) {
		uint64_t old = __atomic_load_n(&truth->table[i], __ATOMIC_RELAXED);
		if (old <= TOMBSTONE &&
			__atomic_compare_exchange_n(&truth->table[i], &old, (uint64_t)ptr, false,
				__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			break;
	}
	truth->usable[i] = malloc_usable_size(ptr);
}

static int64_t find_record(uint64_t ptr)
{
	for (uint64_t i = slot_of(ptr);; i = (i + 1) % n_slots) {
		uint64_t v = __atomic_load_n(&truth->table[i], __ATOMIC_RELAXED);
		if (v == ptr)
			return (int64_t)i;
		if (!v)
			return -1;
	}
}

static void forget(void *ptr)
{
	int64_t i = ptr && truth ? find_record((uint64_t)ptr) : -1;
	if (i >= 0)
		__atomic_store_n(&truth->table[i], TOMBSTONE, __ATOMIC_RELEASE);
}

/* For programs that have little live at a time. */
static void shrink_table(void)
{
	enum { SMALL_TABLE = 1 << 15 };
	static uint64_t kept[SMALL_TABLE / 2];
	size_t n = 0;
	for (uint64_t i = 0; i < n_slots && n < SMALL_TABLE / 2; i++) {
		if (truth->table[i] > TOMBSTONE)
			kept[n++] = truth->table[i];
	}
	memset(truth->table, 0, n_slots * 8);
	n_slots = SMALL_TABLE;
	while (n > 0)
		record((void *)kept[--n]);
}

#ifdef WALK_SELF_WRAP /* linked with --wrap: a static program cannot define malloc a second time   \
		       */
#	define REAL(name) __real_##name
#	define MINE(name) __wrap_##name
#else
#	define REAL(name) __libc_##name
#	define MINE(name) name
#endif
void *REAL(malloc)(size_t);
void *REAL(calloc)(size_t, size_t);
void *REAL(realloc)(void *, size_t);
void *REAL(memalign)(size_t, size_t);
void REAL(free)(void *);
void *MINE(malloc)(size_t);
void *MINE(calloc)(size_t, size_t);
void *MINE(realloc)(void *, size_t);
void *MINE(memalign)(size_t, size_t);
void MINE(free)(void *);
void *MINE(aligned_alloc)(size_t, size_t);
int MINE(posix_memalign)(void **, size_t, size_t);

void *MINE(malloc)(size_t size)
{
	void *ptr = REAL(malloc)(size);
	record(ptr);
	return ptr;
}

void *MINE(calloc)(size_t n, size_t size)
{
	void *ptr = REAL(calloc)(n, size);
	record(ptr);
	return ptr;
}

void *MINE(realloc)(void *old, size_t size)
{
	forget(old);
	void *ptr = REAL(realloc)(old, size);
	record(ptr ? ptr : size ? old : NULL);
	return ptr;
}

void *MINE(memalign)(size_t align, size_t size)
{
	void *ptr = REAL(memalign)(align, size);
	record(ptr);
	return ptr;
}

void *MINE(aligned_alloc)(size_t align, size_t size)
{
	return MINE(memalign)(align, size);
}

int MINE(posix_memalign)(void **ret, size_t align, size_t size)
{
	*ret = MINE(memalign)(align, size);
	return *ret ? 0 : ENOMEM;
}

void MINE(free)(void *ptr)
{
	forget(ptr);
	REAL(free)(ptr);
}

/* --- the child's side ----------------------------------------------------------------------- */

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	char line[512];
	if (silent && format[0] == ' ')
		return;
	va_list ap;
	va_start(ap, format);
	size_t n = hf_vfmt(line, sizeof(line), format, ap);
	va_end(ap);
	hf_sys_write_full(1, line, n);
}

/* What a check allows: damage that the child did itself, or threads that were running. */
struct tolerance {
	uint64_t missing, extra, bad_sizes;
	bool counters;   /* they need not match, unless they say that they must */
	bool partial;    /* the walk may say that something is missing */
	bool no_threads; /* the walk is not told of threads: empty tcaches may show */
	bool verbose;
	bool uncertain; /* nor that */
	bool overlaps;  /* regions may overlap */
	bool silent;    /* no details */
	bool quiet;     /* no line if all is well */
};

static void own_range(void *ctx, uint64_t start, uint64_t end)
{
	hf_walk_range(ctx, start, end);
}

struct result {
	uint64_t live, missing, extra, bad_sizes, bad_counters, partial, defines_malloc, ns;
};

static bool counter_is(const struct hf_walk *walk, const char *name, uint64_t value)
{
	for (size_t i = 0; i < walk->counters.n; i++) {
		const struct hf_walk_counter *c = hf_vec_at(&walk->counters, i);
		if (strcmp(c->name, name) == 0)
			return (mallinfo_t)c->allocator == (mallinfo_t)value &&
			       (mallinfo_t)c->walked == (mallinfo_t)value;
	}
	return false;
}

/* mp_.mmapped_mem is off by 16 bytes a mremap() since 2.43. */
static bool drifts(void)
{
	return strcmp(gnu_get_libc_version(), "2.43") >= 0;
}

static void check_counters(const struct hf_walk *walk, struct result *r)
{
	for (size_t i = 0; i < walk->counters.n; i++) {
		const struct hf_walk_counter *c = hf_vec_at(&walk->counters, i);
		bool same = c->allocator == c->walked ||
			    (drifts() && strcmp(c->name, "glibc.mmapped_bytes") == 0);
		if (!same || (!c->must_match && strcmp(c->name, "glibc.mmapped_bytes"))) {
			say("  counter %s: allocator %lu walked %lu must_match %d\n", c->name,
				c->allocator, c->walked, c->must_match);
			r->bad_counters++;
		}
	}
	const struct mallinfo2 *info = &truth->info;
	bool in_use = counter_is(walk, "glibc.in_use_bytes", info->uordblks);
	bool count = counter_is(walk, "glibc.mmapped_count", info->hblks);
	bool bytes = counter_is(walk, "glibc.mmapped_bytes", info->hblkhd) || drifts();
	if (!in_use || !count || !bytes) {
		say("  mallinfo2: uordblks %lu%s hblks %lu%s hblkhd %lu%s\n",
			(size_t)info->uordblks, in_use ? "" : " WRONG", (size_t)info->hblks,
			count ? "" : " WRONG", (size_t)info->hblkhd, bytes ? "" : " WRONG");
		r->bad_counters++;
	}
}

/* A heap caught in the middle of an operation: what is said to match must. */
static void check_certain(const struct hf_walk *walk, struct result *r)
{
	for (size_t i = 0; i < walk->counters.n; i++) {
		const struct hf_walk_counter *c = hf_vec_at(&walk->counters, i);
		if (c->must_match && c->allocator != c->walked) {
			say("  counter %s: allocator %lu walked %lu, but must match\n", c->name,
				c->allocator, c->walked);
			r->bad_counters++;
		}
	}
}

static void compare(struct hf_index *index, struct result *r)
{
	uint8_t *seen = hf_page_alloc(n_slots);
	struct hf_index_iter iter;
	struct hf_object object;
	if (!seen)
		return;
	hf_index_iter_init(&iter, index);
	while (hf_index_next(&iter, &object)) {
		int64_t slot = find_record(object.addr);
		uint64_t start = 0;
		if (hf_index_find(index, object.addr + object.usable - 1, &start) !=
				(int64_t)object.id ||
			start != object.addr)
			r->bad_sizes++;
		if (slot >= 0) {
			seen[slot] = 1;
			if (truth->usable[slot] != object.usable && r->bad_sizes++ < MAX_REPORTED)
				say("  size of 0x%lx: walked %lu, true %lu\n", object.addr,
					object.usable, truth->usable[slot]);
		} else if (r->extra++ < MAX_REPORTED) {
			say("  extra 0x%lx, %lu bytes\n", object.addr, object.usable);
		}
	}
	for (uint64_t i = 0; i < n_slots; i++) {
		uint64_t ptr = truth->table[i];
		if (ptr <= TOMBSTONE)
			continue;
		r->live++;
		if (!seen[i] && r->missing++ < MAX_REPORTED)
			say("  missing 0x%lx, %lu bytes, head 0x%lx\n", ptr, truth->usable[i],
				((uint64_t *)ptr)[-1]);
	}
}

static void show_findings(const struct hf_walk *walk, struct result *r, bool all)
{
	for (size_t i = 0; i < walk->findings.n; i++) {
		const struct hf_walk_finding *f = hf_vec_at(&walk->findings, i);
		r->partial += f->severity == HF_PARTIAL;
		r->defines_malloc += strstr(f->text, " defines malloc: ") != NULL;
		if (all || f->severity >= HF_WARNING)
			say("  finding %d: %s\n", f->severity, f->text);
	}
}

static int child(const char *label, const struct tolerance *allow)
{
	static struct hf_walk walk;
	static struct hf_index index;
	struct hf_pool pool;
	struct hf_maps maps;
	struct hf_images images;
	struct hf_mem *mem;
	struct hf_err err = {0};
	struct hf_vec own;
	struct hf_walk_thread threads[MAX_THREADS];
	struct result r = {0};

	silent = allow->silent;
	hf_pool_init(&pool, NULL, 0);
	hf_vec_init(&own, sizeof(struct hf_walk_range));
	hf_index_init(&index);
	hf_walk_init(&walk);
	enum hf_status status = hf_maps_read(&maps, "/proc/self", &pool, &err);
	if (!status)
		status = hf_mem_self(&maps, &pool, &mem, &err);
	if (!status)
		status = hf_images_read(&images, mem, &pool, NULL, &err);
	if (status) {
		say("%s: %s\n", label, err.msg);
		return 1;
	}
	hf_page_each(own_range, &own);
	for (uint32_t i = 0; i < truth->n_threads; i++)
		threads[i] = (struct hf_walk_thread){.tp = truth->tp[i], .pc = truth->pc[i]};
	walk.mem = mem;
	walk.maps = &maps;
	walk.images = &images;
	walk.pool = &pool;
	walk.index = &index;
	walk.own = own.data;
	walk.n_own = own.n;
	walk.threads = threads;
	walk.n_threads = allow->no_threads ? 0 : truth->n_threads;
	uint64_t start = hf_sys_monotonic_ns();
	status = hf_walk_all(&walk, &err);
	r.ns = hf_sys_monotonic_ns() - start;
	if (!status)
		status = hf_index_seal(&index, &err);
	if (status) {
		say("%s: %s\n", label, err.msg);
		return 1;
	}
	compare(&index, &r);
	show_findings(&walk, &r, allow->verbose);
	if (allow->counters && !allow->uncertain)
		check_certain(&walk, &r);
	else if (!allow->counters)
		check_counters(&walk, &r);
	/* where there are many checks, one of some */
	const bool asked = !allow->quiet || getpid() % 8 == 0;
	const bool same = !asked || pieces_give_the_same(&walk, 64 << 10);
	if (!same)
		say("%s: walked in pieces, the heap is another\n", label);
	bool ok = same && r.missing <= allow->missing && r.extra <= allow->extra &&
		  r.bad_sizes <= allow->bad_sizes && !r.bad_counters &&
		  (allow->overlaps || !index.regions_dropped) && (allow->counters || !r.partial);
	if (!allow->quiet || !ok)
		say("%s %s: %lu live, %lu missing, %lu extra, %lu bad sizes, %lu bad counters, %lu "
		    "regions "
		    "dropped; %lu objects/s\n",
			ok ? "ok" : "FAILED", label, r.live, r.missing, r.extra, r.bad_sizes,
			r.bad_counters, index.regions_dropped, r.live * 1000000000 / (r.ns + 1));
	return !ok;
}

/* --- the program's side --------------------------------------------------------------------- */

static int failures;
/* What the child does to its heap before it walks. */
static void (*damage)(void);

static void check_with(const char *label, const struct tolerance *allow)
{
	truth->info = mallinfo2();
	pid_t pid = fork();
	if (pid == 0) {
		if (damage)
			damage();
		_exit(child(label, allow));
	}
	int status = -1;
	waitpid(pid, &status, 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		if (!WIFEXITED(status))
			say("FAILED %s: the walk died of signal %d\n", label, WTERMSIG(status));
		failures++;
	}
}

static void check(const char *label)
{
	check_with(label, &(struct tolerance){0});
}

static void add_thread(void)
{
	uint32_t i = __atomic_fetch_add(&truth->n_threads, 1, __ATOMIC_ACQ_REL);
	truth->tp[i] = (uint64_t)__builtin_thread_pointer();
}

static uint64_t rng(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Mostly small, some large, as programs do. */
static size_t any_size(uint64_t *state)
{
	unsigned kind = rng(state) % 100;
	if (kind < 80)
		return rng(state) % 200;
	if (kind < 97)
		return rng(state) % 5000;
	return kind < 99 ? rng(state) % 100000 : rng(state) % 600000;
}

enum { SLOTS = 20000 };

static void *any_alloc(uint64_t *state)
{
	size_t size = any_size(state);
	switch (rng(state) % 12) {
	case 0:
		return calloc(1, size);
	case 1:
		return memalign(32ull << rng(state) % 9, size);
	case 2:
		return realloc(malloc(size), any_size(state));
	default:
		return malloc(size);
	}
}

static void churn(void **slots, size_t n, unsigned steps, uint64_t seed)
{
	uint64_t state = seed * 2654435761u + 88172645463325252ull;
	for (unsigned i = 0; i < steps; i++) {
		size_t at = rng(&state) % n;
		if (!slots[at]) {
			slots[at] = any_alloc(&state);
		} else if (rng(&state) % 8 == 0) {
			void *moved = realloc(slots[at], 1 + any_size(&state));
			slots[at] = moved ? moved : slots[at];
		} else {
			free(slots[at]);
			slots[at] = NULL;
		}
	}
}

static void **new_slots(size_t n)
{
	void *slots = mmap(NULL, n * sizeof(void *), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (slots == MAP_FAILED)
		abort();
	return slots;
}

static pthread_barrier_t arrived, leave;
static unsigned thread_steps = 100000;
static void **thread_slots[MAX_THREADS];
static unsigned n_workers;

static void *worker(void *arg)
{
	uint64_t id = (uint64_t)arg;
	add_thread();
	churn(thread_slots[id], SLOTS, thread_steps, id + 1);
	pthread_barrier_wait(&arrived);
	/* Free what a neighbour allocated. */
	pthread_barrier_wait(&leave);
	void **other = thread_slots[(id + 1) % n_workers];
	for (size_t i = id % 3; i < SLOTS; i += 3) {
		free(other[i]);
		other[i] = NULL;
	}
	pthread_barrier_wait(&arrived);
	pthread_barrier_wait(&leave);
	return NULL;
}

static void run_threads(const char *label, unsigned n)
{
	char text[64];
	pthread_t threads[MAX_THREADS];
	n_workers = n;
	pthread_barrier_init(&arrived, NULL, n + 1);
	pthread_barrier_init(&leave, NULL, n + 1);
	for (unsigned i = 0; i < n; i++)
		thread_slots[i] = new_slots(SLOTS);
	for (uint64_t i = 0; i < n; i++)
		pthread_create(&threads[i], NULL, worker, (void *)i);
	pthread_barrier_wait(&arrived);
	hf_fmt(text, sizeof(text), "%s, %u threads", label, n);
	check(text);
	hf_fmt(text, sizeof(text), "%s, walk without threads", label);
	/* An empty tcache has nothing but its thread's pointer to tell it by. */
	bool empty = getenv("WALK_SELF_EMPTY_TCACHES") != NULL;
	check_with(text, &(struct tolerance){.no_threads = true, .extra = empty ? n + 1 : 0});
	pthread_barrier_wait(&leave);
	pthread_barrier_wait(&arrived);
	hf_fmt(text, sizeof(text), "%s, after frees by others", label);
	check(text);
	pthread_barrier_wait(&leave);
	for (unsigned i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	truth->n_threads = 1;
	hf_fmt(text, sizeof(text), "%s, threads gone", label);
	check(text);
}

/* Before the first malloc: somebody else took a few bytes of brk memory. */
__attribute__((constructor)) static void move_brk(void)
{
	if (getenv("WALK_SELF_ODD_BRK"))
		sbrk(7);
}

static void scenario_single(void)
{
	void **slots = new_slots(SLOTS);
	check("before anything");
	churn(slots, SLOTS, 5000, 1);
	check("single, young");
	churn(slots, SLOTS, 300000, 2);
	check("single");
	for (unsigned i = 0; i < SLOTS; i++)
		free(slots[i]);
	check("single, all freed");
}

static void scenario_threads(void)
{
	run_threads("threads", 2);
	run_threads("threads", 8);
}

static void *idler(void *arg)
{
	(void)arg;
	add_thread();
	pthread_barrier_wait(&arrived);
	pthread_barrier_wait(&leave);
	return NULL;
}

/* Threads that have never called malloc: no tcache, or a dummy that is in nobody's heap. */
static void scenario_idle(void)
{
	enum { N = 8 };
	pthread_t threads[N];
	void **slots = new_slots(SLOTS);
	pthread_barrier_init(&arrived, NULL, N + 1);
	pthread_barrier_init(&leave, NULL, N + 1);
	for (int i = 0; i < N; i++)
		pthread_create(&threads[i], NULL, idler, NULL);
	pthread_barrier_wait(&arrived);
	check("idle threads");
	churn(slots, SLOTS, 50000, 3);
	check("idle threads, one at work");
	pthread_barrier_wait(&leave);
	for (int i = 0; i < N; i++)
		pthread_join(threads[i], NULL);
}

static void scenario_arena_max(void)
{
	mallopt(M_ARENA_MAX, 1);
	run_threads("arena_max=1", 4);
}

static void scenario_mxfast(void)
{
	mallopt(M_MXFAST, 160);
	scenario_single();
	run_threads("mxfast=160", 2);
}

static void scenario_trim(void)
{
	void **slots = new_slots(SLOTS);
	churn(slots, SLOTS, 200000, 3);
	for (unsigned i = 0; i < SLOTS; i += 2) {
		free(slots[i]);
		slots[i] = NULL;
	}
	malloc_trim(0);
	check("trimmed");
	churn(slots, SLOTS, 20000, 4);
	check("trimmed and grown");
}

/* Chunks with their own mappings: plain, aligned, resized, both. */
static void mmapped_mix(size_t least, unsigned n, const char *label)
{
	void **slots = new_slots(n);
	uint64_t state = 12345;
	for (unsigned i = 0; i < n; i++) {
		size_t size = least + rng(&state) % (least * 3);
		slots[i] = i % 2 ? malloc(size) : memalign(64ull << rng(&state) % 15, size);
		if (slots[i])
			memset(slots[i], 0x11, size < 64 ? size : 64);
	}
	check(label);
	for (unsigned i = 0; i < n; i++) {
		size_t size = least + rng(&state) % (least * 5);
		if (i % 5 == 0) {
			free(slots[i]);
			slots[i] = NULL;
		} else if (i % 5 < 3) {
			slots[i] = realloc(slots[i], size);
		}
	}
	check(label);
}

static void scenario_perturb(void)
{
	mallopt(M_PERTURB, 0x5a);
	scenario_single();
	mmapped_mix(150000, 400, "perturbed and mmapped");
}

static void scenario_mmapped(void)
{
	mmapped_mix(150000, 400, "mmapped");
	void **slots = new_slots(SLOTS);
	churn(slots, SLOTS, 50000, 5);
	check("mmapped and churn");
}

/* Pages of the program's own that begin like such a chunk, below all others, so that they are met
 * first. Some are as large as true ones are. */
static void scenario_mmapped_strangers(void)
{
	static const size_t pages[] = {1001, 51, 51, 2003, 52};
	enum { AREA = 64 << 20 };
	void **slots = new_slots(20);
	for (unsigned i = 0; i < 20; i++)
		slots[i] = malloc(200000 + 4096 * (i % 5));
	for (unsigned n = 1; n <= 5; n++) {
		char *area = mmap((void *)0x100000000, AREA, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		if (area == MAP_FAILED)
			exit(77);
		char *at = area + 0x5000;
		for (unsigned i = 0; i < n; i++) {
			uint64_t header[2] = {0, pages[i] * 4096 + 2};
			memcpy(at, header, sizeof(header));
			at += pages[i] * 4096 + 0x3000;
		}
		check("pages like mmapped chunks");
		munmap(area, AREA);
	}
}

static void scenario_mmap_threshold(void)
{
	mallopt(M_MMAP_THRESHOLD, 5000);
	mmapped_mix(5000, 6000, "mmap_threshold=5000");
	run_threads("mmap_threshold=5000", 3);
}

static void scenario_foreign_sbrk(void)
{
	static const intptr_t gaps[] = {1, 16, 4096, 40, 100000, 5000000, 64};
	void **slots = new_slots(SLOTS);
	for (unsigned i = 0; i < sizeof(gaps) / sizeof(gaps[0]); i++) {
		churn(slots, SLOTS, 30000, i + 1);
		char *gap = sbrk(gaps[i]);
		memset(gap, i & 1 ? 0x21 : 0, (size_t)gaps[i]);
		churn(slots, SLOTS, 30000, i + 100);
		check("foreign sbrk");
	}
}

static void block_brk(void)
{
	uint64_t end = ((uint64_t)sbrk(0) + 4095) & ~4095ull;
	if (mmap((void *)end, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		    -1, 0) == MAP_FAILED)
		say("cannot block brk\n");
}

static void scenario_block_brk(void)
{
	void **slots = new_slots(SLOTS);
	churn(slots, SLOTS, 20000, 1);
	/* A count of mmapped chunks that is not 0 tells malloc's parameters from other memory. */
	void *mapped = malloc(64 << 20);
	block_brk();
	churn(slots, SLOTS, 300000, 2);
	check("blocked brk");
	uint64_t state = 99;
	void **more = new_slots(200000);
	for (unsigned i = 0; i < 200000; i++)
		more[i] = malloc(rng(&state) % 1000);
	check("blocked brk, many segments");
	for (unsigned i = 0; i < 200000; i += 3)
		free(more[i]);
	check("blocked brk, holes");
	run_threads("blocked brk", 2);
	free(mapped);
}

static void *many_heaps(void *arg)
{
	(void)arg;
	enum { ROUNDS = 8, BLOCKS = 3000 };
	void **slots = new_slots(ROUNDS * BLOCKS);
	uint64_t state = 7;
	add_thread();
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < BLOCKS; i++)
			slots[round * BLOCKS + i] =
				malloc(round % 2 ? 65512 : 16 + rng(&state) % 120000);
		for (unsigned i = 0; i < BLOCKS && round % 3 == 2; i += 2) {
			free(slots[round * BLOCKS + i]);
			slots[round * BLOCKS + i] = NULL;
		}
		pthread_barrier_wait(&arrived);
		pthread_barrier_wait(&leave);
	}
	return NULL;
}

static void scenario_heaps(void)
{
	/* Many heaps in one arena, with tops of all sizes left behind. */
	pthread_t thread;
	pthread_barrier_init(&arrived, NULL, 2);
	pthread_barrier_init(&leave, NULL, 2);
	pthread_create(&thread, NULL, many_heaps, NULL);
	for (unsigned i = 0; i < 8; i++) {
		pthread_barrier_wait(&arrived);
		check("heaps");
		pthread_barrier_wait(&leave);
	}
	pthread_join(thread, NULL);
}

/* A child of a threaded program: the tcaches of the threads that it did not inherit stay. */
static void scenario_orphans(void)
{
	pthread_t threads[4];
	n_workers = 4;
	pthread_barrier_init(&arrived, NULL, 5);
	pthread_barrier_init(&leave, NULL, 5);
	for (uint64_t i = 0; i < 4; i++) {
		thread_slots[i] = new_slots(SLOTS);
		pthread_create(&threads[i], NULL, worker, (void *)i);
	}
	pthread_barrier_wait(&arrived);
	pid_t pid = fork();
	if (pid == 0) {
		failures = 0;
		truth->n_threads = 1;
		void **slots = new_slots(SLOTS);
		churn(slots, SLOTS, 20000, 9);
		check("orphaned tcaches");
		_exit(failures);
	}
	int status;
	waitpid(pid, &status, 0);
	failures += status != 0;
	_exit(failures != 0);
}

/* A heap in pieces: mappings that touch but differ in name, locks and advice. */
static void split_heap(uint64_t inside)
{
	const uint64_t page = 4096, at = inside & ~(page - 1);
	madvise((void *)at, page, MADV_NOHUGEPAGE);
	madvise((void *)(at + 4 * page), 2 * page, MADV_DONTDUMP);
	mlock((void *)(at + 8 * page), page);
	prctl(53 /* PR_SET_VMA */, 0 /* PR_SET_VMA_ANON_NAME */, at + 12 * page, page, "a name");
}

static void *split_thread_heap(void *arg)
{
	void **slots = arg;
	add_thread();
	churn(slots, SLOTS, 50000, 8);
	for (unsigned i = 0; i < SLOTS; i += SLOTS / 20)
		split_heap((uint64_t)(slots[i] ? slots[i] : malloc(100)));
	pthread_barrier_wait(&arrived);
	pthread_barrier_wait(&leave);
	return NULL;
}

static void scenario_pieces(void)
{
	pthread_t thread;
	void **slots = new_slots(SLOTS);
	pthread_barrier_init(&arrived, NULL, 2);
	pthread_barrier_init(&leave, NULL, 2);
	pthread_create(&thread, NULL, split_thread_heap, new_slots(SLOTS));
	churn(slots, SLOTS, 100000, 7);
	for (unsigned i = 0; i < SLOTS; i += SLOTS / 20)
		split_heap((uint64_t)(slots[i] ? slots[i] : malloc(100)));
	pthread_barrier_wait(&arrived);
	check("heaps in pieces");
	pthread_barrier_wait(&leave);
	pthread_join(thread, NULL);
	churn(slots, SLOTS, 20000, 9);
	truth->n_threads = 1;
	check("heaps in pieces, grown");
}

/* Memory that must not be touched, or not all of it: guard regions, which look readable in the list
 * of mappings, and huge mappings of which hardly anything is there. */
static void scenario_guards(void)
{
	enum { MADV_GUARD_INSTALL_ = 102 };
	const size_t tib = 1ull << 40;
	void **slots = new_slots(SLOTS);
	churn(slots, SLOTS, 20000, 11);
	char *sparse = mmap(NULL, tib, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *shared = mmap(NULL, tib / 16, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	for (size_t at = 0; sparse != MAP_FAILED && at < tib; at += tib / 16)
		sparse[at] = 1;
	if (shared != MAP_FAILED)
		shared[tib / 32] = 1;
	unsigned n_guards = 0;
	for (unsigned i = 0; i < 50; i++) {
		char *map = mmap(
			NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		memset(map, (int)i, 1 << 20);
		for (unsigned k = 0; k < 256; k += 2)
			n_guards += madvise(map + k * 4096, 4096, MADV_GUARD_INSTALL_) == 0;
		slots[SLOTS - 1 - i] = slots[SLOTS - 1 - i] ? slots[SLOTS - 1 - i] : malloc(200000);
	}
	if (!n_guards)
		say("no guard regions on this kernel\n");
	uint64_t started = hf_sys_monotonic_ns();
	check("guards and sparse mappings");
	uint64_t ms = (hf_sys_monotonic_ns() - started) / 1000000;
	if (ms > 10000) {
		say("FAILED guards: %lu ms for sparse mappings\n", ms);
		failures++;
	}
}

static void scenario_many_threads(void)
{
	run_threads("100 threads", 100);
}

static void scenario_speed(void)
{
	/* 4 million objects, 64 bytes on average. */
	enum { N = 4000000 };
	uint64_t state = 1;
	for (unsigned i = 0; i < N; i++) {
		void *ptr = malloc(16 + rng(&state) % 80);
		if (i % 5 == 0)
			free(ptr);
	}
	check("speed");
}

/* Damage, done by the child to its own copy before it walks. */
static void **victims;

static void damage_size_huge(void)
{
	((uint64_t *)victims[1000])[-1] = 0x4141414141414141;
}

static void damage_size_zero(void)
{
	((uint64_t *)victims[1000])[-1] = 0;
}

static void damage_size_larger(void)
{
	((uint64_t *)victims[1000])[-1] += 0x500;
}

static void damage_size_smaller(void)
{
	((uint64_t *)victims[1000])[-1] = 0x21;
}

static void damage_overflow(void)
{
	memset(victims[1000], 'A', 200);
}

static void damage_tcache_link(void)
{
	/* Use after free: the second chunk of a list cannot be found. */
	void *a = malloc(40), *b = malloc(40);
	free(a);
	free(b);
	*(uint64_t *)b = 0x4242424242424242;
}

static void scenario_damage(void)
{
	static const struct {
		const char *label;
		void (*fn)(void);
		uint64_t missing, extra;
	} cases[] = {
		{"damage: huge size", damage_size_huge, 4, 4},
		{"damage: zero size", damage_size_zero, 4, 4},
		{"damage: larger size", damage_size_larger, 24, 4},
		{"damage: smaller size", damage_size_smaller, 4, 4},
		{"damage: overflow", damage_overflow, 8, 4},
		{"damage: tcache link", damage_tcache_link, 0, 8},
	};
	victims = new_slots(3000);
	for (unsigned i = 0; i < 3000; i++) {
		victims[i] = malloc(72);
		memset(victims[i], 0, 72);
	}
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		damage = cases[i].fn;
		check_with(cases[i].label, &(struct tolerance){.missing = cases[i].missing,
						   .extra = cases[i].extra,
						   .bad_sizes = 2,
						   .counters = true,
						   .partial = true,
						   .verbose = true});
	}
}

/* --- caught in the middle ------------------------------------------------------------------- */

static volatile bool stop_running;

static void *runner(void *arg)
{
	uint64_t id = (uint64_t)arg;
	add_thread();
	for (uint64_t round = 0; !stop_running; round++)
		churn(thread_slots[id], SLOTS / 10, 1000, id * 1000 + round);
	return NULL;
}

/* A copy of the process as the kernel makes it, without what libc does around fork(). */
static void walk_raw_copy(const char *label, const struct tolerance *allow)
{
	long pid = hf_syscall5(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0) {
		int failed = child(label, allow);
		hf_syscall1(SYS_exit_group, failed);
	}
	int status = -1;
	while (hf_syscall4(SYS_wait4, pid, &status, 0, 0) == -EINTR)
		;
	if (status) {
		failures++;
		if (WIFSIGNALED(status))
			say("FAILED %s: the walk died of signal %d\n", label, WTERMSIG(status));
	}
}

/* Nobody is stopped: locks may be held, lists half linked, and each thread has a call under way
 * that the table knows too early or too late. */
static void scenario_race(void)
{
	enum { THREADS = 4 };
	const char *env = getenv("WALK_SELF_SNAPSHOTS");
	const unsigned n_snapshots = env ? (unsigned)atol(env) : 40;
	pthread_t threads[THREADS];
	for (uint64_t i = 0; i < THREADS; i++) {
		thread_slots[i] = new_slots(SLOTS);
		pthread_create(&threads[i], NULL, runner, (void *)i);
	}
	for (unsigned i = 0; i < n_snapshots; i++) {
		hf_sys_sleep_ns(2000000);
		walk_raw_copy("race", &(struct tolerance){.missing = 2 * THREADS,
					      .extra = 150,
					      .bad_sizes = THREADS,
					      .counters = true,
					      .partial = true,
					      .quiet = i % 50 != 0});
	}
	stop_running = true;
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	truth->n_threads = 1;
	check("race is over");
}

/* Single steps: after each instruction of malloc, the heap is walked. */
static uint64_t n_steps, walk_every, n_walked;

static void on_step(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)info;
	const ucontext_t *uc = context;
	if (++n_steps % walk_every)
		return;
	n_walked++;
	truth->pc[0] = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
	walk_raw_copy("step", &(struct tolerance){.missing = 3,
				      .extra = 7,
				      .bad_sizes = 1,
				      .counters = true,
				      .partial = true,
				      .quiet = true});
	truth->pc[0] = 0;
}

static inline void step(bool on)
{
	uint64_t flags;
	__asm__ volatile("pushfq\n\tpopq %0" : "=r"(flags)::"memory");
	flags = on ? flags | 0x100 : flags & ~0x100ull;
	__asm__ volatile("pushq %0\n\tpopfq" ::"r"(flags) : "memory", "cc");
}

static void scenario_step(void)
{
	enum { SMALL = 300 };
	const char *every = getenv("WALK_SELF_EVERY"), *ops = getenv("WALK_SELF_OPERATIONS");
	struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
	uint64_t n_ops = ops ? (uint64_t)atol(ops) : 150, state = 4711;
	walk_every = every ? (uint64_t)atol(every) : 211;
	shrink_table();
	sigaction(SIGTRAP, &action, NULL);
	mallopt(M_MMAP_THRESHOLD, 200000);
	mallopt(M_TRIM_THRESHOLD, 300000);
	void **slots = new_slots(SMALL);
	churn(slots, SMALL, 3000, 1);
	for (uint64_t i = 0; i < n_ops; i++) {
		churn(slots, SMALL, 20, i); /* not stepped: other states to start from */
		size_t at = rng(&state) % SMALL, size = any_size(&state);
		step(true);
		if (i % 16 == 0)
			malloc_trim(0);
		else if (!slots[at])
			slots[at] = i % 5 ? malloc(size) : memalign(64, size);
		else if (i % 3 == 0)
			slots[at] = realloc(slots[at], size + 1);
		else {
			free(slots[at]);
			slots[at] = NULL;
		}
		step(false);
	}
	say("%lu steps, %lu walked\n", n_steps, n_walked);
	check("after steps");
}

/* Any word of the heap, the arenas, the tcaches may be anything: the walk ends, and does not crash.
 */
static uint64_t fuzz_seed;
/* Where malloc's own data is: a free chunk of the main arena links to its list head there. */
static uint64_t main_words[2];

static uint64_t *any_word(uint64_t *state)
{
	uint64_t kind = rng(state) % 4;
	if (kind == 0)
		return (uint64_t *)main_words[0] + rng(state) % (main_words[1] / 8);
	uint64_t slot = rng(state) % n_slots;
	while (truth->table[slot] <= TOMBSTONE)
		slot = (slot + 1) % n_slots;
	uint64_t heap = truth->table[slot];
	if (kind == 1) /* headers at the start of a heap: heap_info, arena, tcache */
		heap = (heap & ~0x3ffffffull) + rng(state) % 0xd00;
	uint64_t *word = (uint64_t *)((heap & ~7ull) - 16 + rng(state) % 4 * 8);
	char byte;
	struct iovec local = {&byte, 1}, remote = {word, 1};
	return hf_syscall6(SYS_process_vm_readv, getpid(), (long)&local, 1, (long)&remote, 1, 0) ==
			       1
		       ? word
		       : (uint64_t *)(truth->table[slot] - 8);
}

static void damage_anything(void)
{
	static uint64_t chunk;
	uint64_t state = fuzz_seed * 0x9e3779b97f4a7c15ull + 1;
	chunk = (uint64_t)victims[rng(&state) % 3000];
	for (unsigned i = 1 + rng(&state) % 20; i > 0; i--) {
		uint64_t *word = any_word(&state);
		switch (rng(&state) % 6) {
		case 0:
			*word = 0;
			break;
		case 1:
			*word = rng(&state);
			break;
		case 2:
			*word ^= 1ull << rng(&state) % 64;
			break;
		case 3:
			*word = (uint64_t)word & ~15ull;
			break;
		case 4:
			*word = chunk - 16;
			break;
		default:
			*word += 16 * (rng(&state) % 64);
		}
	}
}

static void on_crash(int sig, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	say("FAILED fuzz: seed %lu: signal %d at pc 0x%llx (main + 0x%llx), address 0x%lx\n",
		fuzz_seed, sig, uc->uc_mcontext.gregs[REG_RIP],
		uc->uc_mcontext.gregs[REG_RIP] - (long long)(uint64_t)damage_anything,
		(uint64_t)info->si_addr);
	_exit(1);
}

static void scenario_fuzz(void)
{
	struct sigaction action = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO};
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	const char *rounds = getenv("WALK_SELF_ROUNDS");
	uint64_t n = rounds ? (uint64_t)atol(rounds) : 150;
	pthread_t thread;
	shrink_table();
	victims = new_slots(3000);
	n_workers = 1;
	thread_slots[0] = new_slots(SLOTS);
	pthread_barrier_init(&arrived, NULL, 2);
	pthread_barrier_init(&leave, NULL, 2);
	pthread_create(&thread, NULL, worker, NULL);
	pthread_barrier_wait(&arrived);
	for (unsigned i = 0; i < 3000; i++)
		victims[i] = malloc(20 + i % 100);
	for (unsigned i = 0; i < 3000; i += 7)
		free(victims[i]);
	uint64_t *big = malloc(5000);
	victims[0] = malloc(5000);
	uint64_t *volatile freed = big;
	free(big);
	main_words[0] = (freed[0] & ~7ull) - 0xa00;
	main_words[1] = 2 * 0xa00;
	damage = damage_anything;
	for (fuzz_seed = 1; fuzz_seed <= n; fuzz_seed++) {
		uint64_t start = hf_sys_monotonic_ns();
		check_with("fuzz", &(struct tolerance){.missing = UINT64_MAX,
					   .extra = UINT64_MAX,
					   .bad_sizes = UINT64_MAX,
					   .overlaps = true,
					   .counters = true,
					   .uncertain = true,
					   .partial = true,
					   .quiet = true,
					   .silent = true});
		uint64_t ms = (hf_sys_monotonic_ns() - start) / 1000000;
		if (ms > 3000) {
			say("FAILED fuzz: seed %lu took %lu ms\n", fuzz_seed, ms);
			failures++;
		}
	}
	say("fuzz: %lu rounds, %d failed\n", n, failures);
	_exit(failures != 0);
}

static const struct {
	const char *name;
	void (*run)(void);
} scenarios[] = {
	{"single", scenario_single},
	{"threads", scenario_threads},
	{"arena_max", scenario_arena_max},
	{"mxfast", scenario_mxfast},
	{"perturb", scenario_perturb},
	{"trim", scenario_trim},
	{"mmapped", scenario_mmapped},
	{"mmapped_strangers", scenario_mmapped_strangers},
	{"mmap_threshold", scenario_mmap_threshold},
	{"foreign_sbrk", scenario_foreign_sbrk},
	{"block_brk", scenario_block_brk},
	{"heaps", scenario_heaps},
	{"orphans", scenario_orphans},
	{"pieces", scenario_pieces},
	{"guards", scenario_guards},
	{"many_threads", scenario_many_threads},
	{"idle", scenario_idle},
	{"damage", scenario_damage},
	{"speed", scenario_speed},
	{"race", scenario_race},
	{"step", scenario_step},
	{"fuzz", scenario_fuzz},
};

int main(int argc, char **argv)
{
	free(malloc(100)); /* so that the table exists */
	add_thread();
	for (size_t i = 0; argc == 2 && i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		if (strcmp(argv[1], scenarios[i].name) == 0) {
			scenarios[i].run();
			return failures != 0;
		}
	}
	say("usage: walk_self SCENARIO\n");
	return 2;
}

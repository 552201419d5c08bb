/*
 * The allocation functions that the program calls, in front of whatever allocator it has: the next
 * definition in the loader's search order. Exported from libholdfast.so and nowhere else.
 *
 * An allocation counts down the bytes to the thread's next sample point, and only one that reaches
 * it goes on to the recorder, as a free does only if the filter says that its address may be
 * recorded. The others jump on (struct onward): a call and a return of ours would cost more than
 * all that is done before. So what they return is looked at only if memory may be refused to this
 * process, or all is recorded; then they jump to functions of ours. An allocation that fails for
 * want of memory goes to whoever asked for that.
 *
 * Until that is known (the first call looks it up, and the loader may allocate for that) memory
 * comes from a small static buffer, whose addresses the filter knows; it is never given back.
 */
#include "site/hooks.h"
#include "site/hooks_inside.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "site/live.h"
#include "site/modules.h"
#include "site/record.h"

enum {
	EARLY_SIZE = 32 << 10,
	EARLY_HEADER = 16, /* before each early block: its size */
	MAX_ALIGNMENT_EARLY = 4096,
};

/* Early memory. */

static _Alignas(4096) char early[EARLY_SIZE];
static uint32_t early_used;

bool hf_hooks_early(const void *p)
{
	return (const char *)p >= early && (const char *)p < early + EARLY_SIZE;
}

static size_t early_size(const void *p)
{
	size_t size;
	memcpy(&size, (const char *)p - EARLY_HEADER, sizeof(size));
	return size;
}

static void *early_alloc(size_t size, size_t alignment)
{
	if (size > EARLY_SIZE || alignment > MAX_ALIGNMENT_EARLY) {
		errno = ENOMEM;
		return NULL;
	}
	alignment = alignment < 16 ? 16 : alignment;
	size_t total = EARLY_HEADER + (size + 15) / 16 * 16 + alignment - 16;
	uint32_t at = __atomic_fetch_add(&early_used, (uint32_t)total, __ATOMIC_RELAXED);
	if (at > EARLY_SIZE - total || total > EARLY_SIZE) {
		__atomic_store_n(&early_used, EARLY_SIZE, __ATOMIC_RELAXED);
		errno = ENOMEM;
		return NULL;
	}
	uintptr_t p = ((uintptr_t)early + at + EARLY_HEADER + alignment - 1) & ~(alignment - 1);
	memcpy((char *)p - EARLY_HEADER, &size, sizeof(size));
	hf_site_filter_add((void *)p);
	return (void *)p;
}

/* The next definitions. They start as functions that look themselves up. */

#define EACH_NEXT(X)                                                                               \
	X(malloc, void *, (size_t size), (size))                                                   \
	X(calloc, void *, (size_t n, size_t size), (n, size))                                      \
	X(realloc, void *, (void *p, size_t size), (p, size))                                      \
	X(free, void, (void *p), (p))                                                              \
	X(posix_memalign, int, (void **ret, size_t alignment, size_t size),                        \
		(ret, alignment, size))                                                            \
	X(aligned_alloc, void *, (size_t alignment, size_t size), (alignment, size))               \
	X(memalign, void *, (size_t alignment, size_t size), (alignment, size))                    \
	X(valloc, void *, (size_t size), (size))                                                   \
	X(pvalloc, void *, (size_t size), (size))

#define DECLARE_FIRST(name, type, parameters, arguments) static type first_##name parameters;
EACH_NEXT(DECLARE_FIRST)

static struct {
#define DECLARE_NEXT(name, type, parameters, arguments) type(*name) parameters;
	EACH_NEXT(DECLARE_NEXT)
} next = {
#define START_WITH_FIRST(name, type, parameters, arguments) .name = first_##name,
	EACH_NEXT(START_WITH_FIRST)};

/* Where the calls go on to that are not recorded. */
#define EACH_ONWARD(X)                                                                             \
	X(malloc)                                                                                  \
	X(calloc)                                                                                  \
	X(realloc)                                                                                 \
	X(free)
static _Alignas(64) struct {
#define DECLARE_ONWARD(name) typeof(next.name) name;
	EACH_ONWARD(DECLARE_ONWARD)
} onward = {
#define ONWARD_FIRST(name) .name = first_##name,
	EACH_ONWARD(ONWARD_FIRST)};

static void settle(void);

static int resolving; /* 0 not yet, 1 under way, 2 done */

static void look_up(void *ret, const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);
	if (found)
		memcpy(ret, &found, sizeof(found));
}

/* True: the next definitions are known. False: they are being looked up, by this thread or another.
 */
static bool resolve(void)
{
	int expected = 0;
	if (!__atomic_compare_exchange_n(
		    &resolving, &expected, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return expected == 2;
	typeof(next) found = next;
	int saved = errno;
#define LOOK_UP(name, type, parameters, arguments) look_up(&found.name, #name);
	EACH_NEXT(LOOK_UP)
	errno = saved;
	/* word by word: other threads call through them */
#define PUBLISH(name, type, parameters, arguments)                                                 \
	__atomic_store_n(&next.name, found.name, __ATOMIC_RELEASE);
	EACH_NEXT(PUBLISH)
	hf_site_on_all = settle;
	__atomic_store_n(&resolving, 2, __ATOMIC_RELEASE);
	settle();
	return true;
}

/* The definition to go on with: NULL if there is none, or not yet. */
#define RESOLVED(name) (resolve() && next.name != first_##name ? next.name : NULL)

static void *first_malloc(size_t size)
{
	typeof(next.malloc) fn = RESOLVED(malloc);
	return fn ? fn(size) : early_alloc(size, 16);
}

static void *first_calloc(size_t n, size_t size)
{
	typeof(next.calloc) fn = RESOLVED(calloc);
	size_t total;
	if (fn)
		return fn(n, size);
	if (__builtin_mul_overflow(n, size, &total)) {
		errno = ENOMEM;
		return NULL;
	}
	return early_alloc(total, 16); /* never used before: zero */
}

static void *first_realloc(void *p, size_t size)
{
	typeof(next.realloc) fn = RESOLVED(realloc);
	return fn ? fn(p, size) : NULL;
}

static void first_free(void *p)
{
	typeof(next.free) fn = RESOLVED(free);
	if (fn)
		fn(p);
}

static int first_posix_memalign(void **ret, size_t alignment, size_t size)
{
	typeof(next.posix_memalign) fn = RESOLVED(posix_memalign);
	if (fn)
		return fn(ret, alignment, size);
	int saved = errno;
	void *p = early_alloc(size, alignment);
	errno = saved;
	if (!p)
		return ENOMEM;
	*ret = p;
	return 0;
}

static void *first_aligned_alloc(size_t alignment, size_t size)
{
	typeof(next.aligned_alloc) fn = RESOLVED(aligned_alloc);
	return fn ? fn(alignment, size) : early_alloc(size, alignment);
}

static void *first_memalign(size_t alignment, size_t size)
{
	typeof(next.memalign) fn = RESOLVED(memalign);
	return fn ? fn(alignment, size) : early_alloc(size, alignment);
}

static void *first_valloc(size_t size)
{
	typeof(next.valloc) fn = RESOLVED(valloc);
	return fn ? fn(size) : early_alloc(size, 4096);
}

static void *first_pvalloc(size_t size)
{
	typeof(next.pvalloc) fn = RESOLVED(pvalloc);
	return fn ? fn(size) : early_alloc(size, 4096);
}

/* The hooks. */

void *hf_hooks_next_malloc(void)
{
	return resolve() ? (void *)next.malloc : NULL;
}

static void (*on_failure)(const char *function, size_t size_bytes);
static void (*on_look)(void);
static bool is_refusable = true; /* memory may be refused to this process */

void hf_site_hooks_on_failure(void (*fn)(const char *function, size_t size_bytes))
{
	__atomic_store_n(&on_failure, fn, __ATOMIC_RELEASE);
	settle();
}

void hf_site_hooks_refusable(bool refusable)
{
	if (refusable == __atomic_exchange_n(&is_refusable, refusable, __ATOMIC_ACQ_REL))
		return;
	settle();
}

void hf_site_hooks_on_look(void (*fn)(void))
{
	__atomic_store_n(&on_look, fn, __ATOMIC_RELEASE);
}

/* An allocation function is about to return NULL, or ENOMEM. Not every NULL is a want of memory: a
 * wrong alignment is EINVAL, and some allocators have nothing for 0 bytes. */
SLOW static void *failed(const char *function, size_t size, int error)
{
	typeof(on_failure) fn = __atomic_load_n(&on_failure, __ATOMIC_ACQUIRE);
	if (fn && size && error == ENOMEM)
		fn(function, size);
	return NULL;
}

static inline void *checked(void *p, const char *function, size_t size)
{
	return RARE(!p) ? failed(function, size, errno) : p;
}

static void *allocated(void *p, const char *function, size_t size, const struct hf_context *caller)
{
	if (!p)
		return failed(function, size, errno);
	hf_site_allocated(p, size, caller);
	typeof(on_look) look = __atomic_load_n(&on_look, __ATOMIC_ACQUIRE);
	if (look && hf_site_thread.countdown)
		look();
	return p;
}

SLOW static void *slow_malloc(size_t size)
{
	struct hf_context caller = CALLER;
	hf_site_prepare(&caller);
	return allocated(next.malloc(size), "malloc", size, &caller);
}

HF_API HOT void *malloc(size_t size)
{
	if (is_sampled(size))
		return slow_malloc(size);
	return onward.malloc(size);
}

static void *checked_malloc(size_t size)
{
	return checked(next.malloc(size), "malloc", size);
}

SLOW static void *slow_calloc(size_t n, size_t size)
{
	struct hf_context caller = CALLER;
	return allocated(next.calloc(n, size), "calloc", n * size, &caller);
}

HF_API void *calloc(size_t n, size_t size)
{
	size_t total;
	if (RARE(__builtin_mul_overflow(n, size, &total)))
		return next.calloc(n, size); /* it fails */
	if (is_sampled(total))
		return slow_calloc(n, size);
	return onward.calloc(n, size);
}

static void *checked_calloc(size_t n, size_t size)
{
	return checked(next.calloc(n, size), "calloc", n * size);
}

static void *realloc_early(void *p, size_t size)
{
	void *moved = next.malloc(size);
	size_t old = early_size(p);
	if (moved)
		memcpy(moved, p, old < size ? old : size);
	return moved;
}

/* The old address is given up before realloc: another thread may get it before it returns. */
SLOW static void *slow_realloc(void *p, size_t size, bool sampled, const char *function)
{
	struct hf_context caller = CALLER;
	struct hf_live_object old;
	bool recorded = may_be_recorded(p) && !hf_hooks_early(p) && hf_site_freed(p, &old);
	void *q = hf_hooks_early(p) ? realloc_early(p, size) : next.realloc(p, size);
	if (!q && recorded && size)
		hf_site_undo_freed(&old);
	return sampled ? allocated(q, function, size, &caller) : checked(q, function, size);
}

HF_API void *realloc(void *p, size_t size)
{
	if (is_sampled(size))
		return slow_realloc(p, size, true, "realloc");
	if (is_in_filter(p))
		return slow_realloc(p, size, false, "realloc");
	return onward.realloc(p, size);
}

static void *checked_realloc(void *p, size_t size)
{
	return checked(next.realloc(p, size), "realloc", size);
}

/* Once everything was recorded, the filter does not know all. */
static void *any_realloc(void *p, size_t size)
{
	return slow_realloc(p, size, false, "realloc");
}

HF_API void *reallocarray(void *p, size_t n, size_t size)
{
	size_t total;
	if (RARE(__builtin_mul_overflow(n, size, &total))) {
		errno = ENOMEM;
		return NULL;
	}
	bool sampled = is_sampled(total);
	if (RARE(sampled || may_be_recorded(p)))
		return slow_realloc(p, total, sampled, "reallocarray");
	return checked(next.realloc(p, total), "reallocarray", total);
}

SLOW static void slow_free(void *p)
{
	if (hf_hooks_early(p))
		return;
	hf_site_freed(p, NULL);
	next.free(p);
}

HF_API HOT void free(void *p)
{
	if (is_in_filter(p))
		slow_free(p);
	else
		onward.free(p);
}

static void point_onward(void)
{
	typeof(onward) to = {next.malloc, next.calloc, next.realloc, next.free};
	if (__atomic_load_n(&on_failure, __ATOMIC_ACQUIRE) &&
		__atomic_load_n(&is_refusable, __ATOMIC_ACQUIRE))
		to = (typeof(onward)){checked_malloc, checked_calloc, checked_realloc, next.free};
	if (hf_site_all()) {
		to.realloc = any_realloc;
		to.free = slow_free;
	}
#define POINT(name) __atomic_store_n(&onward.name, to.name, __ATOMIC_RELEASE);
	EACH_ONWARD(POINT)
}

/* By what is true now. Of several threads, or a signal handler and what it interrupted, the first
 * does it for all: it goes round again. */
static uint32_t settling;

static void settle(void)
{
	if (__atomic_load_n(&resolving, __ATOMIC_ACQUIRE) != 2 ||
		__atomic_fetch_add(&settling, 1, __ATOMIC_ACQ_REL))
		return;
	uint32_t seen;
	do {
		seen = __atomic_load_n(&settling, __ATOMIC_ACQUIRE);
		point_onward();
	} while (!__atomic_compare_exchange_n(
		&settling, &seen, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
}

extern void cfree(void *p);
extern void free_sized(void *p, size_t size);
extern void free_aligned_sized(void *p, size_t alignment, size_t size);

HF_API void cfree(void *p)
{
	free(p);
}

HF_API void free_sized(void *p, size_t size)
{
	free(p);
}

HF_API void free_aligned_sized(void *p, size_t alignment, size_t size)
{
	free(p);
}

SLOW static int slow_posix_memalign(void **ret, size_t alignment, size_t size)
{
	struct hf_context caller = CALLER;
	int rc = next.posix_memalign(ret, alignment, size);
	if (!rc)
		hf_site_allocated(*ret, size, &caller);
	else
		failed("posix_memalign", size, rc);
	return rc;
}

HF_API int posix_memalign(void **ret, size_t alignment, size_t size)
{
	if (is_sampled(size))
		return slow_posix_memalign(ret, alignment, size);
	int rc = next.posix_memalign(ret, alignment, size);
	if (RARE(rc))
		failed("posix_memalign", size, rc);
	return rc;
}

#define HOOK_ALIGNED(name, parameters, arguments)                                                  \
	SLOW static void *slow_##name parameters                                                   \
	{                                                                                          \
		struct hf_context caller = CALLER;                                                 \
		return allocated(next.name arguments, #name, size, &caller);                       \
	}                                                                                          \
	extern void *name parameters;                                                              \
	HF_API void *name parameters                                                               \
	{                                                                                          \
		if (is_sampled(size))                                                              \
			return slow_##name arguments;                                              \
		return checked(next.name arguments, #name, size);                                  \
	}

HOOK_ALIGNED(aligned_alloc, (size_t alignment, size_t size), (alignment, size))
HOOK_ALIGNED(memalign, (size_t alignment, size_t size), (alignment, size))
HOOK_ALIGNED(valloc, (size_t size), (size))
HOOK_ALIGNED(pvalloc, (size_t size), (size))

/* Code may lie elsewhere from now on. */
HF_API int dlclose(void *handle)
{
	static int (*next_dlclose)(void *);
	if (!next_dlclose)
		look_up(&next_dlclose, "dlclose");
	int rc = next_dlclose ? next_dlclose(handle) : -1;
	hf_site_unloaded();
	return rc;
}

/* A thread that was at it is not here. */
static void forked(void)
{
	hf_site_after_fork_in_child();
	settling = 0;
	settle();
}

void hf_site_hooks_start(void)
{
	resolve();
	hf_modules_init(false);
	pthread_atfork(hf_site_before_fork, hf_site_after_fork_in_parent, forked);
}

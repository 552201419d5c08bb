/*
 * operator new and delete of C++, in all forms, in front of the next definitions.
 *
 * Those of libstdc++ and libc++ call malloc and free, which are hooked, so that these here only
 * jump on to them. An allocator that comes with operators of its own (jemalloc, tcmalloc, mimalloc)
 * does not go through its malloc: then they are hooks like the others. A program that defines
 * operators itself keeps them: its definitions come before ours.
 *
 * The next definitions are looked up with the first call of one: a program without C++ has none.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "site/hooks_inside.h"
#include "site/modules.h"

/* Itanium C++ ABI: m size_t, Pv void *, RKSt9nothrow_t const std::nothrow_t &, St11align_val_t */
#define EACH_NEW(X)                                                                                \
	X(_Znwm, (size_t size), (size), 16, false)                                                 \
	X(_Znam, (size_t size), (size), 16, false)                                                 \
	X(_ZnwmRKSt9nothrow_t, (size_t size, const void *nothrow), (size, nothrow), 16, true)      \
	X(_ZnamRKSt9nothrow_t, (size_t size, const void *nothrow), (size, nothrow), 16, true)      \
	X(_ZnwmSt11align_val_t, (size_t size, size_t align), (size, align), align, false)          \
	X(_ZnamSt11align_val_t, (size_t size, size_t align), (size, align), align, false)          \
	X(_ZnwmSt11align_val_tRKSt9nothrow_t, (size_t size, size_t align, const void *nothrow),    \
		(size, align, nothrow), align, true)                                               \
	X(_ZnamSt11align_val_tRKSt9nothrow_t, (size_t size, size_t align, const void *nothrow),    \
		(size, align, nothrow), align, true)

#define EACH_DELETE(X)                                                                             \
	X(_ZdlPv, (void *p), (p))                                                                  \
	X(_ZdaPv, (void *p), (p))                                                                  \
	X(_ZdlPvm, (void *p, size_t size), (p, size))                                              \
	X(_ZdaPvm, (void *p, size_t size), (p, size))                                              \
	X(_ZdlPvRKSt9nothrow_t, (void *p, const void *nothrow), (p, nothrow))                      \
	X(_ZdaPvRKSt9nothrow_t, (void *p, const void *nothrow), (p, nothrow))                      \
	X(_ZdlPvSt11align_val_t, (void *p, size_t align), (p, align))                              \
	X(_ZdaPvSt11align_val_t, (void *p, size_t align), (p, align))                              \
	X(_ZdlPvmSt11align_val_t, (void *p, size_t size, size_t align), (p, size, align))          \
	X(_ZdaPvmSt11align_val_t, (void *p, size_t size, size_t align), (p, size, align))          \
	X(_ZdlPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t align, const void *nothrow),       \
		(p, align, nothrow))                                                               \
	X(_ZdaPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t align, const void *nothrow),       \
		(p, align, nothrow))

#define DECLARE_NEW(name, parameters, arguments, align, may_fail)                                  \
	extern void *name parameters;                                                              \
	static void *first_##name parameters;
#define DECLARE_DELETE(name, parameters, arguments)                                                \
	extern void name parameters;                                                               \
	static void first_##name parameters;
EACH_NEW(DECLARE_NEW)
EACH_DELETE(DECLARE_DELETE)

static struct {
#define NEW_FIELD(name, parameters, arguments, align, may_fail) void *(*name)parameters;
#define DELETE_FIELD(name, parameters, arguments)               void(*name) parameters;
	EACH_NEW(NEW_FIELD)
	EACH_DELETE(DELETE_FIELD)
} next = {
#define NEW_FIRST(name, parameters, arguments, align, may_fail) .name = first_##name,
#define DELETE_FIRST(name, parameters, arguments)               .name = first_##name,
	EACH_NEW(NEW_FIRST) EACH_DELETE(DELETE_FIRST)};

/* The next definitions are an allocator's own. */
static bool is_allocators;

/* Where there is nobody else: a library with C++ that was opened for itself, without the runtime in
 * the loader's search order, has it under these names. */
static void *find(const char *name)
{
	static const char *const runtimes[] = {"libstdc++.so.6", "libc++abi.so.1", "libc++.so.1"};
	void *found = dlsym(RTLD_NEXT, name);
	for (size_t i = 0; !found && i < sizeof(runtimes) / sizeof(runtimes[0]); i++) {
		void *runtime = dlopen(runtimes[i], RTLD_LAZY | RTLD_NOLOAD);
		if (!runtime)
			continue;
		found = dlsym(runtime, name);
		dlclose(runtime);
	}
	return found;
}

static void look_up(void *ret, const char *name)
{
	void *found = find(name);
	if (found)
		__atomic_store_n((void **)ret, found, __ATOMIC_RELEASE);
}

/* Settle what the next definitions are; NULL. While malloc itself is being looked up (an
 * allocator's constructor uses these) nothing is settled: the definition to go on with this once,
 * or `ours`, because there is none. */
static SLOW void *resolve(void *ours, const char *name)
{
	int saved = errno;
	void *next_malloc = hf_hooks_next_malloc();
	if (!next_malloc) {
		void *found = find(name);
		errno = saved;
		return found ? found : ours;
	}
	void *next_new = find("_Znwm");
	if (next_new && hf_modules_same(next_new, next_malloc))
		__atomic_store_n(&is_allocators, true, __ATOMIC_RELEASE);
#define LOOK_UP_NEW(name, parameters, arguments, align, may_fail) look_up(&next.name, #name);
#define LOOK_UP_DELETE(name, parameters, arguments)               look_up(&next.name, #name);
	EACH_NEW(LOOK_UP_NEW)
	EACH_DELETE(LOOK_UP_DELETE)
	errno = saved;
	return NULL;
}

/* Nobody has a definition: what the language asks for, but that nobody knows std::bad_alloc. */
static void *allocate(size_t size, size_t align, bool may_fail)
{
	size = size ? size : 1;
	void *p = align <= 16 ? malloc(size) : aligned_alloc(align, (size + align - 1) & -align);
	if (!p && !may_fail)
		abort();
	return p;
}

#define FIRST_NEW(name, parameters, arguments, align, may_fail)                                    \
	static SLOW void *first_##name parameters                                                  \
	{                                                                                          \
		typeof(next.name) now = resolve((void *)first_##name, #name);                      \
		now = now ? now : next.name;                                                       \
		if (now == first_##name)                                                           \
			return allocate(size, align, may_fail);                                    \
		return now == next.name ? name arguments : now arguments;                          \
	}
#define FIRST_DELETE(name, parameters, arguments)                                                  \
	static SLOW void first_##name parameters                                                   \
	{                                                                                          \
		typeof(next.name) now = resolve((void *)first_##name, #name);                      \
		now = now ? now : next.name;                                                       \
		if (now == first_##name)                                                           \
			free(p);                                                                   \
		else if (now == next.name)                                                         \
			name arguments;                                                            \
		else                                                                               \
			now arguments;                                                             \
	}
EACH_NEW(FIRST_NEW)
EACH_DELETE(FIRST_DELETE)

/* A failed allocation throws through these frames. */
#define HOOK_NEW(name, parameters, arguments, align, may_fail)                                     \
	SLOW static void *slow_##name parameters                                                   \
	{                                                                                          \
		struct hf_context caller = CALLER;                                                 \
		void *p = next.name arguments;                                                     \
		if (p)                                                                             \
			hf_site_allocated(p, size, &caller);                                       \
		return p;                                                                          \
	}                                                                                          \
	HF_API void *name parameters                                                               \
	{                                                                                          \
		if (is_allocators && is_sampled(size))                                             \
			return slow_##name arguments;                                              \
		return next.name arguments;                                                        \
	}
#define HOOK_DELETE(name, parameters, arguments)                                                   \
	SLOW static void slow_##name parameters                                                    \
	{                                                                                          \
		if (hf_hooks_early(p))                                                             \
			return;                                                                    \
		hf_site_freed(p, NULL);                                                            \
		next.name arguments;                                                               \
	}                                                                                          \
	HF_API void name parameters                                                                \
	{                                                                                          \
		if (is_allocators && may_be_recorded(p))                                           \
			slow_##name arguments;                                                     \
		else                                                                               \
			next.name arguments;                                                       \
	}
EACH_NEW(HOOK_NEW)
EACH_DELETE(HOOK_DELETE)

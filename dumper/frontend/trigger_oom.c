/*
 * oom=1: a dump when an allocation function is about to return NULL, or operator new, which calls
 * it, to throw. The snapshot is taken before the program gets its NULL.
 *
 * What fails together is one event: after a dump, failures that come within BURST_NS of one another
 * make no further one. A request that no machine could serve (more than the address space holds) is
 * a mistake in a program, not a want of memory, and makes none.
 *
 * To look at what each allocation returns has a price, and where nothing limits the process a small
 * one does not fail. So small ones are looked at only while there is a limit: on address space or
 * data, strict overcommit of the machine, or future mappings that must be locked. Who changes a
 * limit calls the functions here; limits that are set past them, or from outside, are seen when
 * LOOK_S seconds are over and another 4 MiB allocated. Once anything has failed, all is looked at.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "base/fmt.h"
#include "base/sys.h"
#include "frontend/next.h"
#include "frontend/trigger.h"
#include "site/hooks.h"

#define HF_API __attribute__((visibility("default")))

enum {
	LOOK_S = 1,
	LOOKS = 16, /* the clock is asked each so many times */
};

static const uint64_t BURST_NS = 10ull * 1000 * 1000 * 1000;
static const uint64_t ADDRESS_SPACE = 1ull << 47;

static uint64_t last_failure_ns; /* 0: none yet */
static bool on;
static bool is_strict; /* whatever the limits are, memory may be refused */

static bool is_limited(int resource)
{
	struct rlimit limit;
	return hf_syscall4(SYS_prlimit64, 0, resource, 0, &limit) < 0 ||
	       limit.rlim_cur != RLIM_INFINITY;
}

static void look_at_limits(void)
{
	if (on)
		hf_site_hooks_refusable(__atomic_load_n(&is_strict, __ATOMIC_RELAXED) ||
					is_limited(RLIMIT_AS) || is_limited(RLIMIT_DATA));
}

static void be_strict(void)
{
	__atomic_store_n(&is_strict, true, __ATOMIC_RELAXED);
	look_at_limits();
}

static void look(void)
{
	static uint32_t n;
	static time_t latest;
	struct timespec now = {0};
	if (__atomic_add_fetch(&n, 1, __ATOMIC_RELAXED) % LOOKS)
		return;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	time_t before = __atomic_load_n(&latest, __ATOMIC_RELAXED);
	if (now.tv_sec - before >= LOOK_S &&
		__atomic_compare_exchange_n(
			&latest, &before, now.tv_sec, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		look_at_limits();
}

/* vm.overcommit_memory 2: the kernel promises no more than it has. */
static bool is_overcommit_strict(void)
{
	char mode[8];
	return hf_sys_read_file("/proc/sys/vm/overcommit_memory", mode, sizeof(mode)) > 0 &&
	       mode[0] == '2';
}

static bool starts_burst(void)
{
	uint64_t now = hf_sys_monotonic_ns();
	uint64_t last = __atomic_exchange_n(&last_failure_ns, now, __ATOMIC_ACQ_REL);
	return !last || now - last > BURST_NS;
}

static void on_failure(const char *function, size_t size)
{
	char trigger[64], bytes[24];
	struct hf_call_frame frame;
	struct hf_thread caller;
	if (size >= ADDRESS_SPACE)
		return;
	be_strict();
	if (!starts_burst())
		return;
	HF_CALL_FRAME_HERE(&frame);
	hf_caller_of_call(&caller, &frame);
	hf_fmt(trigger, sizeof(trigger), "oom: %s of %lu bytes", function, size);
	hf_fmt(bytes, sizeof(bytes), "%lu", size);
	const struct hf_fact facts[] = {{"oom_function", function}, {"oom_bytes", bytes}};
	struct hf_capture_request request = {
		.trigger = trigger, .caller = &caller, .wait = true, .facts = facts, .n_facts = 2};
	hf_trigger_announce(hf_trigger_dump(&request), trigger);
}

/* The functions that limit a process. */

#define HOOK_LIMIT(name, parameters, arguments)                                                    \
	HF_API int name parameters                                                                 \
	{                                                                                          \
		__typeof__(&(name)) next = HF_NEXT(name);                                          \
		int rc = next arguments;                                                           \
		look_at_limits();                                                                  \
		return rc;                                                                         \
	}

HOOK_LIMIT(setrlimit, (__rlimit_resource_t resource, const struct rlimit *limit), (resource, limit))
HOOK_LIMIT(setrlimit64, (__rlimit_resource_t resource, const struct rlimit64 *limit),
	(resource, limit))
HOOK_LIMIT(prlimit,
	(pid_t pid, enum __rlimit_resource resource, const struct rlimit *limit,
		struct rlimit *old),
	(pid, resource, limit, old))
HOOK_LIMIT(prlimit64,
	(pid_t pid, enum __rlimit_resource resource, const struct rlimit64 *limit,
		struct rlimit64 *old),
	(pid, resource, limit, old))

HF_API int mlockall(int flags)
{
	__typeof__(&mlockall) next = HF_NEXT(mlockall);
	int rc = next(flags);
	if (flags & MCL_FUTURE)
		be_strict();
	return rc;
}

static void start(const struct hf_config *config)
{
	on = config->on_oom;
	if (!on)
		return;
	hf_site_hooks_on_failure(on_failure);
	is_strict = is_overcommit_strict();
	look_at_limits();
	hf_site_hooks_on_look(look);
}

const struct hf_trigger hf_trigger_oom = {start};

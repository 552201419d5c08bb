/*
 * oom=1: a dump when an allocation function is about to return NULL, or operator new, which calls
 * it, to throw. The snapshot is taken before the program gets its NULL.
 *
 * What fails together is one event: after a dump, failures that come within BURST_NS of one another
 * make no further one. A request that no machine could serve (more than the address space holds) is
 * a mistake in a program, not a want of memory, and makes none.
 */
#include "base/fmt.h"
#include "base/sys.h"
#include "frontend/trigger.h"
#include "site/hooks.h"

static const uint64_t BURST_NS = 10ull * 1000 * 1000 * 1000;
static const uint64_t ADDRESS_SPACE = 1ull << 47;

static uint64_t last_failure_ns; /* 0: none yet */

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
	if (size >= ADDRESS_SPACE || !starts_burst())
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

static void start(const struct hf_config *config)
{
	if (config->on_oom)
		hf_site_hooks_on_failure(on_failure);
}

const struct hf_trigger hf_trigger_oom = {start};

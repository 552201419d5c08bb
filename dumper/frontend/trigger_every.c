/*
 * every=SECONDS: dump after dump, of which the newest keep=N stay. One that takes longer than
 * SECONDS lets the next be late, not pile up.
 */
#include <errno.h>
#include <fcntl.h>

#include "base/fmt.h"
#include "base/page_alloc.h"
#include "base/sys.h"
#include "frontend/watch.h"

struct made {
	uint64_t unix_time, number; /* all that makes a name */
};

static struct {
	const struct hf_config *config;
	uint64_t interval_ns, next_ns;
	struct made *made; /* a ring of config->keep */
	uint64_t n_made;
} state;

static void begin(void)
{
	state.next_ns = hf_sys_monotonic_ns() + state.interval_ns;
	state.n_made = 0; /* what a parent made is the parent's */
}

static void forget(const struct made *made)
{
	char path[HF_PATH_MAX], profile[HF_PATH_MAX];
	int pid = (int)hf_syscall0(SYS_getpid);
	if (hf_config_path(
		    state.config, pid, made->unix_time, made->number, path, sizeof(path), NULL))
		return;
	hf_capture_profile_path(path, profile);
	hf_syscall3(SYS_unlinkat, AT_FDCWD, path, 0);
	hf_syscall3(SYS_unlinkat, AT_FDCWD, profile, 0);
}

static void keep(const struct hf_capture_end *end)
{
	struct made *slot = &state.made[state.n_made % state.config->keep];
	if (state.n_made >= state.config->keep)
		forget(slot);
	*slot = (struct made){end->unix_time, end->number};
	state.n_made++;
}

static uint64_t look(uint64_t now_ns)
{
	char trigger[48];
	struct hf_capture_end end;
	if (now_ns < state.next_ns)
		return state.next_ns - now_ns;
	hf_fmt(trigger, sizeof(trigger), "every %lu s", state.config->every_s);
	int result = hf_watch_dump(trigger, NULL, 0, !state.config->max_given, &end);
	if (result == -EAGAIN)
		return HF_WATCH_RETRY_NS;
	if (result == -EDQUOT)
		return HF_WATCH_NEVER;
	if (!result || result == -ENODATA)
		keep(&end);
	now_ns = hf_sys_monotonic_ns();
	while (state.next_ns <= now_ns)
		state.next_ns += state.interval_ns;
	return state.next_ns - now_ns;
}

static struct hf_watch watch = {.begin = begin, .look = look};

static void start(const struct hf_config *config)
{
	if (!config->every_s)
		return;
	state.config = config;
	state.interval_ns = config->every_s * 1000000000ull;
	state.made = hf_page_alloc(config->keep * sizeof(struct made));
	if (state.made)
		hf_watch_add(&watch);
	else
		hf_capture_say("every=…: no memory");
}

const struct hf_trigger hf_trigger_every = {start};

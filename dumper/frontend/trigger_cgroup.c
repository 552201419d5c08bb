/*
 * cgroup=PCT: one dump when the memory of a control group that this process is in passes PCT % of
 * its limit; the group's own limit or that of any group above. File pages that the kernel would
 * give up first do not count: a group that reads files fills up with them and is in no danger.
 */
#include "base/fmt.h"
#include "frontend/cgroup.h"
#include "frontend/pace.h"
#include "frontend/watch.h"

/* Limits change, and processes are moved. */
static const uint64_t FIND_NS = 2000000000;

static struct {
	uint64_t percent;
	uint64_t found_ns;
	bool none_said;
	struct hf_cgroups cgroups, again;
	struct hf_pace paces[HF_CGROUP_LEVELS];
} state;

static void find(uint64_t now_ns)
{
	state.found_ns = now_ns;
	if (!hf_cgroups_find(&state.again, "/proc/thread-self", "", hf_watch_open))
		return; /* no /proc here any more: what is known stays */
	hf_cgroups_close(&state.cgroups);
	state.cgroups = state.again;
	if (!state.cgroups.n && !state.none_said)
		hf_watch_say("cgroup=…: no control group of this process has a limit of memory; "
			     "looking for one every 2 s");
	state.none_said = true;
}

static void begin(void)
{
	state.cgroups.n = 0;
	find(0);
}

static uint64_t threshold(const struct hf_cgroup_level *level)
{
	return level->limit / 100 * state.percent + level->limit % 100 * state.percent / 100;
}

static int dump(const struct hf_cgroup_level *level, uint64_t bytes)
{
	char trigger[HF_CGROUP_PATH + 64], limit[24], limit_bytes[24], used_bytes[24];
	hf_fmt(trigger, sizeof(trigger), "cgroup: %lu %% of %s in use in %s",
		bytes / (level->limit / 100 + 1), hf_watch_size(level->limit, limit, sizeof(limit)),
		level->path);
	hf_fmt(limit_bytes, sizeof(limit_bytes), "%lu", level->limit);
	hf_fmt(used_bytes, sizeof(used_bytes), "%lu", bytes);
	const struct hf_fact facts[] = {{"cgroup", level->path}, {"cgroup_limit", limit_bytes},
		{"cgroup_bytes", used_bytes}};
	return hf_watch_dump(trigger, facts, 3, false, NULL);
}

static uint64_t look(uint64_t now_ns)
{
	if (now_ns - state.found_ns >= FIND_NS)
		find(now_ns);
	uint64_t wait = HF_PACE_LONGEST_NS;
	for (size_t i = 0; i < state.cgroups.n; i++) {
		const struct hf_cgroup_level *level = &state.cgroups.levels[i];
		uint64_t limit = threshold(level), bytes = hf_cgroup_usage(level);
		if (bytes >= limit)
			bytes = hf_cgroup_working_set(level);
		if (bytes >= limit)
			return hf_watch_once(dump(level, bytes));
		uint64_t next = hf_pace_next(&state.paces[i], now_ns, bytes, limit);
		wait = next < wait ? next : wait;
	}
	return wait;
}

static struct hf_watch watch = {.begin = begin, .look = look};

static void start(const struct hf_config *config)
{
	state.percent = config->cgroup_percent;
	if (state.percent)
		hf_watch_add(&watch);
}

const struct hf_trigger hf_trigger_cgroup = {start};

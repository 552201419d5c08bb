/*
 * rss=SIZE: one dump when the resident memory of the process passes SIZE.
 */
#include "base/fmt.h"
#include "base/page_alloc.h"
#include "base/sys.h"
#include "frontend/pace.h"
#include "frontend/watch.h"

static struct {
	uint64_t limit; /* bytes */
	int statm;
	struct hf_pace pace;
} state;

static void begin(void)
{
	state.statm = hf_watch_open("/proc/thread-self/statm");
}

static uint64_t resident_bytes(void)
{
	char text[128];
	const char *at = text;
	uint64_t total, resident;
	int64_t n = hf_sys_pread_full(state.statm, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = 0;
	if (!hf_parse_u64(&at, &total) || *at++ != ' ' || !hf_parse_u64(&at, &resident))
		return 0;
	return resident * HF_PAGE;
}

static uint64_t look(uint64_t now_ns)
{
	char trigger[96], now_text[24], limit_text[24], limit_bytes[24];
	uint64_t resident = resident_bytes();
	if (state.statm < 0) {
		hf_watch_say("rss=…: /proc/thread-self/statm cannot be read: nothing is watched");
		return HF_WATCH_NEVER;
	}
	if (resident <= state.limit)
		return hf_pace_next(&state.pace, now_ns, resident, state.limit);
	hf_fmt(trigger, sizeof(trigger), "rss: %s resident, more than %s",
		hf_watch_size(resident, now_text, sizeof(now_text)),
		hf_watch_size(state.limit, limit_text, sizeof(limit_text)));
	hf_fmt(limit_bytes, sizeof(limit_bytes), "%lu", state.limit);
	const struct hf_fact facts[] = {{"rss_limit", limit_bytes}};
	return hf_watch_once(hf_watch_dump(trigger, facts, 1, false, NULL));
}

static struct hf_watch watch = {.begin = begin, .look = look};

static void start(const struct hf_config *config)
{
	state.limit = config->rss_bytes;
	if (state.limit)
		hf_watch_add(&watch);
}

const struct hf_trigger hf_trigger_rss = {start};

#include <errno.h>
#include <stddef.h>

#include "base/fmt.h"
#include "frontend/sigactions.h"
#include "frontend/trigger.h"
#include "frontend/watch.h"

static const struct hf_trigger *const triggers[] = {
	&hf_trigger_signal,
	&hf_trigger_exit,
	&hf_trigger_oom,
	&hf_trigger_crash,
	&hf_trigger_rss,
	&hf_trigger_cgroup,
	&hf_trigger_every,
};

static const struct hf_config *config; /* NULL: not started */

void hf_triggers_start(const struct hf_config *c)
{
	config = c;
	for (size_t i = 0; i < sizeof(triggers) / sizeof(triggers[0]); i++)
		triggers[i]->start(c);
	hf_watch_start();
}

bool hf_triggers_active(void)
{
	return config;
}

int hf_trigger_capture(const struct hf_capture_request *request)
{
	struct hf_capture_request with_signals = *request;
	with_signals.our_signals = hf_signals_ours();
	return config ? hf_capture(config, &with_signals) : -ENOSYS;
}

int hf_trigger_dump(const struct hf_capture_request *request)
{
	int saved = errno;
	int result = hf_trigger_capture(request);
	errno = saved;
	return result;
}

void hf_trigger_announce(int result, const char *trigger)
{
	char line[HF_ERR_MSG_SIZE], path[HF_PATH_MAX];
	if (result && result != -ENODATA)
		return;
	hf_capture_last_path(path);
	hf_fmt(line, sizeof(line), "%s: heap dump in %s", trigger, path);
	hf_capture_say(line);
}

void hf_trigger_say(const char *format, const char *text)
{
	char line[HF_ERR_MSG_SIZE];
	hf_fmt(line, sizeof(line), format, text);
	hf_capture_say(line);
}

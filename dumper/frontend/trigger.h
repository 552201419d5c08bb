/*
 * Triggers: reasons for which the library makes a dump by itself. Each is a file of its own,
 * trigger_*.c, that defines one struct hf_trigger; the list of all is in triggers.c.
 *
 * Thread and signal safety: start() runs once, in the library's constructor; hf_trigger_dump() and
 * hf_trigger_say() may be called from anywhere, with any lock held.
 */
#pragma once
#include <signal.h>
#include <stdbool.h>

#include "frontend/caller.h"
#include "frontend/capture.h"

struct hf_trigger {
	/* Watch for what config asks for, if it does. config stays for the life of the process. */
	void (*start)(const struct hf_config *config);
};

extern const struct hf_trigger hf_trigger_signal;
extern const struct hf_trigger hf_trigger_exit;
extern const struct hf_trigger hf_trigger_oom;
extern const struct hf_trigger hf_trigger_crash;
extern const struct hf_trigger hf_trigger_rss;
extern const struct hf_trigger hf_trigger_cgroup;
extern const struct hf_trigger hf_trigger_every;

/* Start all of them; hf_trigger_dump() makes dumps from now on. */
void hf_triggers_start(const struct hf_config *config);
/* Did they start? Not in a set-user-id program, and not with wrong options. */
bool hf_triggers_active(void);

/* One dump: hf_capture() with the configuration. -ENOSYS before the start. errno stays. */
int hf_trigger_dump(const struct hf_capture_request *request);
/* The same for a thread that has no errno. */
int hf_trigger_capture(const struct hf_capture_request *request);
/* One line on stderr about a dump that nobody asked for at that moment: where it is. What went
 * wrong has been said. */
void hf_trigger_announce(int result, const char *trigger);
/* One line on stderr: format has one %s. */
void hf_trigger_say(const char *format, const char *text);

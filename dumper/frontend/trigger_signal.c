/*
 * signal=SIG: a dump when the signal arrives, in whatever thread. A program that handles the signal
 * itself keeps its handler, and is told on stderr that the signal makes no dumps.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/fmt.h"
#include "base/sys.h"
#include "frontend/sigactions.h"
#include "frontend/trigger.h"
#include "stop/park.h"

static void on_signal(int sig, siginfo_t *info, void *context)
{
	int saved = errno;
	char name[16], trigger[32];
	struct hf_thread caller;
	uint64_t blocked;
	(void)info;
	/* The kernel has blocked all but few: those that are ignored have to stay as they were. */
	memcpy(&blocked, &((ucontext_t *)context)->uc_sigmask, sizeof(blocked));
	blocked |= ~hf_sys_ignored_signals();
	hf_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, &blocked, 0, sizeof(blocked));
	hf_fmt(trigger, sizeof(trigger), "signal %s", hf_signal_name(sig, name, sizeof(name)));
	hf_caller_of_context(&caller, context);
	struct hf_capture_request request = {
		.trigger = trigger, .caller = &caller, .announce = true};
	int result = hf_trigger_dump(&request);
	if (result == -EAGAIN)
		hf_capture_say("a dump is being made already: this signal makes none");
	else if (result == -EBUSY)
		hf_capture_say("two dumps are still being written: this signal makes none");
	else if (result == -EDQUOT)
		hf_capture_say("no more dumps: as many as max= (--max-dumps) allows are made");
	hf_restart_call(context, hf_signals_ours());
	errno = saved;
}

static void yielded(int sig)
{
	char name[16];
	hf_trigger_say("the program handles SIG%s itself: its handler stays and that signal makes "
		       "no dumps (choose another: --on-signal, HOLDFAST=signal=…)",
		hf_signal_name(sig, name, sizeof(name)));
}

static void start(const struct hf_config *config)
{
	char name[16];
	if (config->signal && !hf_signal_claim(config->signal, HF_SIGNAL_YIELD, on_signal, yielded))
		hf_trigger_say("SIG%s has a handler already: that signal makes no dumps",
			hf_signal_name(config->signal, name, sizeof(name)));
}

const struct hf_trigger hf_trigger_signal = {start};

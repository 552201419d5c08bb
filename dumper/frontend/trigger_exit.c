/*
 * exit=1: a dump when the process ends of its own will: it returns from main or calls exit(), and
 * its atexit functions have run; or it calls quick_exit(), _exit() or _Exit(), which are interposed
 * here. The same of each child that it forks; not of one made by vfork(), which has the memory of
 * its parent.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/sys.h"
#include "frontend/trigger.h"

#define HF_API __attribute__((visibility("default")))

static bool on;
static int pid; /* of the process that has this memory; 0: its dump is made */

static void make_dump(void)
{
	int self = (int)hf_syscall0(SYS_getpid);
	if (!on || !__atomic_compare_exchange_n(
			   &pid, &self, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return;
	struct hf_call_frame frame = {0};
	struct hf_thread caller;
	HF_CALL_FRAME_HERE(&frame);
	hf_caller_of_call(&caller, &frame);
	struct hf_capture_request request = {
		.trigger = "exit", .caller = &caller, .wait = true, .announce = true};
	hf_trigger_dump(&request);
}

/* Runs when the program returns from main or calls exit(), after its own atexit functions. */
__attribute__((destructor)) static void stop(void)
{
	make_dump();
}

static __attribute__((noreturn)) void end(int status)
{
	make_dump();
	for (;;)
		hf_syscall1(SYS_exit_group, status);
}

HF_API void _exit(int status)
{
	end(status);
}

HF_API void _Exit(int status)
{
	end(status);
}

static void forked(void)
{
	pid = (int)hf_syscall0(SYS_getpid);
}

static void start(const struct hf_config *config)
{
	on = config->on_exit;
	if (!on)
		return;
	forked();
	pthread_atfork(NULL, NULL, forked);
	at_quick_exit(make_dump);
}

const struct hf_trigger hf_trigger_exit = {start};

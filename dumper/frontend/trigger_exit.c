/*
 * exit=1: a dump when the process ends of its own will.
 */
#include "frontend/trigger.h"

static bool on;

static void start(const struct hf_config *config)
{
	on = config->on_exit;
}

/* Runs when the program returns from main or calls exit(), after its own atexit functions. */
__attribute__((destructor)) static void stop(void)
{
	if (!on)
		return;
	struct hf_call_frame frame = {0};
	struct hf_thread caller;
	HF_CALL_FRAME_HERE(&frame);
	hf_caller_of_call(&caller, &frame);
	struct hf_capture_request request = {.trigger = "exit", .caller = &caller, .wait = true};
	hf_trigger_dump(&request);
}

const struct hf_trigger hf_trigger_exit = {start};

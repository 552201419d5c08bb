/*
 * A fatal signal in words (sigaction(2)). Async-signal-safe.
 */
#pragma once
#include <signal.h>

struct hf_crash_text {
	char name[16];          /* "SIGSEGV" */
	char code[24];          /* "SEGV_MAPERR", "SI_USER"; a number if it is not known */
	const char *detail_key; /* "fault_addr" or "signal_sender" (another process); NULL: nothing
				   more */
	char detail[24];
	char summary[96]; /* "crash: SIGSEGV at 0x10" */
};

void hf_crash_text(struct hf_crash_text *ret, int number, const siginfo_t *info);

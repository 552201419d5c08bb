/*
 * Signals that the library handles, in a program that sets handlers too: sigaction(), signal() and
 * their relatives are interposed here.
 *
 * A trigger claims a signal with one of two policies. Under HF_SIGNAL_YIELD the program's handler
 * replaces ours. Under HF_SIGNAL_KEEP ours stays, what the program sets is remembered, with its
 * mask and flags in force for ours, and the trigger passes the signal on. Either way a program that
 * asks sees what it would see without us.
 *
 * Thread and signal safety: claims are made at start-up; the rest from anywhere.
 */
#pragma once
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

typedef void (*hf_signal_handler)(int number, siginfo_t *info, void *context);

enum hf_signal_policy { HF_SIGNAL_YIELD, HF_SIGNAL_KEEP };

/* Handle the signal. yielded (may be NULL) is called when a program takes a signal over. False:
 * under HF_SIGNAL_YIELD it has a handler already, which stays. */
bool hf_signal_claim(int number, enum hf_signal_policy policy, hf_signal_handler handler,
	void (*yielded)(int number));
/* The signals that we handle and the program does not, signal N at bit N - 1. */
uint64_t hf_signals_ours(void);
/* What the program has set for a signal under HF_SIGNAL_KEEP. */
void hf_signal_program_action(int number, struct sigaction *ret);
/* A kept signal takes its default course from now on. */
void hf_signal_release(int number);
/* As SA_RESETHAND does: the program's action is the default one from now on, ours stays. */
void hf_signal_program_default(int number);

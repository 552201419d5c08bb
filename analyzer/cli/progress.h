/*
 * One line on a terminal that says how far long work is: the step, its share that is done, how fast
 * it goes and how long it will take. Nothing is written where stderr is no terminal.
 *
 * Thread rule: the calling thread only; there is one line.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef bool (*hf_progress_fn)(void *ctx, const char *stage, uint64_t done, uint64_t total);

/* The hook, or NULL: no terminal. Its ctx is a text to go before the stage ("loading: "), or NULL.
 */
hf_progress_fn hf_progress_hook(void);
/* Take the line away, so that something else can be written. */
void hf_progress_clear(void);

/* The line for a stage that began so many seconds ago; for tests. */
void hf_progress_text(char *ret, unsigned size, const char *prefix, const char *stage,
	uint64_t done, uint64_t total, double seconds);

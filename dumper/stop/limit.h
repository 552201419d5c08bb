/*
 * A time limit for a process of ours (collector, snapshot): when it is over the process ends, and
 * nothing waits for it for ever. The timer is not inherited by fork().
 * Async-signal-safe; one limit a process.
 */
#pragma once
#include <stdint.h>

/* In so many seconds (0: never) call fn(ctx), in a signal handler on whatever stack there is, and
 * exit. fn may be NULL. A later call replaces an earlier one. */
void hf_limit_start(uint32_t seconds, void (*fn)(void *ctx), void *ctx);

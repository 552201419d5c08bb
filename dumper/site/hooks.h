/*
 * The interposed allocation functions. Linking this module into a program or library replaces its
 * malloc; it belongs in libholdfast.so alone.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Look up the functions behind ours and watch for forks. Once, in the library's constructor. */
void hf_site_hooks_start(void);

/* Have fn called when an allocation is about to fail for want of memory: its function and the bytes
 * that were asked for. It runs in the failing thread, with malloc's locks free, and must leave
 * errno alone. Until then, and with NULL, nothing is called. */
void hf_site_hooks_on_failure(void (*fn)(const char *function, size_t size_bytes));
/* May memory be refused to this process? If not (a limit would have to be set first), failures are
 * looked for only where it costs nothing: requests that reach a sample point, or as large as one is
 * looked for (HF_SITE_LOOK), and all of the aligned kinds. True until told otherwise. From
 * anywhere, async-signal-safe. */
void hf_site_hooks_refusable(bool refusable);
/* Have fn called now and then: when a thread has allocated another HF_SITE_LOOK bytes at most, by
 * that thread, unless everything is recorded. It must leave errno alone. */
void hf_site_hooks_on_look(void (*fn)(void));

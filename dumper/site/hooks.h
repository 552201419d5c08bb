/*
 * The interposed allocation functions. Linking this module into a program or library replaces its
 * malloc; it belongs in libholdfast.so alone.
 */
#pragma once
#include <stddef.h>

/* Look up the functions behind ours and watch for forks. Once, in the library's constructor. */
void hf_site_hooks_start(void);

/* Have fn called when an allocation is about to fail for want of memory: its function and the bytes
 * that were asked for. It runs in the failing thread, with malloc's locks free, and must leave
 * errno alone. Until then, and with NULL, nothing is called. */
void hf_site_hooks_on_failure(void (*fn)(const char *function, size_t size_bytes));

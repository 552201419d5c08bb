/*
 * Is memory there? Async-signal-safe.
 */
#pragma once
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/sys.h"

/* Can the page be read? The kernel reads the signal set before it looks at `how`, which is wrong:
 * EFAULT tells a page that is not there from EINVAL for one that is. */
static inline bool hf_probe_readable(uint64_t addr)
{
	return hf_syscall4(SYS_rt_sigprocmask, ~0u, addr & ~7ull, 0, 8) == -EINVAL;
}

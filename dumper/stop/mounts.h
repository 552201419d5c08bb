/*
 * Mounts of a process that depend on a server: FUSE and network file systems. What waits for a
 * server that is gone cannot even be killed (closing a file flushes it), so nothing of theirs is
 * touched without need. Not for use inside a target.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/page_alloc.h"

struct hf_mount {
	int id;       /* as in /proc/PID/mountinfo and /proc/PID/fdinfo */
	uint32_t dev; /* major << 20 | minor, as in struct hf_map */
	char type[32];
};

/* Append the mounts that depend on a server to ret, a vector of struct hf_mount. */
void hf_mounts_served(int pid, struct hf_vec *ret);
/* Has the process a descriptor of a file on one of them? */
bool hf_mounts_open(int pid, const struct hf_vec *mounts);

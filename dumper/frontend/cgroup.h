/*
 * The control groups that limit this process's memory: its own and all above it, of version 2
 * (memory.current, memory.max) and of version 1 (memory.usage_in_bytes, memory.limit_in_bytes);
 * Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst of Linux.
 * Async-signal-safe; belongs to one thread.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HF_CGROUP_LEVELS = 16, HF_CGROUP_PATH = 512 };

struct hf_cgroup_level {
	char path[HF_CGROUP_PATH]; /* its folder */
	uint64_t limit;            /* bytes */
	bool v1;
	int usage_fd, stat_fd;
};

struct hf_cgroups {
	struct hf_cgroup_level levels[HF_CGROUP_LEVELS]; /* those that have a limit, own first */
	size_t n;
};

/* Find them. proc_dir: "/proc/self"; root_dir goes before the paths of mounts: "". open_file opens
 * a file for reading: a descriptor or a negative errno. False: /proc does not tell. */
bool hf_cgroups_find(struct hf_cgroups *cgroups, const char *proc_dir, const char *root_dir,
	int (*open_file)(const char *path));
void hf_cgroups_close(struct hf_cgroups *cgroups);

/* Bytes in use of a level; 0 if they cannot be had. */
uint64_t hf_cgroup_usage(const struct hf_cgroup_level *level);
/* The same without file pages that the kernel would give up first (inactive_file): what is left
 * when memory gets scarce. Costs more. */
uint64_t hf_cgroup_working_set(const struct hf_cgroup_level *level);

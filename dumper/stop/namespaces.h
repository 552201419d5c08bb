/*
 * What another process sees of itself, where it lives in namespaces of its own (a container): its
 * pid and threads, its user, its root directory, its host's name. See namespaces(7),
 * user_namespaces(7). Not for use inside a target.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Is its namespace of that kind ("pid", "user", "uts") another one than ours? False where it cannot
 * be told. */
bool hf_namespace_differs(int pid, const char *kind);

/* A thread of a process by the number that it knows itself by; tid where that cannot be told. */
int hf_namespace_tid(int pid, int tid);
/* Its parent; 0 where that one lives outside the namespace of the process. */
int hf_namespace_parent(int pid);
/* Its real user; false where that cannot be told. */
bool hf_namespace_uid(int pid, unsigned *ret);
/* Its root directory as our paths (and /proc/PID/maps, for us) have it: "" where that is the root
 * of its mounts, else a path without a slash at its end. */
void hf_namespace_root(int pid, char *ret, size_t size);
/* The name of its host. Puts this process into its UTS namespace for good. */
bool hf_namespace_hostname(int pid, char *ret, size_t size);

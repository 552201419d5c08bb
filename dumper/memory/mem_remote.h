/*
 * The memory of another process, which must stand still meanwhile (a snapshot, or a process whose
 * threads are all stopped), through /proc/PID/mem and /proc/PID/pagemap.
 *
 * Which private pages are resident says the pagemap of the process that is read; which shared ones,
 * that of the process that uses them, since fork(2) does not copy their page tables.
 *
 * Async-signal-safe; one thread.
 */
#pragma once
#include "memory/memory.h"

/* pid is read; target_pid is the process that it is a snapshot of, or the same. maps are pid's. */
enum hf_status hf_mem_remote(const struct hf_maps *maps, int pid, int target_pid,
	struct hf_pool *pool, struct hf_mem **ret, struct hf_err *err);

/*
 * The recorder: from an allocation in the program to a site and a live object in the store.
 *
 *     hooks.c  malloc … ─ countdown of the thread ─▶ hf_site_allocated()  ─ unwind ─ stacks ─ live
 *              free   … ─ filter of addresses ─────▶ hf_site_freed()      ─ live
 *
 * Off until hf_site_start(). Recording never calls malloc, never blocks on anything but a group's
 * spin lock, and leaves errno alone. Whatever the moment, the records can be read: a snapshot does
 * not wait for threads to leave the recorder. What a signal handler allocates while its thread is
 * recording is not recorded (counted in lost_nested).
 *
 * Thread and signal safety: see each function.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "site/unwind.h"

struct hf_site_config {
	uint64_t period_bytes; /* one sample in so many bytes on average; 1: every allocation; 0:
				  none, until a request changes it */
	/* NULL, or the file to keep the records in, so that they outlive the process whatever ends
	 * it. Must not exist; a child made by fork() goes on in memory only. */
	const char *path;
};

/* Start. Once, at start-up, by one thread. HF_E_UNSUPPORTED, HF_E_NOMEM, HF_E_EXISTS, HF_E_IO. */
enum hf_status hf_site_start(const struct hf_site_config *config, struct hf_err *err);
/* Record with that period from now on, 0: nothing (control.h). Starts the recorder if it never was,
 * with the next allocation. 0, or -EINVAL. From any thread, async-signal-safe. */
int hf_site_request_period_bytes(uint64_t period_bytes);
/* What is recorded; NULL before hf_site_start(). */
const struct hf_site_store *hf_site_store(void);

/* For the dump: what is known of the object at addr. Takes no lock: for a snapshot of this process.
 * False: not recorded. Async-signal-safe. */
struct hf_site_object {
	uint32_t site;        /* the id that the profile's label `site` has */
	uint64_t size_bytes;  /* as requested */
	uint64_t age_seconds; /* by a clock that ticks each second */
	int tid;              /* of the thread that allocated it */
};
bool hf_site_find(uint64_t addr, struct hf_site_object *ret);

/* For hooks.c alone. */

enum {
	HF_FILTER_BITS = 19,
	HF_FILTER_SIZE = 1 << HF_FILTER_BITS,
	HF_FILTER_CELL = 8, /* bits of an address in a cell: 256 bytes */
	HF_FILTER_FULL = 255,
};

struct hf_site_thread {
	uint64_t countdown; /* bytes to the next sample point, or look at the request; 0: not
			       drawn yet, or every allocation is recorded */
	uint64_t request;   /* that the thread follows */
	bool inside;        /* recording at present: what nests is not recorded */
	bool was_inside;    /* when it called fork */
	bool at_point;      /* the countdown leads to a sample point */
	bool started;       /* it has what is below */
	uint32_t period;    /* by the request */
	int32_t tid;
	uint64_t random;
	struct hf_stack_bounds bounds;
	struct hf_site_worker *worker; /* NULL: too many threads */
	struct hf_site_memos *memos;   /* or NULL */
};
extern __thread struct hf_site_thread hf_site_thread;

/* How many recorded objects are at addresses with that index; once it is HF_FILTER_FULL it stays
 * that. Neighbours share a count, so that the filter takes few cache lines. Once everything is
 * recorded, nothing is counted any more: every free asks the table. */
extern uint8_t hf_site_filter[HF_FILTER_SIZE];
extern bool hf_site_all_recorded;

static inline uint64_t hf_site_filter_index(const void *p)
{
	return (uint64_t)p >> HF_FILTER_CELL & (HF_FILTER_SIZE - 1);
}
static inline bool hf_site_all(void)
{
	return __atomic_load_n(&hf_site_all_recorded, __ATOMIC_RELAXED);
}
/* Called once, when that comes true. */
extern void (*hf_site_on_all)(void);

void hf_site_filter_add(const void *p);

/* Called when size >= countdown: before the allocation, so that what is needed is in the cache
 * after it, and after it. From any thread. */
void hf_site_prepare(const struct hf_context *caller);
void hf_site_allocated(void *p, uint64_t size_bytes, const struct hf_context *caller);
/* Called when the filter says that p may be recorded, before it is freed. Returns true, and what
 * was recorded, for the case that it is not freed after all (a failed realloc). */
struct hf_live_object;
bool hf_site_freed(void *p, struct hf_live_object *ret);
void hf_site_undo_freed(const struct hf_live_object *object);
/* A module may have been unloaded. */
void hf_site_unloaded(void);
/* Around a fork() by the C library. */
void hf_site_before_fork(void);
void hf_site_after_fork_in_parent(void);
void hf_site_after_fork_in_child(void);

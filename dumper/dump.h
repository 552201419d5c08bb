/*
 * The pipeline from a stopped process to a dump file:
 *
 *     mappings → modules → allocator walk → objects → root areas → edges, roots, names → file
 *
 * The same for every front end; what differs between them (a forked snapshot of ourselves, another
 * process, a core file) is behind struct hf_mem and in the fields below.
 * Thread and signal safety: async-signal-safe; runs in the snapshot of a target.
 */
#pragma once
#include "base/err.h"
#include "memory/memory.h"
#include "roots/layout.h"
#include "stop/thread.h"
#include "write/writer.h"

struct hf_label {
	uint64_t addr;
	char text[64];
};

/* Facts for the PROCESS section that the front end knows best. Strings may be NULL. */
struct hf_dump_about {
	int pid, ppid;
	const char *trigger;  /* "signal USR2", "api", "exit" … */
	const char *snapshot; /* "fork", "in-place", "ptrace", "core" */
	uint64_t time_ns, stop_ns;
	uint64_t rss_bytes, vm_bytes; /* at the stop; 0: as /proc says now */
	uint32_t retries;
};

/* A key of the PROCESS section. */
struct hf_fact {
	const char *key, *value;
};

struct hf_dump_totals {
	uint64_t n_objects, object_bytes, n_edges;
};

struct hf_dump_input {
	struct hf_mem *mem;
	const struct hf_maps *maps;
	const struct hf_threads *threads;
	struct hf_dump_about about;
	const char *proc_dir;     /* of the target, for residency of file pages, names and limits:
				     "/proc/123"; NULL: there is no process, `facts` says it all */
	const char *snapshot_dir; /* of its copy-on-write snapshot, for residency of private pages:
				     "/proc/self"; NULL: there is none */
	const struct hf_fact *facts;
	size_t n_facts;
	const char *root_dir; /* its view of the file system: "" or "/proc/123/root" */
	uint64_t
		own_code; /* an address in the dumper's library, when that is in the target; or 0 */
	const struct hf_walk_range *own; /* the dumper's memory in the target, sorted */
	size_t n_own;
	const struct hf_registered_root *registered;
	size_t n_registered;
	const struct hf_label *labels;
	size_t n_labels;
	/* Problems that the front end met before; written as findings. */
	const struct hf_walk_finding *findings;
	size_t n_findings;
	/* What is recorded of the allocation of the object at addr (the site is the id in the heap
	 * profile); false: nothing. NULL: nothing is recorded of any. */
	bool (*site_of)(void *ctx, uint64_t addr, struct hf_site_facts *ret);
	/* Where from addr on anything is recorded next: of objects in [*ret_start, *ret_end);
	 * false: nowhere. */
	bool (*next_sites)(void *ctx, uint64_t addr, uint64_t *ret_start, uint64_t *ret_end);
	void *site_ctx;
	bool contents;        /* the bytes of all objects, too */
	const uint8_t *token; /* HF_FORMAT_TOKEN_SIZE bytes, shared with the profile; NULL: made up
			       */
	struct hf_sink *sink;
	struct hf_pool *pool;
	struct hf_dump_totals *totals; /* out, may be NULL */
};

/* Write the dump. HF_OK; HF_E_PARTIAL: written, but marked partial (err says the first reason); any
 * other: no usable file. */
enum hf_status hf_dump_write(const struct hf_dump_input *input, struct hf_err *err);

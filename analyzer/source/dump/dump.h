/*
 * Reading Holdfast's own dump files (docs/format.md): the whole heap, a summary, a verification.
 *
 * A file is data from a stranger: every block's checksum, every size, id and order is checked. What
 * is damaged or cut off is left out, what refers to it goes with it, and the heap says so (partial,
 * reasons, lost); what remains keeps the invariants of source/heap.h.
 * Thread rule: the functions may be called from any thread; each uses threads of its own inside.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "source/heap.h"

struct hf_dump_options {
	unsigned n_threads; /* that decode; 0: 2, or 1 on a machine with one processor */
	/* Called now and then from the calling thread with bytes of the file done; may be NULL. */
	void (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
	void *progress_ctx;
	uint64_t max_records;  /* refuse files that claim more, 0: no limit */
	bool ignore_checksums; /* for fuzzing only: reach the decoder with any bytes */
};

/*
 * Read a dump. options may be NULL. ret is initialized here and, on success, to be given to
 * hf_heap_deinit(); on failure it is left empty.
 * HF_OK also for a cut or damaged file: look at ret->partial. HF_E_NOTFOUND: cannot be opened.
 * HF_E_UNSUPPORTED: another kind of file, or another major version; HF_E_CORRUPT: its header is
 * damaged; both messages say what to do. HF_E_NOMEM.
 */
enum hf_status hf_dump_read(const char *path, const struct hf_dump_options *options,
	struct hf_heap *ret, struct hf_err *err);

/* Does the file start as a dump does? For choosing a reader; false too if it cannot be read. */
bool hf_dump_is_dump(const char *path);

struct hf_dump_section {
	uint64_t n_blocks, n_items, stored_bytes, raw_bytes;
};

/* What a file says of itself. */
struct hf_dump_info {
	uint16_t major, minor;
	uint64_t time_ns;
	uint8_t token[HF_FORMAT_TOKEN_SIZE];
	uint64_t file_bytes;
	bool complete;       /* it has its tail and no block is missing or damaged */
	bool cut;            /* it ends early */
	uint64_t end_offset; /* where the last whole block ends */
	/* by enum hf_section; [0]: sections that this version does not know */
	struct hf_dump_section sections[HF_SECTION_END];
	/* Everything but objects, edges, module references, variables, roots, registers, stack
	 * words, sites and labels; its partial flag and reasons are those of the dump. */
	struct hf_heap heap;
};

/* The header, totals, process keys, modules, mappings, threads, arenas, counters and findings; of
 * the rest only the checksums. Statuses as above. */
enum hf_status hf_dump_info(const char *path, const struct hf_dump_options *options,
	struct hf_dump_info *ret, struct hf_err *err);
void hf_dump_info_deinit(struct hf_dump_info *info);

struct hf_dump_problem {
	uint64_t offset;  /* in the file, of the block or of the header or tail */
	uint32_t section; /* enum hf_section, 0: none in particular */
	char text[232];   /* what is wrong, without offset and section */
};

struct hf_dump_verdict {
	uint64_t n_problems; /* all of them */
	size_t n;            /* of those, how many are in problems */
	struct hf_dump_problem *problems;
	uint64_t n_blocks, n_objects, n_edges, n_roots; /* that were checked */
	bool truncated;
	bool declared_partial; /* sound, but the dumper itself says that something is missing */
};

/*
 * Check all of a file: checksums, order, overlaps, ids, offsets inside their objects, arenas
 * against their objects, the index, reserved fields, the dumper's own cross-checks. The first
 * max_problems are listed. HF_OK: it was checked, look at n_problems; else as hf_dump_read().
 */
enum hf_status hf_dump_verify(const char *path, const struct hf_dump_options *options,
	size_t max_problems, struct hf_dump_verdict *ret, struct hf_err *err);
void hf_dump_verdict_deinit(struct hf_dump_verdict *verdict);

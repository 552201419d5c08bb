/*
 * The two passes over the heap that make the bulk of a dump, each done by as many threads as there
 * are (base/team.h), each writing what it finds in address order.
 *
 * The pointer scan: every aligned word of every live object that points to the start or the inside
 * of a live object is an edge; one that points into a module is a module reference.
 *
 * Thread and signal safety: async-signal-safe; one caller.
 */
#pragma once
#include "image/image.h"
#include "index/index.h"
#include "memory/memory.h"
#include "write/writer.h"

struct hf_scan_totals {
	uint64_t scanned_bytes; /* resident bytes of heap regions that were read */
	uint64_t n_edges, n_modrefs;
};

/* List all live objects of the (sealed) index. HF_E_NOMEM; errors of the writer stay in it. */
enum hf_status hf_scan_list(
	const struct hf_index *index, struct hf_writer *writer, struct hf_err *err);

/* Scan all regions of the (sealed) index and write what live objects hold. writer NULL: only count.
 * HF_E_NOMEM; errors of the writer stay in the writer. */
enum hf_status hf_scan_objects(struct hf_mem *mem, const struct hf_index *index,
	const struct hf_images *images, struct hf_writer *writer, struct hf_scan_totals *ret,
	struct hf_err *err);

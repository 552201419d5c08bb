/*
 * The dump file writer: records in, blocks out.
 *
 * Each hf_write_*() appends one record to its section's open block; a full block is compressed,
 * checksummed and given to the sink. The caller writes the sections in the order of
 * include/holdfast/format.h and the records of a section in the order the format asks for.
 *
 * Errors are sticky: after the first one (a full disk, say) every further record is dropped, and
 * hf_writer_finish() returns it. So callers write records without looking and check once.
 *
 * All memory (hf_writer_memory_size()) is taken when the writer is made, from pages or from the
 * caller. Objects, edges and module references may also come in batches: write/batch.h.
 * Thread and signal safety: async-signal-safe; a writer belongs to one thread.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "holdfast/format.h"

/* Where bytes go. write: all of size bytes, or an error. */
struct hf_sink {
	enum hf_status (*write)(
		struct hf_sink *sink, const void *data, size_t size, struct hf_err *err);
};

struct hf_writer; /* opaque; lives in pages */

struct hf_writer_options {
	enum hf_codec codec;
	uint64_t time_ns; /* for the header */
	uint8_t token[HF_FORMAT_TOKEN_SIZE];
	/* hf_writer_memory_size() bytes, aligned to 16, of the caller: reserved early, for a dump
	 * when there is no memory left. NULL: pages are taken. */
	void *memory;
};

/* Bytes that a writer needs. */
size_t hf_writer_memory_size(void);
/* Start a file: writes the header. The sink stays the caller's and must outlive the writer. */
enum hf_status hf_writer_create(struct hf_sink *sink, const struct hf_writer_options *options,
	struct hf_writer **ret, struct hf_err *err);
/* Frees the writer, finished or not. NULL is fine. */
void hf_writer_destroy(struct hf_writer *writer);
/* Write the open blocks, the index and the tail. Returns the first error of the writer's life. */
enum hf_status hf_writer_finish(struct hf_writer *writer, struct hf_err *err);
/* Bytes given to the sink so far. */
uint64_t hf_writer_bytes(const struct hf_writer *writer);
/* Has the writer failed? For loops that would go on for long in vain. */
bool hf_writer_failed(const struct hf_writer *writer);
/* Has a finding of severity HF_PARTIAL or a failed check been written? */
enum { HF_WRITER_REASON = 240 };
bool hf_writer_partial(const struct hf_writer *writer);
/* The first reason for that; "": it is not partial. */
const char *hf_writer_partial_reason(const struct hf_writer *writer);

/* One function a section; the parameters are its columns. Strings are copied, and cut at
 * HF_FORMAT_MAX_STRING. */
void hf_write_process(struct hf_writer *w, const char *key, const char *value);
void hf_write_module(struct hf_writer *w, uint64_t base, uint64_t size, uint64_t bias,
	const char *path, const void *build_id, size_t build_id_size);
void hf_write_mapping(struct hf_writer *w, uint64_t start, uint64_t size, uint32_t perms,
	enum hf_mapping_kind kind, uint64_t rss_bytes, uint64_t offset, const char *path);

struct hf_thread_record {
	uint64_t tid, flags, pc, sp, stack_start, stack_size, tp;
	const char *name;
};
void hf_write_thread(struct hf_writer *w, const struct hf_thread_record *thread);
void hf_write_register(struct hf_writer *w, uint32_t thread, uint32_t number, uint64_t value);
void hf_write_stack_word(struct hf_writer *w, uint32_t thread, uint64_t addr, uint64_t value);

struct hf_arena_record {
	const char *allocator;
	enum hf_arena_kind kind;
	uint64_t addr, size_bytes, live_bytes, live_count, free_bytes, free_count, metadata_bytes;
};
void hf_write_arena(struct hf_writer *w, const struct hf_arena_record *arena);
void hf_write_object(struct hf_writer *w, uint64_t addr, uint64_t usable_bytes, uint32_t arena);
/* src_offset is a multiple of 8. */
void hf_write_edge(
	struct hf_writer *w, uint32_t src, uint64_t src_offset, uint32_t dst, uint64_t dst_offset);
void hf_write_modref(struct hf_writer *w, uint32_t src, uint64_t src_offset, uint32_t module,
	uint64_t module_offset);

struct hf_variable_record {
	enum hf_root_kind kind;
	uint32_t module, thread; /* index + 1, 0: none */
	uint64_t addr, size_bytes;
	const char *name;
};
void hf_write_variable(struct hf_writer *w, const struct hf_variable_record *variable);

struct hf_root_record {
	enum hf_root_kind kind;
	uint32_t variable, module, thread; /* index + 1, 0: none */
	uint64_t addr;                     /* of the word; a register's number */
	uint32_t object;
	uint64_t offset; /* into the object */
};
void hf_write_root(struct hf_writer *w, const struct hf_root_record *root);
/* What was recorded of an object's allocation. */
struct hf_site_facts {
	uint32_t site; /* 0: only its size is known */
	uint64_t requested_bytes;
	uint64_t age_seconds; /* from the allocation to the stop */
	uint32_t tid;         /* of the thread that allocated it */
};
/* Objects ascend. */
void hf_write_site(struct hf_writer *w, uint32_t object, const struct hf_site_facts *facts);
/* A piece of an object's memory, at most HF_FORMAT_MAX_STRING bytes; by object and offset. */
void hf_write_content(struct hf_writer *w, uint32_t object, uint64_t offset, const void *bytes,
	size_t size_bytes);
void hf_write_label(struct hf_writer *w, uint32_t object, const char *label);
/* must_match: a difference is a failed check. */
void hf_write_counter(struct hf_writer *w, const char *name, uint64_t allocator, uint64_t walked,
	bool must_match);
void hf_write_finding(
	struct hf_writer *w, enum hf_severity severity, uint64_t addr, const char *text);

/*
 * What symbols, debug information and heap profiles add to a heap: names, types, sites, frames.
 * Filled by symbolize/ and types/, consumed by store/. Everything is optional: an empty struct is a
 * heap without names.
 *
 * Arrays are the filler's, and so are the strings: they outlive whoever reads them. Indexes count
 * from 0, «index+1» from 1 with 0 for none.
 * Thread rule: filled by one thread, then read by any number.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_names_type {
	const char *name;
	const char *kind;    /* "struct", "class", "pointer" …; NULL: not known */
	const char *origin;  /* "dwarf", "vtable", "site", "label" … */
	uint64_t size_bytes; /* of one element; 0: not known */
};

struct hf_names_field {
	uint32_t type; /* index of the holder's type */
	bool pointer;  /* false: certainly no pointer */
	uint64_t offset;
	uint64_t stride; /* the name's "[]" stands for [(word's offset - offset) / stride]; 0: it
			    has none */
	const char *name;
};

/* A frame of a thread's stack, or of a site's. NULL and 0 are «not known». */
struct hf_names_frame {
	uint32_t of;     /* index of the thread, or the site's id */
	uint32_t depth;  /* 0: innermost */
	uint32_t module; /* index+1 */
	uint32_t line;
	uint64_t pc;
	const char *function, *file;
};

struct hf_names_site {
	uint32_t id; /* as in hf_heap.site, from 1, ascending */
	uint32_t line;
	const char *function, *file; /* innermost frame outside allocators; NULL: not known */
	uint64_t live_bytes, live_count, total_bytes, total_count;
	uint32_t module; /* of that frame, index+1 */
	uint32_t depth;  /* of that frame among the site's */
};

struct hf_names {
	const struct hf_names_type *types;
	const struct hf_names_field *fields;
	const struct hf_names_site *sites;
	const struct hf_names_frame *site_frames; /* sorted by (site, depth) */
	const struct hf_names_frame *frames;      /* of threads */
	size_t n_types, n_fields, n_sites, n_site_frames, n_frames;
	/* Mean bytes between the recorded allocations; 0: all were recorded, or none. */
	uint64_t sample_period;

	/* Columns beside those of the heap; each may be NULL. */
	const uint32_t *object_type;   /* [n_objects] index+1 */
	const uint8_t *object_typed;   /* [n_objects] how: enum hf_typed (types/typing.h), 0: not */
	const uint32_t *edge_field;    /* [n_edges] index+1 */
	const uint32_t *variable_type; /* [variables.n] index+1 */
	const uint32_t *variable_frame;   /* [variables.n] index+1 of frames */
	const char *const *variable_name; /* [variables.n] better than the heap's, or NULL */
	const char *const *root_name;     /* [roots.n] with its field: "g_pages.page[3]", or NULL */
};

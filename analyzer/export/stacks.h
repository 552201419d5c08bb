/*
 * What lives and what is retained by allocation stack, read from a database: what the exports of
 * profiles are made of.
 *
 * Where all allocations were recorded, figures are those of the objects; where they were sampled
 * (or the profile cannot be tied to objects), live_… are the profile's estimates. Objects without a
 * site are stacks of their own, by type. Thread rule: as the connection.
 */
#pragma once
#include <sqlite3.h>
#include <stdbool.h>

#include "base/err.h"
#include "symbolize/names.h"

struct hf_stack_frame {
	const char *function; /* never NULL */
	const char *file;     /* or NULL */
	uint32_t line;
	uint32_t module; /* index+1 */
	uint64_t pc;     /* 0: not known */
};

struct hf_stack {
	int64_t site;     /* id; 0: none */
	const char *type; /* of the objects; NULL: of all, or not known */
	uint64_t first_frame;
	uint32_t n_frames; /* innermost first */
	uint32_t naming;   /* the frame that names the site */
	uint64_t live_count, live_bytes, retained_bytes;
};

struct hf_stack_module {
	const char *path, *build_id; /* "": none */
	uint64_t base, size;
};

struct hf_stacks {
	struct hf_stack *at;
	struct hf_stack_frame *frames;
	struct hf_stack_module *modules;
	size_t n, n_frames, n_modules, cap, cap_frames, cap_modules;
	struct hf_symbol_names texts;
	const char *program; /* "": not known */
	bool sampled;        /* live_… are estimates, retained_bytes are lower bounds */
	uint64_t period;     /* mean bytes between samples, or 1 */
	int64_t time_ns;
};

enum hf_status hf_stacks_read(struct hf_stacks *ret, sqlite3 *db, struct hf_err *err);
void hf_stacks_deinit(struct hf_stacks *stacks);

/*
 * A heap profile in memory: what of a process was allocated by which stack. Read from pprof's
 * profile.proto (Holdfast's own FILE.hfp.pb.gz, Go's, tcmalloc's), from gperftools' "heap profile:"
 * text and from jemalloc's "heap_v2" text, each also gzip'd.
 *
 * Invariants that the readers establish:
 *   - values are unsampled: estimates of the whole program where `period` is more than 1;
 *   - addresses are those of calls (a return address less one), innermost frame first;
 *   - every index is in range, or HF_PROFILE_NONE where «none» is allowed;
 *   - no two sites have the same stack, unless the profile numbers its sites (`ids`);
 *   - strings are NUL-terminated and never NULL ("" for none); they are bytes of a stranger.
 *
 * Files are not trusted: what they make us allocate is bounded by HF_PROFILE_MAX_BYTES however much
 * they claim. Thread rule: filled by one thread, then read by any number.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

static const uint32_t HF_PROFILE_NONE = UINT32_MAX;

/* Of a file unpacked; the records of it may take four times as much. */
static const uint64_t HF_PROFILE_MAX_BYTES = 512ull << 20;
enum { HF_PROFILE_MAX_FRAMES = 4096, HF_PROFILE_TOKEN_SIZE = 16 };

enum hf_profile_kind { HF_PROFILE_PPROF, HF_PROFILE_GPERFTOOLS, HF_PROFILE_JEMALLOC };

struct hf_profile_mapping {
	uint64_t start, limit, offset; /* offset of start in the file */
	const char *file;
	const char *build_id; /* lower-case hex */
};

struct hf_profile_function {
	const char *name, *system_name, *file; /* demangled, mangled */
	int64_t start_line;
};

struct hf_profile_line {
	uint32_t function; /* index */
	uint32_t line;     /* 0: not known */
};

struct hf_profile_location {
	uint64_t address; /* 0: not known */
	uint32_t mapping; /* index or NONE */
	uint32_t n_lines; /* inlined functions, innermost first; 0: no names */
	uint32_t first_line;
};

struct hf_profile_site {
	uint64_t id; /* the profile's own number where it has them, else 1, 2, … */
	uint32_t n_frames;
	uint64_t first_frame;
	uint64_t live_bytes, live_count, total_bytes, total_count;
};

struct hf_profile_strings; /* opaque */

struct hf_profile {
	enum hf_profile_kind kind;
	const char *maker; /* "Holdfast", "pprof", "gperftools", "jemalloc" */
	struct hf_profile_mapping *mappings;
	struct hf_profile_function *functions;
	struct hf_profile_line *lines;
	struct hf_profile_location *locations;
	uint32_t *frames; /* indexes of locations */
	struct hf_profile_site *sites;
	size_t n_mappings, n_functions, n_lines, n_locations, n_frames, n_sites;

	uint64_t period;    /* mean bytes between samples; up to 1: every allocation is in it */
	bool sampled;       /* the values are estimates */
	bool has_totals;    /* total_* are known, else 0 */
	uint64_t n_samples; /* allocations that were recorded; 0: not known */
	uint64_t n_lost;    /* allocations that the recorder could not keep */
	bool ids;           /* the ids are those that a dump refers to */
	uint8_t token[HF_PROFILE_TOKEN_SIZE];
	bool has_token;
	int64_t time_ns, duration_ns;
	/* What the file's own totals have beyond its sites; 0: they agree. */
	uint64_t missing_bytes;

	struct hf_profile_strings *strings;
	uint64_t memory; /* bytes that all of this takes */
};

/* Read a profile of any known kind. HF_E_UNSUPPORTED: of none, or no heap profile;
 * HF_E_CORRUPT with what is wrong. ret is to be given to hf_profile_deinit() only on HF_OK. */
enum hf_status hf_profile_read(const char *path, struct hf_profile *ret, struct hf_err *err);
/* The same from memory; name is for messages. */
enum hf_status hf_profile_parse(const void *data, size_t size, const char *name,
	struct hf_profile *ret, struct hf_err *err);
void hf_profile_deinit(struct hf_profile *profile);

/* Where the profile of a dump is: NAME.hfd → NAME.hfp.pb.gz. An allocated string; NULL: no memory.
 */
char *hf_profile_path_of(const char *dump_path);

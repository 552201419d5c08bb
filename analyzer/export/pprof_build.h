/*
 * Making a pprof profile: tables of strings, functions and locations without duplicates, packed by
 * protobuf-c, gzip'd into a file that gets its name when it is whole.
 *
 * Running out of memory is remembered and told by hf_pprof_write(). Thread rule: none.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
/* generated from profile.proto */
#include "profile.pb-c.h"

struct hf_pprof_chunk;

struct hf_pprof {
	HfPb__Profile p;
	struct hf_pprof_chunk *chunks;
	size_t cap_sample_type, cap_sample, cap_mapping, cap_location, cap_function,
		cap_string_table, cap_comment;
	uint32_t *string_slots, *function_slots; /* hash tables of indexes + 1 */
	size_t n_string_slots, n_function_slots;
	bool failed;
};

void hf_pprof_init(struct hf_pprof *b);
/* Start from the tables of another profile, which must outlive b. */
void hf_pprof_init_from(struct hf_pprof *b, const HfPb__Profile *other);
void hf_pprof_deinit(struct hf_pprof *b);

/* The index of a text; NULL is "". */
int64_t hf_pprof_string(struct hf_pprof *b, const char *text);
void hf_pprof_sample_type(struct hf_pprof *b, const char *type, const char *unit);
void hf_pprof_comment(struct hf_pprof *b, const char *text);
/* Its id. system_name NULL: the same as name. */
uint64_t hf_pprof_function(
	struct hf_pprof *b, const char *name, const char *system_name, const char *file);
/* New records with an id; NULL: no memory. A location has room for n_lines. */
HfPb__Mapping *hf_pprof_mapping(struct hf_pprof *b);
HfPb__Location *hf_pprof_location(struct hf_pprof *b, size_t n_lines);
/* A copy that may be changed; it takes no place in the table. NULL: no memory. */
HfPb__Location *hf_pprof_copy_location(struct hf_pprof *b, const HfPb__Location *location);
/* Give a location n_lines lines, which are to be filled. False: no memory. */
bool hf_pprof_lines(struct hf_pprof *b, HfPb__Location *location, size_t n_lines);
/* A sample with room for its locations and n_sample_type values. */
HfPb__Sample *hf_pprof_sample(struct hf_pprof *b, size_t n_locations);
void hf_pprof_label(struct hf_pprof *b, HfPb__Sample *sample, const char *key, const char *text,
	int64_t number);
void hf_pprof_period(struct hf_pprof *b, uint64_t period);

enum hf_status hf_pprof_write(struct hf_pprof *b, const char *path, struct hf_err *err);

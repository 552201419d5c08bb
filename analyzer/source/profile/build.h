/*
 * Putting a profile together: growing arrays, strings, one site a stack, all within a budget of
 * memory. For the readers of this folder.
 */
#pragma once
#include "profile/profile.h"

struct hf_profile_raw;

struct profile_build {
	struct hf_profile profile;
	const char *name;           /* of the file, for messages */
	struct hf_profile_raw *raw; /* keeps what pprof's reader unpacks; NULL: nobody wants it */
	struct hf_err *err;
	size_t cap_mappings, cap_functions, cap_lines, cap_locations, cap_frames, cap_sites;
	/* stack → site; and address → location, for texts */
	uint32_t *site_slots, *location_slots;
	size_t n_site_slots, n_location_slots;
	double *values; /* live bytes and count, total bytes and count of each site, unrounded */
	size_t cap_values;
};

/* name and err are the caller's. */
void profile_build_init(struct profile_build *b, const char *name, struct hf_err *err);
void profile_build_deinit(struct profile_build *b);

/* Room for n more elements of *array; zeroed. NULL: no memory, or over budget (err is set). */
#define profile_push(b, field, n)                                                                  \
	((typeof((b)->profile.field))profile_push_(b, (void **)&(b)->profile.field,                \
		&(b)->profile.n_##field, &(b)->cap_##field, sizeof(*(b)->profile.field), n))
void *profile_push_(struct profile_build *b, void **at, size_t *n, size_t *cap, size_t size_bytes,
	size_t n_more);
/* A copy; NULL: no memory. */
const char *profile_string(struct profile_build *b, const void *bytes, size_t n);

/* The location of an address, made if new; mapping as of the mappings so far. HF_PROFILE_NONE: no
 * memory. */
uint32_t profile_location_at(struct profile_build *b, uint64_t address);

struct profile_values {
	double live_bytes, live_count, total_bytes, total_count;
};
/* Add values to the site of a stack of n locations. own_id: 0, or the number that the profile gives
 * it: then it is a site of its own, whatever its stack. */
enum hf_status profile_add(struct profile_build *b, const uint32_t *stack, size_t n,
	uint64_t own_id, const struct profile_values *values);
/* Round, sort by id, hand over. */
enum hf_status profile_finish(struct profile_build *b, struct hf_profile *ret);

enum hf_status profile_no_memory(struct profile_build *b);

/* n sampled objects of `bytes` in all are so many: the factor 1 / (1 − e^(−s/R)) for objects of
 * their mean size, as both gperftools and jemalloc define it. */
double profile_unsample(double bytes, double count, double period);

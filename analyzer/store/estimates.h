/*
 * Estimates by site, held against what is known exactly. Recorded objects stand for others, and an
 * estimate by few of them may well be more than there can be: a site cannot have more objects than
 * the heap (without those that are known to be others'), than there are of the type that all its
 * samples have, or than there are of the size that they have (if there are two or more). What all
 * sites have is not more than the heap. Estimates below these bounds are left alone: unbiased.
 *
 * Thread rule: pure functions.
 */
#pragma once
#include "store/rows.h"
#include "store/summary.h"

enum { HF_ESTIMATE_MIXED = UINT32_MAX };

struct hf_estimate {
	uint32_t site;
	uint64_t samples, sample_bytes;
	uint32_t type; /* of all samples; 0: not known, HF_ESTIMATE_MIXED: several */
	uint32_t unit; /* usable size of all samples in units of 8 bytes; HF_ESTIMATE_MIXED, too */
	double count, size;
};

/* What is known exactly of all objects, or of the leaked ones. */
struct hf_estimate_pool {
	uint64_t count, size;
	const struct hf_summary_group *types; /* [n_types], or NULL */
	uint32_t n_types;
	bool leaked;              /* of the types, the leaked objects count */
	const uint32_t *of_units; /* [HF_ESTIMATE_UNITS] objects by usable size */
};
enum { HF_ESTIMATE_UNITS = 1 << 17 };

static inline uint32_t hf_estimate_unit(uint64_t usable)
{
	return usable >> 3 < HF_ESTIMATE_UNITS ? (uint32_t)(usable >> 3) : HF_ESTIMATE_MIXED;
}
/* One more sample of an estimate that starts as zeros. */
void hf_estimate_add(struct hf_estimate *e, uint64_t size, uint64_t usable, uint32_t type);
/* Bring estimates of different sites down to what there can be. */
void hf_estimates_bound(struct hf_estimate *at, size_t n, const struct hf_estimate_pool *pool);

/* Of all sites that have recorded objects. An array for free(), NULL if nothing is sampled. */
enum hf_status hf_estimates_of_sites(struct hf_estimate **ret, size_t *ret_n,
	const struct hf_rows_objects *objects, const struct hf_summary_group *types,
	uint32_t n_types, uint32_t n_sites, struct hf_err *err);
/* The same of leaks, in place. */
enum hf_status hf_estimates_of_leaks(struct hf_summary_leak *leaks, size_t n,
	const struct hf_rows_objects *objects, const struct hf_summary_group *types,
	uint32_t n_types, struct hf_err *err);

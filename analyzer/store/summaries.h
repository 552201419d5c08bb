/*
 * Everything of the database that is worked out over all objects and is no row of the big tables:
 * sums by group, the largest objects, leaks, suspects, the children of wide nodes, and the entries
 * of the partial indexes. It needs the arrays alone, so it can be had beside the writing of the
 * objects.
 *
 * Thread rule: pure functions over read-only arrays.
 */
#pragma once
#include "store/estimates.h"
#include "store/store.h"
#include "store/summary.h"
#include "store/suspect.h"
#include "store/wide.h"

struct hf_summaries_groups {
	struct hf_summary_group *at; /* [n] by arena index, type id or site id */
	uint32_t n;
};

struct hf_summaries_top {
	struct hf_summary_ranked *at; /* [n] largest first */
	uint32_t n;
};

/* All owned. */
struct hf_summaries {
	struct hf_summaries_groups arenas, types, sites;
	struct hf_summaries_top retained, held, size;
	struct hf_summaries_top
		heads; /* of leaks, by held size; their places in the list of heads */
	struct hf_estimate *estimates; /* of sites, if they are sampled */
	size_t n_estimates;
	struct hf_summary_leak *leaks;
	size_t n_leaks;
	struct hf_suspects suspects;
	struct hf_rows_pairs far_idom, leak;
	struct hf_wide wide;
};

enum hf_status hf_summaries_init(
	struct hf_summaries *ret, const struct hf_store_input *input, struct hf_err *err);
void hf_summaries_deinit(struct hf_summaries *summaries);

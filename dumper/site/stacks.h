/*
 * The stacks that were seen, each with an id: a lock-free set that only grows.
 * Thread and signal safety: async-signal-safe, from any thread.
 */
#pragma once
#include "site/store.h"

/* The id of a stack of n return addresses (1 … HF_SITE_MAX_FRAMES), innermost first, among what is
 * recorded with that period; 0 if there is no room for a new one, which is counted. */
uint32_t hf_stacks_intern(
	struct hf_site_store *s, uint64_t period_bytes, const uint64_t *pcs, uint32_t n);
/* Add to what a site allocated. count has HF_SITE_FRACTION fractional bits. */
void hf_stacks_add(
	struct hf_site_store *s, uint32_t site, uint32_t stripe, uint64_t count, uint64_t bytes);
/* Sum of it, without what is pending in memos. */
struct hf_site_total hf_stacks_total(const struct hf_site_store *s, uint32_t site);
/* Ids are 1 … this; some may have no frames. */
static inline uint32_t hf_stacks_last(const struct hf_site_store *s)
{
	uint32_t n = __atomic_load_n(&s->n_sites, __ATOMIC_ACQUIRE);
	return n < HF_SITE_MAX_SITES - 2 ? n : HF_SITE_MAX_SITES - 2;
}
/* The frames of a site, innermost first; their number, 0 for an id of no site. */
uint32_t hf_stacks_frames(const struct hf_site_store *s, uint32_t site, const uint64_t **ret);
/* The period that the objects of a site (1 … hf_stacks_last()) were sampled with. */
static inline uint64_t hf_stacks_period(const struct hf_site_store *s, uint32_t site)
{
	return s->sites[site].period_bytes ? s->sites[site].period_bytes : 1;
}

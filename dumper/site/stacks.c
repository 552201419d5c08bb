#include "site/stacks.h"

#include <string.h>

static uint64_t hash_of(const uint64_t *pcs, uint32_t n, uint64_t period)
{
	uint64_t h = (n ^ period << 8) * 0x9e3779b97f4a7c15ull;
	for (uint32_t i = 0; i < n; i++) {
		h = (h ^ pcs[i]) * 0xff51afd7ed558ccdull;
		h ^= h >> 32;
	}
	return h;
}

static bool is_same(const struct hf_site_store *s, uint32_t site, const struct hf_site_record *key,
	const uint64_t *pcs)
{
	const struct hf_site_record *r = &s->sites[site];
	uint32_t n = key->n_pcs;
	return r->hash == key->hash && r->period_bytes == key->period_bytes && r->n_pcs == n &&
	       memcmp(&s->pcs[r->first_pc], pcs, n * sizeof(*pcs)) == 0;
}

/* The next n of a part's elements of that size: the first, or `most` if there is no room. Ids of
 * sites start at 1: theirs has one more. */
static uint32_t take(struct hf_site_store *s, enum hf_site_part part, uint32_t *used, uint32_t n,
	uint32_t most, uint64_t size)
{
	uint32_t at = __atomic_load_n(used, __ATOMIC_RELAXED);
	do {
		if (at > most - n ||
			!hf_store_room(
				s, part, ((uint64_t)at + n + (part == HF_SITE_PART_SITES)) * size))
			return most;
	} while (!__atomic_compare_exchange_n(
		used, &at, at + n, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	return at;
}

static uint32_t make(struct hf_site_store *s, const struct hf_site_record *key, const uint64_t *pcs)
{
	const uint32_t n = key->n_pcs, most = HF_SITE_MAX_SITES - 2;
	uint32_t first = take(s, HF_SITE_PART_PCS, &s->n_pcs, n, HF_SITE_MAX_PCS, sizeof(*pcs));
	if (first == HF_SITE_MAX_PCS)
		return 0;
	uint32_t before = take(s, HF_SITE_PART_SITES, &s->n_sites, 1, most, sizeof(s->sites[0]));
	if (before == most)
		return 0;
	uint32_t id = before + 1;
	struct hf_site_record *r = &s->sites[id];
	memcpy(&s->pcs[first], pcs, n * sizeof(*pcs));
	r->hash = key->hash;
	r->period_bytes = key->period_bytes;
	r->first_pc = first;
	__atomic_store_n(&r->n_pcs, n, __ATOMIC_RELEASE);
	return id;
}

/* The index is tables of growing size, so that few stacks take few pages. A stack is in the first
 * that had a free slot within so many of its place: slots are never freed, so who looks for it
 * finds it before a free one. */
enum { PROBES = 8 };

uint32_t hf_stacks_intern(struct hf_site_store *s, uint64_t period, const uint64_t *pcs, uint32_t n)
{
	uint64_t hash = hash_of(pcs, n, period);
	struct hf_site_record key = {.hash = hash, .n_pcs = n, .period_bytes = period};
	uint32_t made = 0, *table = s->index;
	for (uint32_t size = HF_SITE_INDEX_FIRST; table < s->index + HF_SITE_INDEX;
		table += size, size *= 8) {
		uint32_t tries = size * 8 < HF_SITE_INDEX ? PROBES : size;
		if (!hf_store_room(s, HF_SITE_PART_INDEX,
			    (uint64_t)(table + size - s->index) * sizeof(*table)))
			break;
		for (uint32_t i = 0; i < tries; i++) {
			uint32_t *slot = &table[(hash + i) % size];
			uint32_t site = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
			if (!site) {
				if (!made && !(made = make(s, &key, pcs)))
					goto lost;
				if (__atomic_compare_exchange_n(slot, &site, made, false,
					    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
					return made;
			}
			if (is_same(s, site, &key, pcs)) {
				if (made)
					s->sites[made].n_pcs = 0;
				return site;
			}
		}
	}
lost:
	__atomic_add_fetch(&s->lost_stacks, 1, __ATOMIC_RELAXED);
	return 0;
}

void hf_stacks_add(
	struct hf_site_store *s, uint32_t site, uint32_t stripe, uint64_t count, uint64_t bytes)
{
	struct hf_site_total *total = &s->sites[site].totals[stripe % HF_SITE_STRIPES];
	__atomic_add_fetch(&total->count, count, __ATOMIC_RELAXED);
	__atomic_add_fetch(&total->bytes, bytes, __ATOMIC_RELAXED);
}

struct hf_site_total hf_stacks_total(const struct hf_site_store *s, uint32_t site)
{
	struct hf_site_total sum = {0};
	for (int i = 0; i < HF_SITE_STRIPES; i++) {
		const struct hf_site_total *total = &s->sites[site].totals[i];
		sum.count += __atomic_load_n(&total->count, __ATOMIC_RELAXED);
		sum.bytes += __atomic_load_n(&total->bytes, __ATOMIC_RELAXED);
	}
	return sum;
}

uint32_t hf_stacks_frames(const struct hf_site_store *s, uint32_t site, const uint64_t **ret)
{
	if (!site || site >= HF_SITE_MAX_SITES)
		return 0;
	uint32_t n = __atomic_load_n(&s->sites[site].n_pcs, __ATOMIC_ACQUIRE);
	uint32_t first = s->sites[site].first_pc;
	if (n > HF_SITE_MAX_FRAMES || first > HF_SITE_MAX_PCS - n)
		return 0;
	*ret = &s->pcs[first];
	return n;
}

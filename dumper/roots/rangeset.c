#include "roots/rangeset.h"

void hf_rangeset_init(struct hf_rangeset *set)
{
	hf_vec_init(&set->ranges, sizeof(struct hf_tagged_range));
}

void hf_rangeset_deinit(struct hf_rangeset *set)
{
	hf_vec_deinit(&set->ranges);
}

static int by_start(const void *a, const void *b)
{
	const struct hf_tagged_range *x = a, *y = b;
	return (x->start > y->start) - (x->start < y->start);
}

static bool push(struct hf_vec *vec, uint64_t start, uint64_t end, uint64_t tag)
{
	if (start >= end)
		return true;
	struct hf_tagged_range *slot = hf_vec_push(vec);
	if (slot)
		*slot = (struct hf_tagged_range){start, end, tag};
	return slot != NULL;
}

bool hf_rangeset_claim(struct hf_rangeset *set, struct hf_vec *claims)
{
	struct hf_vec merged;
	hf_vec_init(&merged, sizeof(struct hf_tagged_range));
	hf_sort(claims->data, claims->n, claims->elem, by_start);
	bool ok = hf_vec_reserve(&merged, set->ranges.n + claims->n + 1);
	size_t i = 0;
	uint64_t at = 0; /* everything below is dealt with */
	for (size_t k = 0; ok && k < claims->n; k++) {
		const struct hf_tagged_range *claim = hf_vec_at(claims, k);
		at = claim->start > at ? claim->start : at;
		while (ok && at < claim->end) {
			const struct hf_tagged_range *taken =
				i < set->ranges.n ? hf_vec_at(&set->ranges, i) : NULL;
			if (!taken || taken->start >= claim->end) {
				ok = push(&merged, at, claim->end, claim->tag);
				at = claim->end;
				break;
			}
			ok = push(&merged, at, taken->start, claim->tag);
			at = taken->end > at ? taken->end : at;
			ok = ok && push(&merged, taken->start, taken->end, taken->tag);
			i++;
		}
		/* Taken ranges that end before the next claim starts. */
		while (ok && i < set->ranges.n && k + 1 < claims->n) {
			const struct hf_tagged_range *taken = hf_vec_at(&set->ranges, i);
			if (taken->start >=
				((struct hf_tagged_range *)hf_vec_at(claims, k + 1))->start)
				break;
			ok = push(&merged, taken->start, taken->end, taken->tag);
			at = taken->end > at ? taken->end : at;
			i++;
		}
	}
	for (; ok && i < set->ranges.n; i++) {
		const struct hf_tagged_range *taken = hf_vec_at(&set->ranges, i);
		ok = push(&merged, taken->start, taken->end, taken->tag);
	}
	if (!ok) {
		hf_vec_deinit(&merged);
		return false;
	}
	hf_sort(merged.data, merged.n, merged.elem, by_start);
	hf_vec_deinit(&set->ranges);
	set->ranges = merged;
	return true;
}

const struct hf_tagged_range *hf_rangeset_find(const struct hf_rangeset *set, uint64_t addr)
{
	size_t lo = 0, hi = set->ranges.n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct hf_tagged_range *range = hf_vec_at(&set->ranges, mid);
		if (range->end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	if (lo == set->ranges.n)
		return NULL;
	const struct hf_tagged_range *range = hf_vec_at(&set->ranges, lo);
	return addr >= range->start ? range : NULL;
}

#include "store/estimates.h"

#include <stdlib.h>

#include "base/cleanup.h"

void hf_estimate_add(struct hf_estimate *e, uint64_t size, uint64_t usable, uint32_t type)
{
	uint32_t unit = hf_estimate_unit(usable);
	if (!e->samples) {
		e->type = type;
		e->unit = unit;
	}
	if (e->type != type)
		e->type = HF_ESTIMATE_MIXED;
	if (e->unit != unit)
		e->unit = HF_ESTIMATE_MIXED;
	e->samples++;
	e->sample_bytes += size;
}

static void at_most(double *value, double most)
{
	if (*value > most)
		*value = most;
}

/* To what is left of `all` when the samples themselves, which are certain, are off it. */
static double scale(double all, double certain, double sum)
{
	return sum > all && sum > certain ? (all - certain) / (sum - certain) : 1;
}

void hf_estimates_bound(struct hf_estimate *at, size_t n, const struct hf_estimate_pool *pool)
{
	double samples = 0, bytes = 0, count = 0, size = 0;
	for (size_t i = 0; i < n; i++) {
		samples += (double)at[i].samples;
		bytes += (double)at[i].sample_bytes;
	}
	for (size_t i = 0; i < n; i++) {
		struct hf_estimate *e = &at[i];
		double own = (double)e->samples, own_bytes = (double)e->sample_bytes;
		at_most(&e->count, (double)pool->count - samples + own);
		at_most(&e->size, (double)pool->size - bytes + own_bytes);
		if (e->type && e->type < pool->n_types) {
			const struct hf_summary_group *t = &pool->types[e->type];
			at_most(&e->count, (double)(pool->leaked ? t->leak_count : t->count));
			at_most(&e->size, (double)(pool->leaked ? t->leak_size : t->size));
		}
		if (e->samples > 1 && e->unit != HF_ESTIMATE_MIXED) {
			at_most(&e->count, (double)pool->of_units[e->unit]);
			at_most(&e->size, pool->of_units[e->unit] * own_bytes / own);
		}
		e->count = e->count < own ? own : e->count;
		e->size = e->size < own_bytes ? own_bytes : e->size;
		count += e->count;
		size += e->size;
	}
	double of_count = scale((double)pool->count, samples, count),
	       of_size = scale((double)pool->size, bytes, size);
	for (size_t i = 0; i < n; i++) {
		double own = (double)at[i].samples, own_bytes = (double)at[i].sample_bytes;
		at[i].count = own + of_count * (at[i].count - own);
		at[i].size = own_bytes + of_size * (at[i].size - own_bytes);
	}
}

/* All objects, or the leaked ones, by usable size; for free(). */
static uint32_t *count_units(const struct hf_rows_objects *o, struct hf_estimate_pool *pool)
{
	uint32_t *units = calloc(HF_ESTIMATE_UNITS, sizeof(*units));
	for (uint64_t i = 0; units && i < o->heap->n_objects; i++) {
		if (pool->leaked && o->reach[i].depth != HF_GRAPH_NONE)
			continue;
		uint32_t unit = hf_estimate_unit(o->heap->usable[i]);
		if (unit != HF_ESTIMATE_MIXED)
			units[unit]++;
		pool->count++;
		pool->size += o->size[i];
	}
	pool->of_units = units;
	return units;
}

static bool is_sampled(const struct hf_rows_objects *o)
{
	return o->heap->site && o->heap->usable && o->names && o->names->sample_period;
}

static enum hf_status no_memory(struct hf_err *err)
{
	return hf_err_set(err, HF_E_NOMEM, "no memory for estimates");
}

enum hf_status hf_estimates_of_sites(struct hf_estimate **ret, size_t *ret_n,
	const struct hf_rows_objects *o, const struct hf_summary_group *types, uint32_t n_types,
	uint32_t n_sites, struct hf_err *err)
{
	*ret = NULL;
	*ret_n = 0;
	if (!is_sampled(o))
		return HF_OK;
	struct hf_estimate_pool pool = {.types = types, .n_types = types ? n_types : 0};
	_cleanup_(hf_freep) uint32_t *units = count_units(o, &pool);
	struct hf_estimate *at = calloc(n_sites + 1ull, sizeof(*at));
	if (!at || !units) {
		free(at);
		return no_memory(err);
	}
	const uint32_t *type = o->names->object_type;
	for (uint64_t i = 0; i < o->heap->n_objects; i++) {
		uint32_t site = o->heap->site[i];
		if (site && site < n_sites)
			hf_estimate_add(
				&at[site], o->size[i], o->heap->usable[i], type ? type[i] : 0);
	}
	for (size_t i = 0; i < o->names->n_sites; i++) {
		const struct hf_names_site *s = &o->names->sites[i];
		if (s->id >= n_sites)
			continue;
		at[s->id].count = (double)s->live_count;
		at[s->id].size = (double)s->live_bytes;
	}
	size_t n = 0;
	for (uint32_t site = 1; site < n_sites; site++) {
		at[site].site = site;
		if (at[site].samples)
			at[n++] = at[site];
	}
	hf_estimates_bound(at, n, &pool);
	*ret = at;
	*ret_n = n;
	return HF_OK;
}

enum hf_status hf_estimates_of_leaks(struct hf_summary_leak *leaks, size_t n,
	const struct hf_rows_objects *o, const struct hf_summary_group *types, uint32_t n_types,
	struct hf_err *err)
{
	if (!is_sampled(o) || !n)
		return HF_OK;
	struct hf_estimate_pool pool = {
		.types = types, .n_types = types ? n_types : 0, .leaked = true};
	_cleanup_(hf_freep) uint32_t *units = count_units(o, &pool);
	struct hf_estimate *at = calloc(n, sizeof(*at));
	if (!at || !units) {
		free(at);
		return no_memory(err);
	}
	size_t k = 0;
	for (size_t i = 0; i < n; i++) {
		if (leaks[i].site)
			at[k++] = (struct hf_estimate){.site = leaks[i].site,
				.type = leaks[i].type,
				.unit = leaks[i].unit,
				.samples = leaks[i].count,
				.sample_bytes = leaks[i].size,
				.count = leaks[i].est_count,
				.size = leaks[i].est_size};
	}
	hf_estimates_bound(at, k, &pool);
	k = 0;
	for (size_t i = 0; i < n; i++) {
		if (!leaks[i].site)
			continue;
		leaks[i].est_count = at[k].count;
		leaks[i].est_size = at[k++].size;
	}
	free(at);
	return HF_OK;
}

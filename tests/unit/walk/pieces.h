/* A heap walked in pieces gives what one walk gives: every mark, counter and finding. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "walk/walk.h"

static bool pieces_same_index(const struct hf_index *a, const struct hf_index *b)
{
	if (a->regions.n != b->regions.n || a->n_objects != b->n_objects ||
		a->live_bytes != b->live_bytes || a->regions_dropped != b->regions_dropped)
		return false;
	for (size_t i = 0; i < a->regions.n; i++) {
		const struct hf_index_region *x = hf_vec_at(&a->regions, i),
					     *y = hf_vec_at(&b->regions, i);
		const uint64_t n = (x->end - x->start + HF_CELL_BYTES - 1) / HF_CELL_BYTES;
		if (x->start != y->start || x->end != y->end || x->arena != y->arena ||
			x->n_live != y->n_live || !x->cells != !y->cells || x->live != y->live)
			return false;
		if (x->cells && memcmp(x->cells, y->cells, n * sizeof(*x->cells)) != 0)
			return false;
	}
	return true;
}

static bool pieces_same_lists(const struct hf_walk *a, const struct hf_walk *b)
{
	bool same = a->arenas.n == b->arenas.n && a->counters.n == b->counters.n &&
		    a->findings.n == b->findings.n && a->tcaches.n == b->tcaches.n;
	for (size_t i = 0; same && i < a->arenas.n; i++) {
		const struct hf_walk_arena *x = hf_vec_at(&a->arenas, i),
					   *y = hf_vec_at(&b->arenas, i);
		same = x->addr == y->addr && x->size_bytes == y->size_bytes &&
		       x->free_bytes == y->free_bytes && x->free_count == y->free_count &&
		       x->metadata_bytes == y->metadata_bytes;
	}
	for (size_t i = 0; same && i < a->counters.n; i++) {
		const struct hf_walk_counter *x = hf_vec_at(&a->counters, i),
					     *y = hf_vec_at(&b->counters, i);
		same = strcmp(x->name, y->name) == 0 && x->allocator == y->allocator &&
		       x->walked == y->walked && x->must_match == y->must_match;
	}
	for (size_t i = 0; same && i < a->findings.n; i++) {
		const struct hf_walk_finding *x = hf_vec_at(&a->findings, i),
					     *y = hf_vec_at(&b->findings, i);
		same = x->severity == y->severity && x->addr == y->addr &&
		       strcmp(x->text, y->text) == 0;
	}
	for (size_t i = 0; same && i < a->tcaches.n; i++) {
		const struct hf_walk_range *x = hf_vec_at(&a->tcaches, i),
					   *y = hf_vec_at(&b->tcaches, i);
		same = x->start == y->start && x->end == y->end;
	}
	return same;
}

/* walk is done, and its index sealed. */
static bool pieces_give_the_same(const struct hf_walk *walk, uint64_t piece_bytes)
{
	struct hf_index index;
	struct hf_walk again;
	struct hf_pool pool;
	hf_index_init(&index);
	hf_walk_init(&again);
	hf_pool_init(&pool, NULL, 0);
	again.mem = walk->mem;
	again.maps = walk->maps;
	again.images = walk->images;
	again.files = walk->files;
	again.threads = walk->threads;
	again.n_threads = walk->n_threads;
	again.own = walk->own;
	again.n_own = walk->n_own;
	again.pool = &pool;
	again.index = &index;
	again.piece_bytes = piece_bytes;
	const bool same = !hf_walk_all(&again, NULL) && !hf_index_seal(&index, NULL) &&
			  pieces_same_index(walk->index, &index) && pieces_same_lists(walk, &again);
	hf_walk_deinit(&again);
	hf_index_deinit(&index);
	hf_pool_deinit(&pool);
	return same;
}

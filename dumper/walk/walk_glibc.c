/*
 * The walker of glibc's malloc: the order of its steps. docs/walkers/glibc.md describes them.
 */
#include "walk/glibc.h"

void glibc_init(struct glibc *g, struct hf_walk *walk)
{
	*g = (struct glibc){.walk = walk, .image = -1};
	hf_reader_init(&g->reader, walk->mem);
	hf_reader_init(&g->probe, walk->mem);
	hf_vec_init(&g->arenas, sizeof(struct glibc_arena));
	hf_vec_init(&g->spans, sizeof(struct hf_walk_range));
	hf_vec_init(&g->cuts, sizeof(struct hf_walk_range));
	hf_vec_init(&g->tcache_like, sizeof(uint64_t));
	hf_vec_init(&g->tcaches, sizeof(struct glibc_tcache));
}

void glibc_deinit(struct glibc *g)
{
	hf_reader_deinit(&g->reader);
	hf_reader_deinit(&g->probe);
	hf_vec_deinit(&g->arenas);
	hf_vec_deinit(&g->spans);
	hf_vec_deinit(&g->cuts);
	hf_vec_deinit(&g->tcache_like);
	hf_vec_deinit(&g->tcaches);
}

static enum hf_status probe(struct hf_walk *walk, void **ret_state, struct hf_err *err)
{
	struct glibc *g = hf_pool_alloc(walk->pool, sizeof(*g));
	if (!g)
		return hf_err_set(err, HF_E_NOMEM, "no memory to walk glibc's malloc");
	glibc_init(g, walk);
	enum hf_status status = glibc_find(g, err);
	if (status) {
		glibc_deinit(g);
		return status;
	}
	*ret_state = g;
	return HF_OK;
}

static bool walk_all(struct glibc *g)
{
	struct hf_walk *walk = g->walk;
	if (!g->lost)
		hf_walk_range(&walk->excluded, g->main_arena, g->main_bins + GLIBC_STATE_FROM_BINS);
	if (g->mp)
		hf_walk_range(&walk->excluded, g->mp, g->mp + g->layout->mp_size);
	if (!glibc_spans_init(g) || !glibc_walk_heaps(g) || !glibc_walk_mmapped(g))
		return false;
	hf_index_sort_regions(walk->index);
	if (!glibc_walk_caches(g))
		return false;
	glibc_check(g);
	return true;
}

static enum hf_status walk(struct hf_walk *walk, void *state, struct hf_err *err)
{
	struct glibc *g = state;
	bool ok = walk_all(g);
	glibc_deinit(g);
	return ok ? HF_OK : hf_err_set(err, HF_E_NOMEM, "no memory to walk glibc's malloc");
}

const struct hf_walker hf_walker_glibc = {"glibc", probe, walk};

#include "graph/graph.h"

#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "graph/internal.h"

enum { HUGE_PAGE = 2 << 20 };

/* Random access over hundreds of megabytes is bound by TLB misses on small pages. Only a hint. */
void hf_graph_prefer_huge_pages(void *p, size_t bytes)
{
	uintptr_t start = hf_align_up((uintptr_t)p, HUGE_PAGE);
	uintptr_t end = hf_align_down((uintptr_t)p + bytes, HUGE_PAGE);
	if (start < end)
		madvise((void *)start, end - start, MADV_HUGEPAGE);
}

void *hf_graph_alloc(uint64_t n, size_t elem)
{
	uint64_t bytes;
	if (!hf_mul_u64(n, elem, &bytes) || bytes > SIZE_MAX - HUGE_PAGE)
		return NULL;
	if (bytes < 2 * HUGE_PAGE)
		return malloc(bytes ? bytes : 1);
	bytes = hf_align_up(bytes, HUGE_PAGE);
	void *p = aligned_alloc(HUGE_PAGE, bytes);
	if (p)
		hf_graph_prefer_huge_pages(p, bytes);
	return p;
}

void *hf_graph_zalloc(uint64_t n, size_t elem)
{
	/* Large blocks come zeroed from the kernel, and calloc() knows. */
	void *p = calloc(n ? n : 1, elem);
	if (p)
		hf_graph_prefer_huge_pages(p, n * elem);
	return p;
}

enum hf_status hf_graph_nomem(struct hf_err *err, const char *stage)
{
	return hf_err_set(err, HF_E_NOMEM, "graph, %s: out of memory", stage);
}

enum hf_status hf_graph_tick(const struct hf_graph *g, const char *stage, uint64_t done,
	uint64_t total, struct hf_err *err)
{
	if (!g->progress || g->progress(g->progress_ctx, stage, done, total))
		return HF_OK;
	return hf_err_set(err, HF_E_FAILED, "graph, %s: cancelled", stage);
}

static enum hf_status check_roots(const struct hf_graph *g, struct hf_err *err)
{
	for (uint32_t r = 0; r < g->n_roots; r++) {
		const struct hf_graph_root *root = &g->roots[r];
		if (root->object >= g->n_objects)
			return hf_err_set(err, HF_E_CORRUPT, "root word %u: object %u of %u", r,
				root->object, g->n_objects);
		if (root->variable != HF_GRAPH_NONE && root->variable >= g->n_variables)
			return hf_err_set(err, HF_E_CORRUPT, "root word %u: variable %u of %u", r,
				root->variable, g->n_variables);
	}
	return HF_OK;
}

enum hf_status hf_graph_check(const struct hf_graph *g, struct hf_err *err)
{
	if ((uint64_t)g->n_objects + g->n_variables > HF_GRAPH_MAX_NODES)
		return hf_err_set(err, HF_E_UNSUPPORTED,
			"graph: %u objects and %u variables are more than 2^31", g->n_objects,
			g->n_variables);
	if (g->offset[0] != 0)
		return hf_err_set(err, HF_E_CORRUPT, "graph: the edges of object 0 start at %lu",
			g->offset[0]);
	for (uint32_t i = 0; i < g->n_objects; i++) {
		if (g->offset[i + 1] < g->offset[i])
			return hf_err_set(err, HF_E_CORRUPT,
				"object %u: edges end at %lu, before their start %lu", i,
				g->offset[i + 1], g->offset[i]);
	}
	uint64_t m = hf_graph_n_edges(g);
	for (uint64_t e = 0; e < m; e++) {
		if (g->dst[e] >= g->n_objects)
			return hf_err_set(err, HF_E_CORRUPT, "edge %lu: object %u of %u", e,
				g->dst[e], g->n_objects);
	}
	return check_roots(g, err);
}

uint64_t hf_graph_find_edge(const struct hf_graph *g, uint32_t src, uint32_t dst)
{
	uint64_t found = UINT64_MAX;
	for (uint64_t e = g->offset[src]; e < g->offset[src + 1]; e++) {
		if (g->dst[e] != dst)
			continue;
		if (!hf_graph_is_doubtful(g, e))
			return e;
		if (found == UINT64_MAX)
			found = e;
	}
	return found;
}

uint32_t *hf_graph_roots_by_rank(const struct hf_graph *g)
{
	uint32_t *sorted = hf_graph_alloc(g->n_roots, sizeof(*sorted));
	if (!sorted)
		return NULL;
	uint32_t next[256] = {0}, sum = 0;
	for (uint32_t r = 0; r < g->n_roots; r++)
		next[g->roots[r].rank]++;
	for (int rank = 0; rank < 256; rank++) {
		uint32_t count = next[rank];
		next[rank] = sum;
		sum += count;
	}
	for (uint32_t r = 0; r < g->n_roots; r++)
		sorted[next[g->roots[r].rank]++] = r;
	return sorted;
}

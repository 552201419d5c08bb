/* The edges by target, whatever the ranges they are sorted in: against plain sorting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/back_edges.h"

struct row {
	int64_t dst, src, offset;
};

static uint64_t random_state = 7;

static uint64_t draw(uint64_t n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (random_state >> 33) % n;
}

static int compare(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	if (x->dst != y->dst)
		return x->dst < y->dst ? -1 : 1;
	if (x->src != y->src)
		return x->src < y->src ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Edges of a heap of n objects: mostly near, some to everybody's object, some with offsets that
 * take more than 32 bits. */
static void make(struct hf_heap *heap, uint64_t n, uint64_t m)
{
	hf_heap_init(heap);
	struct hf_err err;
	assert_int_equal(hf_heap_alloc_objects(heap, n, &err), HF_OK);
	assert_int_equal(hf_heap_alloc_edges(heap, m, &err), HF_OK);
	uint64_t e = 0;
	for (uint64_t src = 0; src < n; src++) {
		heap->edge_offset[src] = e;
		uint64_t end = src + 1 == n ? m : e + draw(2 * m / n + 1);
		uint64_t word = 0;
		for (; e < end && e < m; e++) {
			word += 1 + draw(3);
			uint64_t kind = draw(8);
			heap->edge_dst[e] = (uint32_t)(kind == 0  ? n / 2
						       : kind < 3 ? draw(n)
								  : (src + draw(50)) % n);
			heap->edge_dst_off[e] = 0;
			heap->edge_src_off[e] = (uint32_t)word;
			if (draw(20))
				continue;
			heap->edge_src_off[e] = HF_HEAP_WIDE;
			word += (1ull << 32) * (1 + draw(2));
			struct hf_heap_wide *wide = hf_heap_push(&heap->edges_wide);
			*wide = (struct hf_heap_wide){e, word * 8, 0};
			for (uint64_t k = e + 1; k < end && k < m; k++) { /* and all after it */
				word += 1 + draw(3);
				heap->edge_dst[k] = draw(3) ? heap->edge_dst[e] : (uint32_t)draw(n);
				heap->edge_dst_off[k] = 0;
				heap->edge_src_off[k] = HF_HEAP_WIDE;
				wide = hf_heap_push(&heap->edges_wide);
				*wide = (struct hf_heap_wide){k, word * 8, 0};
				e = k;
			}
		}
	}
	heap->edge_offset[n] = m;
}

static void check(const struct hf_heap *heap, uint32_t n_ranges)
{
	struct row *want = malloc((heap->n_edges + 1) * sizeof(*want));
	for (uint32_t src = 0; src < heap->n_objects; src++)
		for (uint64_t e = heap->edge_offset[src]; e < heap->edge_offset[src + 1]; e++)
			want[e] = (struct row){heap->edge_dst[e] + 1ll, src + 1ll,
				(int64_t)hf_heap_src_off(heap, e)};
	qsort(want, heap->n_edges, sizeof(*want), compare);
	struct hf_back_edges b;
	struct hf_err err;
	assert_int_equal(hf_back_edges_init(&b, heap, n_ranges, &err), HF_OK);
	assert_true(b.n_ranges >= 1 && (!n_ranges || b.n_ranges <= n_ranges));
	if (n_ranges > 1 && heap->n_objects > 10000)
		assert_true(b.n_ranges > 1);
	struct hf_btree_row row = {0};
	for (uint64_t i = 0; i < heap->n_edges; i++) {
		hf_back_edges_row(&b, i, &row);
		assert_int_equal(row.n, 3);
		assert_int_equal(row.value[0], want[i].dst);
		assert_int_equal(row.value[1], want[i].src);
		assert_int_equal(row.value[2], want[i].offset);
	}
	hf_back_edges_deinit(&b);
	free(want);
}

static void test_ranges(void **state)
{
	static const uint64_t sizes[][2] = {
		{1, 0}, {1, 1}, {2, 3}, {1000, 63}, {1000, 64}, {1024, 5000}, {30000, 100001}};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct hf_heap heap;
		make(&heap, sizes[i][0], sizes[i][1]);
		for (uint32_t n_ranges = 0; n_ranges < 9; n_ranges++)
			check(&heap, n_ranges);
		hf_heap_deinit(&heap);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_ranges)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The memory account and the suspects on heaps drawn by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/account.h"
#include "store/suspect.h"
#include "store_util.h"

/* A heap of n objects of the given sizes, 0x1000 apart from 0x100000 on, in one arena. */
static void draw(struct hf_heap *heap, uint64_t n, const uint64_t *usable)
{
	struct hf_err err;
	hf_heap_init(heap);
	check_ok(hf_heap_alloc_objects(heap, n, &err), &err);
	for (uint64_t i = 0; i < n; i++) {
		heap->addr[i] = 0x100000 + 0x1000 * i;
		heap->usable[i] = usable ? usable[i] : 100;
		heap->arena[i] = 0;
		heap->total_usable += heap->usable[i];
	}
	struct hf_heap_arena *arena = hf_heap_push(&heap->arenas);
	*arena = (struct hf_heap_arena){.allocator = "toy 1", .live_bytes = heap->total_usable};
}

static void map(struct hf_heap *heap, uint64_t start, uint64_t size, uint64_t rss, uint32_t kind)
{
	struct hf_heap_mapping *m = hf_heap_push(&heap->mappings);
	*m = (struct hf_heap_mapping){.start = start,
		.size = size,
		.rss_bytes = rss,
		.kind = kind,
		.perms = 3,
		.path = ""};
}

static const struct hf_account_row *row_of(const struct hf_account *a, const char *category)
{
	for (size_t i = 0; i < a->n; i++)
		if (!strcmp(a->row[i].category, category))
			return &a->row[i];
	fail_msg("no row %s", category);
	return NULL;
}

static uint64_t sum_of(const struct hf_account *a)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < a->n; i++)
		sum += a->row[i].resident;
	return sum;
}

static void test_account(void **state)
{
	/* Object 0 lies in a resident heap, 1 crosses into the mapping after it, 2 and 3 are blocks
	 * of their own of which one was never touched. */
	static const uint64_t usable[] = {0x800, 0x1000, 0x1000, 0x1000};
	struct hf_heap heap;
	struct hf_err err;
	draw(&heap, 4, usable);
	heap.addr[1] = 0x101800;
	heap.addr[2] = 0x200000;
	heap.addr[3] = 0x300000;
	heap.arenas.at[0].metadata_bytes = 0x100;
	heap.arenas.at[0].free_bytes = 0x10000;
	map(&heap, 0x100000, 0x2000, 0x2000, HF_MAPPING_HEAP);
	map(&heap, 0x102000, 0x1000, 0x1000, HF_MAPPING_OTHER);
	map(&heap, 0x200000, 0x2000, 0, HF_MAPPING_HEAP);
	map(&heap, 0x300000, 0x1000, 0x1000, HF_MAPPING_HEAP);
	map(&heap, 0x400000, 0x9000, 0x5000, HF_MAPPING_STACK);
	struct hf_account a;
	check_ok(hf_account_init(&a, &heap, &err), &err);
	const struct hf_account_row *live = row_of(&a, "live objects");
	assert_string_equal(live->name, "toy 1");
	assert_int_equal(live->size, 0x3800);
	assert_int_equal(live->resident, 0x2800); /* all but object 2 */
	assert_int_equal(live->resident_min, 0x2800);
	assert_int_equal(row_of(&a, "other anonymous memory")->resident, 0x800);
	/* The heap mappings have 0x3000 resident, 0x2000 of them live. */
	assert_int_equal(row_of(&a, "allocator metadata")->resident, 0x100);
	assert_int_equal(row_of(&a, "allocator free")->resident, 0xf00);
	assert_non_null(row_of(&a, "allocator free")->note);
	assert_int_equal(row_of(&a, "stacks")->resident, 0x5000);
	assert_int_equal(sum_of(&a), 0x2000 + 0x1000 + 0x1000 + 0x5000);
	assert_int_equal(a.resident, sum_of(&a));
	hf_account_deinit(&a);

	/* The process's own figure is larger, then smaller than what was seen. */
	struct hf_heap_property *p = hf_heap_push(&heap.properties);
	*p = (struct hf_heap_property){"rss_bytes", "65536"};
	check_ok(hf_account_init(&a, &heap, &err), &err);
	assert_int_equal(row_of(&a, "unaccounted")->resident, 65536 - 0x9000);
	assert_int_equal(sum_of(&a), 65536);
	hf_account_deinit(&a);
	p->value = "4096";
	check_ok(hf_account_init(&a, &heap, &err), &err);
	assert_int_equal(sum_of(&a), 0x9000);
	hf_account_deinit(&a);
	hf_heap_deinit(&heap);
}

/* Of a mapping that is resident in part both bounds are given. */
static void test_account_bounds(void **state)
{
	static const uint64_t usable[] = {0x800, 0x800};
	struct hf_heap heap;
	struct hf_err err;
	draw(&heap, 2, usable);
	map(&heap, 0x100000, 0x2000, 0x1400, HF_MAPPING_HEAP);
	struct hf_account a;
	check_ok(hf_account_init(&a, &heap, &err), &err);
	const struct hf_account_row *live = row_of(&a, "live objects");
	assert_int_equal(live->resident, 0x1000);
	assert_int_equal(live->resident_min, 0x400); /* 0xc00 bytes are absent */
	assert_non_null(live->note);
	assert_int_equal(row_of(&a, "heap")->resident, 0x400);
	hf_account_deinit(&a);
	heap.mappings.at[0].rss_bytes = 0x800;
	check_ok(hf_account_init(&a, &heap, &err), &err);
	assert_int_equal(row_of(&a, "live objects")->resident, 0x800);
	assert_int_equal(row_of(&a, "live objects")->resident_min, 0);
	assert_int_equal(sum_of(&a), 0x800);
	hf_account_deinit(&a);
	hf_heap_deinit(&heap);
}

/* Edges are added in order of the source, one word after the other. */
static void edges(struct hf_heap *heap, size_t n, const uint32_t (*edge)[2])
{
	struct hf_err err;
	check_ok(hf_heap_alloc_edges(heap, n, &err), &err);
	size_t e = 0;
	for (uint32_t i = 0; i < heap->n_objects; i++) {
		heap->edge_offset[i] = e;
		for (uint32_t word = 0; e < n && edge[e][0] == i; e++, word++) {
			heap->edge_dst[e] = edge[e][1];
			heap->edge_src_off[e] = word;
		}
	}
	heap->edge_offset[heap->n_objects] = e;
	assert_int_equal(e, n);
}

static void root(struct hf_heap *heap, uint32_t variable, uint32_t object)
{
	struct hf_heap_root *r = hf_heap_push(&heap->roots);
	*r = (struct hf_heap_root){.addr = 0x4000 + 0x100 * (uint64_t)(variable + 1),
		.object = object,
		.kind = HF_ROOT_GLOBAL,
		.variable = variable,
		.module = HF_NONE,
		.thread = HF_NONE};
}

static void variable(struct hf_heap *heap, const char *name)
{
	uint64_t addr = 0x4100 + 0x100 * heap->variables.n;
	struct hf_heap_variable *v = hf_heap_push(&heap->variables);
	*v = (struct hf_heap_variable){.name = name,
		.addr = addr,
		.size_bytes = 8,
		.kind = HF_ROOT_GLOBAL,
		.module = HF_NONE,
		.thread = HF_NONE};
}

struct search {
	struct hf_heap heap;
	struct hf_analysis analysis;
	struct hf_suspects suspects;
};

static void search(struct search *s)
{
	struct hf_err err;
	check_ok(hf_analysis_init(&s->analysis, &s->heap, NULL, &err), &err);
	check_ok(hf_analysis_run(&s->analysis, NULL, NULL, &err), &err);
	struct hf_rows_objects objects = {.heap = &s->heap,
		.size = s->analysis.graph.size,
		.reach = s->analysis.reach.link,
		.dominance = s->analysis.dominators.node,
		.held = &s->analysis.held};
	struct hf_suspect_input input = {&objects, &s->analysis.graph, &s->analysis.heads};
	check_ok(hf_suspects_init(&s->suspects, &input, &err), &err);
}

static void search_done(struct search *s)
{
	hf_suspects_deinit(&s->suspects);
	hf_analysis_deinit(&s->analysis);
	hf_heap_deinit(&s->heap);
}

/* table -> header 0 -> array 1 -> 2 … 9, and a stray variable that points into the array. */
static void test_suspect_table(void **state)
{
	static const uint32_t edge[][2] = {
		{0, 1}, {1, 2}, {1, 3}, {1, 4}, {1, 5}, {1, 6}, {1, 7}, {1, 8}, {1, 9}};
	struct search s = {0};
	draw(&s.heap, 10, NULL);
	edges(&s.heap, 9, edge);
	variable(&s.heap, "table");
	variable(&s.heap, "cursor");
	root(&s.heap, 0, 0);
	root(&s.heap, 1, 1);
	/* The cursor is a thread's stale word: the table stays the better holder. */
	s.heap.roots.at[1].kind = s.heap.variables.at[1].kind = HF_ROOT_STACK;
	search(&s);
	/* The array, which neither variable dominates, is on the path: no suspect of its own. */
	assert_int_equal(s.suspects.n, 1);
	const struct hf_suspect *held = &s.suspects.at[0];
	assert_int_equal(held->basis, HF_SUSPECT_HELD);
	assert_int_equal(held->variable, 0);
	assert_int_equal(held->held_size, 1000);
	assert_int_equal(held->retained_size, 100); /* the header */
	assert_int_equal(held->point, 1);
	assert_int_equal(held->point_children, 8);
	assert_int_equal(held->hops, 2);
	assert_string_equal(held->path, "table->[+0]");
	search_done(&s);
}

/* A list of 60 below a struct: the point is its first link, not somewhere down the list. */
static void test_suspect_chain(void **state)
{
	enum { N = 62 };
	uint32_t edge[N - 2][2];
	struct search s = {0};
	draw(&s.heap, N, NULL);
	s.heap.usable[0] = 64;
	for (uint32_t i = 0; i < N - 2; i++) {
		edge[i][0] = i;
		edge[i][1] = i + 1;
	}
	edges(&s.heap, N - 2, edge); /* the last object is leaked */
	variable(&s.heap, "queue");
	root(&s.heap, 0, 0);
	search(&s);
	assert_int_equal(s.suspects.n, 1);
	const struct hf_suspect *held = &s.suspects.at[0];
	assert_int_equal(held->point, 1);
	assert_int_equal(held->point_children, 1);
	assert_string_equal(held->path, "queue->[+0] [chain ->[+0] ×60]");
	search_done(&s);
}

/* A binary tree of alike objects, nearly all of which are on its left side: the point is its
 * topmost object, not where it begins to divide. */
static void test_suspect_tree(void **state)
{
	enum { N = 101 };
	uint32_t edge[N][2];
	uint32_t n = 0;
	struct search s = {0};
	draw(&s.heap, N, NULL);
	/* 0: the top; its right child alone; 2 … 100 below its left one. */
	edge[n][0] = 0, edge[n++][1] = 2;
	edge[n][0] = 0, edge[n++][1] = 1;
	for (uint32_t i = 3; i < N; i++)
		edge[n][0] = 2 + (i - 3) / 2, edge[n++][1] = i;
	edges(&s.heap, n, edge);
	variable(&s.heap, "tree");
	root(&s.heap, 0, 0);
	search(&s);
	assert_int_equal(s.suspects.n, 1);
	assert_int_equal(s.suspects.at[0].point, 0);
	assert_int_equal(s.suspects.at[0].point_children, 2);
	assert_string_equal(s.suspects.at[0].path, "tree");
	search_done(&s);
}

static void test_suspect_leak(void **state)
{
	static const uint32_t edge[][2] = {{1, 2}, {1, 3}, {1, 4}};
	struct search s = {0};
	draw(&s.heap, 5, NULL);
	edges(&s.heap, 3, edge);
	root(&s.heap, HF_NONE, 0);
	search(&s);
	assert_int_equal(s.suspects.n, 2);
	assert_int_equal(s.suspects.at[0].basis, HF_SUSPECT_LEAKED);
	assert_int_equal(s.suspects.at[0].object, 1);
	assert_int_equal(s.suspects.at[0].point_children, 3);
	assert_string_equal(s.suspects.at[0].path, "0x101000");
	/* A root word without a variable. */
	assert_int_equal(s.suspects.at[1].basis, HF_SUSPECT_HELD);
	assert_int_equal(s.suspects.at[1].root, 0);
	assert_int_equal(s.suspects.at[1].variable, HF_NONE);
	search_done(&s);
}

/* Twelve objects of one site with a payload each: below a variable each, or below one of them all.
 */
static void search_alike(struct search *s, bool one_variable)
{
	enum { N = 12 };
	static const char *const names[N] = {
		"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"};
	uint32_t edge[N][2];
	draw(&s->heap, 2 * N, NULL);
	s->heap.site = calloc(2 * N, sizeof(*s->heap.site));
	for (uint32_t i = 0; i < N; i++) {
		edge[i][0] = i;
		edge[i][1] = N + i;
		s->heap.site[i] = 7;
		s->heap.site[N + i] = 9;
		if (!i || !one_variable)
			variable(&s->heap, names[i]);
		root(&s->heap, one_variable ? 0 : i, i);
		s->heap.roots.at[i].addr += one_variable ? 8ull * i : 0;
	}
	edges(&s->heap, N, edge);
	search(s);
}

static void test_suspect_group(void **state)
{
	struct search s = {0};
	search_alike(&s, false);
	/* No variable has a tenth; the payloads are dominated by their holders: no group. */
	assert_int_equal(s.suspects.n, 1);
	const struct hf_suspect *group = &s.suspects.at[0];
	assert_int_equal(group->basis, HF_SUSPECT_GROUP);
	assert_int_equal(group->site, 7);
	assert_int_equal(group->point_children, 12);
	assert_int_equal(group->retained_size, 2400);
	assert_int_equal(group->retained_count, 24);
	assert_int_equal(group->held_size, 2400);
	assert_int_equal(group->held_count, 24);
	assert_string_equal(group->path, "objects of site 7");
	search_done(&s);

	s = (struct search){0};
	search_alike(&s, true);
	/* One variable holds them all, and says so. */
	assert_int_equal(s.suspects.n, 1);
	assert_int_equal(s.suspects.at[0].basis, HF_SUSPECT_HELD);
	search_done(&s);
}

static void test_wide_offsets(void **state)
{
	/* Two words past 32 GiB of one object that point to the same target, and one before. */
	static const uint32_t edge[][2] = {{0, 1}, {0, 1}, {0, 1}};
	static const uint64_t usable[] = {1ull << 40, 64};
	struct built b = {0};
	struct hf_err err;
	draw(&b.heap, 2, usable);
	b.heap.addr[1] = 1ull << 41;
	edges(&b.heap, 3, edge);
	b.heap.edge_src_off[1] = b.heap.edge_src_off[2] = HF_HEAP_WIDE;
	for (uint64_t e = 1; e < 3; e++) {
		struct hf_heap_wide *w = hf_heap_push(&b.heap.edges_wide);
		*w = (struct hf_heap_wide){.index = e, .src_off = (e << 36) + 8, .dst_off = 0};
	}
	check_ok(hf_analysis_init(&b.analysis, &b.heap, NULL, &err), &err);
	check_ok(hf_analysis_run(&b.analysis, NULL, NULL, &err), &err);
	const char *path = temp_path("wide.hfdb");
	built_write(&b, path, &(struct hf_store_options){0});
	built_deinit(&b);
	sqlite3 *db = db_open(path);
	char *text = db_text(db, "PRAGMA integrity_check");
	assert_string_equal(text, "ok");
	free(text);
	assert_int_equal(db_int(db, "SELECT sum(src_offset) FROM edge WHERE dst_id = 2"),
		(1ll << 36) + (2ll << 36) + 16);
	sqlite3_close(db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_account),
		cmocka_unit_test(test_account_bounds),
		cmocka_unit_test(test_suspect_table),
		cmocka_unit_test(test_suspect_chain),
		cmocka_unit_test(test_suspect_tree),
		cmocka_unit_test(test_suspect_leak),
		cmocka_unit_test(test_suspect_group),
		cmocka_unit_test(test_wide_offsets),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	temp_done();
	return failed;
}

/* Dump files that are as they should be: what was written comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dump_kit.h"
#include "gen_dump.h"

static void test_random_models(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 40; seed++) {
		struct hf_heap want, got;
		struct kit_bytes bytes;
		struct hf_err err;
		kit_model(&want, seed, seed < 6 ? seed : seed * 37);
		kit_dump(&bytes, &want, (enum hf_codec)(seed % 3));
		assert_int_equal(kit_read(&bytes, &got, &err), HF_OK);
		assert_false(got.partial);
		kit_check_heap(&got);
		kit_check_equal(&want, &got);
		assert_int_equal(got.findings.n, want.findings.n);
		for (size_t i = 0; i < want.findings.n; i++) {
			assert_int_equal(got.findings.at[i].severity, want.findings.at[i].severity);
			assert_int_equal(got.findings.at[i].addr, want.findings.at[i].addr);
			assert_string_equal(got.findings.at[i].text, want.findings.at[i].text);
		}
		assert_string_equal(got.format, "holdfast 2.1");
		assert_true(got.has_token && got.token[0] == 7 && got.time_ns == 42);
		assert_int_equal(kit_verify(&bytes), 0);
		hf_heap_deinit(&want);
		hf_heap_deinit(&got);
		kit_bytes_deinit(&bytes);
	}
}

/* A generated dump of several blocks a section. */
static void generate(struct kit_bytes *bytes, uint64_t n_objects, struct gen_totals *totals)
{
	struct hf_writer_options options = {.codec = HF_CODEC_LZ4};
	struct gen_options gen = {.n_objects = n_objects, .edges_per_object = 3, .seed = n_objects};
	struct hf_writer *writer;
	struct hf_err err;
	kit_bytes_init(bytes);
	assert_int_equal(hf_writer_create(&bytes->sink, &options, &writer, &err), HF_OK);
	gen_dump(writer, &gen, totals);
	assert_int_equal(hf_writer_finish(writer, &err), HF_OK);
	hf_writer_destroy(writer);
}

static void test_threads_agree(void **state)
{
	(void)state;
	struct kit_bytes bytes;
	struct gen_totals totals;
	generate(&bytes, 300000, &totals);
	assert_true(kit_find_block(&bytes, HF_SECTION_EDGE, 3) != SIZE_MAX);
	const char *path = kit_path(bytes.data, bytes.n);
	struct hf_heap one, three;
	struct hf_err err;
	struct hf_dump_options options = {.n_threads = 1};
	assert_int_equal(hf_dump_read(path, &options, &one, &err), HF_OK);
	options.n_threads = 3;
	assert_int_equal(hf_dump_read(path, &options, &three, &err), HF_OK);
	assert_false(one.partial);
	assert_int_equal(one.n_objects, totals.n_objects);
	assert_int_equal(one.n_edges, totals.n_edges);
	assert_int_equal(one.modrefs.n, totals.n_modrefs);
	assert_int_equal(one.roots.n, totals.n_roots);
	assert_int_equal(one.total_usable, totals.usable_bytes);
	kit_check_heap(&one);
	kit_check_equal(&one, &three);
	hf_heap_deinit(&one);
	hf_heap_deinit(&three);
	assert_int_equal(kit_verify(&bytes), 0);
	kit_bytes_deinit(&bytes);
}

/* More blocks than one INDEX block lists. */
static void test_index_chain(void **state)
{
	(void)state;
	struct kit_bytes bytes;
	struct hf_writer_options options = {.codec = HF_CODEC_NONE};
	struct hf_writer *writer;
	struct hf_err err;
	kit_bytes_init(&bytes);
	assert_int_equal(hf_writer_create(&bytes.sink, &options, &writer, &err), HF_OK);
	enum { PAIRS = 5000 };
	for (unsigned i = 0; i < PAIRS; i++) { /* sections that take turns make a block each time */
		hf_write_counter(writer, "c", i, i, true);
		hf_write_finding(writer, HF_INFO, i, "f");
	}
	assert_int_equal(hf_writer_finish(writer, &err), HF_OK);
	hf_writer_destroy(writer);
	assert_true(kit_find_block(&bytes, HF_SECTION_INDEX, 2) != SIZE_MAX);
	struct hf_dump_info info;
	const char *path = kit_path(bytes.data, bytes.n);
	assert_int_equal(hf_dump_info(path, NULL, &info, &err), HF_OK);
	assert_true(info.complete);
	assert_int_equal(info.sections[HF_SECTION_COUNTER].n_blocks, PAIRS);
	assert_int_equal(info.sections[HF_SECTION_INDEX].n_blocks, 3);
	assert_int_equal(info.heap.findings.n, PAIRS);
	for (unsigned i = 0; i < PAIRS; i++)
		assert_int_equal(info.heap.counters.at[i].walked, i);
	hf_dump_info_deinit(&info);
	assert_int_equal(kit_verify(&bytes), 0);
	/* the chain broken in the middle: found by walking, and told */
	bytes.data[kit_find_block(&bytes, HF_SECTION_INDEX, 1) + 60] ^= 1;
	path = kit_path(bytes.data, bytes.n);
	assert_int_equal(hf_dump_info(path, NULL, &info, &err), HF_OK);
	assert_int_equal(info.sections[HF_SECTION_COUNTER].n_blocks, PAIRS);
	assert_false(info.heap.partial);
	assert_int_equal(info.heap.findings.n, PAIRS + 1);
	hf_dump_info_deinit(&info);
	assert_true(kit_verify(&bytes) > 0);
	kit_bytes_deinit(&bytes);
}

static void test_info(void **state)
{
	(void)state;
	struct hf_heap want;
	struct kit_bytes bytes;
	struct hf_dump_info info;
	struct hf_err err;
	kit_model(&want, 5, 500);
	kit_dump(&bytes, &want, HF_CODEC_LZ4);
	const char *path = kit_path(bytes.data, bytes.n);
	assert_true(hf_dump_is_dump(path));
	assert_int_equal(hf_dump_info(path, NULL, &info, &err), HF_OK);
	assert_true(info.complete && info.major == 2 && info.minor == 1 && info.time_ns == 42);
	assert_int_equal(info.file_bytes, bytes.n);
	assert_int_equal(info.sections[HF_SECTION_OBJECT].n_items, 500);
	assert_int_equal(info.sections[HF_SECTION_EDGE].n_items, want.n_edges);
	assert_int_equal(info.heap.properties.n, want.properties.n);
	assert_int_equal(info.heap.arenas.n, 3);
	assert_int_equal(info.heap.n_objects, 0);
	assert_false(info.heap.partial);
	hf_dump_info_deinit(&info);
	/* One byte wrong, in a section that is read and in two that are only checked: the heap that
	 * is read and the summary say the same of it. */
	static const unsigned damaged[] = {
		HF_SECTION_MODULE, HF_SECTION_EDGE, HF_SECTION_ROOT, HF_SECTION_STACK_WORD};
	for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
		struct hf_heap heap;
		size_t at = kit_find_block(&bytes, damaged[i], 0);
		assert_true(at != SIZE_MAX);
		at += sizeof(struct hf_block_header);
		bytes.data[at] ^= 1;
		path = kit_path(bytes.data, bytes.n);
		assert_int_equal(hf_dump_info(path, NULL, &info, &err), HF_OK);
		assert_true(!info.complete && !info.cut && info.heap.partial);
		assert_int_equal(hf_dump_read(path, NULL, &heap, &err), HF_OK);
		assert_true(heap.partial && info.heap.reasons.n >= 2 && heap.reasons.n >= 2);
		for (size_t r = 0; r < 2; r++)
			assert_string_equal(info.heap.reasons.at[r], heap.reasons.at[r]);
		hf_heap_deinit(&heap);
		hf_dump_info_deinit(&info);
		bytes.data[at] ^= 1;
	}
	hf_heap_deinit(&want);
	kit_bytes_deinit(&bytes);
}

/* The dumper's own words make a dump partial. */
static void test_declared_partial(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		struct hf_heap heap;
		struct kit_bytes bytes;
		struct hf_err err;
		kit_model(&heap, 9, 20);
		if (k) {
			struct hf_heap_counter *c = hf_heap_push(&heap.counters);
			*c = (struct hf_heap_counter){"in use", 10, 11, true};
		} else {
			struct hf_heap_finding *f = hf_heap_push(&heap.findings);
			*f = (struct hf_heap_finding){HF_PARTIAL, 0, "musl cannot be walked"};
		}
		kit_dump(&bytes, &heap, HF_CODEC_LZ4);
		hf_heap_deinit(&heap);
		assert_int_equal(kit_read(&bytes, &heap, &err), HF_OK);
		assert_true(heap.partial);
		assert_int_equal(heap.reasons.n, 1);
		assert_non_null(strstr(heap.reasons.at[0], k ? "in use" : "musl cannot"));
		assert_int_equal(heap.lost.blocks, 0);
		hf_heap_deinit(&heap);
		struct hf_dump_verdict verdict;
		assert_int_equal(
			hf_dump_verify(kit_path(bytes.data, bytes.n), NULL, 9, &verdict, &err),
			HF_OK);
		assert_true(verdict.declared_partial && !verdict.n_problems && !verdict.truncated);
		hf_dump_verdict_deinit(&verdict);
		kit_bytes_deinit(&bytes);
	}
}

static void test_accessors(void **state)
{
	(void)state;
	struct hf_heap heap;
	kit_model(&heap, 11, 300);
	for (uint32_t i = 0; i < heap.n_objects; i++) {
		if (!heap.usable[i])
			continue;
		assert_int_equal(hf_heap_find(&heap, heap.addr[i]), i);
		assert_int_equal(hf_heap_find(&heap, heap.addr[i] + heap.usable[i] - 1), i);
		uint32_t after = hf_heap_find(&heap, heap.addr[i] + heap.usable[i]);
		assert_true(after == HF_NONE || after > i);
		size_t first, n = hf_heap_modrefs_of(&heap, i, &first);
		for (size_t k = 0; k < n; k++)
			assert_int_equal(heap.modrefs.at[first + k].src, i);
	}
	assert_int_equal(hf_heap_find(&heap, UINT64_MAX), HF_NONE);
	assert_int_equal(hf_heap_find_module(&heap, heap.modules.at[2].base + 5), 2);
	assert_int_equal(hf_heap_find_module(&heap, 3), HF_NONE);
	assert_null(hf_heap_property(&heap, "no such key"));
	assert_ptr_equal(
		hf_heap_property(&heap, heap.properties.at[0].key), heap.properties.at[0].value);
	assert_true(hf_heap_memory(&heap) > 300 * 20);
	hf_heap_deinit(&heap);
}

static void count_progress(void *ctx, uint64_t done, uint64_t total)
{
	uint64_t *last = ctx;
	assert_true(done >= *last && done <= total);
	*last = done;
}

static void test_progress_and_limit(void **state)
{
	(void)state;
	struct kit_bytes bytes;
	struct gen_totals totals;
	struct hf_heap heap;
	struct hf_err err;
	uint64_t last = 0;
	generate(&bytes, 5000, &totals);
	const char *path = kit_path(bytes.data, bytes.n);
	struct hf_dump_options options = {
		.progress = count_progress, .progress_ctx = &last, .n_threads = 1};
	assert_int_equal(hf_dump_read(path, &options, &heap, &err), HF_OK);
	assert_true(last > bytes.n / 2);
	hf_heap_deinit(&heap);
	options.max_records = 5000;
	assert_int_equal(hf_dump_read(path, &options, &heap, &err), HF_E_UNSUPPORTED);
	assert_non_null(strstr(err.msg, "limit of 5000"));
	kit_bytes_deinit(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_models),
		cmocka_unit_test(test_threads_agree),
		cmocka_unit_test(test_index_chain),
		cmocka_unit_test(test_info),
		cmocka_unit_test(test_declared_partial),
		cmocka_unit_test(test_accessors),
		cmocka_unit_test(test_progress_and_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

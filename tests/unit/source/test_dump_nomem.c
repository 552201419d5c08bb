/* Every allocation of the reader fails once: the status comes back, nothing leaks (asan looks). The
 * linker turns the library's calls of malloc and friends into those here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dump_kit.h"
#include "gen_dump.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void *__real_reallocarray(void *old, size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
void *__wrap_reallocarray(void *old, size_t n, size_t size);

static long countdown = -1; /* allocations until one fails; negative: none does */

static bool fails_now(void)
{
	long left = __atomic_load_n(&countdown, __ATOMIC_RELAXED);
	return left >= 0 && __atomic_fetch_sub(&countdown, 1, __ATOMIC_RELAXED) == 0;
}

void *__wrap_malloc(size_t size)
{
	return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
	return fails_now() ? NULL : __real_aligned_alloc(align, size);
}

void *__wrap_reallocarray(void *old, size_t n, size_t size)
{
	return fails_now() ? NULL : __real_reallocarray(old, n, size);
}

/* Returns how often something failed. */
static unsigned fail_each(const struct kit_bytes *bytes, unsigned n_threads)
{
	const char *path = kit_path(bytes->data, bytes->n);
	struct hf_dump_options options = {.n_threads = n_threads};
	unsigned n_failed = 0;
	for (long n = 0;; n++) {
		struct hf_heap heap;
		struct hf_dump_info info;
		struct hf_dump_verdict verdict;
		struct hf_err err = {0};
		countdown = n;
		enum hf_status read = hf_dump_read(path, &options, &heap, &err);
		bool reached = countdown < 0;
		countdown = -1;
		if (read == HF_OK) {
			kit_check_heap(&heap);
			hf_heap_deinit(&heap);
		} else {
			assert_int_equal(read, HF_E_NOMEM);
			assert_non_null(strstr(err.msg, "no memory"));
			assert_null(heap.addr);
			assert_null(heap.strings);
			n_failed++;
		}
		countdown = n;
		enum hf_status summary = hf_dump_info(path, &options, &info, &err);
		countdown = -1;
		assert_true(summary == HF_OK || summary == HF_E_NOMEM);
		if (summary == HF_OK)
			hf_dump_info_deinit(&info);
		countdown = n;
		enum hf_status verified = hf_dump_verify(path, &options, 5, &verdict, &err);
		reached |= countdown < 0;
		countdown = -1;
		assert_true(verified == HF_OK || verified == HF_E_NOMEM);
		if (verified == HF_OK)
			hf_dump_verdict_deinit(&verdict);
		if (!reached)
			return n_failed;
	}
}

static void test_model(void **state)
{
	(void)state;
	struct hf_heap heap;
	struct kit_bytes bytes;
	kit_model(&heap, 2, 200);
	kit_dump(&bytes, &heap, HF_CODEC_LZ4);
	hf_heap_deinit(&heap);
	assert_true(fail_each(&bytes, 1) > 30);
	/* the same with a wound, and without index: the search for sound blocks */
	bytes.data[kit_find_block(&bytes, HF_SECTION_OBJECT, 0) + 1] ^= 1;
	assert_true(fail_each(&bytes, 1) > 30);
	bytes.n -= sizeof(struct hf_file_tail);
	assert_true(fail_each(&bytes, 1) > 30);
	kit_bytes_deinit(&bytes);
}

static void test_threads(void **state)
{
	(void)state;
	struct kit_bytes bytes;
	struct gen_options gen = {.n_objects = 150000, .edges_per_object = 3, .seed = 2};
	struct hf_writer_options options = {.codec = HF_CODEC_LZ4};
	struct hf_writer *writer;
	struct hf_err err;
	kit_bytes_init(&bytes);
	assert_int_equal(hf_writer_create(&bytes.sink, &options, &writer, &err), HF_OK);
	gen_dump(writer, &gen, NULL);
	assert_int_equal(hf_writer_finish(writer, &err), HF_OK);
	hf_writer_destroy(writer);
	assert_true(fail_each(&bytes, 2) > 10);
	kit_bytes_deinit(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

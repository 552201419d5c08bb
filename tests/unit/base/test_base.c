#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/checked.h"
#include "base/crc32c.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/fmt.h"
#include "base/page_alloc.h"

static void test_fmt(void **state)
{
	(void)state;
	char buf[64];
	assert_int_equal(
		hf_fmt(buf, sizeof(buf), "%s-%5d|%-4u|%04x|%lu%%", "ab", -12, 7u, 0xbeu, 1ul << 40),
		33);
	assert_string_equal(buf, "ab-  -12|7   |00be|1099511627776%");
	hf_fmt(buf, sizeof(buf), "%.*s|%05d|%c", 3, "abcdef", -42, 'x');
	assert_string_equal(buf, "abc|-0042|x");
	assert_int_equal(hf_fmt(buf, 4, "%s", "abcdef"), 3);
	assert_string_equal(buf, "abc");
}

static void test_parse(void **state)
{
	(void)state;
	uint64_t v = 1;
	assert_true(hf_parse_size("512K", &v) && v == 512 << 10);
	assert_true(hf_parse_size("2g", &v) && v == 2ull << 30);
	assert_true(hf_parse_size("3MiB", &v) && v == 3 << 20);
	assert_false(hf_parse_size("12x", &v));
	assert_false(hf_parse_size("", &v));
	assert_false(hf_parse_size("99999999T", &v));
	const char *text = "0x1fZ";
	assert_true(hf_parse_u64(&text, &v) && v == 0x1f && *text == 'Z');
	text = "18446744073709551616";
	assert_false(hf_parse_u64(&text, &v));
}

static void test_crc32c(void **state)
{
	(void)state;
	/* RFC 3720 B.4: 32 bytes of zeros, and "123456789" as in the usual check value. */
	uint8_t zeros[32] = {0};
	assert_int_equal(hf_crc32c(0, zeros, 32), 0x8a9136aa);
	assert_int_equal(hf_crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(hf_crc32c(hf_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

static void test_varint(void **state)
{
	(void)state;
	static const uint64_t values[] = {0, 1, 127, 128, 300, 1ull << 35, UINT64_MAX};
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		uint8_t buf[HF_VARINT_MAX];
		uint8_t *end = hf_varint_put(buf, values[i]);
		uint64_t v = 42;
		assert_ptr_equal(hf_varint_get(buf, end, &v), end);
		assert_true(v == values[i]);
		assert_null(hf_varint_get(buf, end - 1, &v));
	}
	static const uint8_t too_long[11] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
	uint64_t v;
	assert_null(hf_varint_get(too_long, too_long + 11, &v));
	assert_true(hf_unzigzag(hf_zigzag(INT64_MIN)) == INT64_MIN);
	assert_true(hf_zigzag(-1) == 1);
}

static void test_cursor(void **state)
{
	(void)state;
	static const uint8_t bytes[] = {1, 2, 0, 0xac, 0x02};
	struct hf_cursor c = hf_cursor_make(bytes, sizeof(bytes), 100);
	assert_int_equal(hf_cursor_u8(&c), 1);
	assert_int_equal(hf_cursor_u16(&c), 2);
	assert_int_equal(hf_cursor_varint(&c), 300);
	assert_int_equal(hf_cursor_offset(&c), 105);
	assert_false(c.failed);
	assert_int_equal(hf_cursor_u8(&c), 0);
	assert_true(c.failed);
}

static int cmp_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static void count_range(void *ctx, uint64_t start, uint64_t end)
{
	*(uint64_t *)ctx += end - start;
}

static void test_pages(void **state)
{
	(void)state;
	struct hf_vec vec;
	hf_vec_init(&vec, sizeof(uint64_t));
	srand(1);
	for (int i = 0; i < 10000; i++)
		*(uint64_t *)hf_vec_push(&vec) = (uint64_t)rand();
	hf_sort(vec.data, vec.n, vec.elem, cmp_u64);
	for (size_t i = 1; i < vec.n; i++)
		assert_true(cmp_u64(hf_vec_at(&vec, i - 1), hf_vec_at(&vec, i)) <= 0);
	uint64_t held = 0;
	hf_page_each(count_range, &held);
	assert_int_equal(held, vec.mapped + 2 * HF_PAGE);
	hf_vec_deinit(&vec);
	held = 0;
	hf_page_each(count_range, &held);
	assert_int_equal(held, 0);

	struct hf_pool pool;
	static uint8_t reserve[256];
	hf_pool_init(&pool, reserve, sizeof(reserve));
	assert_ptr_equal(hf_pool_alloc(&pool, 100), reserve);
	assert_non_null(hf_pool_alloc(&pool, 1 << 20));
	assert_string_equal(hf_pool_strndup(&pool, "abcdef", 3), "abc");
	hf_pool_deinit(&pool);
}

static void test_err(void **state)
{
	(void)state;
	struct hf_err err = {0};
	assert_int_equal(hf_err_sys(&err, HF_E_IO, 28, "cannot write «%s»", "x"), HF_E_IO);
	assert_string_equal(err.msg, "cannot write «x»: no space left on device");
	assert_int_equal(hf_err_set(NULL, HF_E_USAGE, "x"), HF_E_USAGE);
	uint64_t v;
	assert_false(hf_add_u64(UINT64_MAX, 1, &v));
	assert_true(hf_in_range(10, 5, 10, 15));
	assert_false(hf_in_range(10, UINT64_MAX, 10, 15));
}

/* What the kernel refuses comes out of the reserve, and goes back to it. */
static void test_reserve(void **state)
{
	(void)state;
	enum { PAGES = 8 };
	struct rlimit old, none = {0};
	assert_true(hf_page_reserve(PAGES * HF_PAGE));
	assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
	none.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
	uint8_t *a = hf_page_alloc(3 * HF_PAGE), *b = hf_page_alloc(4 * HF_PAGE - 1);
	void *too_much = hf_page_alloc(2 * HF_PAGE);
	if (a)
		memset(a, 1, 3 * HF_PAGE);
	hf_page_free(a, 3 * HF_PAGE);
	uint8_t *c = hf_page_alloc(HF_PAGE);
	bool zero = c && !c[0] && !c[HF_PAGE - 1];
	uint8_t *d = hf_page_alloc(2 * HF_PAGE);
	assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
	assert_non_null(a);
	assert_ptr_equal(b, a + 3 * HF_PAGE);
	assert_null(too_much);
	assert_ptr_equal(c, a);
	assert_true(zero);
	assert_ptr_equal(d, a + HF_PAGE);
	hf_page_free(b, 4 * HF_PAGE - 1);
	hf_page_free(c, HF_PAGE);
	hf_page_free(d, 2 * HF_PAGE);
	void *mapped = hf_page_alloc(HF_PAGE); /* now that there is memory */
	assert_non_null(mapped);
	assert_ptr_not_equal(mapped, a);
	hf_page_free(mapped, HF_PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fmt), cmocka_unit_test(test_parse),
		cmocka_unit_test(test_crc32c), cmocka_unit_test(test_varint),
		cmocka_unit_test(test_cursor), cmocka_unit_test(test_pages),
		cmocka_unit_test(test_err),
		cmocka_unit_test(test_reserve), /* the last: the reserve stays */
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Claims against a byte-by-byte map. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "roots/rangeset.h"

enum { SPACE = 400, CATEGORIES = 6, CLAIMS = 12 };

static void test_random(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 3000; seed++) {
		uint64_t owner[SPACE] = {0};
		struct hf_rangeset set;
		srand(seed);
		hf_rangeset_init(&set);
		for (uint64_t category = 1; category <= CATEGORIES; category++) {
			struct hf_vec claims;
			hf_vec_init(&claims, sizeof(struct hf_tagged_range));
			int n = rand() % CLAIMS;
			for (int i = 0; i < n; i++) {
				uint64_t start = (uint64_t)(rand() % SPACE);
				uint64_t end = start + (uint64_t)(rand() % 60);
				end = end < SPACE ? end : SPACE;
				*(struct hf_tagged_range *)hf_vec_push(&claims) =
					(struct hf_tagged_range){start, end, category};
				for (uint64_t a = start; a < end; a++)
					owner[a] = owner[a] ? owner[a] : category;
			}
			assert_true(hf_rangeset_claim(&set, &claims));
			hf_vec_deinit(&claims);
		}
		uint64_t last = 0;
		for (size_t i = 0; i < set.ranges.n; i++) {
			const struct hf_tagged_range *range = hf_vec_at(&set.ranges, i);
			assert_true(range->start >= last && range->end > range->start);
			last = range->end;
		}
		for (uint64_t a = 0; a < SPACE; a++) {
			const struct hf_tagged_range *range = hf_rangeset_find(&set, a);
			assert_int_equal(range ? range->tag : 0, owner[a]);
		}
		hf_rangeset_deinit(&set);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Texts cut to a width: no figure in them may be a part of another one. */
#include "emit/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the above */
#include <cmocka.h>

#include "base/cleanup.h"

static void cut_is(const char *s, size_t width, const char *want)
{
	_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
	assert_string_equal(hf_text_elide(&text, s, width, "…"), want);
}

static void what_fits_is_left_alone(void **state)
{
	cut_is("->buckets[*] ×200 of 16 B", 25, "->buckets[*] ×200 of 16 B");
	cut_is("abcdefghij", 4, "ab…j");
	cut_is("abcdefghij", 1, "a");
}

static void figures_are_whole(void **state)
{
	cut_is("->[*]->_M_impl._M_start x~200,000 of 1.2 KiB", 32,
		"->[*]->_M_i…x~200,000 of 1.2 KiB");
	cut_is("->[*]->_M_impl._M_start ×~200,000 of 16 B-1.2 KiB", 30,
		"->[*]->_M_impl._M…16 B-1.2 KiB");
	/* Where there is no room for them, they are left out. */
	cut_is("->[*] ×200,000 of 16,000 B", 9, "->[*]…");
	cut_is("×200,000 of 16,000 B", 9, "…");
}

static const char *const texts[] = {
	"└─->[*]->_M_impl._M_start[*]->name ×~200,000 of 16 B-1.2 KiB",
	"->[*] ×293,441 more, at most 12.5 MiB",
	"cache[+0x10]->[+0] ×1,292, 237 B a link  struct session from session_open",
	"0x555555775650->[+16]  struct cache, g_cache->…",
	"290 B of 16 B-32 B x12 ×7 64 KiB 1.5 MiB and 3 more paths",
};

/* The words of a cut text that begin with a digit or a sign of how many are words of the whole one,
 * in the same neighbourhood. */
static void no_width_cuts_a_figure(void **state)
{
	for (size_t t = 0; t < sizeof(texts) / sizeof(texts[0]); t++) {
		for (size_t width = 1; width <= hf_text_width(texts[t]); width++) {
			_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
			const char *cut = hf_text_elide(&text, texts[t], width, "|");
			assert_true(hf_text_width(cut) <= width);
			const char *mark = strchr(cut, '|');
			if (!mark || width < 3)
				continue;
			size_t head = (size_t)(mark - cut), tail = strlen(mark + 1),
			       whole = strlen(texts[t]);
			const char *before = texts[t] + head, *after = texts[t] + whole - tail;
			assert_memory_equal(cut, texts[t], head);
			assert_string_equal(mark + 1, after);
			/* Neither end goes through a number, nor between it and its unit; what is
			 * in brackets is an offset. */
			const char *word = before;
			while (word > texts[t] && word[-1] != ' ')
				word--;
			size_t n = strcspn(word, " ");
			if (before > word && !memchr(word, '[', n))
				assert_false(strchr("0123456789.,", before[-1]) &&
					     strchr("0123456789.,B", *before));
			if (tail && strchr("0123456789.,", *after))
				assert_false(strchr("0123456789.,~", after[-1]));
			assert_false(!strncmp(after, "B ", 2) || !strcmp(after, "B") ||
				     !strncmp(after, "KiB", 3) || !strncmp(after, "MiB", 3) ||
				     !strncmp(after, "iB", 2));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_fits_is_left_alone),
		cmocka_unit_test(figures_are_whole),
		cmocka_unit_test(no_width_cuts_a_figure),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

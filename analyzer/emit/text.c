#include "emit/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void hf_text_deinit(struct hf_text *text)
{
	free(text->data);
	*text = (struct hf_text)HF_TEXT_INIT;
}

void hf_text_clear(struct hf_text *text)
{
	text->len = 0;
	if (text->data)
		text->data[0] = 0;
}

static bool reserve(struct hf_text *text, size_t more)
{
	if (more < text->cap - text->len)
		return true;
	size_t cap = (text->len + more + 1) * 2;
	char *data = cap > more ? realloc(text->data, cap) : NULL;
	if (!data) {
		text->failed = true;
		return false;
	}
	text->data = data;
	text->cap = cap;
	return true;
}

void hf_text_add(struct hf_text *text, const char *bytes, size_t n)
{
	if (!reserve(text, n))
		return;
	memcpy(text->data + text->len, bytes, n);
	text->len += n;
	text->data[text->len] = 0;
}

void hf_text_addf(struct hf_text *text, const char *format, ...)
{
	va_list ap, again;
	va_start(ap, format);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	if (n >= 0 && reserve(text, (size_t)n)) {
		vsnprintf(text->data + text->len, (size_t)n + 1, format, again);
		text->len += (size_t)n;
	}
	va_end(again);
}

const char *hf_text_get(const struct hf_text *text)
{
	return text->data ? text->data : "";
}

const char *hf_human_size(char buf[HF_NUMBER_SIZE], uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double v = (double)bytes;
	size_t u = 0;
	/* 1023.95 would round up to "1024.0": that is the next unit's 1.0. */
	while (v >= (u ? 1023.95 : 1024) && u + 1 < sizeof(units) / sizeof(units[0])) {
		v /= 1024;
		u++;
	}
	snprintf(buf, HF_NUMBER_SIZE, u ? "%.1f %s" : "%.0f %s", v, units[u]);
	return buf;
}

const char *hf_human_size_delta(char buf[HF_NUMBER_SIZE], int64_t bytes)
{
	uint64_t magnitude = bytes < 0 ? -(uint64_t)bytes : (uint64_t)bytes;
	char number[HF_NUMBER_SIZE];
	snprintf(buf, HF_NUMBER_SIZE, "%s%s",
		bytes < 0 ? "-"
		: bytes   ? "+"
			  : "",
		hf_human_size(number, magnitude));
	return buf;
}

const char *hf_human_count(char buf[HF_NUMBER_SIZE], uint64_t n)
{
	char digits[HF_NUMBER_SIZE];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
	char *out = buf;
	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			*out++ = ',';
		*out++ = digits[i];
	}
	*out = 0;
	return buf;
}

const char *hf_human_count_delta(char buf[HF_NUMBER_SIZE], int64_t n)
{
	uint64_t magnitude = n < 0 ? -(uint64_t)n : (uint64_t)n;
	char number[HF_NUMBER_SIZE];
	snprintf(buf, HF_NUMBER_SIZE, "%s%s",
		n < 0 ? "-"
		: n   ? "+"
		      : "",
		hf_human_count(number, magnitude));
	return buf;
}

const char *hf_human_age(char buf[HF_NUMBER_SIZE], int64_t seconds)
{
	static const struct {
		int64_t seconds;
		const char *unit;
	} units[] = {{48 * 3600, "d"}, {2 * 3600, "h"}, {120, "min"}, {0, "s"}};
	static const int64_t lengths[] = {24 * 3600, 3600, 60, 1};
	size_t i = 0;
	while (seconds < units[i].seconds)
		i++;
	snprintf(buf, HF_NUMBER_SIZE, "%lld %s", (long long)(seconds / lengths[i]), units[i].unit);
	return buf;
}

const char *hf_human_share(char buf[HF_NUMBER_SIZE], double percent)
{
	if (percent > 0 && percent < 0.05)
		snprintf(buf, HF_NUMBER_SIZE, "<0.1%%");
	else
		snprintf(buf, HF_NUMBER_SIZE, "%.1f%%", percent);
	return buf;
}

double hf_percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static bool starts_character(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

size_t hf_text_width(const char *s)
{
	size_t n = 0;
	for (; *s; s++)
		n += starts_character(*s);
	return n;
}

/* The byte at which character n (from 0) of s starts. */
static const char *character_at(const char *s, size_t n)
{
	for (; *s; s++) {
		if (starts_character(*s) && n-- == 0)
			break;
	}
	return s;
}

static bool is_unit(const char *s, size_t n)
{
	return (n == 1 && *s == 'B') || (n == 3 && strchr("KMGTPE", *s) && !memcmp(s + 1, "iB", 2));
}

/* A word of "290", "~200,000", "x292", "16 B-1.2 KiB"; "×" does not count. */
static bool is_figure(const char *s, size_t n)
{
	static const char marks[] = ".,~+-%x()";
	bool digit = n > 2 && *s == 'B' && s[1] == '-';
	for (size_t i = 0; i < n; i++) {
		if (s[i] >= '0' && s[i] <= '9')
			digit = true;
		else if ((unsigned char)s[i] < 0x80 && !strchr(marks, s[i]) &&
			 !(digit && strchr("BKMGTPEi", s[i])))
			return false;
	}
	return digit;
}

/* The word around at. */
static const char *word_begin(const char *s, const char *at)
{
	while (at > s && at[-1] != ' ')
		at--;
	return at;
}

/* Where the figure that a cut at `at` would go through begins; at, if it goes through none. */
static const char *figure_begin(const char *s, const char *at)
{
	for (;;) {
		const char *word = word_begin(s, at);
		size_t n = strcspn(word, " ");
		bool unit = is_unit(word, n) || (n > 2 && *word == 'B' && word[1] == '-');
		if (unit && word > s) {
			/* a unit belongs to the number before it */
			const char *number = word_begin(s, word - 1);
			if (!is_figure(number, strcspn(number, " ")))
				return at;
			at = number;
		} else if (at == word || !is_figure(word, n)) {
			return at;
		} else {
			at = word;
		}
	}
}

/* The first word from at on that is no part of a figure. */
static const char *figure_end(const char *s, const char *at)
{
	while (*at && figure_begin(s, at) != at)
		at++;
	return at;
}

const char *hf_text_elide(struct hf_text *text, const char *s, size_t width, const char *mark)
{
	size_t have = hf_text_width(s), marked = hf_text_width(mark);
	if (have <= width)
		return s;
	hf_text_clear(text);
	if (width <= marked) {
		hf_text_add(text, s, (size_t)(character_at(s, width) - s));
		return hf_text_get(text);
	}
	/* The end tells names apart more often than the middle does. */
	enum { LEAST_HEAD = 8 };
	size_t keep = width - marked, tail = keep * 2 / 5, head = keep - tail;
	const char *end = character_at(s, have - tail), *figure = figure_begin(s, end);
	size_t more = hf_text_width(figure) - tail;
	if (more + LEAST_HEAD <= head) {
		end = figure;
		head -= more;
	} else {
		end = figure_end(s, end);
	}
	hf_text_add(text, s, (size_t)(figure_begin(s, character_at(s, head)) - s));
	hf_text_add(text, mark, strlen(mark));
	hf_text_add(text, end, strlen(end));
	return hf_text_get(text);
}

size_t hf_text_break(const char *s, size_t width)
{
	const char *end = character_at(s, width ? width : 1);
	if (!*end)
		return (size_t)(end - s);
	size_t at = 0;
	for (const char *p = s + 1; p <= end; p++) {
		if (*p == ' ' || (p[0] == '-' && p[1] == '>'))
			at = (size_t)(p - s);
	}
	/* A word that is longer than the line is cut. */
	return at ? at : (size_t)(end - s);
}

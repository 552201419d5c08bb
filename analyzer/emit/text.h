/*
 * A growable text buffer, and numbers as people read them.
 *
 * Running out of memory is remembered in the buffer (`failed`) and leaves what was there: callers
 * build a whole line and look once. Not thread safe.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_text {
	char *data; /* NUL-terminated once anything was added; free with hf_text_deinit */
	size_t len, cap;
	bool failed;
};

#define HF_TEXT_INIT                                                                               \
	{                                                                                          \
		NULL, 0, 0, false                                                                  \
	}

void hf_text_deinit(struct hf_text *text);
void hf_text_clear(struct hf_text *text);
/* Append n bytes; append printf-formatted text. */
void hf_text_add(struct hf_text *text, const char *bytes, size_t n);
void hf_text_addf(struct hf_text *text, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The text, "" while empty. Valid until the next change. */
const char *hf_text_get(const struct hf_text *text);

enum { HF_NUMBER_SIZE = 40 }; /* a buffer for any of the below */

/* "512 B", "1.2 KiB", "9.1 GiB": powers of 1024, one decimal. Returns buf. */
const char *hf_human_size(char buf[HF_NUMBER_SIZE], uint64_t bytes);
/* "+1.2 KiB", "-3 B", "0 B". */
const char *hf_human_size_delta(char buf[HF_NUMBER_SIZE], int64_t bytes);
/* "12,345,678" */
const char *hf_human_count(char buf[HF_NUMBER_SIZE], uint64_t n);
const char *hf_human_count_delta(char buf[HF_NUMBER_SIZE], int64_t n);
/* "45 s", "12 min", "3 h", "2 d". */
const char *hf_human_age(char buf[HF_NUMBER_SIZE], int64_t seconds);
/* "76.1%"; "<0.1%" for what is there but rounds to nothing. */
const char *hf_human_share(char buf[HF_NUMBER_SIZE], double percent);
/* part as a percentage of whole; 0 when whole is 0. */
double hf_percent(uint64_t part, uint64_t whole);

/* Columns that the UTF-8 text s takes, counting one a character. */
size_t hf_text_width(const char *s);
/* Bytes of s that make a line of at most width columns, cut after a blank or before "->" where
 * there is one; all of s if it fits. At least one character. */
size_t hf_text_break(const char *s, size_t width);
/* s, or a copy in text with its middle replaced by mark so that it takes at most width columns. A
 * figure ("~200,000", "1.2 KiB") is left whole or left out. */
const char *hf_text_elide(struct hf_text *text, const char *s, size_t width, const char *mark);

/* Lines, numbers and the map of memory that the text formats have in common. */
#pragma once
#include "profile/build.h"

struct profile_text {
	struct profile_build *b;
	const char *at, *end; /* of the text; *end is NUL */
	const char *line;     /* the current one, and its end */
	const char *line_end;
	uint64_t number; /* of the line, from 1 */
};

/* Go to the next line; false at the end. */
bool profile_text_line(struct profile_text *t);
/* The line is damaged: HF_E_CORRUPT with its number. */
enum hf_status profile_text_bad(struct profile_text *t, const char *what);

/* "n: bytes [n: bytes] @" at *at within the line; moves *at past the bracket. Numbers may be
 * negative in differences of profiles. */
struct profile_text_values {
	int64_t live_count, live_bytes, total_count, total_bytes;
};
bool profile_text_values(const char **at, const char *line_end, struct profile_text_values *ret);

/* Skip blanks. */
const char *profile_text_blanks(const char *at, const char *end);
/* A decimal number, perhaps negative, that fits. */
bool profile_text_number(const char **at, const char *end, int64_t *ret);

/* Addresses "0x12 0x34 …" up to the line's end, as calls' (less one); at most
 * HF_PROFILE_MAX_FRAMES are kept. False: something else is there. */
bool profile_text_addresses(const char *at, const char *end, uint64_t *ret, size_t *ret_n);

/* Is this line the heading of the map of memory? */
bool profile_text_is_map(const struct profile_text *t);
/* Everything after the heading, before any location is made: the text is read twice. */
enum hf_status profile_text_read_map(struct profile_text *t);
/* Find the map and read it, then start over with the first line. */
enum hf_status profile_text_map_first(struct profile_text *t);

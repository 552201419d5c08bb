#include "profile/text.h"

#include <string.h>

#include "base/checked.h"

bool profile_text_line(struct profile_text *t)
{
	if (t->at >= t->end)
		return false;
	const char *newline = memchr(t->at, '\n', (size_t)(t->end - t->at));
	t->line = t->at;
	t->line_end = newline ? newline : t->end;
	t->at = newline ? newline + 1 : t->end;
	if (t->line_end > t->line && t->line_end[-1] == '\r')
		t->line_end--;
	t->number++;
	return true;
}

enum hf_status profile_text_bad(struct profile_text *t, const char *what)
{
	return hf_err_set(t->b->err, HF_E_CORRUPT, "%s: line %llu: %s", t->b->name,
		(unsigned long long)t->number, what);
}

const char *profile_text_blanks(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	return at;
}

static int digit_of(char c, unsigned base)
{
	int d = c >= '0' && c <= '9'   ? c - '0'
		: c >= 'a' && c <= 'f' ? c - 'a' + 10
		: c >= 'A' && c <= 'F' ? c - 'A' + 10
				       : 99;
	return d < (int)base ? d : -1;
}

static bool parse(const char **at, const char *end, unsigned base, uint64_t *ret)
{
	uint64_t v = 0;
	const char *s = *at;
	for (; s < end && digit_of(*s, base) >= 0; s++) {
		if (!hf_mul_u64(v, base, &v) || !hf_add_u64(v, (uint64_t)digit_of(*s, base), &v))
			return false;
	}
	if (s == *at)
		return false;
	*at = s;
	*ret = v;
	return true;
}

bool profile_text_number(const char **at, const char *end, int64_t *ret)
{
	const char *s = profile_text_blanks(*at, end);
	bool negative = s < end && *s == '-';
	uint64_t v;
	s += negative;
	if (!parse(&s, end, 10, &v) || v > INT64_MAX)
		return false;
	*ret = negative ? -(int64_t)v : (int64_t)v;
	*at = s;
	return true;
}

static bool expect(const char **at, const char *end, char c)
{
	const char *s = profile_text_blanks(*at, end);
	if (s >= end || *s != c)
		return false;
	*at = s + 1;
	return true;
}

bool profile_text_values(const char **at, const char *end, struct profile_text_values *ret)
{
	return profile_text_number(at, end, &ret->live_count) && expect(at, end, ':') &&
	       profile_text_number(at, end, &ret->live_bytes) && expect(at, end, '[') &&
	       profile_text_number(at, end, &ret->total_count) && expect(at, end, ':') &&
	       profile_text_number(at, end, &ret->total_bytes) && expect(at, end, ']');
}

static bool parse_address(const char **at, const char *end, uint64_t *ret)
{
	const char *s = *at;
	if (end - s > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		s += 2;
	if (!parse(&s, end, 16, ret))
		return false;
	*at = s;
	return true;
}

bool profile_text_addresses(const char *at, const char *end, uint64_t *ret, size_t *ret_n)
{
	size_t n = 0;
	for (at = profile_text_blanks(at, end); at < end; at = profile_text_blanks(at, end)) {
		uint64_t address;
		if (!parse_address(&at, end, &address))
			return false;
		if (n < HF_PROFILE_MAX_FRAMES)
			ret[n++] = address ? address - 1 : 0;
	}
	*ret_n = n;
	return true;
}

bool profile_text_is_map(const struct profile_text *t)
{
	static const char *const headings[] = {"MAPPED_LIBRARIES:", "--- Memory map: ---"};
	for (size_t i = 0; i < sizeof(headings) / sizeof(headings[0]); i++) {
		size_t n = strlen(headings[i]);
		if ((size_t)(t->line_end - t->line) >= n && !memcmp(t->line, headings[i], n))
			return true;
	}
	return false;
}

/* As in /proc/PID/maps: "start-end rwxp offset dev inode path". */
static enum hf_status read_mapping(struct profile_text *t)
{
	struct hf_profile_mapping m = {.build_id = ""};
	const char *at = profile_text_blanks(t->line, t->line_end);
	if (!parse_address(&at, t->line_end, &m.start) || at >= t->line_end || *at++ != '-' ||
		!parse_address(&at, t->line_end, &m.limit) || m.limit <= m.start)
		return HF_OK; /* comments, build ids of others */
	at = profile_text_blanks(at, t->line_end);
	if (t->line_end - at < 4 || at[2] != 'x')
		return HF_OK;
	at = profile_text_blanks(at + 4, t->line_end);
	if (!parse(&at, t->line_end, 16, &m.offset))
		return HF_OK;
	for (int skip = 0; skip < 2; skip++) {
		at = profile_text_blanks(at, t->line_end);
		while (at < t->line_end && *at != ' ' && *at != '\t')
			at++;
	}
	at = profile_text_blanks(at, t->line_end);
	if (at == t->line_end || *at != '/')
		return HF_OK; /* code that belongs to no file */
	m.file = profile_string(t->b, at, (size_t)(t->line_end - at));
	struct hf_profile_mapping *to = m.file ? profile_push(t->b, mappings, 1) : NULL;
	if (!to)
		return t->b->err->status;
	*to = m;
	return HF_OK;
}

enum hf_status profile_text_read_map(struct profile_text *t)
{
	enum { MAX_MAPPINGS = 4096 };
	enum hf_status status = HF_OK;
	while (!status && t->b->profile.n_mappings < MAX_MAPPINGS && profile_text_line(t))
		status = read_mapping(t);
	return status;
}

enum hf_status profile_text_map_first(struct profile_text *t)
{
	struct profile_text start = *t;
	enum hf_status status = HF_OK;
	while (profile_text_line(t)) {
		if (profile_text_is_map(t)) {
			status = profile_text_read_map(t);
			break;
		}
	}
	*t = start;
	return status;
}

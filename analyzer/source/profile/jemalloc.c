/*
 * jemalloc's text: "heap_v2/R", totals of all threads and of each, then a stack ("@ 0x…") at a time
 * with the values of all threads ("t*: n: bytes [n: bytes]") and of each, then a map of memory.
 *
 * The printed values are to be unsampled with the mean size of a stack's objects; jemalloc from 5.3
 * prints such values that this gives its unbiased sums, so they are no true counts of samples.
 * The innermost frames are jemalloc's own. Source: jemalloc 5.3.0, src/prof_data.c.
 */
#include <string.h>

#include "base/path.h"
#include "profile/readers.h"
#include "profile/text.h"

static const char heading[] = "heap_v2/";

struct jemalloc {
	struct profile_text text;
	double period;
	uint64_t addresses[HF_PROFILE_MAX_FRAMES];
	uint32_t stack[HF_PROFILE_MAX_FRAMES];
	size_t n;      /* frames of the current stack */
	bool in_stack; /* its values are yet to come */
	bool has_totals;
};

bool profile_is_jemalloc(const char *text, size_t size)
{
	return size >= sizeof(heading) - 1 && !memcmp(text, heading, sizeof(heading) - 1);
}

static bool is_own(const struct hf_profile *p, uint32_t location)
{
	uint32_t mapping = p->locations[location].mapping;
	if (mapping == HF_PROFILE_NONE)
		return false;
	return !strncmp(hf_base_name(p->mappings[mapping].file), "libjemalloc", 11);
}

static enum hf_status read_stack(struct jemalloc *j)
{
	struct profile_text *t = &j->text;
	size_t n = 0, own = 0;
	if (j->in_stack)
		return profile_text_bad(t, "a stack without values before it");
	if (!profile_text_addresses(t->line + 1, t->line_end, j->addresses, &n))
		return profile_text_bad(t, "not a list of addresses");
	for (size_t i = 0; i < n; i++) {
		j->stack[i] = profile_location_at(t->b, j->addresses[i]);
		if (j->stack[i] == HF_PROFILE_NONE)
			return profile_no_memory(t->b);
	}
	while (own < n && is_own(&t->b->profile, j->stack[own]))
		own++;
	memmove(j->stack, j->stack + own, (n - own) * sizeof(*j->stack));
	j->n = n - own;
	j->in_stack = true;
	return HF_OK;
}

/* "  t*: n: bytes [n: bytes]"; what single threads have is part of it. */
static enum hf_status read_values(struct jemalloc *j)
{
	struct profile_text *t = &j->text;
	struct profile_text_values v;
	const char *at = profile_text_blanks(t->line, t->line_end);
	if (t->line_end - at < 3 || *at != 't')
		return profile_text_bad(t, "neither a stack nor its values");
	if (at[1] != '*' || !j->in_stack)
		return HF_OK;
	at += 3;
	if (at[-1] != ':' || !profile_text_values(&at, t->line_end, &v))
		return profile_text_bad(t, "not the values of a stack");
	if (v.live_count < 0 || v.live_bytes < 0 || v.total_count < 0 || v.total_bytes < 0)
		return profile_text_bad(t, "negative values");
	double live = profile_unsample((double)v.live_bytes, (double)v.live_count, j->period);
	double total = profile_unsample((double)v.total_bytes, (double)v.total_count, j->period);
	struct profile_values values = {(double)v.live_bytes * live, (double)v.live_count * live,
		(double)v.total_bytes * total, (double)v.total_count * total};
	j->in_stack = false;
	j->has_totals |= v.total_bytes > 0;
	return profile_add(t->b, j->stack, j->n, 0, &values);
}

static enum hf_status read_all(struct jemalloc *j)
{
	struct profile_text *t = &j->text;
	int64_t period;
	profile_text_line(t);
	const char *at = t->line + sizeof(heading) - 1;
	if (!profile_text_number(&at, t->line_end, &period) || period < 0)
		return profile_text_bad(t, "the period is not a number");
	j->period = (double)period;
	t->b->profile.period = (uint64_t)period;
	t->b->profile.sampled = period > 1;
	enum hf_status status = HF_OK;
	while (!status && profile_text_line(t) && !profile_text_is_map(t)) {
		if (t->line == t->line_end)
			continue;
		status = *t->line == '@' ? read_stack(j) : read_values(j);
	}
	t->b->profile.has_totals = j->has_totals; /* prof_accum:true */
	return status;
}

enum hf_status profile_read_jemalloc(struct profile_build *b, const char *text, size_t size)
{
	struct jemalloc j = {.text = {.b = b, .at = text, .end = text + size}};
	b->profile.kind = HF_PROFILE_JEMALLOC;
	b->profile.maker = "jemalloc";
	enum hf_status status = profile_text_map_first(&j.text);
	return status ? status : read_all(&j);
}

/*
 * gperftools' text: "heap profile: n: bytes [n: bytes] @ type/period", then a line a stack in the
 * same form with its addresses behind the @, then a map of memory.
 *
 * Sources: gperftools 2.10, docs/heapprofile.html and src/malloc_extension.cc (what is written);
 * jeprof and pprof for how each type is unsampled.
 */
#include <string.h>

#include "profile/readers.h"
#include "profile/text.h"

static const char heading[] = "heap profile:";
enum { DEFAULT_PERIOD = 128 << 10 }; /* of type "heap" where none is given */

enum scaling { EXACT, POISSON, LINEAR };

struct gperftools {
	struct profile_text text;
	enum scaling scaling;
	double period;
	uint64_t addresses[HF_PROFILE_MAX_FRAMES];
	uint32_t stack[HF_PROFILE_MAX_FRAMES];
	int64_t sum_bytes;
};

bool profile_is_gperftools(const char *text, size_t size)
{
	return size >= sizeof(heading) - 1 && !memcmp(text, heading, sizeof(heading) - 1);
}

static bool is(const char *at, const char *end, const char *name)
{
	size_t n = strlen(name);
	return (size_t)(end - at) >= n && !memcmp(at, name, n) &&
	       (at + n == end || at[n] == '/' || at[n] == ' ');
}

/* "heap_v2/524288" behind the @ */
static enum hf_status read_type(struct gperftools *g, const char *at)
{
	struct profile_text *t = &g->text;
	struct hf_profile *p = &t->b->profile;
	int64_t period = 0;
	at = profile_text_blanks(at, t->line_end);
	const char *slash = memchr(at, '/', (size_t)(t->line_end - at));
	if (slash && (slash++, !profile_text_number(&slash, t->line_end, &period) || period < 0))
		return profile_text_bad(t, "the period is not a number");
	if (is(at, t->line_end, "heapprofile") || is(at, t->line_end, "growth") ||
		is(at, t->line_end, "fragmentation"))
		g->scaling = EXACT;
	else if (is(at, t->line_end, "heap_v2") || is(at, t->line_end, "heapz_v2"))
		g->scaling = POISSON;
	else if (is(at, t->line_end, "heap")) {
		g->scaling = LINEAR;
		period = period ? period : DEFAULT_PERIOD;
	} else
		return hf_err_set(t->b->err, HF_E_UNSUPPORTED,
			"%s: a kind of heap profile that is not known", t->b->name);
	g->period = (double)period;
	p->period = g->scaling == EXACT ? 1 : (uint64_t)period;
	p->sampled = g->scaling != EXACT && period > 1;
	return HF_OK;
}

static double factor(const struct gperftools *g, int64_t count, int64_t bytes)
{
	if (g->scaling == POISSON)
		return profile_unsample((double)bytes, (double)count, g->period);
	if (g->scaling == EXACT || count <= 0 || bytes <= 0)
		return 1;
	/* the old type: one sample each period / 2 bytes, counted linearly */
	double ratio = (double)bytes / (double)count / (g->period / 2);
	return ratio < 1 && ratio > 0 ? 1 / ratio : 1;
}

static enum hf_status read_stack(struct gperftools *g)
{
	struct profile_text *t = &g->text;
	struct profile_text_values v;
	const char *at = t->line;
	size_t n;
	if (!profile_text_values(&at, t->line_end, &v))
		return profile_text_bad(t, "not a stack with its values");
	at = profile_text_blanks(at, t->line_end);
	if (at == t->line_end || *at != '@' ||
		!profile_text_addresses(at + 1, t->line_end, g->addresses, &n))
		return profile_text_bad(t, "not a list of addresses");
	if (v.live_count < 0 || v.live_bytes < 0 || v.total_count < 0 || v.total_bytes < 0)
		return hf_err_set(t->b->err, HF_E_UNSUPPORTED,
			"%s: negative values: the difference of two profiles", t->b->name);
	for (size_t i = 0; i < n; i++) {
		g->stack[i] = profile_location_at(t->b, g->addresses[i]);
		if (g->stack[i] == HF_PROFILE_NONE)
			return profile_no_memory(t->b);
	}
	if (__builtin_add_overflow(g->sum_bytes, v.live_bytes, &g->sum_bytes))
		return profile_text_bad(t, "the sum of all stacks is too large");
	double live = factor(g, v.live_count, v.live_bytes);
	double total = factor(g, v.total_count, v.total_bytes);
	struct profile_values values = {(double)v.live_bytes * live, (double)v.live_count * live,
		(double)v.total_bytes * total, (double)v.total_count * total};
	t->b->profile.n_samples += g->scaling == EXACT ? 0 : (uint64_t)v.live_count;
	return profile_add(t->b, g->stack, n, 0, &values);
}

static enum hf_status read_all(struct gperftools *g)
{
	struct profile_text *t = &g->text;
	struct profile_text_values all;
	profile_text_line(t);
	const char *at = t->line + sizeof(heading) - 1;
	if (!profile_text_values(&at, t->line_end, &all))
		return profile_text_bad(t, "the heading is damaged");
	at = profile_text_blanks(at, t->line_end);
	if (at == t->line_end || *at != '@')
		return profile_text_bad(t, "the heading is damaged");
	enum hf_status status = read_type(g, at + 1);
	bool more;
	while (!status && (more = profile_text_line(t)) && !profile_text_is_map(t)) {
		if (t->line < t->line_end)
			status = read_stack(g);
	}
	/* Sampled profiles know what lives only: they repeat it as the totals. */
	t->b->profile.has_totals = g->scaling == EXACT && all.total_bytes > 0;
	/* The writer's buffer is limited, and stacks that do not fit are left out without a word.
	 */
	if (!status && all.live_bytes > g->sum_bytes)
		t->b->profile.missing_bytes = (uint64_t)(all.live_bytes - g->sum_bytes);
	return status;
}

enum hf_status profile_read_gperftools(struct profile_build *b, const char *text, size_t size)
{
	struct gperftools g = {.text = {.b = b, .at = text, .end = text + size}};
	b->profile.kind = HF_PROFILE_GPERFTOOLS;
	b->profile.maker = "gperftools";
	enum hf_status status = profile_text_map_first(&g.text);
	return status ? status : read_all(&g);
}

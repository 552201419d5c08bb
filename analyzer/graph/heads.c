/*
 * Heads of the unreachable part without computing its strongly connected components.
 *
 * Search from every unreachable object that was not seen yet, in ascending order; the starts of
 * these searches are the candidates. Nothing leads into a source component, so its first member to
 * be seen was a start, and it is the lowest. Then search again from the candidates, last one first:
 * a candidate that is still unseen has no predecessor outside its own component. Proof: whatever
 * leads to candidate c was not seen before c (else c would have been seen from there), so it
 * belongs to the search from c, and is in its component, or to that of a later candidate, which by
 * now would have led to c.
 */
#include "graph/internal.h"
#include "graph/reach.h"

static const char STAGE[] = "heads of leaks";

struct search {
	const struct hf_graph *g;
	uint64_t *seen;
	uint32_t *stack;
	uint64_t done;
};

static enum hf_status search_from(struct search *s, uint32_t start, struct hf_err *err)
{
	const struct hf_graph *g = s->g;
	uint32_t top = 0;
	bit_set(s->seen, start);
	s->stack[top++] = start;
	while (top) {
		uint32_t u = s->stack[--top];
		for (uint64_t e = g->offset[u]; e < g->offset[u + 1]; e++) {
			if (bit_claim(s->seen, g->dst[e]))
				s->stack[top++] = g->dst[e];
		}
		if (++s->done % HF_GRAPH_TICK == 0) {
			enum hf_status st =
				hf_graph_tick(g, STAGE, s->done, 2ull * g->n_objects, err);
			if (st)
				return st;
		}
	}
	return HF_OK;
}

/* Bits i < n that are clear in seen, ascending: the next one at or after i, or n. */
static uint32_t next_clear(const uint64_t *seen, uint64_t i, uint32_t n)
{
	while (i < n) {
		uint64_t word = ~seen[i / 64] >> (i % 64);
		if (word) {
			i += (unsigned)__builtin_ctzll(word);
			return i < n ? (uint32_t)i : n;
		}
		i = (i / 64 + 1) * 64;
	}
	return n;
}

static enum hf_status find_candidates(struct search *s, uint64_t *candidate, struct hf_err *err)
{
	uint32_t n = s->g->n_objects;
	for (uint32_t i = next_clear(s->seen, 0, n); i < n; i = next_clear(s->seen, i, n)) {
		bit_set(candidate, i);
		enum hf_status st = search_from(s, i, err);
		if (st)
			return st;
	}
	return HF_OK;
}

/* Take from candidate those that another one leads to; count what stays. */
static enum hf_status drop_candidates(
	struct search *s, uint64_t *candidate, uint32_t *ret_n, struct hf_err *err)
{
	uint32_t n = 0;
	for (uint64_t w = bitmap_words(s->g->n_objects); w-- > 0;) {
		for (uint64_t bits = candidate[w]; bits;) {
			unsigned bit = 63 - (unsigned)__builtin_clzll(bits);
			bits &= ~(1ull << bit);
			uint64_t i = w * 64 + bit;
			if (hf_graph_bit(s->seen, i)) {
				bit_clear(candidate, i);
				continue;
			}
			n++;
			enum hf_status st = search_from(s, (uint32_t)i, err);
			if (st)
				return st;
		}
	}
	*ret_n = n;
	return HF_OK;
}

static bool list_heads(struct hf_graph_heads *heads, uint64_t n_words)
{
	heads->object = hf_graph_alloc(heads->n, sizeof(*heads->object));
	if (!heads->object)
		return false;
	uint32_t n = 0;
	for (uint64_t w = 0; w < n_words; w++) {
		for (uint64_t bits = heads->head[w]; bits; bits &= bits - 1)
			heads->object[n++] = (uint32_t)(w * 64 + (unsigned)__builtin_ctzll(bits));
	}
	return true;
}

enum hf_status hf_graph_heads_init(struct hf_graph_heads *ret, const struct hf_graph *g,
	const uint64_t *reachable, uint32_t n_reachable, struct hf_err *err)
{
	uint64_t n_words = bitmap_words(g->n_objects);
	_cleanup_(hf_graph_heads_deinit) struct hf_graph_heads heads = {0};
	_cleanup_free_ uint64_t *seen = hf_graph_alloc(n_words, sizeof(*seen));
	_cleanup_free_ uint32_t *stack = hf_graph_alloc(g->n_objects - n_reachable, sizeof(*stack));
	heads.head = hf_graph_zalloc(n_words, sizeof(*heads.head));
	if (!seen || !stack || !heads.head)
		return hf_graph_nomem(err, STAGE);

	struct search s = {.g = g, .seen = seen, .stack = stack};
	for (uint64_t w = 0; w < n_words; w++)
		seen[w] = reachable[w];
	enum hf_status st = find_candidates(&s, heads.head, err);
	if (st)
		return st;
	for (uint64_t w = 0; w < n_words; w++)
		seen[w] = reachable[w];
	st = drop_candidates(&s, heads.head, &heads.n, err);
	if (st)
		return st;
	if (!list_heads(&heads, n_words))
		return hf_graph_nomem(err, STAGE);
	*ret = heads;
	heads = (struct hf_graph_heads){0};
	return HF_OK;
}

void hf_graph_heads_deinit(struct hf_graph_heads *heads)
{
	free(heads->object);
	free(heads->head);
	*heads = (struct hf_graph_heads){0};
}

/* Objects that point to the same thing of a module, by the same word, and are of one size: what
 * nearly all of them are that have a type, the others are, too. `ops`, `class` and the like are
 * known of those that somebody holds by a typed pointer, and hold good for those behind a void *.
 */
#include <stdlib.h>

#include "types/typing.h"

enum {
	TAG_WORDS = 4, /* of an object, that may be its tag */
	MIN_TYPED = 2, /* that can speak for the others */
	PERCENT = 90,  /* … of them, that are of one type */
};

struct group {
	uint32_t type; /* the majority's, by Boyer and Moore */
	uint32_t votes, n_typed, n_agree;
};

struct groups {
	struct group *at;
	size_t n, cap;
	struct hf_map by_key; /* → group + 1 */
};

/* The first word of an object that points into a module is its tag. */
static bool is_tag(const struct hf_heap *heap, size_t i)
{
	const struct hf_heap_modref *r = &heap->modrefs.at[i];
	return r->src_off < TAG_WORDS && (!i || heap->modrefs.at[i - 1].src != r->src);
}

static uint64_t key_of(const struct hf_heap *heap, size_t i)
{
	const struct hf_heap_modref *r = &heap->modrefs.at[i];
	uint64_t key = ((uint64_t)r->module << 32 | r->module_off) * 0x9e3779b97f4a7c15u;
	key = (key ^ (key >> 29) ^ heap->usable[r->src]) * 0xbf58476d1ce4e5b9u;
	key ^= r->src_off;
	return key ? key : 1;
}

static struct group *group_of(struct groups *g, uint64_t key)
{
	uint32_t *known = hf_map_put(&g->by_key, key);
	if (!known)
		return NULL;
	if (!*known) {
		if (!hf_grow((void **)&g->at, g->n, &g->cap, sizeof(*g->at)))
			return NULL;
		g->at[g->n++] = (struct group){0};
		*known = (uint32_t)g->n;
	}
	return &g->at[*known - 1];
}

static void vote(struct group *g, uint32_t type)
{
	g->n_typed++;
	if (!g->votes)
		g->type = type;
	if (g->type == type)
		g->votes++;
	else
		g->votes--;
}

static bool is_sure(const struct hf_typing *y, uint32_t object)
{
	return hf_typing_how(y, object) > HF_TYPED_SITE;
}

enum hf_status hf_typing_spread_tags(struct hf_typing *y, struct hf_err *err)
{
	const struct hf_heap *heap = y->heap;
	struct groups groups = {0};
	bool any = false, ok = true;
	for (size_t i = 0; i < heap->modrefs.n && !any; i++)
		any = is_tag(heap, i) && !is_sure(y, heap->modrefs.at[i].src);
	for (int pass = 0; any && ok && pass < 3; pass++) {
		for (size_t i = 0; i < heap->modrefs.n && ok; i++) {
			uint32_t object = heap->modrefs.at[i].src;
			if (!is_tag(heap, i) || is_sure(y, object) == (pass == 2))
				continue;
			struct group *g = group_of(&groups, key_of(heap, i));
			ok = g;
			if (ok && pass == 0)
				vote(g, hf_typing_type(y, object));
			else if (ok && pass == 1)
				g->n_agree += g->type == hf_typing_type(y, object);
			else if (ok && g->n_typed >= MIN_TYPED &&
				 (uint64_t)g->n_agree * 100 >= (uint64_t)g->n_typed * PERCENT)
				hf_typing_set(y, object, g->type, HF_TYPED_SITE);
		}
	}
	hf_map_deinit(&groups.by_key);
	free(groups.at);
	return ok ? HF_OK : hf_err_set(err, HF_E_NOMEM, "no memory to sort objects by tag");
}

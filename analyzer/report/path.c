#include "report/path.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

enum {
	MAX_STEPS = 2000000, /* some seconds; a longer path is marked cut */
	MAX_HOPS = 2048,     /* kept while reading */
	KEEP = 64,           /* kept of either end when there are more */
};

void hf_path_deinit(struct hf_path *path)
{
	free(path->hops);
	*path = (struct hf_path){0};
}

static bool same_run(const struct hf_hop *hop, const struct hf_object *object)
{
	return hop->object.size == object->size && hop->object.type_id == object->type_id &&
	       !hop->object.label[0] && !object->label[0];
}

static bool same_word(const struct hf_word *a, const struct hf_word *b)
{
	return a->src_offset == b->src_offset && a->dst_offset == b->dst_offset;
}

/* While building, hops are in the order of the way up: the object asked for first. */
enum hf_status hf_path_add(struct hf_path *path, const struct hf_object *object,
	const struct hf_word *word, struct hf_err *err)
{
	/* No word of an object leads to the last one, so it never joins a run. */
	static const struct hf_word none = {.src_offset = UINT64_MAX};
	word = word ? word : &none;
	struct hf_hop *last = path->n_hops ? &path->hops[path->n_hops - 1] : NULL;
	path->length++;
	/* The object asked for stays a hop of its own. */
	if (last && path->n_hops > 1 && same_word(&last->word, word) && same_run(last, object)) {
		last->object = *object;
		last->times++;
		return HF_OK;
	}
	if (path->n_hops == MAX_HOPS) {
		struct hf_hop *hops = path->hops;
		uint64_t dropped = 0;
		for (size_t i = KEEP; i < MAX_HOPS - KEEP; i++)
			dropped += hops[i].times + hops[i].skipped;
		memmove(hops + KEEP, hops + MAX_HOPS - KEEP, KEEP * sizeof(*hops));
		/* In root-first order the gap comes after the hop that is now at KEEP. */
		hops[KEEP].skipped += dropped;
		path->n_hops = 2 * KEEP;
	}
	if (path->n_hops == path->cap_hops) {
		size_t cap = path->cap_hops ? path->cap_hops * 2 : 16;
		struct hf_hop *hops = reallocarray(path->hops, cap, sizeof(*hops));
		if (!hops)
			return hf_err_set(err, HF_E_NOMEM, "no memory for a path");
		path->hops = hops;
		path->cap_hops = cap;
	}
	path->hops[path->n_hops++] = (struct hf_hop){
		.object = *object,
		.word = *word,
		.times = 1,
		.last_id = (uint64_t)object->id,
		.last_addr = object->addr,
	};
	return HF_OK;
}

void hf_path_finish(struct hf_path *path, const struct hf_root *root)
{
	for (size_t i = 0, j = path->n_hops; i + 1 < j; i++) {
		struct hf_hop hop = path->hops[i];
		path->hops[i] = path->hops[--j];
		path->hops[j] = hop;
	}
	path->rooted = root != NULL;
	if (!root)
		return;
	path->root = *root;
	if (!path->cut && path->n_hops) {
		path->hops[0].word.src_offset = root->word_offset;
		path->hops[0].word.dst_offset = root->offset;
	}
}

static enum hf_status climb(struct hf_heapdb *heap, const struct hf_object *object,
	struct hf_path *path, struct hf_err *err)
{
	struct hf_object at = *object;
	for (uint64_t step = 0; at.holder_id; step++) {
		if (step == MAX_STEPS) {
			path->cut = true;
			break;
		}
		struct hf_word word = {0};
		enum hf_status status = hf_heapdb_word(heap, at.holder_id, at.id, &word, err);
		if (status == HF_E_NOTFOUND)
			return hf_err_set(err, HF_E_CORRUPT,
				"the database has no edge from object %lld to %lld, its holder",
				(long long)at.holder_id, (long long)at.id);
		if (status == HF_OK)
			status = hf_path_add(path, &at, &word, err);
		if (status == HF_OK)
			status = hf_heapdb_object(heap, at.holder_id, &at, err);
		if (status == HF_E_NOTFOUND)
			return hf_err_set(err, HF_E_CORRUPT,
				"the database has no object %lld, a holder",
				(long long)at.holder_id);
		if (status != HF_OK)
			return status;
	}
	return path->cut ? HF_OK : hf_path_add(path, &at, NULL, err);
}

enum hf_status hf_path_read(struct hf_heapdb *heap, const struct hf_object *object,
	struct hf_path *ret, struct hf_err *err)
{
	_cleanup_(hf_path_deinit) struct hf_path path = {0};
	struct hf_root root;
	enum hf_status status = climb(heap, object, &path, err);
	if (status == HF_OK && object->holder_root_id) {
		status = hf_heapdb_root(heap, object->holder_root_id, &root, err);
		if (status == HF_E_NOTFOUND)
			return hf_err_set(err, HF_E_CORRUPT, "the database has no root %lld",
				(long long)object->holder_root_id);
	}
	if (status != HF_OK)
		return status;
	hf_path_finish(&path, object->holder_root_id ? &root : NULL);
	*ret = path;
	path = (struct hf_path){0};
	return HF_OK;
}

void hf_hop_name(struct hf_text *text, const struct hf_hop *hop, const char *times)
{
	char number[HF_NUMBER_SIZE];
	hf_heapdb_word_name(text, &hop->word);
	if (hop->times > 1)
		hf_text_addf(text, " %s%s", times, hf_human_count(number, hop->times));
}

void hf_path_text(
	struct hf_text *text, const struct hf_path *path, const char *times, const char *dots)
{
	if (path->rooted)
		hf_heapdb_root_name(text, &path->root);
	else
		hf_text_addf(text, "(leaked) 0x%llx",
			path->n_hops ? (unsigned long long)path->hops[0].object.addr : 0ull);
	if (path->cut)
		hf_text_addf(text, "->%s", dots);
	for (size_t i = path->cut ? 0 : 1; i < path->n_hops; i++) {
		/* How a container links its nodes is nobody's business. */
		if (path->hops[i].word.field[0] != '(')
			hf_hop_name(text, &path->hops[i], times);
		if (path->hops[i].object.label[0])
			hf_text_addf(text, " \"%s\"", path->hops[i].object.label);
		if (path->hops[i].skipped)
			hf_text_addf(text, "->%s", dots);
	}
}

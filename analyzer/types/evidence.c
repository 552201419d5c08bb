/* What a pointer to an object says about it. */
#include <stdlib.h>
#include <string.h>

#include "types/build.h"
#include "types/containers.h"
#include "types/index.h"
#include "types/parts.h"
#include "types/typing.h"

enum {
	SLACK = 32,          /* bytes that an allocator may give beyond what was asked for */
	SLACK_MAPPED = 4096, /* … of an object with a mapping of its own */
	MAX_WORDS = 64,      /* of an object, that must suit a type */
	SUITING_WORDS = 3,   /* … that point where it says: enough for a guess */
	MAX_CONTAINERS = 64, /* structs that embed another one, looked at for one object */
	MAX_DEFINITIONS = 200000,
	EMBEDDED_DEPTH = 6,
	MAX_HEADER = 64,   /* bytes that an allocator hides */
	ARRAY_HEADER = 16, /* … before an array */
};

/* Bytes as far as known; *ret_exact: as the program asked for. */
static uint64_t size_of(const struct hf_typing *y, uint32_t object, bool *ret_exact)
{
	const struct hf_heap *heap = y->heap;
	uint64_t word = y->object[object], size = word >> HF_OBJECT_SIZE;
	*ret_exact = hf_object_is(word, HF_OBJECT_EXACT);
	if (size != HF_OBJECT_HUGE)
		return size;
	return *ret_exact ? heap->requested[object] : heap->usable[object];
}

/* May an object have so many bytes that nobody asked for? least: what an allocator rounds up to. */
static bool is_slack(
	const struct hf_typing *y, uint32_t object, bool known, uint64_t rest, uint64_t least)
{
	if (known || rest >= SLACK_MAPPED)
		return rest == 0;
	return rest < least || hf_object_is(y->object[object], HF_OBJECT_MAPPED);
}

static bool is_about(
	const struct hf_typing *y, uint32_t object, bool known, uint64_t has, uint64_t size)
{
	if (!size || has < size)
		return false;
	uint64_t rest = has - size;
	return (known || rest < 16 || size >= 32 || has == 24) &&
	       is_slack(y, object, known, rest, SLACK);
}

static bool fits_exactly(const struct hf_typing *y, uint32_t object, uint64_t size)
{
	bool known;
	uint64_t has = size_of(y, object, &known);
	return is_about(y, object, known, has, size);
}

uint32_t hf_typing_fit(struct hf_typing *y, uint32_t object, uint32_t type, enum hf_typed *ret_how)
{
	uint32_t n;
	bool known;
	uint64_t has = size_of(y, object, &known);
	uint32_t python = y->cpython ? hf_cpython_fit(y, object, type) : 0;
	type = python ? python : type;
	hf_types_members(y->types, type, &n); /* for its flags */
	const struct hf_type *t = &y->types->at[type];
	if (t->kind == HF_TYPE_ARRAY && !t->count) {
		*ret_how = HF_TYPED_FLEXIBLE;
		return type;
	}
	if ((t->flags & HF_TYPE_INCOMPLETE) || !t->size) {
		uint32_t cast = hf_types_cast_of(y->types, type);
		*ret_how = HF_TYPED_OPAQUE;
		if (!cast || (y->types->at[cast].flags & HF_TYPE_INCOMPLETE))
			return type;
		type = hf_typing_fit(y, object, cast, ret_how);
		*ret_how = *ret_how < HF_TYPED_GUESS ? *ret_how : HF_TYPED_GUESS;
		return type;
	}
	/* a lone pointer is hardly ever allocated: of several only one may be in use */
	if (t->kind == HF_TYPE_POINTER && has >= t->size) {
		*ret_how = HF_TYPED_ARRAY;
		return hf_types_array(y->types, type, 0);
	}
	if (is_about(y, object, known, has, t->size)) {
		*ret_how = HF_TYPED_EXACT;
		return type;
	}
	if (has < t->size) {
		*ret_how = HF_TYPED_SHORT;
		return type;
	}
	if (t->flags & HF_TYPE_FLEXIBLE) {
		*ret_how = HF_TYPED_FLEXIBLE;
		return type;
	}
	uint64_t rest = has % t->size;
	bool plain = !hf_type_is_record(t);
	if (plain || is_slack(y, object, known, rest, 16)) {
		*ret_how = HF_TYPED_ARRAY;
		return hf_types_array(y->types, type, 0);
	}
	*ret_how = HF_TYPED_PREFIX;
	return type;
}

/* Structs by what they embed */

static uint64_t embedded_key(uint32_t type, uint64_t offset)
{
	return (uint64_t)type << 32 | ((offset & 0x7fffffff) << 1 | 1);
}

static void add_embedded(struct hf_types *types, uint32_t outer, uint32_t inner, uint64_t offset)
{
	uint32_t *slot = hf_map_put(&types->embedded, embedded_key(inner, offset));
	if (!slot || !hf_grow((void **)&types->embedding, types->n_embedding + 2,
			     &types->cap_embedding, sizeof(*types->embedding))) {
		types->no_memory = true;
		return;
	}
	if (!types->n_embedding)
		types->n_embedding = 2; /* 0 ends a chain */
	types->embedding[types->n_embedding] = outer;
	types->embedding[types->n_embedding + 1] = *slot;
	*slot = (uint32_t)types->n_embedding;
	types->n_embedding += 2;
}

static void note_embedded(struct hf_types *types, uint32_t outer)
{
	struct level {
		uint32_t type, next;
		uint64_t offset;
	} stack[EMBEDDED_DEPTH];
	int depth = 0;
	stack[0] = (struct level){outer, 0, 0};
	while (depth >= 0) {
		struct level *l = &stack[depth];
		uint32_t n;
		const struct hf_type_member *m = hf_types_members(types, l->type, &n);
		if (l->next >= n || l->next > 512) {
			depth--;
			continue;
		}
		struct hf_type_member member = m[l->next++];
		const struct hf_type *t = &types->at[member.type];
		/* characters behind a header: whoever uses them points there */
		if (!depth && t->kind == HF_TYPE_ARRAY && !t->count && member.offset &&
			(types->at[t->target].flags & HF_TYPE_CHAR) && member.offset <= INT32_MAX)
			add_embedded(types, outer, types->char_type, member.offset);
		if (!hf_type_is_record(t) || t->size < 8 || member.offset > INT32_MAX)
			continue;
		uint64_t offset = l->offset + member.offset;
		add_embedded(types, outer, member.type, offset);
		if (depth + 1 < EMBEDDED_DEPTH)
			stack[++depth] = (struct level){member.type, 0, offset};
	}
}

/* Every struct that is defined in an indexed module. */
static void know_embedding(struct hf_typing *y)
{
	struct hf_types *types = y->types;
	y->embedding_known = true;
	for (uint32_t m = 0; m < types->heap->modules.n; m++) {
		const struct hf_type_index *x = types->indexes[m];
		for (size_t i = 0; x && x->n_definitions <= MAX_DEFINITIONS && i < x->n_definitions;
			i++) {
			Dwarf_Die die;
			if (hf_type_index_die(x, x->definitions[i].place, &die))
				hf_types_of_die(types, m, &die);
		}
	}
	/* the list grows while members are read */
	for (uint32_t id = 1; id < types->n && id < 2 * MAX_DEFINITIONS; id++) {
		const struct hf_type *t = &types->at[id];
		if (hf_type_is_record(t) && t->size &&
			!(t->name && hf_container_is_wrapper(t->name)))
			note_embedded(types, id);
	}
}

/* Do the words of an object that point somewhere suit a type? *ret_n: how many say so. */
static bool suits(struct hf_typing *y, uint32_t object, uint32_t type, uint32_t *ret_n)
{
	const struct hf_heap *heap = y->heap;
	uint64_t begin = heap->edge_offset[object], end = heap->edge_offset[object + 1];
	size_t first, n = hf_heap_modrefs_of(heap, object, &first);
	*ret_n = 0;
	for (uint64_t e = begin; e < end && e < begin + MAX_WORDS; e++) {
		const struct hf_type_slot *s =
			hf_type_slot(y->types, type, hf_heap_src_off(heap, e));
		const struct hf_type *to = &y->types->at[s->pointee];
		uint32_t dst = heap->edge_dst[e];
		if (s->what <= HF_SLOT_DATA || s->what == HF_SLOT_CODE)
			return false;
		if (s->what != HF_SLOT_POINTER)
			continue;
		if (hf_type_is_record(to) &&
			to->size > heap->usable[dst] - hf_heap_dst_off(heap, e))
			return false;
		*ret_n += 1 + (hf_typing_type(y, dst) == s->pointee);
	}
	for (size_t i = first; i < first + n && i < first + MAX_WORDS; i++) {
		const struct hf_type_slot *s =
			hf_type_slot(y->types, type, hf_heap_modref_src_off(heap, i));
		if (s->what <= HF_SLOT_DATA)
			return false;
		*ret_n += s->what >= HF_SLOT_CODE;
	}
	return true;
}

/* The one struct of that size that has `inner` at offset, or of several the one that its words suit
 * best; 0: none, or no telling. */
static uint32_t container_of(
	struct hf_typing *y, uint32_t object, uint64_t offset, uint32_t inner, bool *ret_several)
{
	struct hf_types *types = y->types;
	uint32_t found = 0, best = 0, n_best = 0;
	bool equal = false, several = false;
	if (!y->embedding_known)
		know_embedding(y);
	uint32_t at = hf_map_get(&types->embedded, embedded_key(inner, offset));
	for (int i = 0; at && i < MAX_CONTAINERS; i++, at = types->embedding[at + 1]) {
		uint32_t outer = types->embedding[at], n;
		if (outer == found || !fits_exactly(y, object, types->at[outer].size))
			continue;
		/* one of them may be the other's only member */
		if (found && hf_type_has_at(types, outer, 0, found))
			found = best == found ? best = outer : outer;
		else if (found && !hf_type_has_at(types, found, 0, outer))
			several = true;
		found = found ? found : outer;
		if (!suits(y, object, outer, &n) || outer == best)
			continue;
		equal = best && n == n_best;
		if (!best || n > n_best) {
			best = outer;
			n_best = n;
		}
	}
	*ret_several = several;
	y->alone |= several; /* its words say which */
	return !several ? found : equal || n_best < SUITING_WORDS ? 0 : best;
}

/* The one struct of the pointer's program or library that ends with characters, which begin there.
 */
static void propose_string(struct hf_typing *y, uint32_t object, uint64_t offset, uint32_t source)
{
	struct hf_types *types = y->types;
	uint32_t outer = 0;
	if (hf_typing_how(y, object) || !source)
		return;
	if (!y->embedding_known)
		know_embedding(y);
	uint32_t at = hf_map_get(&types->embedded, embedded_key(types->char_type, offset));
	for (int i = 0; at && i < MAX_CONTAINERS; i++, at = types->embedding[at + 1]) {
		uint32_t found = types->embedding[at];
		if (types->at[found].module != types->at[source].module || found == outer)
			continue;
		if (outer)
			return;
		outer = found;
	}
	bool exact;
	if (outer && types->at[outer].size <= size_of(y, object, &exact))
		hf_typing_set(y, object, outer, HF_TYPED_GUESS);
}

/* A char * to somewhere inside: a struct's tail, or bytes, a header before them. */
static void propose_bytes(
	struct hf_typing *y, uint32_t object, uint64_t offset, uint32_t pointee, uint32_t source)
{
	uint32_t type = hf_types_array(y->types, pointee, 0);
	if (offset)
		propose_string(y, object, offset, source);
	if (offset && offset % 8 == 0 && offset <= MAX_HEADER)
		type = hf_types_behind(y->types, type, offset);
	hf_typing_set(y, object, type, HF_TYPED_BYTES);
}

/* A struct that points to its own kind: a link, which is seldom an array. */
static bool is_link(struct hf_types *types, uint32_t type)
{
	uint32_t n;
	const struct hf_type_member *m = hf_types_members(types, type, &n);
	for (uint32_t i = 0; i < n && i < 16; i++) {
		const struct hf_type *t = &types->at[m[i].type];
		if (t->kind == HF_TYPE_POINTER && t->target == type)
			return true;
	}
	return false;
}

/* Where the size does not fit: what a pointer leads to may be a part of the object. */
static bool propose_container(struct hf_typing *y, uint32_t object, uint64_t offset,
	uint32_t pointee, uint32_t source, enum hf_typed limit)
{
	struct hf_types *types = y->types;
	const struct hf_type *t = &types->at[pointee];
	enum hf_typed how = HF_TYPED_CONTAINER < limit ? HF_TYPED_CONTAINER : limit;
	uint32_t type = 0;
	bool several = false;
	if (!hf_type_is_record(t) || t->size < 8)
		return false;
	if (source && source != pointee && hf_type_is_record(&types->at[source]) &&
		fits_exactly(y, object, types->at[source].size) &&
		hf_type_has_at(types, source, offset, pointee))
		type = source;
	if (!type)
		type = container_of(y, object, offset, pointee, &several);
	if (several && how > HF_TYPED_GUESS)
		how = HF_TYPED_GUESS;
	hf_typing_set(y, object, type, how);
	return type != 0;
}

/* What an allocator, `new T[n]` or a library keeps before what it hands out: the pointers all lead
 * a little behind the start of the object. */
static bool propose_behind(struct hf_typing *y, uint32_t object, uint64_t offset, uint32_t pointee,
	enum hf_typed limit)
{
	struct hf_types *types = y->types;
	bool known;
	uint64_t has = size_of(y, object, &known);
	uint32_t n;
	hf_types_members(types, pointee, &n); /* for its flags */
	const struct hf_type *t = &types->at[pointee];
	enum hf_typed how = HF_TYPED_ARRAY < limit ? HF_TYPED_ARRAY : limit;
	if (offset > MAX_HEADER || offset % 8 || !hf_type_is_record(t) || t->size < 8 ||
		has - offset < t->size || hf_typing_how(y, object) > HF_TYPED_BYTES)
		return false;
	uint64_t rest = has - offset;
	if (is_about(y, object, known, rest, t->size) || (t->flags & HF_TYPE_FLEXIBLE))
		hf_typing_set(y, object, hf_types_behind(types, pointee, offset), how);
	else if (offset <= ARRAY_HEADER && t->size >= 24 && !is_link(types, pointee) &&
		 rest % t->size < (known ? 1 : 16))
		hf_typing_set(y, object,
			hf_types_behind(types, hf_types_array(types, pointee, 0), offset), how);
	else
		return false;
	return true;
}

/* A pointer into the middle. */
static void propose_inside(struct hf_typing *y, uint32_t object, uint64_t offset, uint32_t pointee,
	uint32_t source, enum hf_typed limit)
{
	enum hf_typed how = hf_typing_how(y, object);
	if (how > HF_TYPED_BYTES &&
		hf_type_has_at(y->types, hf_typing_type(y, object), offset, pointee))
		return;
	if (propose_container(y, object, offset, pointee, source, limit))
		return;
	if (how > HF_TYPED_GUESS || propose_behind(y, object, offset, pointee, limit))
		return;
	hf_parts_add(y, object, offset, pointee, limit < HF_TYPED_EXACT ? limit : HF_TYPED_EXACT);
}

bool hf_typing_is_text(const struct hf_typing *y, uint32_t object, const struct hf_type_slot *slot)
{
	const struct hf_type *t = &y->types->at[slot->pointee];
	if (!slot->bytes || !hf_object_is(y->object[object], HF_OBJECT_BLANK))
		return false;
	return !hf_type_is_record(t) || !fits_exactly(y, object, t->size);
}

void hf_typing_propose_past(
	struct hf_typing *y, uint32_t object, uint64_t offset, uint32_t pointee, enum hf_typed by)
{
	uint64_t size = y->types->at[pointee].size;
	enum hf_typed how = by <= HF_TYPED_GUESS ? HF_TYPED_GUESS : HF_TYPED_ARRAY;
	/* hashbrown: what is left over goes before the first */
	if (size && offset >= size && offset % size == 0)
		hf_typing_set(y, object, hf_types_array(y->types, pointee, 0), how);
}

/* As hf_type_has_at(); most questions are asked again and again. */
static bool has_at(struct hf_typing *y, uint32_t outer, uint64_t offset, uint32_t inner)
{
	uint64_t hash = (((uint64_t)outer << 32 | inner) ^ offset << 20) * 0x9e3779b97f4a7c15u;
	struct hf_known_inside *known = &y->inside[hash >> (64 - HF_KNOWN_INSIDE_BITS)];
	if (known->outer != outer || known->inner != inner || known->offset != offset)
		*known = (struct hf_known_inside){
			offset, outer, inner, hf_type_has_at(y->types, outer, offset, inner)};
	return known->yes;
}

static void propose(struct hf_typing *y, uint32_t object, uint64_t offset, uint32_t pointee,
	uint32_t source, enum hf_typed limit)
{
	struct hf_types *types = y->types;
	enum hf_typed how;
	/* what is in it anyway */
	if (hf_typing_how(y, object) > HF_TYPED_GUESS && hf_typing_type(y, object) != pointee &&
		has_at(y, hf_typing_type(y, object), offset, pointee))
		return;
	if (types->at[pointee].flags & HF_TYPE_CHAR) {
		propose_bytes(y, object, offset, pointee, source);
		return;
	}
	if (offset) {
		propose_inside(y, object, offset, pointee, source, limit);
		return;
	}
	uint32_t type = hf_typing_fit(y, object, pointee, &how);
	bool part = how == HF_TYPED_PREFIX ||
		    (how == HF_TYPED_ARRAY && hf_type_is_record(&types->at[pointee]) &&
			    is_link(types, pointee));
	if (part && propose_container(y, object, 0, pointee, source, limit))
		return;
	if (part && how == HF_TYPED_ARRAY) {
		how = HF_TYPED_PREFIX; /* what else points into it may tell that they are several */
		type = pointee;
	}
	hf_typing_set(y, object, type, how < limit ? how : limit);
}

/* Where the answer to a question is kept; the object's word has its size in it. */
static struct hf_answer *answer_to(struct hf_typing *y, const struct hf_answer *question)
{
	uint64_t hash = (question->object ^ (question->offset << 44)) * 0x9e3779b97f4a7c15u;
	hash ^= (uint64_t)question->pointee << 32 | (question->source << 1) | question->guess;
	hash *= 0xbf58476d1ce4e5b9u;
	return &y->answer[hash >> (64 - HF_ANSWER_BITS)];
}

void hf_typing_propose(struct hf_typing *y, uint32_t object, uint64_t offset, uint32_t pointee,
	uint32_t source, enum hf_typed by)
{
	struct hf_answer q = {.object = y->object[object],
		.offset = offset,
		.pointee = pointee,
		.source = source,
		.guess = by <= HF_TYPED_GUESS,
		.valid = q.object >> HF_OBJECT_SIZE != HF_OBJECT_HUGE};
	if (hf_object_how(q.object) >= HF_TYPED_EXACT || !pointee)
		return;
	struct hf_answer *known = answer_to(y, &q);
	if (known->object == q.object && known->offset == offset && known->pointee == pointee &&
		known->source == source && known->guess == q.guess && known->valid) {
		hf_typing_set(y, object, known->type, known->how);
		return;
	}
	y->alone = false;
	propose(y, object, offset, pointee, source, q.guess ? HF_TYPED_GUESS : HF_TYPED_N);
	q.type = hf_typing_type(y, object);
	q.how = (uint8_t)hf_typing_how(y, object);
	if (!y->alone)
		*known = q;
}

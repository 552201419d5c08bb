#include "types/resolve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "types/containers.h"

enum {
	NAME_SIZE = 200,
	MAX_WAYS = 24,       /* alternatives at one place */
	MAX_STEPS = 400,     /* over all of them */
	MAX_DENSE = 1 << 20, /* bytes of a type whose words are all kept in a table */
	ENUMERATED = 64,     /* elements of a second array that are told apart */
	PAST_END = 1,        /* the slot for what lies behind a type */
};

/* A way down into a type. */
struct way {
	uint32_t type;
	int depth;
	uint64_t offset; /* left, into type */
	uint64_t base;   /* of type in the outermost one */
	uint64_t array, stride;
	bool indexed, hidden, keyed, chosen, in_node, past;
	bool elements; /* of the next array: they have a name already */
	char name[NAME_SIZE];
};

bool hf_slots_init(struct hf_types *types)
{
	if (!hf_grow((void **)&types->slots, 0, &types->cap_slots, sizeof(*types->slots)))
		return false;
	types->slots[types->n_slots++] = (struct hf_type_slot){.name = "", .what = HF_SLOT_WORD};
	types->slots[types->n_slots++] =
		(struct hf_type_slot){.name = "", .what = HF_SLOT_PADDING, .certain = true};
	return true;
}

static void append(struct way *w, const char *format, const char *text)
{
	size_t n = strlen(w->name);
	snprintf(w->name + n, NAME_SIZE - n, format, text);
}

static const char *name_of(const struct hf_types *types, uint32_t type)
{
	const char *name = types->at[type].name;
	return name ? name : "";
}

static void append_member(const struct hf_types *types, struct way *w, const struct hf_type *in,
	const struct hf_type_member *m)
{
	if (!m->name[0])
		return;
	if (w->keyed) {
		append(w, "%s", strcmp(m->name, "first") ? "[\"key\" not shown]" : "{key}");
		w->keyed = w->hidden = w->in_node = false;
		return;
	}
	if (w->in_node && !strcmp(m->name, "__value_") && (in->flags & HF_TYPE_HIDDEN) &&
		hf_container_is_node(in->name)) {
		/* of libc++; a map's is a pair further down */
		if (!strstr(name_of(types, m->type), "_value_type<"))
			append(w, "%s", "[*]");
		return;
	}
	const char *elements =
		in->flags & HF_TYPE_HIDDEN ? hf_container_elements(in->name, m->name) : NULL;
	if (elements) {
		append(w, "%s", elements[0] != '(' || !w->name[0] ? elements : "");
		w->elements = true;
		return;
	}
	bool link = m->name[0] == '(';
	if (link) {
		if (!w->name[0])
			append(w, "%s", m->name);
		return;
	}
	if ((in->flags & (HF_TYPE_HIDDEN | HF_TYPE_ANONYMOUS)) && w->hidden)
		return;
	/* Rust's tuples count their members: __0 */
	const char *name = m->name;
	if (name[0] == '_' && name[1] == '_' && name[2] >= '0' && name[2] <= '9')
		name += 2;
	append(w, w->name[0] ? ".%s" : "%s", name);
}

static void enter_array(struct way *w, const struct hf_types *types, const struct hf_type *t)
{
	uint64_t size = types->at[t->target].size;
	uint64_t i = w->offset / size;
	char text[24] = "";
	if (w->elements) {
		w->elements = false;
	} else if (!w->indexed) {
		w->indexed = true;
		w->array = w->base;
		w->stride = size;
		snprintf(text, sizeof(text), "[]");
	} else if (t->count && t->count <= ENUMERATED) {
		snprintf(text, sizeof(text), "[%llu]", (unsigned long long)i);
	} else {
		snprintf(text, sizeof(text), "[*]");
	}
	append(w, "%s", text);
	w->base += i * size;
	w->offset -= i * size;
	w->type = t->target;
}

/* Entering a type of a library: from here on its members are not named. What its storage holds is
 * the user's again. */
static void enter_record(struct way *w, const struct hf_types *types)
{
	const struct hf_type *t = &types->at[w->type];
	if (t->flags & HF_TYPE_STORAGE) {
		uint32_t member = t->n_members ? types->members[t->member].type : 0;
		const char *inner = types->at[member].name;
		w->keyed = w->in_node && inner && !strncmp(inner, "std::pair<", 10);
		if (w->in_node && !w->keyed)
			append(w, "%s", "[*]");
		w->hidden = false;
	} else if (w->in_node && !strncmp(name_of(types, w->type), "std::__1::pair<", 15)) {
		w->keyed = true;
		w->hidden = false;
	} else if (t->flags & HF_TYPE_HIDDEN) {
		w->hidden = true;
		if (!strncmp(t->name, "std::_Sp_counted_", 17))
			w->in_node = false;
		else if (hf_container_is_node(t->name))
			w->in_node = true;
	} else if (!w->keyed && !(t->flags & HF_TYPE_ANONYMOUS)) {
		w->hidden = false;
	}
}

/* Like a way that ends at the leaf's type. */
static void judge(const struct hf_types *types, const struct way *w, struct hf_type_slot *ret)
{
	const struct hf_type *t = &types->at[w->type];
	const struct hf_type *to = t->kind == HF_TYPE_POINTER ? &types->at[t->target] : NULL;
	if (!w->type || (t->flags & HF_TYPE_INCOMPLETE)) {
		ret->what = HF_SLOT_WORD;
	} else if (to && !w->offset) {
		ret->what = HF_SLOT_POINTER;
		ret->pointee = t->target;
		if (to->kind == HF_TYPE_FUNCTION)
			ret->what = HF_SLOT_CODE;
		else if (!t->target || (to->flags & HF_TYPE_CHAR))
			ret->what = HF_SLOT_BYTES;
	} else if ((t->flags & HF_TYPE_WORD) && !w->offset) {
		ret->what = HF_SLOT_WORD;
	} else {
		ret->what = HF_SLOT_DATA;
	}
}

struct search {
	struct hf_types *types;
	struct way way[MAX_WAYS];
	int n;
	struct hf_type_slot best, bytes;
	char best_name[NAME_SIZE], bytes_name[NAME_SIZE], equal_name[NAME_SIZE];
	bool found, has_bytes, has_equal;
};

static int order(const struct hf_types *types, const struct hf_type_slot *s)
{
	/* of several pointers the one to the largest thing says most */
	int bonus = s->what == HF_SLOT_POINTER && types->at[s->pointee].size > 1 ? 1 : 0;
	return s->what * 2 + bonus;
}

static void arrive(struct search *s, const struct way *w)
{
	struct hf_type_slot slot = {.offset = w->indexed ? w->array : w->base,
		.stride = w->stride,
		.past = w->past,
		.certain = !w->chosen};
	judge(s->types, w, &slot);
	if (slot.what == HF_SLOT_BYTES && slot.pointee && !s->has_bytes) {
		s->has_bytes = true;
		s->bytes = slot;
		memcpy(s->bytes_name, w->name, NAME_SIZE);
	}
	int difference = s->found ? order(s->types, &slot) - order(s->types, &s->best) : 1;
	if (!difference && slot.pointee == s->best.pointee && slot.what == HF_SLOT_POINTER &&
		!s->has_equal && strcmp(w->name, s->best_name)) {
		s->has_equal = true;
		memcpy(s->equal_name, w->name, NAME_SIZE);
	}
	if (difference <= 0)
		return;
	s->has_equal = false;
	s->found = true;
	s->best = slot;
	memcpy(s->best_name, w->name, NAME_SIZE);
}

/* Push a way for each member that covers the offset. */
static void enter_members(struct search *s, const struct way *at)
{
	uint32_t n, covering = 0;
	hf_types_members(s->types, at->type, &n);
	/* pushed from the last on, so that the first is taken first */
	struct way from = *at;
	enter_record(&from, s->types);
	for (uint32_t i = n; i-- > 0 && s->n < MAX_WAYS;) {
		const struct hf_type *outer = &s->types->at[at->type];
		const struct hf_type_member *m = &s->types->members[outer->member + i];
		const struct hf_type *t = &s->types->at[m->type];
		bool unbounded = i + 1 == n &&
				 (t->kind == HF_TYPE_ARRAY ? t->count <= 1
							   : hf_type_is_record(t) &&
								     (t->flags & HF_TYPE_FLEXIBLE));
		if (m->offset > at->offset || (m->flags & HF_MEMBER_BITS) ||
			(!unbounded && at->offset - m->offset >= (t->size ? t->size : 8)) ||
			((m->flags & HF_MEMBER_BASE) && t->size <= 1))
			continue;
		struct way w = from;
		w.type = m->type;
		w.depth++;
		w.offset -= m->offset;
		w.base += m->offset;
		w.past |= (m->flags & HF_MEMBER_PAST) != 0;
		append_member(s->types, &w, outer, m);
		s->way[s->n++] = w;
		covering++;
	}
	for (uint32_t i = 0; covering > 1 && i < covering; i++)
		s->way[s->n - 1 - (int)i].chosen = true;
}

static void search(struct search *s)
{
	for (int step = 0; s->n && step < MAX_STEPS; step++) {
		struct way w = s->way[--s->n];
		const struct hf_type *t = &s->types->at[w.type];
		if (w.depth >= HF_TYPES_DEPTH)
			continue;
		if (hf_type_is_record(t) && !(t->flags & HF_TYPE_INCOMPLETE)) {
			enter_members(s, &w);
		} else if (t->kind == HF_TYPE_ARRAY && s->types->at[t->target].size) {
			enter_array(&w, s->types, t);
			w.depth++;
			s->way[s->n++] = w;
		} else {
			arrive(s, &w);
		}
	}
}

/* Two members of a union that lead to the same: "shape.{Round.0|Many.parts}". */
static void join_names(struct search *s)
{
	size_t same = 0;
	char text[2 * NAME_SIZE + 8];
	for (size_t i = 0; s->best_name[i] && s->best_name[i] == s->equal_name[i]; i++) {
		if (s->best_name[i] == '.' || s->best_name[i] == ']')
			same = i + 1;
	}
	if (s->best_name[same] == '.')
		same++;
	snprintf(text, sizeof(text), "%.*s{%s|%s}", (int)same, s->best_name, s->best_name + same,
		s->equal_name + same);
	if (strlen(text) < NAME_SIZE)
		memcpy(s->best_name, text, strlen(text) + 1);
}

static uint32_t add_slot(struct hf_types *types, const struct hf_type_slot *slot, const char *name)
{
	struct hf_type_slot copy = *slot;
	copy.name = hf_bump_text(&types->pool, name, strlen(name));
	if (!copy.name || !hf_grow((void **)&types->slots, types->n_slots, &types->cap_slots,
				  sizeof(*types->slots))) {
		types->no_memory = true;
		return 0;
	}
	types->slots[types->n_slots] = copy;
	return (uint32_t)types->n_slots++;
}

static uint32_t resolve(struct hf_types *types, uint32_t type, uint64_t offset)
{
	static struct search s; /* large; used by one call at a time */
	s.types = types;
	s.n = 1;
	s.found = s.has_bytes = s.has_equal = false;
	s.way[0] = (struct way){.type = type, .offset = offset};
	search(&s);
	if (!s.found) {
		s.best = (struct hf_type_slot){
			.what = HF_SLOT_PADDING, .certain = true, .offset = offset};
		s.best_name[0] = 0;
	} else if (!s.best_name[0] && (types->at[type].flags & HF_TYPE_HIDDEN)) {
		snprintf(s.best_name, NAME_SIZE, "(data)");
	}
	/* the buckets of a hash table */
	const struct hf_type *node = &types->at[s.best.pointee];
	if (!strcmp(s.best_name, "[]") && node->name &&
		(!strncmp(node->name, "std::__detail::_Hash_node<", 26) ||
			!strncmp(node->name, "std::__1::__hash_node_base<", 27))) {
		snprintf(s.best_name, NAME_SIZE, "(bucket)");
		s.best.stride = 0;
	}
	if (s.has_equal)
		join_names(&s);
	s.best.dynamic =
		s.best.what == HF_SLOT_POINTER && node->name && !strncmp(node->name, "dyn ", 4);
	if (s.has_bytes && s.best.what == HF_SLOT_POINTER)
		s.best.bytes = add_slot(types, &s.bytes, s.bytes_name);
	return add_slot(types, &s.best, s.best_name);
}

/* Where elements repeat, one stands for all. */
static void find_repetition(struct hf_types *types, uint32_t type)
{
	uint32_t n, array = type;
	uint64_t offset = 0;
	for (int i = 0; i < HF_TYPES_DEPTH && types->at[array].kind != HF_TYPE_ARRAY; i++) {
		const struct hf_type_member *m = hf_types_members(types, array, &n);
		if (!n || !(types->at[array].flags & HF_TYPE_FLEXIBLE))
			return;
		offset += m[n - 1].offset;
		array = m[n - 1].type;
	}
	struct hf_type *t = &types->at[type];
	if (types->at[array].kind != HF_TYPE_ARRAY)
		return;
	uint64_t size = types->at[types->at[array].target].size;
	if (size && size < MAX_DENSE && offset < MAX_DENSE) {
		t->flex_offset = (uint32_t)offset;
		t->flex_size = (uint32_t)size;
	}
}

uint32_t hf_type_slot_find(struct hf_types *types, uint32_t type, uint64_t offset)
{
	struct hf_type *t = &types->at[type];
	if (!type || (t->flags & HF_TYPE_INCOMPLETE))
		return 0;
	if (!t->slots) {
		find_repetition(types, type);
		t = &types->at[type];
		uint64_t end = t->flex_size ? (uint64_t)t->flex_offset + t->flex_size : 0;
		if (t->kind != HF_TYPE_ARRAY && t->size > end)
			end = t->size;
		if (end && end <= MAX_DENSE)
			t->slots = hf_bump_alloc(&types->pool, (end + 15) / 8 * sizeof(*t->slots));
		t->slots_end = t->slots ? (uint32_t)end : 0;
	}
	if (t->flex_size && offset >= t->flex_offset)
		offset = t->flex_offset + (offset - t->flex_offset) % t->flex_size;
	else if (t->kind != HF_TYPE_ARRAY && offset >= t->size)
		return PAST_END;
	/* neither table moves while one is resolved: slots are the pool's, and offsets are put in
	 * afterwards */
	uint64_t key = (uint64_t)type << 40 ^ (offset + 1);
	bool dense = t->slots && offset % 8 == 0 && offset < t->slots_end;
	uint32_t id = dense ? t->slots[offset / 8] : hf_map_get(&types->by_offset, key);
	if (id)
		return id;
	id = resolve(types, type, offset);
	uint32_t *kept =
		dense ? &types->at[type].slots[offset / 8] : hf_map_put(&types->by_offset, key);
	if (kept)
		*kept = id;
	return id;
}

const struct hf_type_slot *hf_type_slot(struct hf_types *types, uint32_t type, uint64_t offset)
{
	uint32_t id = hf_type_slot_id(types, type, offset); /* which may move the slots */
	return &types->slots[id];
}

void hf_type_slot_text(const struct hf_type_slot *slot, uint64_t offset, char *ret, size_t size)
{
	const char *index = slot->stride ? strstr(slot->name, "[]") : NULL;
	if (index)
		snprintf(ret, size, "%.*s[%llu]%s", (int)(index - slot->name), slot->name,
			(unsigned long long)((offset - slot->offset) / slot->stride), index + 2);
	else
		snprintf(ret, size, "%s", slot->name);
}

bool hf_type_has_at(struct hf_types *types, uint32_t outer, uint64_t offset, uint32_t inner)
{
	for (int depth = 0; depth < HF_TYPES_DEPTH; depth++) {
		uint32_t n, next = 0;
		uint64_t at = 0;
		if (outer == inner && !offset)
			return true;
		const struct hf_type *t = &types->at[outer];
		if (t->kind == HF_TYPE_ARRAY && types->at[t->target].size) {
			offset %= types->at[t->target].size;
			outer = t->target;
			continue;
		}
		if (!hf_type_is_record(t))
			return false;
		const struct hf_type_member *m = hf_types_members(types, outer, &n);
		/* a class that has virtual bases is smaller where it is a base */
		for (uint32_t i = 0; i < n; i++) {
			const struct hf_type *in = &types->at[m[i].type];
			bool open = i + 1 == n && in->kind == HF_TYPE_ARRAY && in->count <= 1;
			if (m[i].offset <= offset && (!next || m[i].offset > at) &&
				(open || (offset - m[i].offset < in->size && in->size > 1))) {
				next = m[i].type;
				at = m[i].offset;
			}
		}
		if (!next)
			return false;
		offset -= at;
		outer = next;
	}
	return false;
}

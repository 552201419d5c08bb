#include "symbolize/names.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 1024 };

struct hf_symbol_text {
	const char *demangled; /* another text's bytes, or NULL: not asked yet */
	uint64_t hash;
	char bytes[];
};

void hf_symbol_names_deinit(struct hf_symbol_names *names)
{
	for (size_t i = 0; i < names->n_slots; i++)
		free(names->slots[i]);
	free(names->slots);
	*names = (struct hf_symbol_names){0};
}

static uint64_t hash_of(const char *text)
{
	uint64_t h = 0xcbf29ce484222325ull;
	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3ull;
	return h ^ h >> 29;
}

static size_t place(const struct hf_symbol_names *names, const char *text, uint64_t hash)
{
	size_t at = hash & (names->n_slots - 1);
	for (; names->slots[at]; at = (at + 1) & (names->n_slots - 1)) {
		if (names->slots[at]->hash == hash && !strcmp(names->slots[at]->bytes, text))
			break;
	}
	return at;
}

static int grow(struct hf_symbol_names *names)
{
	if (names->n_slots && names->n < names->n_slots / 2)
		return 1;
	struct hf_symbol_names bigger = {
		.n_slots = names->n_slots ? names->n_slots * 2 : FIRST_SLOTS, .n = names->n};
	bigger.slots = calloc(bigger.n_slots, sizeof(*bigger.slots));
	if (!bigger.slots)
		return 0;
	for (size_t i = 0; i < names->n_slots; i++) {
		if (names->slots[i])
			bigger.slots[place(&bigger, names->slots[i]->bytes,
				names->slots[i]->hash)] = names->slots[i];
	}
	free(names->slots);
	*names = bigger;
	return 1;
}

static struct hf_symbol_text *intern(struct hf_symbol_names *names, const char *text)
{
	if (!grow(names))
		return NULL;
	uint64_t hash = hash_of(text);
	size_t at = place(names, text, hash), n = strlen(text);
	if (!names->slots[at]) {
		struct hf_symbol_text *new = malloc(sizeof(*new) + n + 1);
		if (!new)
			return NULL;
		*new = (struct hf_symbol_text){.hash = hash};
		memcpy(new->bytes, text, n + 1);
		names->slots[at] = new;
		names->n++;
	}
	return names->slots[at];
}

const char *hf_symbol_names_text(struct hf_symbol_names *names, const char *text)
{
	struct hf_symbol_text *t = text && *text ? intern(names, text) : NULL;
	return t ? t->bytes : NULL;
}

static const char *give(const struct hf_symbol_text *t, const char **ret_linkage)
{
	*ret_linkage = t->demangled == t->bytes ? NULL : t->bytes;
	return t->demangled;
}

const char *hf_symbol_names_find(
	struct hf_symbol_names *names, const char *name, const char **ret_linkage)
{
	struct hf_symbol_text *t =
		names->n_slots ? names->slots[place(names, name, hash_of(name))] : NULL;
	return t && t->demangled ? give(t, ret_linkage) : NULL;
}

const char *hf_symbol_names_add(struct hf_symbol_names *names, const char *name,
	const char *demangled, const char **ret_linkage)
{
	struct hf_symbol_text *d = intern(names, demangled), *t = d ? intern(names, name) : NULL;
	if (!t)
		return NULL;
	t->demangled = d->bytes;
	return give(t, ret_linkage);
}

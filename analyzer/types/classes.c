/* C++ classes by their vtables: the first word of an object points into the vtable of its most
 * derived class. Itanium C++ ABI, 2.5: _ZTV is the vtable's symbol. */
#include <stdlib.h>
#include <string.h>

#include "symbolize/demangle.h"
#include "types/symbols.h"
#include "types/typing.h"

struct vtables {
	struct hf_symbols symbols;
	uint32_t *type; /* [symbols.n] of types, + 1; 0: not looked up yet */
	bool looked;
};

static bool is_vtable(const char *name)
{
	return !strncmp(name, "_ZTV", 4);
}

/* The demangler says «unsigned long», DWARF of GCC «long unsigned int»; and literals have a suffix
 * there. */
static void as_dwarf_has_it(const char *name, char *ret, size_t size)
{
	static const char *const words[][2] = {{"unsigned long long", "long long unsigned int"},
		{"unsigned long", "long unsigned int"}, {"unsigned short", "short unsigned int"},
		{"unsigned int", "unsigned int"}, {"long long", "long long int"},
		{"long", "long int"}, {"short", "short int"}};
	size_t n = 0;
	bool in_word = false;
	while (*name && n + 32 < size) {
		bool is_word = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
			       (*name >= '0' && *name <= '9') || *name == '_';
		size_t w, n_words = sizeof(words) / sizeof(words[0]);
		for (w = 0; w < n_words && !in_word; w++) {
			size_t length = strlen(words[w][0]);
			char after = strncmp(name, words[w][0], length) ? 'x' : name[length];
			if (after == ',' || after == '>' || after == ' ' || after == '*' ||
				after == '&' || after == ')') {
				n += (size_t)(stpcpy(ret + n, words[w][1]) - (ret + n));
				name += length;
				break;
			}
		}
		if (!in_word && w < n_words)
			continue;
		/* 3ul */
		if (in_word && (*name == 'u' || *name == 'l') && n && ret[n - 1] >= '0' &&
			ret[n - 1] <= '9' && name[strspn(name, "ul")] != '_' &&
			(name[strspn(name, "ul")] == '>' || name[strspn(name, "ul")] == ',')) {
			name += strspn(name, "ul");
			continue;
		}
		in_word = is_word;
		ret[n++] = *name++;
	}
	ret[n] = 0;
}

static uint32_t class_of(struct hf_types *types, const char *symbol)
{
	static const char prefix[] = "vtable for ";
	char text[HF_DEMANGLED_SIZE], dwarf[HF_DEMANGLED_SIZE];
	const char *name = hf_demangle(symbol, text, sizeof(text));
	if (strncmp(name, prefix, sizeof(prefix) - 1))
		return 0;
	name += sizeof(prefix) - 1;
	as_dwarf_has_it(name, dwarf, sizeof(dwarf));
	uint32_t type = hf_types_by_name(types, dwarf);
	return type ? type : hf_types_named(types, name, HF_TYPE_CLASS);
}

/* The class of an object whose first word that is. */
static uint32_t class_at(
	struct hf_typing *y, struct vtables *tables, const struct hf_heap_modref *first)
{
	uint32_t module = first->module;
	const struct hf_heap_module *h = &y->heap->modules.at[module];
	const struct hf_debug_module *m = hf_debug_module(y->types->files, module);
	struct vtables *v = &tables[module];
	if (!v->looked) {
		v->looked = true;
		if (!hf_symbols_read(&v->symbols, m, is_vtable) ||
			!(v->type = calloc(v->symbols.n + 1, sizeof(*v->type))))
			y->types->no_memory = true;
	}
	uint64_t addr = h->base + first->module_off - m->bias;
	size_t found = v->type ? hf_symbols_find(&v->symbols, addr) : SIZE_MAX;
	/* Two words stand before the first function: that is where objects point. */
	if (found == SIZE_MAX || addr - v->symbols.at[found].addr < 16)
		return 0;
	if (!v->type[found]) {
		uint32_t type = class_of(y->types, v->symbols.at[found].name);
		v->type[found] = hf_typing_with_virtual_bases(y, first->src, type) + 1;
	}
	return v->type[found] - 1;
}

enum hf_status hf_typing_find_classes(struct hf_typing *y, struct hf_err *err)
{
	const struct hf_heap *heap = y->heap;
	struct vtables *tables = calloc(heap->modules.n + 1, sizeof(*tables));
	struct hf_map known = {0};
	if (!tables)
		return hf_err_set(err, HF_E_NOMEM, "no memory for vtables");
	for (size_t i = 0; i < heap->modrefs.n; i++) {
		const struct hf_heap_modref *r = &heap->modrefs.at[i];
		if (r->src_off || r->module_off == HF_HEAP_WIDE)
			continue;
		uint32_t *kept =
			hf_map_put(&known, ((uint64_t)r->module + 1) << 32 | r->module_off);
		if (!kept)
			break;
		if (!*kept)
			*kept = class_at(y, tables, r) + 1;
		if (*kept > 1)
			hf_typing_set(y, r->src, *kept - 1, HF_TYPED_VTABLE);
	}
	hf_map_deinit(&known);
	for (size_t i = 0; i < heap->modules.n; i++) {
		hf_symbols_deinit(&tables[i].symbols);
		free(tables[i].type);
	}
	free(tables);
	return HF_OK;
}

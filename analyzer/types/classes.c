/* C++ classes by their vtables: the first word of an object points into the vtable of its most
 * derived class. Itanium C++ ABI, 2.5: _ZTV is the vtable's symbol. */
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "symbolize/demangle.h"
#include "types/typing.h"

struct vtable {
	uint64_t addr, size; /* in the file */
	const char *name;    /* in the symbol table */
	uint32_t type;       /* 0: not looked up yet, or none */
	bool looked;
};

struct vtables {
	struct vtable *at;
	size_t n, cap;
};

static int by_addr(const void *pa, const void *pb)
{
	const struct vtable *a = pa, *b = pb;
	return a->addr < b->addr ? -1 : a->addr > b->addr;
}

static bool read_table(struct vtables *ret, Elf *elf, uint32_t section_type)
{
	for (Elf_Scn *scn = NULL; (scn = elf_nextscn(elf, scn));) {
		GElf_Shdr header;
		if (!gelf_getshdr(scn, &header) || header.sh_type != section_type ||
			!header.sh_entsize)
			continue;
		Elf_Data *data = elf_getdata(scn, NULL);
		size_t n = data ? data->d_size / header.sh_entsize : 0;
		for (size_t i = 0; i < n && i < INT32_MAX; i++) {
			GElf_Sym symbol;
			if (!gelf_getsym(data, (int)i, &symbol) || !symbol.st_size ||
				symbol.st_shndx == SHN_UNDEF)
				continue;
			const char *name = elf_strptr(elf, header.sh_link, symbol.st_name);
			if (!name || strncmp(name, "_ZTV", 4))
				continue;
			if (!hf_grow((void **)&ret->at, ret->n, &ret->cap, sizeof(*ret->at)))
				return false;
			ret->at[ret->n++] = (struct vtable){
				.addr = symbol.st_value, .size = symbol.st_size, .name = name};
		}
	}
	return true;
}

static bool read_vtables(struct vtables *ret, const struct hf_debug_module *m)
{
	bool ok = !m->symbols || read_table(ret, m->symbols, SHT_SYMTAB);
	if (ok && !ret->n && m->elf)
		ok = read_table(ret, m->elf, SHT_DYNSYM);
	if (ret->n)
		qsort(ret->at, ret->n, sizeof(*ret->at), by_addr);
	return ok;
}

static struct vtable *find(const struct vtables *v, uint64_t addr)
{
	size_t lo = 0, hi = v->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (v->at[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && addr - v->at[lo - 1].addr < v->at[lo - 1].size ? &v->at[lo - 1] : NULL;
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

static uint32_t class_of(struct hf_types *types, struct vtable *v)
{
	static const char prefix[] = "vtable for ";
	char text[HF_DEMANGLED_SIZE], dwarf[HF_DEMANGLED_SIZE];
	if (v->looked)
		return v->type;
	v->looked = true;
	const char *name = hf_demangle(v->name, text, sizeof(text));
	if (strncmp(name, prefix, sizeof(prefix) - 1))
		return 0;
	name += sizeof(prefix) - 1;
	as_dwarf_has_it(name, dwarf, sizeof(dwarf));
	v->type = hf_types_by_name(types, dwarf);
	if (!v->type)
		v->type = hf_types_named(types, name, HF_TYPE_CLASS);
	return v->type;
}

static uint32_t class_at(
	struct hf_typing *y, struct vtables *tables, uint32_t module, uint64_t offset)
{
	const struct hf_heap_module *h = &y->heap->modules.at[module];
	const struct hf_debug_module *m = hf_debug_module(y->types->files, module);
	struct vtables *v = &tables[module];
	if (!v->at && !v->cap) {
		if (!read_vtables(v, m))
			y->types->no_memory = true;
		v->cap = v->cap ? v->cap : 1; /* looked at */
	}
	struct vtable *found = find(v, h->base + offset - m->bias);
	/* Two words stand before the first function: that is where objects point. */
	if (!found || h->base + offset - m->bias - found->addr < 16)
		return 0;
	return class_of(y->types, found);
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
			*kept = class_at(y, tables, r->module, r->module_off) + 1;
		if (*kept > 1)
			hf_typing_set(y, r->src, *kept - 1, HF_TYPED_VTABLE);
	}
	hf_map_deinit(&known);
	for (size_t i = 0; i < heap->modules.n; i++)
		free(tables[i].at);
	free(tables);
	return HF_OK;
}

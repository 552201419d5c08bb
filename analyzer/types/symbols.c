#include "types/symbols.h"

#include <gelf.h>
#include <stdlib.h>

#include "types/bump.h"

static int by_addr(const void *pa, const void *pb)
{
	const struct hf_symbol *a = pa, *b = pb;
	return a->addr < b->addr ? -1 : a->addr > b->addr;
}

static bool read_table(
	struct hf_symbols *ret, Elf *elf, uint32_t section_type, bool (*wanted)(const char *name))
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
			if (!name || !wanted(name))
				continue;
			if (!hf_grow((void **)&ret->at, ret->n, &ret->cap, sizeof(*ret->at)))
				return false;
			ret->at[ret->n++] =
				(struct hf_symbol){symbol.st_value, symbol.st_size, name};
		}
	}
	return true;
}

bool hf_symbols_read(
	struct hf_symbols *ret, const struct hf_debug_module *m, bool (*wanted)(const char *name))
{
	bool ok = !m->symbols || read_table(ret, m->symbols, SHT_SYMTAB, wanted);
	if (ok && !ret->n && m->elf)
		ok = read_table(ret, m->elf, SHT_DYNSYM, wanted);
	if (ret->n)
		qsort(ret->at, ret->n, sizeof(*ret->at), by_addr);
	return ok;
}

void hf_symbols_deinit(struct hf_symbols *symbols)
{
	free(symbols->at);
	*symbols = (struct hf_symbols){0};
}

size_t hf_symbols_find(const struct hf_symbols *symbols, uint64_t addr)
{
	size_t lo = 0, hi = symbols->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (symbols->at[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && addr - symbols->at[lo - 1].addr < symbols->at[lo - 1].size ? lo - 1 : SIZE_MAX;
}

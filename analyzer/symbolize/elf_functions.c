#include "symbolize/elf_functions.h"

#include <gelf.h>
#include <stdlib.h>
#include <string.h>

static int by_start(const void *pa, const void *pb)
{
	const struct hf_elf_function *a = pa, *b = pb;
	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	/* of several at one place the one that reaches farthest comes last */
	return a->size < b->size ? -1 : a->size > b->size;
}

/* .symtab has more than .dynsym. */
static Elf_Scn *symbol_table(Elf *elf, GElf_Shdr *ret)
{
	Elf_Scn *found = NULL;
	for (Elf_Scn *scn = NULL; (scn = elf_nextscn(elf, scn));) {
		GElf_Shdr shdr;
		if (!gelf_getshdr(scn, &shdr) ||
			(shdr.sh_type != SHT_SYMTAB && shdr.sh_type != SHT_DYNSYM))
			continue;
		if (found && shdr.sh_type != SHT_SYMTAB)
			continue;
		found = scn;
		*ret = shdr;
	}
	return found;
}

/* Assembler's functions often have no size: they reach to the next, or to the end of the section.
 */
static uint64_t size_of(Elf *elf, const GElf_Sym *sym)
{
	GElf_Shdr shdr;
	Elf_Scn *scn = sym->st_size ? NULL : elf_getscn(elf, sym->st_shndx);
	if (!scn || !gelf_getshdr(scn, &shdr) || sym->st_value - shdr.sh_addr >= shdr.sh_size)
		return sym->st_size;
	return shdr.sh_size - (sym->st_value - shdr.sh_addr);
}

void hf_elf_functions_init(struct hf_elf_functions *ret, Elf *elf)
{
	GElf_Shdr shdr = {0};
	Elf_Scn *scn = symbol_table(elf, &shdr);
	Elf_Data *data = scn ? elf_getdata(scn, NULL) : NULL;
	size_t n = data ? data->d_size / gelf_fsize(elf, ELF_T_SYM, 1, EV_CURRENT) : 0;
	*ret = (struct hf_elf_functions){0};
	if (n > INT32_MAX || !(ret->at = calloc(n + 1, sizeof(*ret->at))))
		return;
	for (size_t i = 0; i < n; i++) {
		GElf_Sym sym;
		if (!gelf_getsym(data, (int)i, &sym) || sym.st_shndx == SHN_UNDEF)
			continue;
		int type = GELF_ST_TYPE(sym.st_info);
		const char *name = elf_strptr(elf, shdr.sh_link, sym.st_name);
		if ((type == STT_FUNC || type == STT_GNU_IFUNC) && name && *name)
			ret->at[ret->n++] =
				(struct hf_elf_function){sym.st_value, size_of(elf, &sym), name};
	}
	qsort(ret->at, ret->n, sizeof(*ret->at), by_start);
}

void hf_elf_functions_deinit(struct hf_elf_functions *functions)
{
	free(functions->at);
	*functions = (struct hf_elf_functions){0};
}

const char *hf_elf_function_at(const struct hf_elf_functions *functions, uint64_t address)
{
	size_t low = 0, high = functions->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (functions->at[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return NULL;
	const struct hf_elf_function *f = &functions->at[low - 1];
	return address - f->start < f->size ? f->name : NULL;
}

/* Where an object keeps its virtual bases depends on its most derived class; DWARF says where its
 * vtables tell: «*(*this - N) + this» (Itanium C++ ABI, 2.5.2). These numbers are in the file. */
#include <dwarf.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "types/build.h"
#include "types/typing.h"

enum { MAX_PLACES = 64, MAX_MEMBERS = 1024 };

struct place {
	uint32_t type, offset;
};

/* A class, its bases and theirs, where they are in an object. */
struct layout {
	struct hf_typing *y;
	uint32_t object;
	uint64_t size;
	struct place place[MAX_PLACES];
	bool is_virtual[MAX_PLACES]; /* found by a vtable */
	size_t n;
};

static void add_place(struct layout *l, uint32_t type, uint64_t offset, bool is_virtual)
{
	if (l->n == MAX_PLACES || offset >= l->size)
		return;
	for (size_t i = 0; i < l->n; i++) {
		if (l->place[i].type == type && l->place[i].offset == offset)
			return;
	}
	l->is_virtual[l->n] = is_virtual;
	l->place[l->n++] = (struct place){type, (uint32_t)offset};
}

/* A word of a file's data, by its address. */
static bool read_word(Elf *elf, uint64_t addr, int64_t *ret)
{
	for (Elf_Scn *scn = NULL; (scn = elf_nextscn(elf, scn));) {
		GElf_Shdr h;
		if (!gelf_getshdr(scn, &h) || h.sh_type != SHT_PROGBITS ||
			!(h.sh_flags & SHF_ALLOC) || addr < h.sh_addr ||
			addr - h.sh_addr >= h.sh_size)
			continue;
		Elf_Data *data = elf_rawdata(scn, NULL);
		uint64_t at = addr - h.sh_addr;
		if (!data || !data->d_buf || data->d_size < sizeof(*ret) ||
			at > data->d_size - sizeof(*ret))
			return false;
		memcpy(ret, (const char *)data->d_buf + at, sizeof(*ret));
		return true;
	}
	return false;
}

/* What stands `before` bytes before where a word of the object points to. */
static bool before_vtable(const struct layout *l, uint64_t offset, uint64_t before, int64_t *ret)
{
	const struct hf_heap *heap = l->y->heap;
	size_t first, n = hf_heap_modrefs_of(heap, l->object, &first);
	for (size_t i = first; i < first + n; i++) {
		if (hf_heap_modref_src_off(heap, i) != offset)
			continue;
		uint32_t module = heap->modrefs.at[i].module;
		const struct hf_debug_module *m = hf_debug_module(l->y->types->files, module);
		uint64_t addr = heap->modules.at[module].base - m->bias +
				hf_heap_modref_module_off(heap, i);
		return m->elf && read_word(m->elf, addr - before, ret);
	}
	return false;
}

static bool constant(const Dwarf_Op *op, uint64_t *ret)
{
	if (op->atom >= DW_OP_lit0 && op->atom <= DW_OP_lit31) {
		*ret = op->atom - DW_OP_lit0;
		return true;
	}
	*ret = op->number;
	return op->atom == DW_OP_const1u || op->atom == DW_OP_const2u ||
	       op->atom == DW_OP_const4u || op->atom == DW_OP_constu;
}

/* How far before the vtable's address the base's offset stands; false: the base is not virtual. */
static bool vtable_distance(Dwarf_Die *base, uint64_t *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Op *op;
	size_t n;
	return dwarf_attr(base, DW_AT_data_member_location, &attr) &&
	       dwarf_formudata(&attr, &(Dwarf_Word){0}) && !dwarf_getlocation(&attr, &op, &n) &&
	       n == 6 && op[0].atom == DW_OP_dup && op[1].atom == DW_OP_deref &&
	       constant(&op[2], ret) && op[3].atom == DW_OP_minus && op[4].atom == DW_OP_deref &&
	       op[5].atom == DW_OP_plus;
}

static void add_bases(struct layout *l, struct place at)
{
	struct hf_types *types = l->y->types;
	uint32_t n;
	const struct hf_type_member *m = hf_types_members(types, at.type, &n);
	for (uint32_t i = 0; i < n; i++) {
		if (m[i].flags & HF_MEMBER_BASE)
			add_place(l, m[i].type, at.offset + m[i].offset, false);
	}
	Dwarf_Die die = types->at[at.type].die, child;
	if (!die.addr)
		return;
	for (bool more = !dwarf_child(&die, &child); more; more = hf_types_next(&child)) {
		uint64_t distance;
		int64_t offset;
		if (dwarf_tag(&child) == DW_TAG_inheritance && vtable_distance(&child, &distance) &&
			before_vtable(l, at.offset, distance, &offset) && offset > 0)
			add_place(l, hf_types_of_variable(types, types->at[at.type].module, &child),
				at.offset + (uint64_t)offset, true);
	}
}

static int by_offset(const void *pa, const void *pb)
{
	const struct hf_type_member *a = pa, *b = pb;
	return a->offset < b->offset ? -1 : a->offset > b->offset;
}

uint32_t hf_typing_with_virtual_bases(struct hf_typing *y, uint32_t object, uint32_t type)
{
	struct hf_types *types = y->types;
	struct layout l = {.y = y, .object = object, .size = types->at[type].size};
	uint32_t n, n_virtual = 0;
	if (l.size > INT32_MAX)
		return type;
	add_place(&l, type, 0, false);
	for (size_t i = 0; i < l.n; i++) {
		add_bases(&l, l.place[i]);
		n_virtual += l.is_virtual[i];
	}
	const struct hf_type_member *own = hf_types_members(types, type, &n);
	if (!n_virtual || n > MAX_MEMBERS)
		return type;
	struct hf_type_member *members = malloc((n + n_virtual) * sizeof(*members));
	if (!members) {
		types->no_memory = true;
		return type;
	}
	if (n)
		memcpy(members, own, n * sizeof(*own));
	for (size_t i = 0; i < l.n; i++) {
		if (l.is_virtual[i])
			members[n++] = (struct hf_type_member){
				"", l.place[i].offset, l.place[i].type, HF_MEMBER_BASE};
	}
	qsort(members, n, sizeof(*members), by_offset);
	uint32_t made = hf_types_record(types, NULL, type, members, n);
	free(members);
	return made ? made : type;
}

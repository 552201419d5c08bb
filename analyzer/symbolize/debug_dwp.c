#include "symbolize/debug_dwp.h"

#include <dwarf.h>
#include <elf.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_UNITS = 1 << 20,
	MAX_COLUMNS = 16,
	MAX_SIZE = 1 << 30, /* of what is put together */
	/* DW_SECT_*: of DWARF 5; GNU's of DWARF 4 have the same numbers for these */
	SECT_INFO = 1,
	SECT_TYPES = 2, /* DWARF 4 only */
	SECT_ABBREV = 3,
	SECT_STR_OFFSETS = 6,
	N_SECTS = 9,
};

struct bytes {
	const uint8_t *at;
	size_t n;
};

struct buffer {
	uint8_t *at;
	size_t n, cap;
	bool failed;
};

static void put(struct buffer *b, const void *from, size_t n)
{
	if (b->failed || n > MAX_SIZE - b->n) {
		b->failed = true;
		return;
	}
	if (b->n + n > b->cap) {
		size_t cap = (b->n + n) * 2 + 4096;
		uint8_t *grown = realloc(b->at, cap);
		b->failed = !grown;
		if (!grown)
			return;
		b->at = grown;
		b->cap = cap;
	}
	if (n)
		memcpy(b->at + b->n, from, n);
	b->n += n;
}

/* Not negative, which is the same signed and unsigned with a last byte below 64. */
static void put_number(struct buffer *b, uint64_t value)
{
	uint8_t byte;
	do {
		byte = value & 0x7f;
		value >>= 7;
		if (value || byte & 0x40)
			byte |= 0x80;
		put(b, &byte, 1);
	} while (byte & 0x80);
}

static struct bytes section(Elf *elf, const char *name)
{
	size_t names;
	if (elf_getshdrstrndx(elf, &names))
		return (struct bytes){0};
	for (Elf_Scn *scn = NULL; (scn = elf_nextscn(elf, scn));) {
		GElf_Shdr header;
		if (!gelf_getshdr(scn, &header) || header.sh_type == SHT_NOBITS)
			continue;
		const char *s = elf_strptr(elf, names, header.sh_name);
		if (!s || strcmp(s, name))
			continue;
		if (header.sh_flags & SHF_COMPRESSED)
			elf_compress(scn, 0, 0);
		Elf_Data *data = elf_getdata(scn, NULL);
		return data ? (struct bytes){data->d_buf, data->d_size} : (struct bytes){0};
	}
	return (struct bytes){0};
}

static uint32_t u32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return v;
}

/* The index */

struct row {
	uint64_t id;
	uint32_t offset[N_SECTS], size[N_SECTS];
};

struct index {
	struct row *rows; /* by id */
	size_t n;
	uint32_t version;
};

static int by_id(const void *pa, const void *pb)
{
	const struct row *a = pa, *b = pb;
	return a->id < b->id ? -1 : a->id > b->id;
}

/* version (2 or 5), columns, units, slots: 4 bytes each; then ids (8) and rows (4) by slot; then
 * the sections of the columns, and offsets and sizes by row, 4 bytes each. */
static bool read_index(struct index *ret, struct bytes from)
{
	if (from.n < 16)
		return false;
	uint32_t version = u32(from.at) & 0xffff, n_columns = u32(from.at + 4),
		 n_units = u32(from.at + 8), n_slots = u32(from.at + 12);
	if ((version != 2 && version != 5) || n_columns > MAX_COLUMNS || n_units > MAX_UNITS ||
		n_slots > 4 * MAX_UNITS || !n_units)
		return false;
	uint64_t ids = 16, rows = ids + 8ull * n_slots, columns = rows + 4ull * n_slots,
		 offsets = columns + 4ull * n_columns, sizes = offsets + 4ull * n_columns * n_units;
	if (sizes + 4ull * n_columns * n_units > from.n ||
		!(ret->rows = calloc(n_units, sizeof(*ret->rows))))
		return false;
	for (uint32_t slot = 0; slot < n_slots && ret->n < n_units; slot++) {
		uint32_t row = u32(from.at + rows + 4ull * slot);
		struct row *r = &ret->rows[ret->n];
		if (!row || row > n_units)
			continue;
		memcpy(&r->id, from.at + ids + 8ull * slot, 8);
		for (uint32_t c = 0; c < n_columns; c++) {
			uint32_t what = u32(from.at + columns + 4ull * c);
			uint64_t at = 4ull * ((uint64_t)(row - 1) * n_columns + c);
			if (what >= N_SECTS)
				continue;
			r->offset[what] = u32(from.at + offsets + at);
			r->size[what] = u32(from.at + sizes + at);
		}
		ret->n++;
	}
	qsort(ret->rows, ret->n, sizeof(*ret->rows), by_id);
	ret->version = version;
	return ret->n;
}

/* A unit's part of a section of the package. */
static struct bytes part(struct bytes of, const struct row *row, unsigned what)
{
	if (row->offset[what] > of.n || row->size[what] > of.n - row->offset[what])
		return (struct bytes){0};
	return (struct bytes){of.at + row->offset[what], row->size[what]};
}

/* Units */

struct unit {
	uint16_t version;
	uint64_t addr_base, ranges_base;
	bool has_addr_base, has_ranges_base;
};

static bool number(struct bytes from, size_t *at, uint64_t *ret)
{
	uint64_t value = 0;
	for (unsigned shift = 0; *at < from.n && shift < 64; shift += 7) {
		uint8_t byte = from.at[(*at)++];
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret = value;
			return true;
		}
	}
	return false;
}

static void put_constant(struct buffer *to, uint64_t attribute, uint64_t value)
{
	/* attributes and forms are unsigned */
	for (; attribute > 0x7f; attribute >>= 7)
		put(to, &(uint8_t){(attribute & 0x7f) | 0x80}, 1);
	put(to, &(uint8_t){attribute & 0x7f}, 1);
	put(to, &(uint8_t){DW_FORM_implicit_const}, 1);
	put_number(to, value);
}

/* A copy of a table of abbreviations in which that of the unit itself has the bases, too. */
static bool put_abbreviations(struct buffer *to, struct bytes from, size_t at,
	const struct row *row, const struct unit *unit)
{
	size_t kept = at;
	uint64_t code, tag, attribute, form, value;
	while (number(from, &at, &code) && code) {
		if (!number(from, &at, &tag) || at++ >= from.n)
			return false;
		for (;;) {
			size_t end = at;
			if (!number(from, &at, &attribute) || !number(from, &at, &form))
				return false;
			if (!attribute && !form &&
				(tag == DW_TAG_compile_unit || tag == DW_TAG_type_unit)) {
				put(to, from.at + kept, end - kept);
				put_constant(to, DW_AT_str_offsets_base,
					row->offset[SECT_STR_OFFSETS] +
						(unit->version >= 5 ? 8 : 0));
				if (unit->has_addr_base)
					put_constant(to,
						unit->version >= 5 ? DW_AT_addr_base
								   : DW_AT_GNU_addr_base,
						unit->addr_base);
				if (unit->has_ranges_base)
					put_constant(to, DW_AT_GNU_ranges_base, unit->ranges_base);
				kept = end;
			}
			if (!attribute && !form)
				break;
			if (form == DW_FORM_implicit_const && !number(from, &at, &value))
				return false;
		}
	}
	put(to, from.at + kept, at - kept);
	return !to->failed;
}

static bool base_of(Dwarf_Die *skeleton, unsigned a, unsigned b, uint64_t *ret)
{
	Dwarf_Attribute attr;
	Dwarf_Word value;
	if ((!dwarf_attr(skeleton, a, &attr) && !dwarf_attr(skeleton, b, &attr)) ||
		dwarf_formudata(&attr, &value))
		return false;
	*ret = value;
	return true;
}

struct package {
	struct index index, types_index;
	struct bytes info, types, abbrev;
	struct buffer out_info, out_types, out_abbrev;
};

/* Put a unit to `to`; *table: where its abbreviations are, UINT32_MAX: they are to be put, too. */
static void add_unit(struct package *p, struct buffer *to, struct bytes from, const struct row *row,
	const struct unit *unit, uint32_t *table)
{
	struct bytes abbrev = part(p->abbrev, row, SECT_ABBREV);
	size_t field = unit->version >= 5 ? 8 : 6; /* offset of the abbreviations, in the header */
	uint32_t offset = (uint32_t)p->out_abbrev.n;
	size_t begin = to->n;
	/* one unit, of the 32-bit kind */
	if (from.n < 12 || u32(from.at) != from.n - 4 || u32(from.at + field) >= abbrev.n)
		return;
	if (*table == UINT32_MAX) {
		if (!put_abbreviations(&p->out_abbrev, abbrev, u32(from.at + field), row, unit)) {
			p->out_abbrev.n = offset;
			return;
		}
		*table = offset;
	}
	put(to, from.at, from.n);
	if (!to->failed)
		memcpy(to->at + begin + field, table, 4);
}

static int by_table(const void *pa, const void *pb)
{
	const struct row *a = pa, *b = pb;
	if (a->offset[SECT_ABBREV] != b->offset[SECT_ABBREV])
		return a->offset[SECT_ABBREV] < b->offset[SECT_ABBREV] ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

/* Types that have a unit each, known by a signature. Those of one object file share their
 * abbreviations. */
static void add_type_units(struct package *p)
{
	enum { FIELD = 6 }; /* offset of the abbreviations, in the header */
	const struct unit unit = {.version = 4};
	const struct row *last = NULL;
	uint32_t table = UINT32_MAX, last_offset = 0;
	if (p->types_index.n)
		qsort(p->types_index.rows, p->types_index.n, sizeof(*p->types_index.rows),
			by_table);
	for (size_t i = 0; i < p->types_index.n; i++) {
		const struct row *row = &p->types_index.rows[i];
		struct bytes from = part(p->types, row, SECT_TYPES);
		if (from.n < FIELD + 4)
			continue;
		uint32_t offset = u32(from.at + FIELD);
		if (!last || last->offset[SECT_ABBREV] != row->offset[SECT_ABBREV] ||
			last->offset[SECT_STR_OFFSETS] != row->offset[SECT_STR_OFFSETS] ||
			offset != last_offset)
			table = UINT32_MAX;
		add_unit(p, &p->out_types, from, row, &unit, &table);
		last = row;
		last_offset = offset;
	}
}

static void add_units(struct package *p, Dwarf *dwarf)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die die;
	Dwarf_Half version;
	uint8_t type;
	for (int i = 0; i < MAX_UNITS; i++) {
		struct unit unit = {0};
		struct row key = {0};
		if (dwarf_get_units(dwarf, cu, &cu, &version, &type, &die, NULL))
			return;
		if (type != DW_UT_skeleton ||
			dwarf_cu_info(cu, NULL, NULL, NULL, NULL, &key.id, NULL, NULL))
			continue;
		const struct row *row =
			bsearch(&key, p->index.rows, p->index.n, sizeof(key), by_id);
		unit.version = version;
		unit.has_addr_base =
			base_of(&die, DW_AT_addr_base, DW_AT_GNU_addr_base, &unit.addr_base);
		unit.has_ranges_base =
			version < 5 && base_of(&die, DW_AT_GNU_ranges_base, DW_AT_GNU_ranges_base,
					       &unit.ranges_base);
		if (row)
			add_unit(p, &p->out_info, part(p->info, row, SECT_INFO), row, &unit,
				&(uint32_t){UINT32_MAX});
	}
}

/* The file */

struct part_of_file {
	const char *name;
	struct bytes bytes;
};

static void align(struct buffer *b)
{
	static const uint8_t zeros[8];
	put(b, zeros, -b->n & 7);
}

/* Header, sections, names, headers of sections. */
static void put_file(struct buffer *to, const struct part_of_file *parts, size_t n)
{
	Elf64_Ehdr header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
				     ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_ehsize = sizeof(header),
		.e_shentsize = sizeof(Elf64_Shdr)};
	Elf64_Shdr sections[12] = {0};
	struct buffer names = {0};
	size_t at = 1;
	put(to, &header, sizeof(header));
	put(&names, "", 1);
	for (size_t i = 0; i < n; i++) {
		if (!parts[i].bytes.n)
			continue;
		align(to);
		sections[at++] = (Elf64_Shdr){.sh_name = (uint32_t)names.n,
			.sh_type = SHT_PROGBITS,
			.sh_offset = to->n,
			.sh_size = parts[i].bytes.n,
			.sh_addralign = 1};
		put(&names, parts[i].name, strlen(parts[i].name) + 1);
		put(to, parts[i].bytes.at, parts[i].bytes.n);
	}
	sections[at] = (Elf64_Shdr){.sh_name = (uint32_t)names.n,
		.sh_type = SHT_STRTAB,
		.sh_offset = to->n,
		.sh_addralign = 1};
	put(&names, ".shstrtab", sizeof(".shstrtab"));
	sections[at++].sh_size = names.n;
	put(to, names.at, names.n);
	align(to);
	header.e_shoff = to->n;
	header.e_shnum = (uint16_t)at;
	header.e_shstrndx = (uint16_t)(at - 1);
	put(to, sections, at * sizeof(*sections));
	to->failed |= names.failed;
	if (!to->failed)
		memcpy(to->at, &header, sizeof(header));
	free(names.at);
}

bool hf_dwp_open(struct hf_dwp *ret, Elf *package, Dwarf *dwarf, Elf *main_elf)
{
	struct package p = {.info = section(package, ".debug_info.dwo"),
		.types = section(package, ".debug_types.dwo"),
		.abbrev = section(package, ".debug_abbrev.dwo")};
	struct buffer file = {0};
	*ret = (struct hf_dwp){0};
	if (read_index(&p.index, section(package, ".debug_cu_index")))
		add_units(&p, dwarf);
	if (p.out_info.n && read_index(&p.types_index, section(package, ".debug_tu_index"))) {
		if (p.types_index.version < 5)
			add_type_units(&p);
		else
			ret->n_types_left = p.types_index.n;
	}
	if (p.out_info.n && !p.out_info.failed && !p.out_types.failed && !p.out_abbrev.failed) {
		const struct part_of_file parts[] = {{".debug_info", {p.out_info.at, p.out_info.n}},
			{".debug_types", {p.out_types.at, p.out_types.n}},
			{".debug_abbrev", {p.out_abbrev.at, p.out_abbrev.n}},
			{".debug_str", section(package, ".debug_str.dwo")},
			{".debug_str_offsets", section(package, ".debug_str_offsets.dwo")},
			{".debug_addr", section(main_elf, ".debug_addr")},
			{".debug_ranges", section(main_elf, ".debug_ranges")}};
		put_file(&file, parts, sizeof(parts) / sizeof(parts[0]));
	}
	free(p.index.rows);
	free(p.types_index.rows);
	free(p.out_info.at);
	free(p.out_types.at);
	free(p.out_abbrev.at);
	ret->image = (char *)file.at;
	if (!file.n || file.failed || !(ret->elf = elf_memory(ret->image, file.n)) ||
		!(ret->dwarf = dwarf_begin_elf(ret->elf, DWARF_C_READ, NULL))) {
		hf_dwp_close(ret);
		return false;
	}
	return true;
}

void hf_dwp_close(struct hf_dwp *dwp)
{
	dwarf_end(dwp->dwarf);
	elf_end(dwp->elf);
	free(dwp->image);
	*dwp = (struct hf_dwp){0};
}

#include "symbolize/unit.h"

#include <dwarf.h>
#include <stdlib.h>

enum { MAX_DEPTH = 64, MAX_RANGES = 1 << 20, MAX_DIES = 1 << 24, MAX_INLINED = 64 };

/* Growing arrays. */
static bool push(void **at, size_t *n, size_t *cap, size_t size_bytes)
{
	if (*n < *cap)
		return true;
	size_t want = *cap ? *cap * 2 : 64;
	void *bigger = reallocarray(*at, want, size_bytes);
	if (!bigger)
		return false;
	*at = bigger;
	*cap = want;
	return true;
}

static int by_start(const void *pa, const void *pb)
{
	const struct hf_unit_range *a = pa, *b = pb;
	return a->start < b->start ? -1 : a->start > b->start;
}

static int functions_by_start(const void *pa, const void *pb)
{
	const struct hf_unit_function *a = pa, *b = pb;
	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->end > b->end ? -1 : a->end < b->end;
}

void hf_units_init(struct hf_units *ret, struct hf_debug_files *files, uint32_t module)
{
	size_t cap = 0, cap_ranges = 0;
	Dwarf_CU *cu = NULL;
	Dwarf_Die die;
	*ret = (struct hf_units){0};
	while (hf_debug_next_unit(files, module, &cu, &die)) {
		if (dwarf_tag(&die) != DW_TAG_compile_unit ||
			!push((void **)&ret->at, &ret->n, &cap, sizeof(*ret->at)))
			continue;
		ret->at[ret->n++] = (struct hf_unit){.die = die};
		Dwarf_Addr base, start, end;
		ptrdiff_t offset = 0;
		for (int i = 0; i < MAX_RANGES; i++) {
			offset = dwarf_ranges(&die, offset, &base, &start, &end);
			if (offset <= 0 || !push((void **)&ret->ranges, &ret->n_ranges, &cap_ranges,
						   sizeof(*ret->ranges)))
				break;
			if (start < end)
				ret->ranges[ret->n_ranges++] =
					(struct hf_unit_range){start, end, (uint32_t)(ret->n - 1)};
		}
	}
	if (ret->n_ranges)
		qsort(ret->ranges, ret->n_ranges, sizeof(*ret->ranges), by_start);
}

void hf_units_deinit(struct hf_units *units)
{
	for (size_t i = 0; i < units->n; i++)
		free(units->at[i].functions);
	free(units->at);
	free(units->ranges);
	*units = (struct hf_units){0};
}

static void add_function(struct hf_unit *unit, Dwarf_Die *die, size_t *cap)
{
	Dwarf_Addr base, start, end;
	ptrdiff_t offset = 0;
	for (int i = 0; i < MAX_RANGES; i++) {
		offset = dwarf_ranges(die, offset, &base, &start, &end);
		if (offset <= 0 || !push((void **)&unit->functions, &unit->n_functions, cap,
					   sizeof(*unit->functions)))
			return;
		if (start < end)
			unit->functions[unit->n_functions++] =
				(struct hf_unit_function){start, end, *die};
	}
}

/* Functions may be inside of namespaces, classes, functions and lexical blocks. */
static bool may_hold_functions(int tag)
{
	return tag == DW_TAG_namespace || tag == DW_TAG_class_type ||
	       tag == DW_TAG_structure_type || tag == DW_TAG_union_type ||
	       tag == DW_TAG_subprogram || tag == DW_TAG_module || tag == DW_TAG_lexical_block ||
	       tag == DW_TAG_enumeration_type;
}

static void look(struct hf_unit *unit)
{
	Dwarf_Die stack[MAX_DEPTH];
	size_t depth = 0, cap = 0;
	unit->looked = true;
	if (dwarf_child(&unit->die, &stack[0]) != 0)
		return;
	for (int n = 0; n < MAX_DIES; n++) {
		Dwarf_Die *die = &stack[depth], child;
		int tag = dwarf_tag(die);
		if (tag == DW_TAG_subprogram)
			add_function(unit, die, &cap);
		if (may_hold_functions(tag) && depth + 1 < MAX_DEPTH &&
			dwarf_child(die, &child) == 0) {
			stack[++depth] = child;
			continue;
		}
		while (dwarf_siblingof(&stack[depth], &stack[depth]) != 0) {
			if (!depth--)
				goto sorted;
		}
	}
sorted:
	if (unit->n_functions)
		qsort(unit->functions, unit->n_functions, sizeof(*unit->functions),
			functions_by_start);
}

/* The last range that starts at or before the address; ranges of units do not nest. */
static struct hf_unit *unit_at(struct hf_units *units, uint64_t address)
{
	size_t low = 0, high = units->n_ranges;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (units->ranges[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || address >= units->ranges[low - 1].end)
		return NULL;
	return &units->at[units->ranges[low - 1].unit];
}

static struct hf_unit_function *function_at(struct hf_unit *unit, uint64_t address)
{
	size_t low = 0, high = unit->n_functions;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (unit->functions[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low && address < unit->functions[low - 1].end ? &unit->functions[low - 1] : NULL;
}

static const char *name_of(Dwarf_Die *die)
{
	static const unsigned attributes[] = {
		DW_AT_linkage_name, DW_AT_MIPS_linkage_name, DW_AT_name};
	for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++) {
		Dwarf_Attribute attribute;
		const char *name =
			dwarf_formstring(dwarf_attr_integrate(die, attributes[i], &attribute));
		if (name && *name)
			return name;
	}
	return NULL;
}

/* The inlined functions around the address, outermost first, below a function. */
static size_t find_inlined(Dwarf_Die *function, uint64_t address, Dwarf_Die *ret, size_t max)
{
	Dwarf_Die die;
	size_t n = 0;
	if (dwarf_child(function, &die) != 0)
		return 0;
	for (int i = 0; i < MAX_DIES; i++) {
		int tag = dwarf_tag(&die);
		bool inlined = tag == DW_TAG_inlined_subroutine;
		if ((inlined || tag == DW_TAG_lexical_block) && dwarf_haspc(&die, address) > 0) {
			if (inlined && n < max)
				ret[n++] = die;
			if (dwarf_child(&die, &die) != 0)
				break;
			continue;
		}
		if (dwarf_siblingof(&die, &die) != 0)
			break;
	}
	return n;
}

static const char *file_of(Dwarf_Die *unit, Dwarf_Word index)
{
	Dwarf_Files *files;
	size_t n;
	if (dwarf_getsrcfiles(unit, &files, &n) != 0 || index >= n)
		return NULL;
	return dwarf_filesrc(files, index, NULL, NULL);
}

/* Where an inlined function was called. */
static void call_place(Dwarf_Die *unit, Dwarf_Die *inlined, struct hf_unit_frame *ret)
{
	Dwarf_Attribute attribute;
	Dwarf_Word file, line;
	if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attribute), &file) == 0)
		ret->file = file_of(unit, file);
	if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attribute), &line) == 0 &&
		line <= UINT32_MAX)
		ret->line = (uint32_t)line;
}

static void line_place(Dwarf_Die *unit, uint64_t address, struct hf_unit_frame *ret)
{
	Dwarf_Line *line = dwarf_getsrc_die(unit, address);
	int number;
	if (!line)
		return;
	ret->file = dwarf_linesrc(line, NULL, NULL);
	if (dwarf_lineno(line, &number) == 0 && number > 0)
		ret->line = (uint32_t)number;
}

size_t hf_units_frames(
	struct hf_units *units, uint64_t address, struct hf_unit_frame *ret, size_t max)
{
	Dwarf_Die inlined[MAX_INLINED];
	struct hf_unit *unit = unit_at(units, address);
	if (!unit || !max)
		return 0;
	if (!unit->looked)
		look(unit);
	struct hf_unit_function *function = function_at(unit, address);
	size_t n_inlined =
		function ? find_inlined(&function->die, address, inlined, MAX_INLINED) : 0;
	size_t n = 0;
	struct hf_unit_frame place = {0};
	line_place(&unit->die, address, &place);
	for (size_t i = n_inlined; i-- > 0 && n < max; n++) {
		ret[n] = place;
		ret[n].name = name_of(&inlined[i]);
		place = (struct hf_unit_frame){0};
		call_place(&unit->die, &inlined[i], &place);
	}
	if (n == max)
		return n;
	ret[n] = place;
	ret[n].name = function ? name_of(&function->die) : NULL;
	return ret[n].name || ret[n].line || n ? n + 1 : 0;
}

bool hf_units_function(struct hf_units *units, uint64_t address, Dwarf_Die *ret)
{
	struct hf_unit *unit = unit_at(units, address);
	if (unit && !unit->looked)
		look(unit);
	struct hf_unit_function *function = unit ? function_at(unit, address) : NULL;
	if (function)
		*ret = function->die;
	return function != NULL;
}

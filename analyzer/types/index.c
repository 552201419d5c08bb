#include "types/index.h"

#include <dwarf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "types/index_cache.h"

enum {
	MAX_LEVELS = 64,
	MAX_SCOPES = 1 << 24,
};

/* A level of the tree that is being walked. */
struct level {
	Dwarf_Die next;
	uint32_t scope; /* of its DIEs */
	bool opened;    /* the scope ends with the level */
	bool used;      /* something in it is named by it */
	bool more;
};

struct walk {
	struct hf_types *types;
	struct hf_type_index *index;
	struct level level[MAX_LEVELS];
	int depth;
	bool is_c; /* structs are no scopes */
	const uint8_t *last;
	uint64_t section;   /* of the unit: high bits of a place */
	const uint8_t *at;  /* its beginning; NULL of foreign ones */
	size_t first_scope; /* of the unit */
};

static uint64_t section_bits(enum hf_die_section section)
{
	return (uint64_t)section << HF_DIE_SECTION_SHIFT;
}

static uint64_t place_at(const struct walk *w, const void *addr)
{
	return w->section | (uint64_t)((uintptr_t)addr - (uintptr_t)w->at);
}

/* Where something is that is looked up later. */
static uint64_t place_of(struct walk *w, const Dwarf_Die *die)
{
	struct hf_type_index *x = w->index;
	if (w->section != section_bits(HF_DIE_FOREIGN))
		return place_at(w, die->addr);
	if (!hf_grow((void **)&x->foreign, x->n_foreign, &x->cap_foreign, sizeof(*x->foreign))) {
		w->types->no_memory = true;
		return UINT64_MAX;
	}
	x->foreign[x->n_foreign] = *die;
	return w->section | x->n_foreign++;
}

bool hf_type_index_die(const struct hf_type_index *x, uint64_t place, Dwarf_Die *ret)
{
	uint64_t offset = place & (section_bits(HF_DIE_TYPES) - 1);
	Dwarf *shared;
	switch ((enum hf_die_section)(place >> HF_DIE_SECTION_SHIFT)) {
	case HF_DIE_INFO:
		return dwarf_offdie(x->dwarf, offset, ret);
	case HF_DIE_TYPES:
		return dwarf_offdie_types(x->dwarf, offset, ret);
	case HF_DIE_SHARED:
		shared = dwarf_getalt(x->dwarf);
		return shared && dwarf_offdie(shared, offset, ret);
	default:
		if (offset >= x->n_foreign)
			return false;
		*ret = x->foreign[offset];
		return true;
	}
}

uint64_t hf_type_name_hash(uint64_t hash, const char *name)
{
	for (; *name; name++) {
		if (*name != ' ')
			hash = hf_hash_byte(hash, (unsigned char)*name);
	}
	return hash ? hash : 1;
}

static void add_definition(struct walk *w, const Dwarf_Die *die, const char *name, uint32_t scope)
{
	struct hf_type_index *x = w->index;
	uint64_t hash = hf_type_name_hash(x->scopes[scope].hash, name);
	uint32_t *slot = hf_map_put(&x->by_hash, hash);
	if (!slot || *slot)
		return; /* the same in another unit */
	if (!hf_grow((void **)&x->definitions, x->n_definitions, &x->cap_definitions,
		    sizeof(*x->definitions))) {
		w->types->no_memory = true;
		return;
	}
	x->definitions[x->n_definitions++] = (struct hf_type_definition){hash, place_of(w, die)};
	*slot = (uint32_t)x->n_definitions;
}

/* The first of a name is taken: of several there is no telling which one is meant. */
static void add_function(struct walk *w, const Dwarf_Die *die, const char *name)
{
	struct hf_type_index *x = w->index;
	uint64_t hash = hf_type_name_hash(HF_HASH_START, name);
	uint32_t *slot = hf_map_put(&x->function_by_hash, hash);
	if (!slot || *slot)
		return;
	if (!hf_grow((void **)&x->functions, x->n_functions, &x->cap_functions,
		    sizeof(*x->functions))) {
		w->types->no_memory = true;
		return;
	}
	x->functions[x->n_functions++] = (struct hf_type_definition){hash, place_of(w, die)};
	*slot = (uint32_t)x->n_functions;
}

uint32_t hf_type_of_function(struct hf_types *types, uint32_t module, const char *name)
{
	const struct hf_type_index *x = hf_type_index(types, module);
	const char *colon = strrchr(name, ':');
	uint32_t i = x ? hf_map_get(&x->function_by_hash,
				 hf_type_name_hash(HF_HASH_START, colon ? colon + 1 : name))
		       : 0;
	Dwarf_Die die;
	if (!i || !hf_type_index_die(x, x->functions[i - 1].place, &die))
		return 0;
	return hf_types_of_variable(types, module, &die);
}

/* DW_OP_addr, DW_OP_addrx, or the offset of a thread-local variable. */
static bool static_place(Dwarf_Die *die, Dwarf_Attribute *location, struct hf_type_variable *ret)
{
	Dwarf_Block block;
	Dwarf_Word number;
	if (dwarf_whatform(location) == DW_FORM_sec_offset || dwarf_formblock(location, &block) ||
		block.length < 2)
		return false;
	const uint8_t *p = block.data;
	if (*p == DW_OP_addr && block.length == 9) {
		memcpy(&ret->addr, p + 1, 8);
		return true;
	}
	uint8_t last = p[block.length - 1];
	if (last == DW_OP_form_tls_address || last == DW_OP_GNU_push_tls_address) {
		ret->tls = true;
		if (*p == DW_OP_const8u && block.length == 10)
			memcpy(&ret->addr, p + 1, 8);
		else if (*p == DW_OP_const4u && block.length == 6)
			memcpy(&ret->addr, p + 1, 4);
		else if (*p != DW_OP_constx && *p != DW_OP_GNU_const_index)
			return false; /* of split DWARF: nobody asks for the offset */
		return true;
	}
	if (*p != DW_OP_addrx && *p != DW_OP_GNU_addr_index)
		return false;
	/* libdw knows where the table of addresses is */
	Dwarf_Op *ops;
	size_t n;
	Dwarf_Attribute address;
	if (dwarf_getlocation(location, &ops, &n) || n != 1 ||
		dwarf_getlocation_attr(location, ops, &address) ||
		dwarf_formaddr(&address, &number))
		return false;
	ret->addr = number;
	return true;
}

static bool add_variable(struct walk *w, Dwarf_Die *die)
{
	struct hf_type_index *x = w->index;
	struct hf_type_variable variable = {0};
	Dwarf_Attribute location;
	if (!dwarf_attr(die, DW_AT_location, &location) || !static_place(die, &location, &variable))
		return false;
	if (!hf_grow((void **)&x->variables, x->n_variables, &x->cap_variables,
		    sizeof(*x->variables))) {
		w->types->no_memory = true;
		return false;
	}
	variable.place = place_of(w, die);
	x->variables[x->n_variables++] = variable;
	return true;
}

static uint32_t open_scope(
	struct walk *w, const Dwarf_Die *die, const char *name, uint32_t parent, bool function)
{
	struct hf_type_index *x = w->index;
	if (x->n_scopes >= MAX_SCOPES ||
		!hf_grow((void **)&x->scopes, x->n_scopes, &x->cap_scopes, sizeof(*x->scopes)))
		return 0;
	uint64_t hash = hf_type_name_hash(x->scopes[parent].hash, name);
	hash = hf_type_name_hash(hash, function ? "()::" : "::");
	x->scopes[x->n_scopes] = (struct hf_type_scope){.begin = place_at(w, die->addr),
		.name = name,
		.hash = hash,
		.parent = parent,
		.function = function};
	return (uint32_t)x->n_scopes++;
}

/* What a struct is declared as, if it is defined outside of its class or namespace. */
static bool declaration_of(Dwarf_Die *die, Dwarf_Die *ret)
{
	Dwarf_Attribute attr;
	return dwarf_attr(die, DW_AT_specification, &attr) && dwarf_formref_die(&attr, ret) &&
	       ret->cu == die->cu;
}

/* The scope of a struct: that of its declaration, which came before. */
static uint32_t scope_of_struct(const struct walk *w, Dwarf_Die *die, uint32_t scope)
{
	const struct hf_type_index *x = w->index;
	Dwarf_Die declaration;
	if (w->is_c || !declaration_of(die, &declaration) || declaration.addr >= die->addr)
		return scope;
	uint64_t at = place_at(w, declaration.addr);
	size_t lo = w->first_scope, hi = x->n_scopes;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (x->scopes[mid].begin < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	/* one without an end is still open */
	for (uint32_t s = (uint32_t)(lo - 1); s >= w->first_scope; s = x->scopes[s].parent) {
		if (!x->scopes[s].end || at < x->scopes[s].end)
			return s;
	}
	return 0;
}

static void descend(struct walk *w, Dwarf_Die *die, uint32_t scope, bool opened)
{
	struct level *l;
	Dwarf_Die child;
	if (w->depth + 1 == MAX_LEVELS) {
		w->types->n_skipped++;
		return;
	}
	bool more = dwarf_child(die, &child) == 0;
	if (!more && !opened)
		return;
	l = &w->level[++w->depth];
	*l = (struct level){.next = child, .scope = scope, .opened = opened, .more = more};
}

/* A typedef by which a struct is known that has no name, or another one. */
static void add_alias(struct walk *w, Dwarf_Die *die, uint32_t scope)
{
	const char *name = dwarf_diename(die), *own;
	Dwarf_Attribute attr;
	Dwarf_Die target;
	uint64_t hash = name ? hf_type_name_hash(w->index->scopes[scope].hash, name) : 0;
	if (!name || hf_map_get(&w->index->by_hash, hash) || !dwarf_attr(die, DW_AT_type, &attr) ||
		!dwarf_formref_die(&attr, &target))
		return;
	int tag = dwarf_tag(&target);
	if (tag != DW_TAG_structure_type && tag != DW_TAG_union_type)
		return;
	own = dwarf_diename(&target);
	if (!own || (strcmp(own, name) && !dwarf_hasattr(&target, DW_AT_declaration)))
		add_definition(w, die, name, scope);
}

static void visit(struct walk *w, Dwarf_Die *die, uint32_t scope)
{
	const char *name;
	uint32_t inner;
	switch (dwarf_tag(die)) {
	case DW_TAG_namespace:
		name = dwarf_diename(die);
		inner = open_scope(w, die, name ? name : "(anonymous namespace)", scope, false);
		descend(w, die, inner, inner != 0);
		break;
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
	case DW_TAG_union_type:
	case DW_TAG_enumeration_type:
		name = dwarf_diename(die);
		if (!name)
			break;
		w->level[w->depth].used = true;
		scope = scope_of_struct(w, die, scope);
		if (!dwarf_hasattr(die, DW_AT_declaration))
			add_definition(w, die, name, scope);
		if (w->is_c || dwarf_tag(die) == DW_TAG_enumeration_type || !dwarf_haschildren(die))
			break;
		inner = open_scope(w, die, name, scope, false);
		descend(w, die, inner, inner != 0);
		break;
	case DW_TAG_subprogram:
		if (!dwarf_haschildren(die))
			break;
		name = dwarf_diename(die);
		if (name && dwarf_hasattr_integrate(die, DW_AT_type))
			add_function(w, die, name);
		inner = name ? open_scope(w, die, name, scope, true) : 0;
		descend(w, die, inner ? inner : scope, inner != 0);
		break;
	case DW_TAG_lexical_block:
	case DW_TAG_common_block:
	case DW_TAG_module:
		descend(w, die, scope, false);
		break;
	case DW_TAG_variable: /* also those of namespaces and classes that are defined elsewhere */
		if (add_variable(w, die) || !w->index->scopes[scope].function)
			w->level[w->depth].used = true;
		break;
	case DW_TAG_member:
		if (dwarf_hasattr(die, DW_AT_external))
			w->level[w->depth].used = true;
		break;
	case DW_TAG_typedef:
		add_alias(w, die, scope);
		break;
	default:
		break;
	}
}

/* Most functions have nothing in them that is named by them: then nobody will ask. */
static void close_level(struct walk *w, struct level *l)
{
	struct hf_type_index *x = w->index;
	if (l->opened && !l->used && l->scope + 1 == x->n_scopes)
		x->n_scopes--;
	else if (l->opened)
		x->scopes[l->scope].end = place_at(w, w->last) + 1;
	w->depth--;
	if (w->depth >= 0)
		w->level[w->depth].used |= l->used;
}

static void walk_unit(struct walk *w, Dwarf_Die *unit, enum hf_die_section section)
{
	w->section = section_bits(section);
	w->at = section == HF_DIE_FOREIGN ? NULL
					  : (const uint8_t *)unit->addr - dwarf_dieoffset(unit);
	w->depth = -1;
	w->first_scope = w->index->n_scopes;
	w->last = unit->addr;
	descend(w, unit, 0, false);
	while (w->depth >= 0) {
		struct level *l = &w->level[w->depth];
		if (!l->more) {
			close_level(w, l);
			continue;
		}
		Dwarf_Die die = l->next;
		/* The walk goes forward only: what leads back is damaged, and would never end. */
		if ((const uint8_t *)die.addr <= w->last) {
			w->types->n_skipped++;
			l->more = false;
			continue;
		}
		w->last = die.addr;
		l->more = dwarf_siblingof(&die, &l->next) == 0;
		visit(w, &die, l->scope);
	}
}

static bool unit_is_c(Dwarf_Die *unit)
{
	switch (dwarf_srclang(unit)) {
	case DW_LANG_C89:
	case DW_LANG_C:
	case DW_LANG_C99:
	case DW_LANG_C11:
	case 0x2c: /* C17 */
		return true;
	default:
		return false;
	}
}

static int by_addr(const void *pa, const void *pb)
{
	const struct hf_type_variable *a = pa, *b = pb;
	if (a->tls != b->tls)
		return a->tls ? 1 : -1;
	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	return a->place < b->place ? -1 : a->place > b->place;
}

static int by_begin(const void *pa, const void *pb)
{
	const struct hf_type_scope *a = pa, *b = pb;
	return a->begin < b->begin ? -1 : a->begin > b->begin;
}

/* Units come in the order of the file, but split ones and a dwz file's each lie elsewhere. */
static void sort_scopes(struct hf_type_index *x)
{
	bool sorted = true;
	for (size_t i = 1; sorted && i < x->n_scopes; i++)
		sorted = x->scopes[i - 1].begin <= x->scopes[i].begin;
	if (sorted)
		return;
	/* parents by where they begin, to find them again */
	uint64_t *parent = calloc(x->n_scopes, sizeof(*parent));
	if (!parent)
		return;
	for (size_t i = 1; i < x->n_scopes; i++) {
		parent[i] = x->scopes[x->scopes[i].parent].begin;
		x->scopes[i].parent = (uint32_t)i;
	}
	qsort(x->scopes + 1, x->n_scopes - 1, sizeof(*x->scopes), by_begin);
	for (size_t i = 1; i < x->n_scopes; i++) {
		uint64_t begin = parent[x->scopes[i].parent];
		struct hf_type_scope key = {.begin = begin};
		struct hf_type_scope *found =
			begin ? bsearch(&key, x->scopes + 1, x->n_scopes - 1, sizeof(key), by_begin)
			      : NULL;
		x->scopes[i].parent = found ? (uint32_t)(found - x->scopes) : 0;
	}
	free(parent);
}

/* Which section of which file a DIE is in. */
static enum hf_die_section section_of(const struct hf_type_index *x, Dwarf_Die *die)
{
	Dwarf_Half version;
	uint8_t type;
	Dwarf *dwarf = dwarf_cu_getdwarf(die->cu);
	if (dwarf != x->dwarf)
		return dwarf == dwarf_getalt(x->dwarf) ? HF_DIE_SHARED : HF_DIE_FOREIGN;
	if (dwarf_cu_info(die->cu, &version, &type, NULL, NULL, NULL, NULL, NULL))
		return HF_DIE_INFO;
	return type == DW_UT_type && version < 5 ? HF_DIE_TYPES : HF_DIE_INFO;
}

/* What dwz has moved to a file of its own. */
static void walk_shared(struct walk *w, Dwarf *dwarf)
{
	Dwarf *shared = dwarf_getalt(dwarf);
	Dwarf_CU *cu = NULL;
	Dwarf_Die unit;
	uint8_t type;
	while (shared && !dwarf_get_units(shared, cu, &cu, NULL, &type, &unit, NULL)) {
		w->is_c = unit_is_c(&unit);
		walk_unit(w, &unit, HF_DIE_SHARED);
	}
}

static void walk_module(struct walk *w, uint32_t module)
{
	struct hf_type_index *x = w->index;
	Dwarf_Die unit;
	for (Dwarf_CU *cu = NULL; hf_debug_next_unit(w->types->files, module, &cu, &unit);) {
		w->is_c = unit_is_c(&unit);
		x->is_c |= w->is_c;
		walk_unit(w, &unit, section_of(x, &unit));
	}
	walk_shared(w, x->dwarf);
	if (x->n_variables)
		qsort(x->variables, x->n_variables, sizeof(*x->variables), by_addr);
	sort_scopes(x);
}

static struct hf_type_index *make(struct hf_types *types, uint32_t module)
{
	struct hf_type_index *x = calloc(1, sizeof(*x));
	struct walk *w = calloc(1, sizeof(*w));
	if (x)
		x->dwarf = hf_debug_module(types->files, module)->dwarf;
	if (x && hf_index_cache_load(types, module, x)) {
		free(w);
		return x;
	}
	if (x && w && hf_grow((void **)&x->scopes, 0, &x->cap_scopes, sizeof(*x->scopes))) {
		x->scopes[x->n_scopes++] =
			(struct hf_type_scope){.name = "", .hash = HF_HASH_START};
		w->types = types;
		w->index = x;
		walk_module(w, module);
		hf_index_cache_save(types, module, x);
	} else {
		types->no_memory = true;
		hf_type_index_destroy(x);
		x = NULL;
	}
	free(w);
	return x;
}

const struct hf_type_index *hf_type_index(struct hf_types *types, uint32_t module)
{
	if (!types->indexes[module] && hf_debug_module(types->files, module)->dwarf)
		types->indexes[module] = make(types, module);
	return types->indexes[module];
}

void hf_type_index_destroy(struct hf_type_index *index)
{
	if (!index)
		return;
	hf_map_deinit(&index->by_hash);
	free(index->scopes);
	free(index->definitions);
	free(index->variables);
	free(index->functions);
	hf_map_deinit(&index->function_by_hash);
	free(index->foreign);
	free(index->text);
	free(index);
}

const struct hf_type_definition *hf_type_index_find(
	const struct hf_type_index *index, uint64_t hash)
{
	uint32_t i = hf_map_get(&index->by_hash, hash);
	return i ? &index->definitions[i - 1] : NULL;
}

const struct hf_type_variable *hf_type_index_variable(const struct hf_type_index *x, uint64_t addr)
{
	size_t lo = 0, hi = x->n_variables;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (!x->variables[mid].tls && x->variables[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? &x->variables[lo - 1] : NULL;
}

uint32_t hf_type_scope_of(const struct hf_type_index *index, Dwarf_Die *die)
{
	Dwarf_Die declaration;
	int tag = dwarf_tag(die);
	if ((tag == DW_TAG_structure_type || tag == DW_TAG_class_type ||
		    tag == DW_TAG_union_type) &&
		declaration_of(die, &declaration))
		die = &declaration;
	enum hf_die_section section = section_of(index, die);
	uint64_t at = section_bits(section);
	at |= section == HF_DIE_FOREIGN ? (uintptr_t)die->addr : dwarf_dieoffset(die);
	size_t lo = 1, hi = index->n_scopes;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (index->scopes[mid].begin < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	uint32_t scope = (uint32_t)(lo - 1);
	for (int i = 0; scope && i < MAX_LEVELS; i++) {
		if (at < index->scopes[scope].end)
			return scope;
		scope = index->scopes[scope].parent;
	}
	return 0;
}

size_t hf_type_scope_text(const struct hf_type_index *index, uint32_t scope, char *ret, size_t size)
{
	uint32_t chain[MAX_LEVELS];
	int n = 0;
	for (; scope && n < MAX_LEVELS; scope = index->scopes[scope].parent)
		chain[n++] = scope;
	size_t length = 0;
	ret[0] = 0;
	while (n--) {
		const struct hf_type_scope *s = &index->scopes[chain[n]];
		int more = snprintf(
			ret + length, size - length, "%s%s", s->name, s->function ? "()::" : "::");
		if (more < 0 || length + (size_t)more >= size) {
			ret[0] = 0;
			return 0;
		}
		length += (size_t)more;
	}
	return length;
}

#include "types/build.h"

#include <dwarf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "types/containers.h"
#include "types/index.h"

enum { MAX_PEEL = 64, NAME_SIZE = 1024, MAX_DIMENSIONS = 16 };

static uint32_t of_die(struct hf_types *types, uint32_t module, Dwarf_Die *die, int depth);

static bool type_die(Dwarf_Die *die, Dwarf_Die *ret)
{
	Dwarf_Attribute attr;
	return dwarf_attr_integrate(die, DW_AT_type, &attr) && dwarf_formref_die(&attr, ret);
}

static uint32_t target_of(struct hf_types *types, uint32_t module, Dwarf_Die *die, int depth)
{
	Dwarf_Die target;
	return type_die(die, &target) ? of_die(types, module, &target, depth + 1) : 0;
}

static bool is_c(struct hf_types *types, uint32_t module, Dwarf_Die *die)
{
	Dwarf_Die unit;
	if (!dwarf_diecu(die, &unit, NULL, NULL))
		return false;
	int language = dwarf_srclang(&unit);
	if (language < 0 && types->indexes[module])
		return types->indexes[module]->is_c;
	return language == DW_LANG_C89 || language == DW_LANG_C || language == DW_LANG_C99 ||
	       language == DW_LANG_C11 || language == 0x2c;
}

static const char *keep(struct hf_types *types, const char *text)
{
	const char *copy = hf_bump_text(&types->pool, text, strlen(text));
	types->no_memory |= !copy;
	return copy ? copy : "?";
}

/* "struct session", "zoo::Animal". */
static void qualified_name(struct hf_types *types, uint32_t module, Dwarf_Die *die,
	const char *name, enum hf_type_kind kind, char ret[NAME_SIZE])
{
	static const char *const c_words[] = {[HF_TYPE_STRUCT] = "struct ",
		[HF_TYPE_UNION] = "union ",
		[HF_TYPE_ENUM] = "enum ",
		[HF_TYPE_ARRAY] = NULL};
	if (is_c(types, module, die)) {
		snprintf(ret, NAME_SIZE, "%s%.900s", c_words[kind] ? c_words[kind] : "", name);
		return;
	}
	const struct hf_type_index *x = hf_type_index(types, module);
	size_t n = x ? hf_type_scope_text(x, hf_type_scope_of(x, die), ret, NAME_SIZE / 2) : 0;
	snprintf(ret + n, NAME_SIZE - n, "%s", name);
}

static uint64_t key_of(const char *name, enum hf_type_kind kind, uint64_t size, Dwarf_Die *die)
{
	int line = 0;
	uint64_t hash = hf_type_name_hash(HF_HASH_START, name);
	dwarf_decl_line(die, &line);
	hash = hf_hash_byte(hash, (unsigned char)kind);
	hash = (hash ^ size) * 0x100000001b3u;
	hash = (hash ^ (uint64_t)line) * 0x100000001b3u;
	return hash ? hash : 1;
}

static enum hf_type_kind kind_of(int tag)
{
	switch (tag) {
	case DW_TAG_structure_type:
		return HF_TYPE_STRUCT;
	case DW_TAG_class_type:
	case DW_TAG_interface_type:
		return HF_TYPE_CLASS;
	case DW_TAG_union_type:
		return HF_TYPE_UNION;
	case DW_TAG_enumeration_type:
		return HF_TYPE_ENUM;
	default:
		return HF_TYPE_BASE;
	}
}

static uint8_t base_flags(Dwarf_Die *die, uint64_t size, const char *alias)
{
	static const char *const counts[] = {"size_t", "ssize_t", "__ssize_t", "time_t", "off_t",
		"__off_t", "__off64_t", "__time_t", "ptrdiff_t", "clock_t", "usize_count"};
	Dwarf_Attribute attr;
	Dwarf_Word encoding = 0;
	if (dwarf_attr(die, DW_AT_encoding, &attr))
		dwarf_formudata(&attr, &encoding);
	if (size == 1)
		return HF_TYPE_CHAR;
	if (size != 8 || (encoding != DW_ATE_unsigned && encoding != DW_ATE_signed))
		return 0;
	for (size_t i = 0; alias && i < sizeof(counts) / sizeof(counts[0]); i++) {
		if (!strcmp(alias, counts[i]))
			return 0;
	}
	return HF_TYPE_WORD;
}

/* A declaration is another name for its definition. 0: there is none. */
static uint32_t definition_of(
	struct hf_types *types, uint32_t module, Dwarf_Die *die, const char *name, int depth)
{
	const struct hf_type_index *x = hf_type_index(types, module);
	if (!x || depth >= HF_TYPES_DEPTH)
		return 0;
	uint32_t scope = is_c(types, module, die) ? 0 : hf_type_scope_of(x, die);
	uint64_t hash = hf_type_name_hash(x->scopes[scope].hash, name);
	for (size_t m = 0; m <= types->heap->modules.n; m++) {
		uint32_t where = m ? (uint32_t)m - 1 : module;
		const struct hf_type_index *y = types->indexes[where];
		const struct hf_type_definition *d = y ? hf_type_index_find(y, hash) : NULL;
		Dwarf_Die found;
		if (!d || !hf_type_index_die(y, d->place, &found) || found.addr == die->addr)
			continue;
		return of_die(types, where, &found, depth + 1);
	}
	return 0;
}

/* A struct, class, union, enum or base type. alias: the typedef it was reached by, or NULL. */
static uint32_t make_named(
	struct hf_types *types, uint32_t module, Dwarf_Die *die, const char *alias, int depth)
{
	enum hf_type_kind kind = kind_of(dwarf_tag(die));
	const char *own = dwarf_diename(die), *name = own ? own : alias;
	bool declaration = dwarf_hasattr(die, DW_AT_declaration);
	char text[NAME_SIZE], anonymous[32];
	Dwarf_Word size = 0;
	Dwarf_Attribute attr;
	if (declaration && own) {
		uint32_t found = definition_of(types, module, die, own, depth);
		if (found)
			return found;
	}
	if (dwarf_attr(die, DW_AT_byte_size, &attr))
		dwarf_formudata(&attr, &size);
	if (!name) {
		snprintf(anonymous, sizeof(anonymous), "%s {…}", hf_types_kind_name(kind));
		snprintf(text, sizeof(text), "%s", anonymous);
	} else if (kind == HF_TYPE_BASE || !own) {
		snprintf(text, sizeof(text), "%.900s", name);
	} else {
		qualified_name(types, module, die, name, kind, text);
	}
	struct hf_type type = {.size = size, .kind = (uint8_t)kind, .module = module, .die = *die};
	if (kind == HF_TYPE_BASE) {
		type.flags = base_flags(die, size, alias);
		if (!(type.flags & (HF_TYPE_CHAR | HF_TYPE_WORD)) && alias && size == 8)
			snprintf(text, sizeof(text), "%.900s", alias);
	}
	if (declaration)
		type.flags |= HF_TYPE_INCOMPLETE | HF_TYPE_FILLED;
	if (!own)
		type.flags |= HF_TYPE_ANONYMOUS;
	type.flags |= hf_container_flags(text);
	/* Of those without a name only the very same DIE is the same. */
	uint32_t *slot = name ? hf_map_put(&types->by_key,
					key_of(text, kind, declaration ? ~0ull : size, die))
			      : NULL;
	if (slot && *slot)
		return *slot;
	type.name = keep(types, text);
	uint32_t id = hf_types_new(types, &type);
	if (slot)
		*slot = id;
	return id;
}

static uint64_t dimension(Dwarf_Die *subrange)
{
	Dwarf_Attribute attr;
	Dwarf_Word n = 0;
	Dwarf_Sword signed_n;
	if (dwarf_attr(subrange, DW_AT_count, &attr) && !dwarf_formudata(&attr, &n))
		return n;
	if (dwarf_attr(subrange, DW_AT_upper_bound, &attr) && !dwarf_formsdata(&attr, &signed_n) &&
		signed_n >= 0)
		return (uint64_t)signed_n + 1;
	return 0;
}

static uint32_t make_array(struct hf_types *types, uint32_t module, Dwarf_Die *die, int depth)
{
	uint64_t counts[MAX_DIMENSIONS];
	int n = 0;
	Dwarf_Die child;
	uint32_t type = target_of(types, module, die, depth);
	if (!type)
		return 0;
	for (bool more = !dwarf_child(die, &child); more && n < MAX_DIMENSIONS;
		more = hf_types_next(&child)) {
		if (dwarf_tag(&child) == DW_TAG_subrange_type)
			counts[n++] = dimension(&child);
	}
	if (!n)
		return hf_types_array(types, type, 0);
	while (n)
		type = hf_types_array(types, type, counts[--n]);
	return type;
}

static uint32_t make(
	struct hf_types *types, uint32_t module, Dwarf_Die *die, const char *alias, int depth)
{
	switch (dwarf_tag(die)) {
	case DW_TAG_base_type:
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
	case DW_TAG_interface_type:
	case DW_TAG_union_type:
	case DW_TAG_enumeration_type:
		return make_named(types, module, die, alias, depth);
	case DW_TAG_pointer_type:
	case DW_TAG_reference_type:
	case DW_TAG_rvalue_reference_type:
		return hf_types_pointer(types, target_of(types, module, die, depth));
	case DW_TAG_array_type:
		return make_array(types, module, die, depth);
	case DW_TAG_subroutine_type:
		return hf_types_named(types, "function", HF_TYPE_FUNCTION);
	case DW_TAG_ptr_to_member_type:
		return hf_types_array(types, types->char_type, 16);
	default: /* unspecified types: nullptr_t, void of C++ */
		return 0;
	}
}

/* Recursion is bounded by depth, whatever the DIEs say. */
static uint32_t of_die(struct hf_types *types, uint32_t module, Dwarf_Die *die, int depth)
{
	const char *alias = NULL;
	Dwarf_Die at = *die, next;
	if (depth >= HF_TYPES_DEPTH) {
		types->n_skipped++;
		return 0;
	}
	for (int i = 0; i < MAX_PEEL; i++) {
		Dwarf_Attribute signature;
		/* a stub for what a type unit defines */
		if (dwarf_attr(&at, DW_AT_signature, &signature) &&
			dwarf_formref_die(&signature, &next)) {
			at = next;
			continue;
		}
		int tag = dwarf_tag(&at);
		bool is_alias = tag == DW_TAG_typedef || tag == DW_TAG_template_alias;
		if (!is_alias && tag != DW_TAG_const_type && tag != DW_TAG_volatile_type &&
			tag != DW_TAG_restrict_type && tag != DW_TAG_atomic_type &&
			tag != DW_TAG_immutable_type && tag != DW_TAG_subrange_type)
			break;
		if (is_alias)
			alias = dwarf_diename(&at);
		if (!type_die(&at, &next))
			return 0;
		at = next;
	}
	/* A count by another name is another type; what else is known by its DIE needs no more. */
	bool by_alias = dwarf_tag(&at) == DW_TAG_base_type && alias;
	if (!by_alias) {
		uint32_t known = hf_map_get(&types->by_die, (uint64_t)(uintptr_t)at.addr);
		if (known) {
			struct hf_type *t = &types->at[known];
			if (alias && (t->flags & HF_TYPE_ANONYMOUS) && strstr(t->name, "{…}"))
				t->name = keep(types, alias);
			return known;
		}
	}
	uint32_t id = make(types, module, &at, alias, depth);
	if (by_alias)
		return id;
	uint32_t *slot = hf_map_put(&types->by_die, (uint64_t)(uintptr_t)at.addr);
	if (!slot)
		types->no_memory = true;
	else
		*slot = id;
	return id;
}

uint32_t hf_types_of_die(struct hf_types *types, uint32_t module, const Dwarf_Die *die)
{
	Dwarf_Die copy = *die;
	hf_type_index(types, module);
	return of_die(types, module, &copy, 0);
}

uint32_t hf_types_of_variable(struct hf_types *types, uint32_t module, Dwarf_Die *die)
{
	hf_type_index(types, module);
	return target_of(types, module, die, 0);
}

void hf_types_variable_name(
	struct hf_types *types, uint32_t module, Dwarf_Die *die, char *ret, size_t size)
{
	Dwarf_Die at = *die, next;
	Dwarf_Attribute attr;
	const struct hf_type_index *x = hf_type_index(types, module);
	const char *name = dwarf_diename(&at);
	ret[0] = 0;
	/* A static member's definition stands outside of its class. */
	for (int i = 0; i < 4; i++) {
		if (!dwarf_attr(&at, DW_AT_specification, &attr) &&
			!dwarf_attr(&at, DW_AT_abstract_origin, &attr))
			break;
		if (!dwarf_formref_die(&attr, &next))
			break;
		at = next;
	}
	if (!name || !x)
		return;
	size_t n = hf_type_scope_text(x, hf_type_scope_of(x, &at), ret, size);
	/* of a static variable of an inlined function the function itself is where it is defined */
	char own[NAME_SIZE];
	size_t n_own = hf_type_scope_text(x, hf_type_scope_of(x, die), own, sizeof(own));
	if (n_own > n && n_own < size)
		memcpy(ret, own, n = n_own);
	snprintf(ret + n, size - n, "%s", name);
}

/* Members */

static uint64_t member_offset(Dwarf_Die *die, bool *ret_known)
{
	Dwarf_Attribute attr;
	Dwarf_Word offset = 0;
	Dwarf_Block block;
	*ret_known = true;
	if (dwarf_attr(die, DW_AT_data_member_location, &attr)) {
		if (!dwarf_formudata(&attr, &offset))
			return offset;
		/* DWARF 2: DW_OP_plus_uconst. Virtual bases have an expression: not known here. */
		if (!dwarf_formblock(&attr, &block) && block.length >= 2 && block.length <= 6 &&
			block.data[0] == DW_OP_plus_uconst) {
			for (size_t i = 1; i < block.length; i++)
				offset |= (uint64_t)(block.data[i] & 0x7f) << (7 * (i - 1));
			return offset;
		}
		*ret_known = false;
	} else if (dwarf_attr(die, DW_AT_data_bit_offset, &attr) &&
		   !dwarf_formudata(&attr, &offset)) {
		return offset / 8;
	}
	return 0; /* of a union */
}

struct reading {
	struct hf_types *types;
	uint32_t module;
	struct hf_type_member *at; /* malloc'ed */
	size_t n, cap;
};

static void add_member(struct reading *r, Dwarf_Die *die, int tag)
{
	bool known;
	struct hf_type_member m = {.offset = member_offset(die, &known)};
	if (!known || dwarf_hasattr(die, DW_AT_declaration) || dwarf_hasattr(die, DW_AT_external) ||
		r->n >= HF_TYPES_MEMBERS)
		return;
	const char *name = dwarf_diename(die);
	m.type = target_of(r->types, r->module, die, 0);
	m.name = name && tag != DW_TAG_inheritance ? name : "";
	if (tag == DW_TAG_inheritance)
		m.flags |= HF_MEMBER_BASE;
	if (dwarf_hasattr(die, DW_AT_bit_size))
		m.flags |= HF_MEMBER_BITS;
	if (!hf_grow((void **)&r->at, r->n, &r->cap, sizeof(*r->at))) {
		r->types->no_memory = true;
		return;
	}
	r->at[r->n++] = m;
}

/* Rust's enums: the members of every variant lie one over the other. */
static void read_variants(struct reading *r, Dwarf_Die *part)
{
	Dwarf_Die variant, member;
	for (bool more = !dwarf_child(part, &variant); more; more = hf_types_next(&variant)) {
		if (dwarf_tag(&variant) != DW_TAG_variant) {
			if (dwarf_tag(&variant) == DW_TAG_member)
				add_member(r, &variant, DW_TAG_member);
			continue;
		}
		for (bool m = !dwarf_child(&variant, &member); m; m = hf_types_next(&member)) {
			if (dwarf_tag(&member) == DW_TAG_member)
				add_member(r, &member, DW_TAG_member);
		}
	}
}

static void read_members(struct reading *r, Dwarf_Die *die)
{
	Dwarf_Die child;
	for (bool more = !dwarf_child(die, &child); more; more = hf_types_next(&child)) {
		int tag = dwarf_tag(&child);
		if (tag == DW_TAG_member || tag == DW_TAG_inheritance)
			add_member(r, &child, tag);
		else if (tag == DW_TAG_variant_part)
			read_variants(r, &child);
	}
}

static int by_offset(const void *pa, const void *pb)
{
	const struct hf_type_member *a = pa, *b = pb;
	if (a->offset != b->offset)
		return a->offset < b->offset ? -1 : 1;
	return 0;
}

bool hf_types_end_flexibly(
	const struct hf_types *types, const struct hf_type_member *members, size_t n)
{
	const struct hf_type_member *last = n ? &members[n - 1] : NULL;
	if (!last)
		return false;
	for (int i = 0; i < HF_TYPES_DEPTH; i++) {
		const struct hf_type *t = &types->at[last->type];
		if (t->kind == HF_TYPE_ARRAY)
			return t->count <= 1;
		if (!hf_type_is_record(t) || !(t->flags & HF_TYPE_FILLED) || !t->n_members)
			return false;
		if (t->flags & HF_TYPE_FLEXIBLE)
			return true;
		last = &types->members[t->member + t->n_members - 1];
	}
	return false;
}

static void fill(struct hf_types *types, uint32_t id)
{
	struct reading r = {.types = types, .module = types->at[id].module};
	Dwarf_Die die = types->at[id].die;
	types->at[id].flags |= HF_TYPE_FILLED;
	if (die.addr)
		read_members(&r, &die);
	/* containers put up to four more in */
	for (size_t room = r.n; r.n && room < r.n + 4; room++) {
		if (!hf_grow((void **)&r.at, room, &r.cap, sizeof(*r.at)))
			r.n = 0;
	}
	if (r.n)
		hf_container_members(types, id, &r.n, r.at);
	/* stable: members of one place keep their order */
	for (size_t i = 1; i < r.n; i++) {
		struct hf_type_member m = r.at[i];
		size_t k = i;
		if (r.n > 512) { /* long ones are sorted already, or not worth it */
			qsort(r.at, r.n, sizeof(*r.at), by_offset);
			break;
		}
		for (; k && r.at[k - 1].offset > m.offset; k--)
			r.at[k] = r.at[k - 1];
		r.at[k] = m;
	}
	for (size_t i = 0; i < r.n; i++) {
		if (!hf_grow((void **)&types->members, types->n_members, &types->cap_members,
			    sizeof(*types->members)) ||
			types->n_members >= UINT32_MAX) {
			types->no_memory = true;
			break;
		}
		types->members[types->n_members++] = r.at[i];
		types->at[id].n_members++;
	}
	types->at[id].member = (uint32_t)types->n_members - types->at[id].n_members;
	if (types->at[id].kind != HF_TYPE_UNION && hf_types_end_flexibly(types, r.at, r.n))
		types->at[id].flags |= HF_TYPE_FLEXIBLE;
	free(r.at);
}

const struct hf_type_member *hf_types_members(
	struct hf_types *types, uint32_t type, uint32_t *ret_n)
{
	if (hf_type_is_record(&types->at[type]) && !(types->at[type].flags & HF_TYPE_FILLED))
		fill(types, type);
	*ret_n = types->at[type].n_members;
	return types->members + types->at[type].member;
}

uint32_t hf_types_template_argument(struct hf_types *types, uint32_t type, unsigned i)
{
	struct hf_type *t = &types->at[type];
	Dwarf_Die die = t->die, child;
	if (!die.addr)
		return 0;
	for (bool more = !dwarf_child(&die, &child); more; more = hf_types_next(&child)) {
		if (dwarf_tag(&child) != DW_TAG_template_type_parameter)
			continue;
		if (!i--)
			return target_of(types, t->module, &child, 0);
	}
	return 0;
}

/*
 * Objects of CPython (3.8 and later): each has a pointer to its type, which is a static variable of
 * the interpreter or of an extension (PyDict_Type), or for classes an object of its own.
 *
 * Sources: CPython 3.11, Include/object.h, Include/internal/pycore_gc.h (what stands before an
 * object), Objects/dictobject.c (new_keys_object). Where they lie (__dict__ before the object) is
 * that of 3.11; offsets of fields are DWARF's. Without DWARF there are the names of types.
 */
#include <dwarf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "types/build.h"
#include "types/index.h"
#include "types/symbols.h"
#include "types/typing.h"

enum {
	N_HEADERS = 3,
	OB_TYPE = 8,    /* of PyObject, the word after the count */
	TP_BASE = 256,  /* of PyTypeObject, where DWARF does not say */
	MAX_BASES = 64, /* of a class */
	MAX_ROUNDS = 8, /* of metaclasses of metaclasses */
	IS_TYPE = 0x10, /* in known: it is a type itself */
	HEADER = 0x0f,  /* in known: number of the header, + 1 */
	NAME_SIZE = 128,
	MAX_LOG2 = 40,
};

/* Bytes before an object: none; the collector's links; __dict__ and its values before those. */
static const uint64_t header_size[N_HEADERS] = {0, 16, 32};

/* What describes a type: a static one or a class. */
struct tag {
	const char *name;            /* "PyDict" */
	uint32_t type;               /* of the objects, without what is before them */
	uint32_t variant[N_HEADERS]; /* with it; 0: not made yet */
	bool meta;                   /* its objects are types */
};

struct hf_cpython {
	uint32_t object, type_object, keys, keys_members;
	uint64_t tp_base, keys_header;
	bool unicode_keys; /* 3.11: tables whose keys are all strings have no hashes */
	uint32_t link;     /* of the collector's list */
	uint32_t keys_variant[MAX_LOG2][2];
	uint8_t *known; /* [n_objects] */
	struct tag *tags;
	size_t n_tags, cap_tags;
	struct hf_map by_place;     /* module and offset → tag + 2; 1: none */
	struct hf_map by_class;     /* object + 1 → tag + 1 */
	struct hf_symbols *symbols; /* [modules.n], where there is no DWARF */
	bool *looked;
	size_t n_modules;
};

void hf_cpython_destroy(struct hf_cpython *p)
{
	if (!p)
		return;
	for (size_t i = 0; p->symbols && i < p->n_modules; i++)
		hf_symbols_deinit(&p->symbols[i]);
	free(p->symbols);
	free(p->looked);
	free(p->known);
	free(p->tags);
	hf_map_deinit(&p->by_place);
	hf_map_deinit(&p->by_class);
	free(p);
}

/* Types by name */

/* "_PyLong_Type" → "PyLong"; "deque_type" → "deque". */
static void stem_of(const char *name, char *ret, size_t size)
{
	snprintf(ret, size, "%s", name + (name[0] == '_'));
	char *end = strrchr(ret, '_');
	if (end && (!strcmp(end, "_Type") || !strcmp(end, "_type")))
		*end = 0;
}

static uint32_t object_struct(struct hf_typing *y, const char *format, const char *stem)
{
	char name[NAME_SIZE + 32];
	snprintf(name, sizeof(name), format, stem);
	uint32_t type = hf_types_by_name(y->types, name);
	return type && hf_type_has_at(y->types, type, 0, y->cpython->object) ? type : 0;
}

/* The struct of a static type's objects; 0: not known. */
static uint32_t struct_of(struct hf_typing *y, const char *stem)
{
	static const char *const formats[] = {"%sObject", "_%sObject", "%sobject", "_%sobject"};
	static const char *const others[][2] = {{"PyType", "PyHeapTypeObject"},
		{"PyBool", "PyLongObject"}, {"PyFrozenSet", "PySetObject"},
		{"PyDictProxy", "mappingproxyobject"}, {"PyMethodWrapper", "wrapperobject"},
		{"PyNamespace", "_PyNamespaceObject"}, {"PyGetSetDescr", "PyGetSetDescrObject"}};
	char lower[NAME_SIZE];
	size_t n = 0;
	if (!y->cpython->object)
		return 0;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (!strcmp(stem, others[i][0]))
			return object_struct(y, "%s", others[i][1]);
	}
	for (const char *c = strncmp(stem, "Py", 2) ? stem : stem + 2; *c; c++)
		lower[n++] = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
	lower[n] = 0;
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		uint32_t type = object_struct(y, formats[i], stem);
		type = type ? type : object_struct(y, formats[i], lower);
		if (type)
			return type;
	}
	/* PyExc_ValueError */
	return strncmp(stem, "PyExc_", 6) ? 0 : object_struct(y, "%s", "PyBaseExceptionObject");
}

static bool is_type_name(const char *name)
{
	size_t n = strlen(name);
	return n < NAME_SIZE && n > 5 &&
	       (!strcmp(name + n - 5, "_Type") || !strcmp(name + n - 5, "_type") ||
		       !strncmp(name, "_PyExc_", 7));
}

static struct tag *new_tag(struct hf_typing *y, const char *name, uint32_t type)
{
	struct hf_cpython *p = y->cpython;
	if (!hf_grow((void **)&p->tags, p->n_tags, &p->cap_tags, sizeof(*p->tags))) {
		y->types->no_memory = true;
		return NULL;
	}
	p->tags[p->n_tags] = (struct tag){.name = name, .type = type};
	return &p->tags[p->n_tags++];
}

/* A type whose objects have no struct that is known: what it is called, and a PyObject first. */
static uint32_t named_struct(struct hf_typing *y, const char *name, uint32_t base, bool slots)
{
	struct hf_types *types = y->types;
	uint32_t type, n = 1;
	if (!base) {
		type = hf_types_named(types, name, HF_TYPE_STRUCT);
	} else {
		struct hf_type_member members[2] = {{"", 0, base, HF_MEMBER_BASE}};
		uint64_t size = (types->at[base].size + 7) & ~7ull;
		if (slots && !(types->at[base].flags & HF_TYPE_FLEXIBLE))
			members[n++] = (struct hf_type_member){"slots", size,
				hf_types_array(types, hf_types_pointer(types, 0), 0), 0};
		type = hf_types_record(types, name, 0, members, n);
	}
	types->at[type].flags |= HF_TYPE_TAGGED;
	return type;
}

static uint32_t tag_named(struct hf_typing *y, const char *name)
{
	char stem[NAME_SIZE];
	stem_of(name, stem, sizeof(stem));
	const char *kept = hf_bump_text(&y->types->pool, stem, strlen(stem));
	if (!kept)
		return 0;
	uint32_t type = struct_of(y, stem);
	struct tag *tag =
		new_tag(y, kept, type ? type : named_struct(y, kept, y->cpython->object, false));
	if (!tag)
		return 0;
	tag->meta = !strcmp(stem, "PyType");
	return (uint32_t)(tag - y->cpython->tags) + 1;
}

/* The name of the static type at an address of a module; NULL: there is none. */
static const char *static_type(struct hf_typing *y, uint32_t module, uint64_t addr)
{
	struct hf_cpython *p = y->cpython;
	const struct hf_debug_module *m = hf_debug_module(y->types->files, module);
	const struct hf_type_index *x = hf_type_index(y->types, module);
	addr -= m->bias;
	if (x) {
		const struct hf_type_variable *v = hf_type_index_variable(x, addr);
		Dwarf_Die die;
		if (!v || v->addr != addr || !hf_type_index_die(x, v->place, &die))
			return NULL;
		return hf_types_of_variable(y->types, module, &die) == p->type_object
			       ? dwarf_diename(&die)
			       : NULL;
	}
	if (!p->looked[module]) {
		p->looked[module] = true;
		if (!hf_symbols_read(&p->symbols[module], m, is_type_name))
			y->types->no_memory = true;
	}
	size_t found = hf_symbols_find(&p->symbols[module], addr);
	return found != SIZE_MAX && p->symbols[module].at[found].addr == addr
		       ? p->symbols[module].at[found].name
		       : NULL;
}

/* The tag that a module reference leads to, + 1; 0: none. */
static uint32_t static_tag(struct hf_typing *y, size_t modref)
{
	struct hf_cpython *p = y->cpython;
	uint32_t module = y->heap->modrefs.at[modref].module;
	uint64_t offset = hf_heap_modref_module_off(y->heap, modref);
	uint32_t *known = hf_map_put(&p->by_place, ((uint64_t)module + 1) << 40 ^ offset);
	if (!known)
		return 0;
	if (!*known) {
		const char *name =
			static_type(y, module, y->heap->modules.at[module].base + offset);
		*known = 1 + (name ? tag_named(y, name) : 0);
	}
	return *known - 1;
}

/* Objects */

/* The number of the header before an object whose ob_type is at that offset; -1: that is none. */
static int header_at(uint64_t ob_type)
{
	for (int h = 0; h < N_HEADERS; h++) {
		if (ob_type == header_size[h] + OB_TYPE)
			return h;
	}
	return -1;
}

/* A count is no pointer. */
static bool counts_at(const struct hf_heap *heap, uint32_t object, uint64_t offset)
{
	for (uint64_t e = heap->edge_offset[object]; e < heap->edge_offset[object + 1]; e++) {
		uint64_t at = hf_heap_src_off(heap, e);
		if (at >= offset)
			return at != offset;
	}
	return true;
}

/* The type of a tag's objects with their header. */
static uint32_t variant_of(struct hf_typing *y, struct tag *tag, int header)
{
	struct hf_cpython *p = y->cpython;
	struct hf_types *types = y->types;
	uint64_t size = header_size[header];
	if (!header || tag->variant[header] || (types->at[tag->type].flags & HF_TYPE_INCOMPLETE))
		return tag->variant[header] ? tag->variant[header] : tag->type;
	struct hf_type_member members[5];
	uint32_t n = 0;
	if (header == 2) {
		uint32_t values = hf_types_by_name(types, "_dictvalues");
		members[n++] =
			(struct hf_type_member){"values", 0, hf_types_pointer(types, values), 0};
		members[n++] = (struct hf_type_member){
			"__dict__", 8, hf_types_pointer(types, p->object), 0};
	}
	members[n++] = (struct hf_type_member){"_gc_next", size - 16, p->link, 0};
	members[n++] = (struct hf_type_member){"_gc_prev", size - 8, p->link, 0};
	members[n++] = (struct hf_type_member){"", size, tag->type, HF_MEMBER_BASE};
	return tag->variant[header] = hf_types_record(types, NULL, tag->type, members, n);
}

static void set(struct hf_typing *y, uint32_t object, uint32_t tag, int header)
{
	struct hf_cpython *p = y->cpython;
	uint32_t type = variant_of(y, &p->tags[tag - 1], header);
	p->known[object] = (uint8_t)((header + 1) | (p->tags[tag - 1].meta ? IS_TYPE : 0));
	hf_typing_set(y, object, type, HF_TYPED_TAG);
}

static bool is_room(const struct hf_typing *y, uint32_t object, int header)
{
	return y->heap->usable[object] >= header_size[header] + OB_TYPE + 8;
}

/* Objects of static types. Returns how many. */
static size_t find_static(struct hf_typing *y)
{
	const struct hf_heap *heap = y->heap;
	struct hf_cpython *p = y->cpython;
	size_t n = 0;
	for (size_t i = 0; i < heap->modrefs.n; i++) {
		uint32_t src = heap->modrefs.at[i].src;
		int header = header_at(hf_heap_modref_src_off(heap, i));
		if (header < 0 || p->known[src] || !is_room(y, src, header))
			continue;
		uint32_t tag = static_tag(y, i);
		if (!tag || !counts_at(heap, src, header_size[header]))
			continue;
		set(y, src, tag, header);
		n++;
	}
	return n;
}

/* The word of an object at that offset: an edge, or SIZE_MAX. */
static uint64_t edge_at(const struct hf_heap *heap, uint32_t object, uint64_t offset)
{
	for (uint64_t e = heap->edge_offset[object]; e < heap->edge_offset[object + 1]; e++) {
		if (hf_heap_src_off(heap, e) == offset)
			return e;
	}
	return UINT64_MAX;
}

static uint64_t header_of(const struct hf_cpython *p, uint32_t object)
{
	return header_size[(p->known[object] & HEADER) - 1];
}

/* Is that edge a pointer to a type's object, not to what is before it? */
static bool is_type_edge(const struct hf_typing *y, uint64_t edge)
{
	const struct hf_cpython *p = y->cpython;
	uint32_t dst = y->heap->edge_dst[edge];
	return (p->known[dst] & IS_TYPE) && hf_heap_dst_off(y->heap, edge) == header_of(p, dst);
}

/* The nearest static type that a class is derived from, + 1; 0: not known. */
static uint32_t static_base(struct hf_typing *y, uint32_t class)
{
	const struct hf_heap *heap = y->heap;
	for (int i = 0; i < MAX_BASES; i++) {
		uint64_t offset = header_of(y->cpython, class) + y->cpython->tp_base;
		size_t first, n = hf_heap_modrefs_of(heap, class, &first);
		for (size_t r = first; r < first + n; r++) {
			if (hf_heap_modref_src_off(heap, r) == offset)
				return static_tag(y, r);
		}
		uint64_t edge = edge_at(heap, class, offset);
		if (edge == UINT64_MAX || !is_type_edge(y, edge))
			return 0;
		class = heap->edge_dst[edge];
	}
	return 0;
}

/* The tag of a class, + 1. Without contents it has no name, but it can be looked at. */
static uint32_t class_tag(struct hf_typing *y, uint32_t class)
{
	struct hf_cpython *p = y->cpython;
	uint32_t *known = hf_map_put(&p->by_class, (uint64_t) class + 1);
	if (!known || *known)
		return known ? *known : 0;
	uint32_t base = static_base(y, class);
	if (base && p->tags[base - 1].meta) /* a metaclass: its objects are classes as others */
		return *hf_map_put(&p->by_class, (uint64_t) class + 1) = base;
	const char *of = base ? p->tags[base - 1].name : "PyObject";
	char name[NAME_SIZE + 64];
	snprintf(name, sizeof(name), "%s of heap type 0x%llx",
		strcmp(of, "PyBaseObject") ? of : "PyObject",
		(unsigned long long)(y->heap->addr[class] + header_of(p, class)));
	const char *kept = hf_bump_text(&y->types->pool, name, strlen(name));
	uint32_t type = base ? p->tags[base - 1].type : p->object;
	struct tag *tag = kept ? new_tag(y, kept, named_struct(y, kept, type, true)) : NULL;
	known = hf_map_put(&p->by_class, (uint64_t) class + 1);
	return tag && known ? *known = (uint32_t)(tag - p->tags) + 1 : 0;
}

/* Objects of classes; classes of metaclasses come first, so it is done again while there are new
 * ones. Returns whether there were. */
static bool find_instances(struct hf_typing *y)
{
	const struct hf_heap *heap = y->heap;
	struct hf_cpython *p = y->cpython;
	bool more = false;
	for (uint32_t i = 0; i < heap->n_objects; i++) {
		if (p->known[i])
			continue;
		for (uint64_t e = heap->edge_offset[i]; e < heap->edge_offset[i + 1]; e++) {
			uint64_t offset = hf_heap_src_off(heap, e);
			if (offset > header_size[N_HEADERS - 1] + OB_TYPE)
				break;
			int header = header_at(offset);
			if (header < 0 || !is_type_edge(y, e) || !is_room(y, i, header) ||
				!counts_at(heap, i, header_size[header]))
				continue;
			uint32_t tag = class_tag(y, heap->edge_dst[e]);
			if (!tag)
				continue;
			set(y, i, tag, header);
			more |= p->tags[tag - 1].meta;
			break;
		}
	}
	return more;
}

/* Is there an interpreter? The structs that matter, if DWARF has them. */
static bool find_interpreter(struct hf_typing *y)
{
	struct hf_cpython *p = y->cpython;
	struct hf_types *types = y->types;
	uint32_t n;
	p->tp_base = TP_BASE;
	p->type_object = hf_types_by_name(types, "_typeobject");
	p->object = hf_types_by_name(types, "_object");
	if (!p->type_object || !p->object || !hf_type_has_at(types, p->type_object, 0, p->object)) {
		p->type_object = p->object = 0;
		for (uint32_t m = 0; m < types->heap->modules.n; m++) {
			const char *path = types->heap->modules.at[m].path;
			if (strstr(path, "python"))
				return true;
		}
		return false;
	}
	const struct hf_type_member *m = hf_types_members(types, p->type_object, &n);
	for (uint32_t i = 0; i < n; i++) {
		if (!strcmp(m[i].name, "tp_base"))
			p->tp_base = m[i].offset;
	}
	p->keys = hf_types_by_name(types, "_dictkeysobject");
	m = hf_types_members(types, p->keys, &n);
	for (uint32_t i = 0; i < n; i++) {
		p->unicode_keys |= !strcmp(m[i].name, "dk_kind");
		if (!strcmp(m[i].name, "dk_indices"))
			p->keys_header = m[i].offset;
	}
	return true;
}

enum hf_status hf_typing_find_python(struct hf_typing *y, struct hf_err *err)
{
	const struct hf_heap *heap = y->heap;
	struct hf_cpython *p = y->cpython = calloc(1, sizeof(*p));
	if (!p)
		return hf_err_set(err, HF_E_NOMEM, "no memory for types");
	if (!heap->modrefs.n || !find_interpreter(y)) {
		hf_cpython_destroy(p);
		y->cpython = NULL;
		return HF_OK;
	}
	p->n_modules = heap->modules.n;
	p->known = calloc(heap->n_objects + 1, sizeof(*p->known));
	p->symbols = calloc(p->n_modules + 1, sizeof(*p->symbols));
	p->looked = calloc(p->n_modules + 1, sizeof(*p->looked));
	if (!p->known || !p->symbols || !p->looked)
		return hf_err_set(err, HF_E_NOMEM, "no memory for Python's objects");
	p->link = hf_types_new(y->types,
		&(struct hf_type){
			.name = "link of the collector", .size = 8, .kind = HF_TYPE_BASE});
	if (find_static(y)) {
		for (int i = 0; find_instances(y) && i < MAX_ROUNDS; i++)
			;
	}
	free(p->known);
	p->known = NULL;
	return HF_OK;
}

/* Hash tables of dicts: indices of 1 to 8 bytes behind the header, then entries. */

static uint64_t keys_size(const struct hf_cpython *p, unsigned log2, bool unicode)
{
	unsigned bytes = log2 < 8 ? 0 : log2 < 16 ? 1 : log2 < 32 ? 2 : 3;
	return p->keys_header + (1ull << (log2 + bytes)) +
	       ((1ull << log2) << 1) / 3 * (unicode ? 16 : 24);
}

static uint32_t keys_variant(struct hf_typing *y, unsigned log2, bool unicode)
{
	struct hf_cpython *p = y->cpython;
	struct hf_types *types = y->types;
	uint32_t *kept = &p->keys_variant[log2][unicode], n;
	if (*kept)
		return *kept;
	uint32_t entry = hf_types_by_name(types, unicode ? "PyDictUnicodeEntry" : "PyDictKeyEntry");
	uint64_t usable = ((1ull << log2) << 1) / 3;
	struct hf_type_member members[16];
	const struct hf_type_member *m = hf_types_members(types, p->keys, &n);
	if (!entry || !n || n > 14)
		return 0;
	memcpy(members, m, n * sizeof(*m));
	uint64_t entries = keys_size(p, log2, unicode) - usable * types->at[entry].size;
	members[n - 1].type = hf_types_array(types, types->char_type, entries - p->keys_header);
	members[n++] = (struct hf_type_member){
		"dk_entries", entries, hf_types_array(types, entry, usable), 0};
	return *kept = hf_types_record(types, NULL, p->keys, members, n);
}

uint32_t hf_cpython_fit(struct hf_typing *y, uint32_t object, uint32_t type)
{
	const struct hf_cpython *p = y->cpython;
	const struct hf_heap *heap = y->heap;
	bool exact = heap->site && heap->site[object] && heap->requested;
	uint64_t has = exact ? heap->requested[object] : heap->usable[object];
	uint64_t slack = exact ? 1 : 24;
	if (!type || type != p->keys || !p->keys_header)
		return 0;
	if (heap->arenas.at[heap->arena[object]].kind == HF_ARENA_MMAPPED)
		slack = 4096;
	for (unsigned log2 = 3; log2 < MAX_LOG2 && keys_size(p, log2, true) <= has; log2++) {
		for (int general = !p->unicode_keys; general < 2; general++) {
			uint64_t size = keys_size(p, log2, !general);
			if (has >= size && has - size < slack)
				return keys_variant(y, log2, !general);
		}
	}
	return 0;
}

/* Static and thread-local variables: which one a root word lies in, and of what type it is. */
#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "types/build.h"
#include "types/index.h"
#include "types/typing.h"

enum { NAME_SIZE = 512, MAX_BACK = 16 /* variables looked at back from an address */ };

static const char *keep(struct hf_typing *y, const char *text)
{
	return hf_bump_text(&y->types->pool, text, strlen(text));
}

/* The variable that covers an address of the file; its type and size by the way. */
static const struct hf_type_variable *covering(struct hf_typing *y, uint32_t module,
	const struct hf_type_index *x, uint64_t addr, uint32_t *ret_type)
{
	const struct hf_type_variable *v = hf_type_index_variable(x, addr);
	for (size_t k = 0; v && k < MAX_BACK && v >= x->variables; k++, v--) {
		Dwarf_Die die;
		uint32_t type = hf_type_index_die(x, v->place, &die)
					? hf_types_of_variable(y->types, module, &die)
					: 0;
		if (type && addr - v->addr < y->types->at[type].size) {
			*ret_type = type;
			return v;
		}
	}
	return NULL;
}

uint32_t hf_typing_dynamic(struct hf_typing *y, uint32_t src, uint64_t offset)
{
	const struct hf_heap *heap = y->heap;
	size_t first, n = hf_heap_modrefs_of(heap, src, &first);
	for (size_t i = first; i < first + n; i++) {
		const struct hf_heap_modref *r = &heap->modrefs.at[i];
		if (hf_heap_modref_src_off(heap, i) != offset + 8)
			continue;
		const struct hf_type_index *x = hf_type_index(y->types, r->module);
		uint64_t bias = hf_debug_module(y->types->files, r->module)->bias;
		uint64_t addr =
			heap->modules.at[r->module].base + hf_heap_modref_module_off(heap, i);
		uint32_t table;
		Dwarf_Attribute attr;
		Dwarf_Die die, of;
		/* the vtable's type says whose it is */
		if (!x || !covering(y, r->module, x, addr - bias, &table))
			return 0;
		die = y->types->at[table].die;
		return die.addr && dwarf_attr(&die, DW_AT_containing_type, &attr) &&
				       dwarf_formref_die(&attr, &of)
			       ? hf_types_of_die(y->types, r->module, &of)
			       : 0;
	}
	return 0;
}

static const char *linkage_name(Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attr) ||
		dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attr))
		return dwarf_formstring(&attr);
	return NULL;
}

/* A thread-local variable is known by its name: where a module's block is, the dump does not say.
 */
static const struct hf_type_variable *thread_local_named(
	const struct hf_type_index *x, const char *name)
{
	for (size_t i = x->n_variables; i-- > 0 && x->variables[i].tls;) {
		Dwarf_Die die;
		if (!hf_type_index_die(x, x->variables[i].place, &die))
			continue;
		const char *plain = dwarf_diename(&die), *linkage = linkage_name(&die);
		if ((plain && !strcmp(plain, name)) || (linkage && !strcmp(linkage, name)))
			return &x->variables[i];
	}
	return NULL;
}

static void take(struct hf_typing *y, uint32_t variable, uint32_t module,
	const struct hf_type_variable *v, uint32_t type)
{
	char name[NAME_SIZE] = "";
	Dwarf_Die die;
	y->variable_type[variable] = type;
	if (hf_type_index_die(y->types->indexes[module], v->place, &die))
		hf_types_variable_name(y->types, module, &die, name, sizeof(name));
	if (name[0])
		y->variable_name[variable] = keep(y, name);
}

/* A root word that no symbol covers: a stripped program whose debug information lies elsewhere. */
static bool new_variable(struct hf_typing *y, struct hf_heap_root *r, uint32_t module,
	const struct hf_type_variable *v, uint32_t type, uint64_t bias)
{
	struct hf_heap *heap = y->heap;
	struct hf_heap_variable *added = hf_heap_push(&heap->variables);
	if (!added)
		return false;
	*added = (struct hf_heap_variable){.name = "",
		.addr = v->addr + bias,
		.size_bytes = y->types->at[type].size,
		.kind = HF_ROOT_STATIC,
		.module = module,
		.thread = HF_NONE};
	Dwarf_Die die;
	Dwarf_Attribute attr;
	bool external = false;
	if (hf_type_index_die(y->types->indexes[module], v->place, &die) &&
		dwarf_attr_integrate(&die, DW_AT_external, &attr))
		dwarf_formflag(&attr, &external);
	if (external)
		added->kind = HF_ROOT_GLOBAL;
	if (hf_typing_grow(y, NULL))
		return false;
	r->variable = (uint32_t)heap->variables.n - 1;
	r->kind = heap->variables.at[r->variable].kind;
	take(y, r->variable, module, v, type);
	/* the name is what ranks it among the named ones */
	if (y->variable_name[r->variable])
		heap->variables.at[r->variable].name = y->variable_name[r->variable];
	return true;
}

static bool type_root(struct hf_typing *y, struct hf_heap_root *r, struct hf_map *made)
{
	struct hf_heap *heap = y->heap;
	uint32_t module = r->module, type = 0;
	const struct hf_type_index *x = hf_type_index(y->types, module);
	if (!x || (r->variable != HF_NONE && y->variable_type[r->variable]))
		return true;
	uint64_t bias = hf_debug_module(y->types->files, module)->bias;
	if (r->kind == HF_ROOT_TLS) {
		const struct hf_type_variable *v =
			r->variable == HF_NONE
				? NULL
				: thread_local_named(x, heap->variables.at[r->variable].name);
		Dwarf_Die die;
		if (v && hf_type_index_die(x, v->place, &die)) {
			take(y, r->variable, module, v,
				hf_types_of_variable(y->types, module, &die));
		}
		return true;
	}
	const struct hf_type_variable *v = covering(y, module, x, r->addr - bias, &type);
	if (!v)
		return true;
	if (r->variable != HF_NONE) {
		/* a symbol inside a larger variable, or the other way round, keeps its name only */
		if (heap->variables.at[r->variable].addr == v->addr + bias)
			take(y, r->variable, module, v, type);
		return true;
	}
	uint32_t *known = hf_map_put(made, v->addr + bias);
	if (!known)
		return false;
	if (*known) {
		r->variable = *known - 1;
		r->kind = heap->variables.at[r->variable].kind;
		return true;
	}
	if (!new_variable(y, r, module, v, type, bias))
		return false;
	*known = r->variable + 1;
	return true;
}

/* stdin, stdout and stderr of a C library without debug information: what is left in their buffers
 * holds nothing. struct _IO_FILE of glibc, whose beginning has not changed since 2.1. */
static void type_streams(struct hf_typing *y)
{
	enum { FIRST = 8, N_POINTERS = 11 };
	static const char *const pointers[N_POINTERS] = {"_IO_read_ptr", "_IO_read_end",
		"_IO_read_base", "_IO_write_base", "_IO_write_ptr", "_IO_write_end", "_IO_buf_base",
		"_IO_buf_end", "_IO_save_base", "_IO_backup_base", "_IO_save_end"};
	static const char symbol[] = "_IO_2_1_std";
	const struct hf_heap *heap = y->heap;
	struct hf_type_member members[N_POINTERS];
	uint32_t type = 0;
	for (uint32_t v = 0; v < heap->variables.n; v++) {
		if (y->variable_type[v] ||
			strncmp(heap->variables.at[v].name, symbol, sizeof(symbol) - 1))
			continue;
		for (size_t i = 0; !type && i < N_POINTERS; i++)
			members[i] = (struct hf_type_member){pointers[i], FIRST + 8 * i,
				hf_types_pointer(y->types, y->types->char_type), 0};
		if (!type)
			type = hf_types_record(y->types, "struct _IO_FILE", 0, members, N_POINTERS);
		y->variable_type[v] = type;
	}
}

enum hf_status hf_typing_find_variables(struct hf_typing *y, struct hf_err *err)
{
	struct hf_heap *heap = y->heap;
	struct hf_map made = {0};
	bool ok = true;
	for (size_t i = 0; ok && i < heap->roots.n; i++) {
		struct hf_heap_root *r = &heap->roots.at[i];
		if (r->module != HF_NONE &&
			(r->kind == HF_ROOT_GLOBAL || r->kind == HF_ROOT_STATIC ||
				r->kind == HF_ROOT_TLS))
			ok = type_root(y, r, &made);
	}
	hf_map_deinit(&made);
	type_streams(y);
	return ok ? HF_OK : hf_err_set(err, HF_E_NOMEM, "no memory for variables");
}

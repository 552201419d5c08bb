#include "symbolize/symbolizer.h"

#include <stdlib.h>
#include <string.h>

#include "symbolize/demangle.h"
#include "symbolize/elf_functions.h"
#include "symbolize/names.h"
#include "symbolize/unit.h"

struct module {
	bool looked;
	struct hf_units units;
	struct hf_elf_functions functions;
};

struct hf_symbolizer {
	struct hf_debug_files *files;
	struct hf_symbol_names names;
	size_t n_modules;
	struct module modules[];
};

enum hf_status hf_symbolizer_create(
	struct hf_symbolizer **ret, struct hf_debug_files *files, struct hf_err *err)
{
	size_t n = hf_debug_n_modules(files);
	struct hf_symbolizer *s = calloc(1, sizeof(*s) + n * sizeof(*s->modules));
	if (!s)
		return hf_err_set(err, HF_E_NOMEM, "no memory for %zu modules", n);
	s->files = files;
	s->n_modules = n;
	*ret = s;
	return HF_OK;
}

void hf_symbolizer_destroy(struct hf_symbolizer *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_modules; i++) {
		hf_units_deinit(&s->modules[i].units);
		hf_elf_functions_deinit(&s->modules[i].functions);
	}
	hf_symbol_names_deinit(&s->names);
	free(s);
}

static struct module *look(struct hf_symbolizer *s, uint32_t index)
{
	struct module *m = &s->modules[index];
	if (m->looked)
		return m;
	m->looked = true;
	const struct hf_debug_module *d = hf_debug_module(s->files, index);
	if (d->dwarf)
		hf_units_init(&m->units, s->files, index);
	if (d->symbols)
		hf_elf_functions_init(&m->functions, d->symbols);
	return m;
}

/* A function's name twice, as the linker and as people have it. */
static void set_name(struct hf_symbolizer *s, const char *name, struct hf_symbol_frame *ret)
{
	char buf[HF_DEMANGLED_SIZE];
	if (!name || !*name)
		return;
	const char *known = hf_symbol_names_find(&s->names, name, &ret->linkage);
	ret->function = known ? known
			      : hf_symbol_names_add(&s->names, name,
					hf_demangle(name, buf, sizeof(buf)), &ret->linkage);
}

size_t hf_symbolize(struct hf_symbolizer *s, uint32_t module, uint64_t pc,
	struct hf_symbol_frame *ret, size_t max)
{
	if (module >= s->n_modules || !max)
		return 0;
	struct module *m = look(s, module);
	uint64_t address = pc - hf_debug_module(s->files, module)->bias;
	struct hf_unit_frame frames[HF_SYMBOL_MAX_FRAMES];
	size_t n = hf_units_frames(&m->units, address, frames,
		max < HF_SYMBOL_MAX_FRAMES ? max : HF_SYMBOL_MAX_FRAMES);
	for (size_t i = 0; i < n; i++) {
		ret[i] = (struct hf_symbol_frame){.line = frames[i].line,
			.file = hf_symbol_names_text(&s->names, frames[i].file)};
		set_name(s, frames[i].name, &ret[i]);
	}
	const char *symbol =
		n && ret[n - 1].function ? NULL : hf_elf_function_at(&m->functions, address);
	if (!symbol)
		return n;
	if (!n)
		ret[n++] = (struct hf_symbol_frame){0};
	set_name(s, symbol, &ret[n - 1]);
	return n;
}

bool hf_symbolizer_function(struct hf_symbolizer *s, uint32_t module, uint64_t pc, Dwarf_Die *ret)
{
	if (module >= s->n_modules)
		return false;
	uint64_t address = pc - hf_debug_module(s->files, module)->bias;
	return hf_units_function(&look(s, module)->units, address, ret);
}

/* What hf_debug_module() finds for a module of a path and build id:
 *     debug_files_probe PATH BUILD_ID_HEX [SYSROOT [DEBUG_DIR...]]
 */
#include <dwarf.h>
#include <stdio.h>
#include <string.h>

#include "symbolize/debug_files.h"

static const char *const states[] = {[HF_DEBUG_OK] = "ok",
	[HF_DEBUG_MISSING] = "missing",
	[HF_DEBUG_NO_FILE] = "no-file",
	[HF_DEBUG_REFUSED] = "refused",
	[HF_DEBUG_DAMAGED] = "damaged",
	[HF_DEBUG_NO_MODULE] = "no-module"};

static uint32_t parse_id(const char *hex, uint8_t *ret)
{
	uint32_t n = 0;
	for (unsigned byte; n < 64 && sscanf(hex, "%2x", &byte) == 1; hex += 2)
		ret[n++] = (uint8_t)byte;
	return n;
}

int main(int argc, char **argv)
{
	uint8_t id[64];
	struct hf_heap heap;
	struct hf_err err;
	struct hf_debug_files *files;
	if (argc < 3)
		return 2;
	hf_heap_init(&heap);
	*hf_heap_push(&heap.modules) = (struct hf_heap_module){.base = 0x1000,
		.size = 0x1000,
		.path = argv[1],
		.build_id = id,
		.build_id_size = parse_id(argv[2], id)};
	struct hf_debug_options options = {.sysroot = argc > 3 ? argv[3] : NULL,
		.dirs = (const char *const *)argv + 4,
		.n_dirs = argc > 4 ? (size_t)argc - 4 : 0};
	if (hf_debug_files_create(&files, &heap, &options, &err))
		return 1;
	const struct hf_debug_module *m = hf_debug_module(files, 0);
	printf("state %s\nelf %s\ndebug %s\nadvice %s\n", states[m->state], m->path, m->debug_path,
		hf_debug_advice(files, 0));
	Dwarf_Die unit;
	for (Dwarf_CU *cu = NULL; hf_debug_next_unit(files, 0, &cu, &unit);) {
		Dwarf_Die child;
		printf("unit %s\n", dwarf_diename(&unit));
		for (int more = dwarf_child(&unit, &child); !more;
			more = dwarf_siblingof(&child, &child))
			if (dwarf_tag(&child) == DW_TAG_structure_type)
				printf("struct %s\n", dwarf_diename(&child));
	}
	printf("units-missing %u\n", m->n_units_missing);
	hf_debug_files_destroy(files);
	hf_heap_deinit(&heap);
	return 0;
}

/*
 * The files of a dump's modules: the mapped ELF file and the one that has its DWARF.
 *
 * A module is looked for by its path (below the sysroot if there is one) and must have the build id
 * that the dump has for it; a file with another build id is refused, with one line. Its DWARF may
 * be in it, or in a separate debug file: by build id (DIR/.build-id/xx/yyyy.debug), by
 * .gnu_debuglink, as DIR/PATH[.debug] or DIR/NAME[.debug], in --debug-dir directories first, then
 * below the sysroot, then in /usr/lib/debug, then from debuginfod if DEBUGINFOD_URLS is set
 * (through libdebuginfod, loaded when it is wanted). What such a file shares with others by dwz
 * (.gnu_debugaltlink) is found in the same places. Compressed sections and DWARF 2 to 5 are libdw's
 * business; split DWARF (.dwo) too, see hf_debug_next_unit().
 *
 * Files are opened when they are first asked for and stay open, with everything libdw hands out,
 * until hf_debug_files_destroy().
 * Thread rule: libdw is not thread safe: all of it belongs to one thread at a time.
 */
#pragma once
#include <elfutils/libdw.h>
#include <libelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "source/heap.h"

struct hf_debug_options {
	const char *const *dirs; /* --debug-dir, in order */
	size_t n_dirs;
	const char *sysroot; /* NULL or "": / */
	bool no_debuginfod;  /* never ask, whatever DEBUGINFOD_URLS says */
};

enum hf_debug_state {
	HF_DEBUG_OK,      /* dwarf is there */
	HF_DEBUG_MISSING, /* the module's file is there, its DWARF is not */
	HF_DEBUG_NO_FILE, /* neither is */
	HF_DEBUG_REFUSED, /* the file at its path is another one by now, and no debug file was found
			   */
	HF_DEBUG_DAMAGED, /* a file that should have it is damaged */
	HF_DEBUG_NO_MODULE /* no file at all: the vdso */
};

struct hf_debug_module {
	enum hf_debug_state state;
	Elf *elf;     /* the module's own file, or NULL */
	Elf *symbols; /* the file with the fullest symbol table (.symtab before .dynsym), or NULL */
	Dwarf *dwarf; /* or NULL */
	uint64_t bias;            /* is added to an address of any of them */
	const char *path;         /* of elf; "" if there is none */
	const char *debug_path;   /* of dwarf; "" if there is none */
	uint32_t n_units_missing; /* of split DWARF: .dwo files that are not there, as far as known
				   */
};

struct hf_debug_files; /* opaque */

/* For the modules of heap, which must outlive it. Opens nothing yet. The options are copied.
 * HF_E_NOMEM. */
enum hf_status hf_debug_files_create(struct hf_debug_files **ret, const struct hf_heap *heap,
	const struct hf_debug_options *options, struct hf_err *err);
void hf_debug_files_destroy(struct hf_debug_files *files);

/* Of the heap. */
size_t hf_debug_n_modules(const struct hf_debug_files *files);
/* Of a module of the heap, by its index. Looks for the files on the first call; never NULL. */
const struct hf_debug_module *hf_debug_module(struct hf_debug_files *files, uint32_t module);

/* What is missing of a module and how to get it, one line without a full stop; "" if nothing is. */
const char *hf_debug_advice(struct hf_debug_files *files, uint32_t module);

/* The same of its split DWARF, as far as its units were asked for. */
const char *hf_debug_split_advice(struct hf_debug_files *files, uint32_t module);

/* The units of a module's DWARF, one by one: start with *cu NULL; false: no more. *ret_unit is the
 * unit's DIE, of split DWARF the one in the .dwo file; units whose .dwo is missing are passed over
 * and counted. */
bool hf_debug_next_unit(
	struct hf_debug_files *files, uint32_t module, Dwarf_CU **cu, Dwarf_Die *ret_unit);

/*
 * Packages of split DWARF (.dwp; DWARF 5, 7.3.5, and GNU's of DWARF 4, "DebugFissionDWP"): libdw
 * 0.188 does not read them. What a package has for the units of a program is put together to one
 * ELF file in memory that libdw takes for ordinary DWARF: each unit gets its abbreviations, and
 * there the bases of its strings and addresses as constants.
 *
 * So does each type unit (.debug_tu_index) of DWARF 4; those of DWARF 5 are left out. Locations by
 * lists and ranges of units are left out: there are types and static variables, but no variables of
 * frames. Thread rule: as symbolize/debug_files.h.
 */
#pragma once
#include <elfutils/libdw.h>
#include <libelf.h>
#include <stdbool.h>
#include <stddef.h>

struct hf_dwp {
	Elf *elf;
	char *image;         /* the file in memory */
	Dwarf *dwarf;        /* of it */
	size_t n_types_left; /* type units that it is without */
};

/* For the skeleton units of `dwarf`, of the program in main_elf. false: not a package, or it has
 * none of them, or no memory. */
bool hf_dwp_open(struct hf_dwp *ret, Elf *package, Dwarf *dwarf, Elf *main_elf);
void hf_dwp_close(struct hf_dwp *dwp);

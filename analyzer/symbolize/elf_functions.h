/* The functions of an ELF symbol table, by address. Inside symbolize/ only. */
#pragma once
#include <libelf.h>
#include <stddef.h>
#include <stdint.h>

struct hf_elf_function {
	uint64_t start, size;
	const char *name; /* in the file */
};

struct hf_elf_functions {
	struct hf_elf_function *at; /* sorted */
	size_t n;
};

/* .symtab, else .dynsym. Nothing is there if it cannot be read. */
void hf_elf_functions_init(struct hf_elf_functions *ret, Elf *elf);
void hf_elf_functions_deinit(struct hf_elf_functions *functions);
/* The name of the function around an address of the file, or NULL. */
const char *hf_elf_function_at(const struct hf_elf_functions *functions, uint64_t address);

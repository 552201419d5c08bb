/*
 * Data symbols of an image, from the .symtab of its file (local ones too) or else its .dynsym.
 * Source: ELF gABI, chapters "Sections" and "Symbol Table".
 * Thread and signal safety: async-signal-safe. The file is a stranger's: every offset is checked.
 */
#pragma once
#include "image/image.h"

struct hf_symbol {
	uint64_t addr; /* in the process; of a TLS symbol: offset in the image's TLS block */
	uint64_t size; /* bytes, > 0 */
	const char
		*name; /* in the mapped file: copy what is kept; at most HF_SYMBOL_NAME_MAX long */
	uint8_t tls, local;
};

enum { HF_SYMBOL_NAME_MAX = 4096 };

/* Where the files of a process are found. */
struct hf_image_files {
	const char *proc_dir; /* "/proc/PID" of a process that has them mapped, or NULL */
	const char *root_dir; /* put before paths: "" for this process's view, "/proc/PID/root", or
				 a copy of the file system of the process */
};

/* The open symbol table of one file. */
struct hf_symbols {
	const uint8_t *file;
	uint64_t file_size;
	uint64_t table, n; /* offset of the symbols, their number */
	uint64_t strings, strings_size;
	bool full; /* .symtab, not .dynsym */
};

/* Open the file of an image and map it: the mapped file itself where the kernel lets us
 * (/proc/PID/map_files, deleted files too), else the file of that name below root_dir, else the one
 * of that name in our own view, where it is the same (by build id, or else by inode).
 * HF_E_NOTFOUND: no such file, another file by now, or no symbols in it. */
enum hf_status hf_symbols_open(struct hf_symbols *symbols, const struct hf_image *image,
	const struct hf_image_files *files, struct hf_err *err);
void hf_symbols_close(struct hf_symbols *symbols);

/* Symbol number i, if it is one of data or TLS with a size and a sound name. */
bool hf_symbols_get(const struct hf_symbols *symbols, const struct hf_image *image, uint64_t i,
	struct hf_symbol *ret);

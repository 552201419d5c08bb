/* Where a debug file may lie. Inside symbolize/ only. */
#pragma once
#include <gelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HF_DEBUG_PATH_SIZE = 4096, HF_BUILD_ID_MAX = 64 };

/* An open ELF file. */
struct hf_debug_file {
	int fd;
	Elf *elf; /* NULL: closed */
	char *path;
	const uint8_t *build_id; /* in elf */
	size_t build_id_size;
};

/* false: not there, or no ELF file. */
bool hf_debug_file_open(struct hf_debug_file *ret, const char *path);
/* Takes fd over. */
bool hf_debug_file_open_fd(struct hf_debug_file *ret, int fd, const char *path);
void hf_debug_file_close(struct hf_debug_file *file);

bool hf_debug_has_section(Elf *elf, const char *name);
/* "libfoo.so.debug" and its CRC, from .gnu_debuglink. NULL: none. */
const char *hf_debug_link(Elf *elf, uint32_t *ret_crc);
/* Has the file that checksum? */
bool hf_debug_crc_matches(const struct hf_debug_file *file, uint32_t crc);

/* The debug information of a build id from debuginfod: an open descriptor and *ret_path (to be
 * freed), or -1: there is none, DEBUGINFOD_URLS is not set, or there is no libdebuginfod. */
int hf_debuginfod_find(const uint8_t *build_id, size_t size, char **ret_path);
/* Would it be asked, if libdebuginfod were there? */
bool hf_debuginfod_wanted(void);
bool hf_debuginfod_present(void);

/* The Debian package that a file below sysroot belongs to, by dpkg's lists; false: not known. */
bool hf_debug_package(const char *sysroot, const char *path, char *ret, size_t size);

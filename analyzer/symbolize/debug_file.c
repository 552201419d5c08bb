/* One ELF file: build id, debug link, checksum. */
#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "symbolize/debug_find.h"

bool hf_debug_file_open_fd(struct hf_debug_file *ret, int fd, const char *path)
{
	struct stat st;
	*ret = (struct hf_debug_file){.fd = fd};
	elf_version(EV_CURRENT);
	/* A FIFO or a device at the path would hang or never end. */
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		ret->elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	GElf_Ehdr header;
	if (ret->elf && elf_kind(ret->elf) == ELF_K_ELF && gelf_getehdr(ret->elf, &header) &&
		header.e_ident[EI_CLASS] == ELFCLASS64)
		ret->path = strdup(path);
	if (!ret->path) {
		hf_debug_file_close(ret);
		return false;
	}
	const void *id = NULL;
	ssize_t size = dwelf_elf_gnu_build_id(ret->elf, &id);
	if (size > 0 && size <= HF_BUILD_ID_MAX) {
		ret->build_id = id;
		ret->build_id_size = (size_t)size;
	}
	return true;
}

bool hf_debug_file_open(struct hf_debug_file *ret, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	*ret = (struct hf_debug_file){.fd = -1};
	return fd >= 0 && hf_debug_file_open_fd(ret, fd, path);
}

void hf_debug_file_close(struct hf_debug_file *file)
{
	elf_end(file->elf);
	free(file->path);
	if (file->fd >= 0)
		close(file->fd);
	*file = (struct hf_debug_file){.fd = -1};
}

bool hf_debug_has_section(Elf *elf, const char *name)
{
	size_t names;
	if (elf_getshdrstrndx(elf, &names))
		return false;
	for (Elf_Scn *scn = NULL; (scn = elf_nextscn(elf, scn));) {
		GElf_Shdr header;
		if (!gelf_getshdr(scn, &header) || header.sh_type == SHT_NOBITS)
			continue;
		const char *s = elf_strptr(elf, names, header.sh_name);
		if (s && !strcmp(s, name))
			return true;
	}
	return false;
}

const char *hf_debug_link(Elf *elf, uint32_t *ret_crc)
{
	GElf_Word crc = 0;
	const char *name = dwelf_elf_gnu_debuglink(elf, &crc);
	/* A name of one file: nothing that leads elsewhere. */
	if (!name || !name[0] || strchr(name, '/') || strlen(name) > 255)
		return NULL;
	*ret_crc = crc;
	return name;
}

bool hf_debug_crc_matches(const struct hf_debug_file *file, uint32_t crc)
{
	struct stat st;
	if (fstat(file->fd, &st) || st.st_size <= 0)
		return false;
	size_t size = (size_t)st.st_size;
	const uint8_t *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file->fd, 0);
	if (bytes == MAP_FAILED)
		return false;
	bool same = crc32_z(0, bytes, size) == crc;
	munmap((void *)bytes, size);
	return same;
}

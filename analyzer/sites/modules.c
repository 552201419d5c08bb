#include "sites/modules.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { MAX_SEGMENTS = 128, PAGE = 4096, MAX_BUILD_ID = 64, MAX_NOTES = 4096 };

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* What of a file tells how it was mapped. */
struct elf_file {
	int n; /* program headers; 0: there is no such file */
	Elf64_Phdr segments[MAX_SEGMENTS];
	uint32_t build_id_size;
	uint8_t build_id[MAX_BUILD_ID];
};

static void read_build_id(int fd, const Elf64_Phdr *notes, struct elf_file *ret)
{
	uint8_t bytes[MAX_NOTES];
	uint64_t size = notes->p_filesz < sizeof(bytes) ? notes->p_filesz : sizeof(bytes);
	ssize_t n = pread(fd, bytes, size, (off_t)notes->p_offset);
	for (size_t at = 0; n > 0 && at + sizeof(Elf64_Nhdr) <= (size_t)n;) {
		Elf64_Nhdr note;
		memcpy(&note, bytes + at, sizeof(note));
		size_t name = at + sizeof(note), data = name + (note.n_namesz + 3ull) / 4 * 4;
		size_t end = data + (note.n_descsz + 3ull) / 4 * 4;
		if (end > (size_t)n || end <= at)
			return;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
			!memcmp(bytes + name, "GNU", 4) && note.n_descsz <= MAX_BUILD_ID) {
			memcpy(ret->build_id, bytes + data, note.n_descsz);
			ret->build_id_size = note.n_descsz;
			return;
		}
		at = end;
	}
}

static void read_elf(const char *path, struct elf_file *ret)
{
	Elf64_Ehdr header;
	*ret = (struct elf_file){0};
	_cleanup_(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 || pread(fd, &header, sizeof(header), 0) != sizeof(header) ||
		memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
		header.e_phentsize != sizeof(*ret->segments) || header.e_phnum > MAX_SEGMENTS)
		return;
	ssize_t size = (ssize_t)(header.e_phnum * sizeof(*ret->segments));
	if (pread(fd, ret->segments, (size_t)size, (off_t)header.e_phoff) != size)
		return;
	ret->n = header.e_phnum;
	for (int i = 0; i < ret->n && !ret->build_id_size; i++) {
		if (ret->segments[i].p_type == PT_NOTE)
			read_build_id(fd, &ret->segments[i], ret);
	}
}

/* What to add to addresses of the file. By the program header whose bytes are at the mapping's
 * start; without the file, as if it were mapped as it is. */
static uint64_t find_bias(const struct hf_profile_mapping *m, const struct elf_file *file)
{
	uint64_t plain = m->start - m->offset;
	for (int i = 0; i < file->n; i++) {
		const Elf64_Phdr *p = &file->segments[i];
		uint64_t first = p->p_offset & ~(uint64_t)(PAGE - 1);
		if (p->p_type == PT_LOAD && m->offset >= first &&
			m->offset - first < p->p_filesz + (p->p_offset - first))
			return plain + p->p_offset - p->p_vaddr;
	}
	return plain;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static uint32_t read_hex(const char *text, uint8_t *ret)
{
	uint32_t n = 0;
	for (; n < MAX_BUILD_ID && text[0] && text[1]; text += 2, n++) {
		int high = hex_digit(text[0]), low = hex_digit(text[1]);
		if (high < 0 || low < 0)
			return 0;
		ret[n] = (uint8_t)(high << 4 | low);
	}
	return n;
}

enum hf_status hf_sites_modules(
	const struct hf_profile *profile, struct hf_heap *ret, struct hf_err *err)
{
	for (size_t i = 0; i < profile->n_mappings; i++) {
		const struct hf_profile_mapping *from = &profile->mappings[i];
		uint8_t build_id[MAX_BUILD_ID];
		uint32_t n = read_hex(from->build_id, build_id);
		struct elf_file file;
		read_elf(from->file, &file);
		/* Texts have no build ids: the file at the path is taken for the right one. */
		if (!*from->build_id) {
			n = file.build_id_size;
			memcpy(build_id, file.build_id, n);
		}
		struct hf_heap_module *to = hf_heap_push(&ret->modules);
		const char *id = hf_heap_string(ret, build_id, n);
		if (!to || !id)
			return hf_err_set(err, HF_E_NOMEM, "no memory for the profile's modules");
		*to = (struct hf_heap_module){.base = from->start,
			.size = from->limit - from->start,
			.bias = find_bias(from, &file),
			.path = from->file,
			.build_id = (const uint8_t *)id,
			.build_id_size = n};
	}
	return HF_OK;
}

#include "sites/modules.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { MAX_SEGMENTS = 128, PAGE = 4096, MAX_BUILD_ID = 64 };

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* What to add to addresses of the file. By the program header whose bytes are at the mapping's
 * start; without the file, as if it were mapped as it is. */
static uint64_t find_bias(const struct hf_profile_mapping *m)
{
	Elf64_Ehdr header;
	Elf64_Phdr segments[MAX_SEGMENTS];
	uint64_t plain = m->start - m->offset;
	_cleanup_(close_fd) int fd = open(m->file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 || pread(fd, &header, sizeof(header), 0) != sizeof(header) ||
		memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
		header.e_phentsize != sizeof(*segments) || header.e_phnum > MAX_SEGMENTS)
		return plain;
	ssize_t size = (ssize_t)(header.e_phnum * sizeof(*segments));
	if (pread(fd, segments, (size_t)size, (off_t)header.e_phoff) != size)
		return plain;
	for (int i = 0; i < header.e_phnum; i++) {
		const Elf64_Phdr *p = &segments[i];
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
		struct hf_heap_module *to = hf_heap_push(&ret->modules);
		const char *id = hf_heap_string(ret, build_id, n);
		if (!to || !id)
			return hf_err_set(err, HF_E_NOMEM, "no memory for the profile's modules");
		*to = (struct hf_heap_module){.base = from->start,
			.size = from->limit - from->start,
			.bias = find_bias(from),
			.path = from->file,
			.build_id = (const uint8_t *)id,
			.build_id_size = n};
	}
	return HF_OK;
}

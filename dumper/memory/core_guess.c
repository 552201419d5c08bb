/*
 * A core without NT_FILE: one that is cut before its notes, as those of gcore come last. Each ELF
 * image shows its first page, whose program headers say which part of its file lies where; their
 * names are in the dynamic loader's list (struct r_debug and struct link_map of <link.h>), which
 * DT_DEBUG of the program's dynamic section leads to. Every value is a stranger's.
 */
#include <elf.h>
#include <link.h>
#include <string.h>

#include "base/checked.h"
#include "memory/core_file.h"

enum { MAX_IMAGES = 4096, MAX_LINKS = 4096, MAX_TAGS = 256, MAX_PHDRS = 64, MAX_PATH = 4096 };

#define THE_PROGRAM "(the program)"
#define A_LIBRARY   "(a library)"

struct guess {
	struct hf_core *core;
	struct hf_pool *pool;
	uint64_t link_map;  /* head of the loader's list; 0: not found */
	uint64_t link_bias; /* of the image that led to it: the program */
};

struct image {
	uint64_t start, bias, dynamic;
	const Elf64_Phdr *phdrs; /* in the core, maybe not aligned */
	uint32_t n;
};

static bool copy(const struct hf_core *core, uint64_t addr, void *buf, size_t size)
{
	uint64_t n = size;
	const uint8_t *p = hf_core_at(core, addr, &n);
	if (!p || n < size)
		return false;
	memcpy(buf, p, size);
	return true;
}

static Elf64_Phdr phdr_at(const struct image *image, uint32_t i)
{
	Elf64_Phdr ph;
	memcpy(&ph, (const uint8_t *)image->phdrs + i * sizeof(ph), sizeof(ph));
	return ph;
}

static bool parse(const struct hf_core *core, uint64_t start, struct image *ret)
{
	Elf64_Ehdr eh;
	if (!copy(core, start, &eh, sizeof(eh)) || memcmp(eh.e_ident, ELFMAG, SELFMAG) ||
		eh.e_ident[EI_CLASS] != ELFCLASS64 ||
		(eh.e_type != ET_DYN && eh.e_type != ET_EXEC) ||
		eh.e_phentsize != sizeof(Elf64_Phdr) || !eh.e_phnum || eh.e_phnum > MAX_PHDRS ||
		eh.e_phoff > HF_PAGE)
		return false;
	uint64_t size = eh.e_phnum * sizeof(Elf64_Phdr);
	*ret = (struct image){.start = start, .n = eh.e_phnum};
	ret->phdrs = (const void *)hf_core_at(core, start + eh.e_phoff, &size);
	if (!ret->phdrs || size < eh.e_phnum * sizeof(Elf64_Phdr))
		return false;
	bool headed = false;
	for (uint32_t i = 0; i < ret->n; i++) {
		Elf64_Phdr ph = phdr_at(ret, i);
		if (ph.p_type == PT_LOAD && !headed && ph.p_offset < HF_PAGE) {
			ret->bias = start - hf_align_down(ph.p_vaddr, HF_PAGE);
			headed = true;
		}
	}
	for (uint32_t i = 0; i < ret->n; i++) {
		Elf64_Phdr ph = phdr_at(ret, i);
		if (ph.p_type == PT_DYNAMIC)
			ret->dynamic = ret->bias + ph.p_vaddr;
	}
	return headed;
}

/* The vdso has a name of its own, and nothing of a file. */
static bool is_vdso(const struct image *image)
{
	uint32_t loads = 0;
	uint64_t first = 1;
	for (uint32_t i = 0; i < image->n; i++) {
		Elf64_Phdr ph = phdr_at(image, i);
		loads += ph.p_type == PT_LOAD;
		if (ph.p_type == PT_LOAD)
			first = ph.p_vaddr;
	}
	return loads == 1 && first == 0 && image->dynamic &&
	       image->dynamic - image->start < 2 * HF_PAGE;
}

static void find_links(struct guess *g, const struct image *image)
{
	for (uint32_t i = 0; image->dynamic && i < MAX_TAGS; i++) {
		Elf64_Dyn dyn;
		uint64_t head;
		if (!copy(g->core, image->dynamic + i * sizeof(dyn), &dyn, sizeof(dyn)) ||
			dyn.d_tag == DT_NULL)
			return;
		if (dyn.d_tag != DT_DEBUG || !dyn.d_un.d_ptr)
			continue;
		if (copy(g->core, dyn.d_un.d_ptr + offsetof(struct r_debug, r_map), &head, 8)) {
			g->link_map = head;
			g->link_bias = image->bias;
		}
	}
}

static const char *name_of(const struct guess *g, const struct image *image)
{
	uint64_t at = g->link_map;
	for (uint32_t i = 0; at && i < MAX_LINKS; i++) {
		struct link_map map;
		if (!copy(g->core, at, &map, sizeof(map)))
			break;
		uint64_t size = MAX_PATH;
		const char *name =
			(const char *)hf_core_at(g->core, (uint64_t)(uintptr_t)map.l_name, &size);
		if (map.l_addr == image->bias && (uint64_t)(uintptr_t)map.l_ld == image->dynamic &&
			name && *name && strnlen(name, size) < size)
			return hf_pool_strndup(g->pool, name, strlen(name));
		at = (uint64_t)(uintptr_t)map.l_next;
	}
	bool program = g->link_map ? image->bias == g->link_bias : !image->dynamic;
	return program ? THE_PROGRAM : A_LIBRARY;
}

static bool add_files(struct guess *g, const struct image *image)
{
	const char *name = name_of(g, image);
	if (!name)
		return false;
	if (strcmp(name, THE_PROGRAM) == 0 && !g->core->at_phdr)
		g->core->at_phdr = image->start;
	for (uint32_t i = 0; i < image->n; i++) {
		Elf64_Phdr ph = phdr_at(image, i);
		uint64_t start = hf_align_down(image->bias + ph.p_vaddr, HF_PAGE), end;
		if (ph.p_type != PT_LOAD || !ph.p_filesz || ph.p_filesz > 1ull << 40 ||
			!hf_add_u64(image->bias + ph.p_vaddr, ph.p_filesz, &end) ||
			end > 1ull << 47 || start >= end)
			continue;
		struct hf_core_mapped *slot = hf_vec_push(&g->core->mapped);
		if (!slot)
			return false;
		*slot = (struct hf_core_mapped){start, hf_align_up(end, HF_PAGE),
			hf_align_down(ph.p_offset, HF_PAGE), name};
	}
	return true;
}

bool hf_core_guess_files(struct hf_core *core, struct hf_pool *pool)
{
	struct guess g = {core, pool, 0, 0};
	struct hf_vec images;
	bool ok = true;
	hf_vec_init(&images, sizeof(struct image));
	for (size_t i = 0; i < core->segments.n && images.n < MAX_IMAGES; i++) {
		struct image image;
		if (!parse(core, hf_core_segment_at(core, i)->start, &image) || is_vdso(&image))
			continue;
		struct image *slot = hf_vec_push(&images);
		ok = ok && slot;
		if (!slot)
			break;
		*slot = image;
		if (!g.link_map)
			find_links(&g, slot);
	}
	for (size_t i = 0; ok && i < images.n; i++)
		ok = add_files(&g, hf_vec_at(&images, i));
	hf_vec_deinit(&images);
	return ok;
}

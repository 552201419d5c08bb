#include "image/image.h"

#include <elf.h>
#include <string.h>

#include "base/checked.h"

enum { MAX_PHDRS = 64, NOTE_MAX = 4096 };

static void read_build_id(struct hf_image *image, struct hf_mem *mem, uint64_t addr, uint64_t size)
{
	uint8_t notes[NOTE_MAX];
	struct hf_build_id id;
	size = size < NOTE_MAX ? size : NOTE_MAX;
	if (hf_mem_read(mem, addr, notes, size, NULL) || !hf_build_id_of_notes(notes, size, &id))
		return;
	memcpy(image->build_id, id.bytes, id.size);
	image->build_id_size = id.size;
}

/* A file that is mapped as data looks like an image by its first page. A loaded one has at least
 * one further segment at the address that its program header says. */
static bool is_loaded(const struct hf_image *image, const struct hf_maps *maps,
	const struct hf_map *first, const Elf64_Phdr *phdrs, uint32_t n)
{
	uint32_t others = 0;
	for (uint32_t i = 0; i < n; i++) {
		const Elf64_Phdr *ph = &phdrs[i];
		uint64_t page = hf_align_down(image->bias + ph->p_vaddr, HF_PAGE);
		if (ph->p_type != PT_LOAD || page == first->start || !ph->p_filesz)
			continue;
		others++;
		const struct hf_map *map = hf_maps_find(maps, page);
		if (map && map->inode == first->inode && map->dev == first->dev &&
			map->offset + (page - map->start) == hf_align_down(ph->p_offset, HF_PAGE))
			return true;
	}
	return others == 0;
}

static bool parse(struct hf_image *image, struct hf_mem *mem, const struct hf_map *map)
{
	Elf64_Ehdr eh;
	Elf64_Phdr phdrs[MAX_PHDRS];
	if (hf_mem_read(mem, map->start, &eh, sizeof(eh), NULL))
		return false;
	if (memcmp(eh.e_ident, ELFMAG, SELFMAG) || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
		eh.e_ident[EI_DATA] != ELFDATA2LSB ||
		(eh.e_type != ET_DYN && eh.e_type != ET_EXEC) ||
		eh.e_phentsize != sizeof(Elf64_Phdr) || !eh.e_phnum || eh.e_phnum > MAX_PHDRS ||
		eh.e_phoff > (1u << 20))
		return false;
	uint32_t n = eh.e_phnum;
	if (hf_mem_read(mem, map->start + eh.e_phoff, phdrs, n * sizeof(Elf64_Phdr), NULL))
		return false;

	const Elf64_Phdr *head = NULL; /* the segment that holds the file header */
	for (uint32_t i = 0; i < n && !head; i++) {
		if (phdrs[i].p_type == PT_LOAD && hf_align_down(phdrs[i].p_offset, HF_PAGE) == 0)
			head = &phdrs[i];
	}
	if (!head)
		return false;
	image->bias = map->start - hf_align_down(head->p_vaddr, HF_PAGE);
	image->base = image->end = map->start;
	image->head_end = map->end;
	if (!is_loaded(image, mem->maps, map, phdrs, n))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		const Elf64_Phdr *ph = &phdrs[i];
		uint64_t start = image->bias + ph->p_vaddr, end;
		if (!hf_add_u64(start, ph->p_memsz, &end) || end > 1ull << 56)
			return false;
		switch (ph->p_type) {
		case PT_LOAD:
			if (image->n_segments == HF_IMAGE_MAX_SEGMENTS)
				return false;
			image->segments[image->n_segments++] = (struct hf_segment){start, end,
				(ph->p_flags & PF_R ? HF_PERM_R : 0) |
					(ph->p_flags & PF_W ? HF_PERM_W : 0) |
					(ph->p_flags & PF_X ? HF_PERM_X : 0)};
			image->end = end > image->end ? end : image->end;
			break;
		case PT_TLS:
			image->tls_image = start;
			image->tls_file_size = ph->p_filesz;
			image->tls_size = ph->p_memsz;
			image->tls_align = ph->p_align;
			break;
		case PT_DYNAMIC:
			image->dynamic = start;
			break;
		case PT_NOTE:
			if (!image->build_id_size)
				read_build_id(image, mem, start, ph->p_memsz);
			break;
		}
	}
	return true;
}

static const char *cut_deleted(struct hf_image *image, const char *path, struct hf_pool *pool)
{
	static const char suffix[] = " (deleted)";
	size_t n = strlen(path), k = sizeof(suffix) - 1;
	if (n <= k || strcmp(path + n - k, suffix))
		return path;
	image->deleted = true;
	const char *cut = hf_pool_strndup(pool, path, n - k);
	return cut ? cut : path;
}

enum hf_status hf_images_read(struct hf_images *images, struct hf_mem *mem, struct hf_pool *pool,
	uint32_t *ret_broken, struct hf_err *err)
{
	uint32_t broken = 0;
	hf_vec_init(&images->images, sizeof(struct hf_image));
	for (size_t i = 0; i < hf_maps_count(mem->maps); i++) {
		const struct hf_map *map = hf_maps_at(mem->maps, i);
		char magic[SELFMAG];
		if (!map->inode || map->offset || !(map->perms & HF_PERM_R) ||
			(map->perms & HF_PERM_SHARED) ||
			hf_mem_read(mem, map->start, magic, SELFMAG, NULL) ||
			memcmp(magic, ELFMAG, SELFMAG))
			continue;
		struct hf_image image = {0};
		if (!parse(&image, mem, map)) {
			broken++;
			continue;
		}
		image.path = cut_deleted(&image, map->path, pool);
		image.inode = map->inode;
		image.dev = map->dev;
		image.silent = map->silent;
		struct hf_image *slot = hf_vec_push(&images->images);
		if (!slot)
			return hf_err_set(err, HF_E_NOMEM, "no memory for the list of modules");
		*slot = image;
	}
	if (ret_broken)
		*ret_broken = broken;
	return HF_OK;
}

void hf_images_deinit(struct hf_images *images)
{
	hf_vec_deinit(&images->images);
}

int64_t hf_images_find(const struct hf_images *images, uint64_t addr)
{
	size_t lo = 0, hi = images->images.n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (hf_images_at(images, mid)->end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	if (lo == images->images.n)
		return -1;
	const struct hf_image *image = hf_images_at(images, lo);
	for (uint32_t i = 0; i < image->n_segments; i++) {
		if (addr >= image->segments[i].start && addr < image->segments[i].end)
			return (int64_t)lo;
	}
	return -1;
}

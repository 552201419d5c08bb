#include <string.h>

#include "frontend/outside.h"
#include "frontend/told.h"
#include "site/control.h"

enum { MAX_DATA = 64 << 20 /* bytes of the library's data that are searched */ };

void hf_outside_library_init(struct hf_outside_library *l)
{
	*l = (struct hf_outside_library){0};
	hf_vec_init(&l->own, sizeof(struct hf_walk_range));
	hf_vec_init(&l->registered, sizeof(struct hf_registered_root));
	hf_vec_init(&l->labels, sizeof(struct hf_label));
}

void hf_outside_library_deinit(struct hf_outside_library *l)
{
	hf_vec_deinit(&l->own);
	hf_vec_deinit(&l->registered);
	hf_vec_deinit(&l->labels);
	hf_store_close(l->sites);
}

static int by_start(const void *a, const void *b)
{
	const struct hf_walk_range *x = a, *y = b;
	return (x->start > y->start) - (x->start < y->start);
}

static void read_pages(struct hf_outside_library *l, struct hf_mem *mem, uint64_t addr)
{
	static struct hf_page_table table;
	if (hf_mem_read(mem, addr, &table, sizeof(table), NULL))
		return;
	for (size_t i = 0; i < HF_PAGE_RANGES; i++) {
		const struct hf_page_range *range = &table.ranges[i];
		struct hf_walk_range *slot;
		if (range->start && range->end > range->start && (slot = hf_vec_push(&l->own)))
			*slot = (struct hf_walk_range){range->start, range->end};
	}
}

static void read_told(struct hf_outside_library *l, struct hf_mem *mem, uint64_t addr)
{
	struct hf_told told;
	if (hf_mem_read(mem, addr, &told, sizeof(told), NULL) || told.n_registered > HF_TOLD_MAX ||
		told.n_labels > HF_TOLD_MAX)
		return;
	for (uint32_t i = 0; i < told.n_registered; i++) {
		struct hf_registered_root root, *slot;
		if (hf_mem_read(mem, (uint64_t)(told.registered + i), &root, sizeof(root), NULL))
			break;
		root.name[sizeof(root.name) - 1] = 0;
		if (root.addr && root.addr % 8 == 0 && root.size < UINT64_MAX - root.addr &&
			(slot = hf_vec_push(&l->registered)))
			*slot = root;
	}
	for (uint32_t i = 0; i < told.n_labels; i++) {
		struct hf_label label, *slot;
		if (hf_mem_read(mem, (uint64_t)(told.labels + i), &label, sizeof(label), NULL))
			break;
		label.text[sizeof(label.text) - 1] = 0;
		if (label.addr && (slot = hf_vec_push(&l->labels)))
			*slot = label;
	}
}

static void search(struct hf_outside_library *l, struct hf_mem *mem, uint64_t start, uint64_t end)
{
	struct hf_reader r;
	hf_reader_init(&r, mem);
	for (uint64_t at = start; at + 16 <= end; at += 8) {
		char magic[16];
		if (!hf_reader_copy(&r, at, magic, sizeof(magic)))
			continue;
		if (memcmp(magic, HF_SITE_CONTROL_MAGIC, sizeof(magic)) == 0)
			l->control = at;
		else if (l->only_control)
			continue;
		else if (memcmp(magic, HF_PAGE_TABLE_MAGIC, sizeof(magic)) == 0)
			read_pages(l, mem, at);
		else if (memcmp(magic, HF_TOLD_MAGIC, sizeof(magic)) == 0)
			read_told(l, mem, at);
	}
	hf_reader_deinit(&r);
}

void hf_outside_library_find(struct hf_outside_library *l, struct hf_mem *mem)
{
	for (size_t i = 0; i < hf_maps_count(mem->maps); i++) {
		const struct hf_map *map = hf_maps_at(mem->maps, i);
		const char *name = strrchr(map->path, '/');
		if (!name || strncmp(name, "/libholdfast.so", 15) != 0)
			continue;
		l->code = l->code ? l->code : map->start;
		if ((map->perms & HF_PERM_W) && map->end - map->start <= MAX_DATA)
			search(l, mem, map->start, map->end);
	}
	if (l->control && !l->only_control)
		hf_outside_sites_find(l, mem, l->control);
	hf_sort(l->own.data, l->own.n, l->own.elem, by_start);
}

void hf_outside_library_use(struct hf_outside_library *l, struct hf_dump_input *input)
{
	input->own_code = l->code;
	input->own = l->own.data;
	input->n_own = l->own.n;
	input->registered = l->registered.data;
	input->n_registered = l->registered.n;
	input->labels = l->labels.data;
	input->n_labels = l->labels.n;
	hf_outside_sites_use(l, input);
}

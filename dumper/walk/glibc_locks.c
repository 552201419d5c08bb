#include "walk/glibc_locks.h"

#include "walk/glibc.h"

static void find(struct hf_walk *walk, struct hf_glibc_locks *ret)
{
	struct glibc *g = hf_pool_alloc(walk->pool, sizeof(*g));
	if (!g)
		return;
	glibc_init(g, walk);
	if (glibc_find(g, NULL) == HF_OK && !g->lost) {
		ret->main_arena = g->main_arena;
		ret->next_offset = g->main_bins - g->main_arena + GLIBC_NEXT_FROM_BINS;
		const struct hf_image *image =
			g->image >= 0 ? hf_images_at(walk->images, (size_t)g->image) : NULL;
		for (uint32_t i = 0; image && i < image->n_segments; i++) {
			if (image->segments[i].perms & HF_PERM_X) {
				ret->text_start = image->segments[i].start;
				ret->text_end = image->segments[i].end;
			}
		}
	}
	glibc_deinit(g);
}

void hf_glibc_locks_find(struct hf_mem *mem, struct hf_pool *pool, struct hf_glibc_locks *ret)
{
	struct hf_images images = {0};
	struct hf_walk walk;
	*ret = (struct hf_glibc_locks){0};
	hf_walk_init(&walk);
	walk.mem = mem;
	walk.maps = mem->maps;
	walk.images = &images;
	walk.pool = pool;
	if (!hf_images_read(&images, mem, pool, NULL, NULL))
		find(&walk, ret);
	hf_walk_deinit(&walk);
	hf_images_deinit(&images);
}

bool hf_glibc_locks_held(const struct hf_glibc_locks *locks,
	bool (*copy)(void *ctx, uint64_t addr, void *buf, size_t size), void *ctx)
{
	uint64_t arena = locks->main_arena;
	for (int i = 0; arena && i < GLIBC_MAX_ARENAS; i++) {
		uint32_t lock;
		if (!copy(ctx, arena, &lock, sizeof(lock)))
			return false;
		if (lock)
			return true;
		if (!copy(ctx, arena + locks->next_offset, &arena, sizeof(arena)) ||
			arena == locks->main_arena)
			return false;
	}
	return false;
}

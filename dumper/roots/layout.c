#include "roots/layout.h"

#include <string.h>

#include "base/checked.h"

enum { RED_ZONE = 128 /* below sp, System V psABI for x86-64 §3.2.2 */ };

static bool add(struct hf_vec *claims, uint64_t start, uint64_t end, uint64_t tag)
{
	if (start >= end)
		return true;
	struct hf_tagged_range *slot = hf_vec_push(claims);
	if (slot)
		*slot = (struct hf_tagged_range){start, end, tag};
	return slot != NULL;
}

static bool add_ranges(struct hf_vec *claims, const struct hf_vec *ranges, uint64_t tag)
{
	for (size_t i = 0; i < ranges->n; i++) {
		const struct hf_walk_range *range = hf_vec_at(ranges, i);
		if (!add(claims, range->start, range->end, tag))
			return false;
	}
	return true;
}

/* Claims that need nothing computed. */

static bool claim_skipped(struct hf_layout *l, struct hf_vec *claims)
{
	bool ok = true;
	for (size_t i = 0; i < l->walk->n_own; i++)
		ok &= add(claims, l->walk->own[i].start, l->walk->own[i].end,
			hf_area(HF_AREA_SKIP, 0, 0));
	if (l->own_image >= 0) {
		const struct hf_image *own = hf_images_at(l->images, (size_t)l->own_image);
		ok &= add(claims, own->base, hf_align_up(own->end, HF_PAGE),
			hf_area(HF_AREA_SKIP, 0, 0));
	}
	return ok && add_ranges(claims, &l->walk->excluded, hf_area(HF_AREA_SKIP, 0, 0));
}

static bool claim_heaps(struct hf_layout *l, struct hf_vec *claims)
{
	return add_ranges(claims, &l->walk->heaps, hf_area(HF_AREA_HEAP, 0, 0));
}

static bool claim_registered(struct hf_layout *l, struct hf_vec *claims)
{
	bool ok = true;
	for (size_t i = 0; i < l->n_registered; i++) {
		const struct hf_registered_root *root = &l->registered[i];
		ok &= add(claims, root->addr, root->addr + root->size,
			hf_area(HF_AREA_REGISTERED, 0, i));
	}
	return ok;
}

static bool claim_tls(struct hf_layout *l, struct hf_vec *claims)
{
	bool ok = true;
	for (size_t t = 0; t < hf_threads_count(l->threads); t++) {
		uint64_t tp = l->stacks[t].tp;
		if (!tp)
			continue;
		for (size_t i = 0; i < hf_images_count(l->images); i++) {
			uint64_t offset = l->tls.offsets[i];
			if (offset && (int64_t)i != l->own_image)
				ok &= add(claims, tp - offset,
					tp - offset + hf_images_at(l->images, i)->tls_size,
					hf_area(HF_AREA_TLS, t, i));
		}
		ok &= add(claims, tp, tp + HF_PTHREAD_SIZE,
			hf_area(HF_AREA_TLS, t, HF_AREA_NO_IMAGE));
	}
	return ok;
}

static bool claim_stacks(struct hf_layout *l, struct hf_vec *claims)
{
	bool ok = true;
	for (size_t t = 0; t < hf_threads_count(l->threads); t++)
		ok &= add(claims, l->stacks[t].live_start, l->stacks[t].live_end,
			hf_area(HF_AREA_STACK, t, 0));
	return ok;
}

/* What is not stale of ended threads. */
static bool claim_ended(struct hf_layout *l, struct hf_vec *claims)
{
	bool ok = true;
	for (size_t i = 0; i < l->ended.n; i++) {
		const struct hf_ended_thread *ended = hf_vec_at(&l->ended, i);
		const size_t map = hf_maps_lower(l->maps, ended->tp);
		if (map >= hf_maps_count(l->maps))
			continue;
		const uint64_t area = hf_area(HF_AREA_MAPPING, 1, map);
		ok &= ended->unjoined
			      ? add(claims, ended->tp, ended->tp + HF_PTHREAD_SIZE, area)
			      : add(claims, ended->tp + 8, ended->tp + 16, area); /* its dtv */
	}
	return ok;
}

static bool claim_dead_stacks(struct hf_layout *l, struct hf_vec *claims)
{
	bool ok = true;
	for (size_t t = 0; t < hf_threads_count(l->threads); t++) {
		const struct hf_stack_layout *stack = &l->stacks[t];
		struct hf_stack_block block;
		/* All of a live thread's block that is not TLS or live stack. */
		if (stack->tp && hf_tls_stack_block(l->mem, stack->tp, &block))
			ok &= add(
				claims, block.start, block.end, hf_area(HF_AREA_DEAD_STACK, t, 0));
		const struct hf_map *map = hf_maps_find(l->maps, stack->live_start);
		if (map && strcmp(map->path, "[stack]") == 0)
			ok &= add(claims, map->start, stack->live_start,
				hf_area(HF_AREA_DEAD_STACK, t, 0));
	}
	for (size_t i = 0; i < l->ended.n; i++) {
		const struct hf_stack_block *block =
			&((const struct hf_ended_thread *)hf_vec_at(&l->ended, i))->block;
		ok &= add(claims, block->start, block->end, hf_area(HF_AREA_DEAD_STACK, 0, 0));
	}
	return ok;
}

static bool claim_static(struct hf_layout *l, struct hf_vec *claims)
{
	bool ok = true;
	for (size_t i = 0; i < hf_images_count(l->images); i++) {
		const struct hf_image *image = hf_images_at(l->images, i);
		for (uint32_t k = 0; k < image->n_segments; k++) {
			const struct hf_segment *seg = &image->segments[k];
			/* The rest of the last page is the loader's to use, and it does. */
			if (seg->perms & HF_PERM_W)
				ok &= add(claims, seg->start, hf_align_up(seg->end, HF_PAGE),
					hf_area(HF_AREA_STATIC, 0, i));
		}
	}
	return ok;
}

/* Writable memory that is nothing of the above: anonymous, shared without a regular file, or
 * private pages over a file. */
static bool is_other_memory(const struct hf_map *map)
{
	if ((map->perms & (HF_PERM_R | HF_PERM_W)) != (HF_PERM_R | HF_PERM_W))
		return false;
	if (!(map->perms & HF_PERM_SHARED))
		return map->inode || hf_map_is_anonymous(map);
	return strncmp(map->path, "/dev/zero", 9) == 0 || strncmp(map->path, "/memfd:", 7) == 0 ||
	       strncmp(map->path, "/SYSV", 5) == 0 || strncmp(map->path, "/dev/shm/", 9) == 0;
}

static bool claim_mappings(struct hf_layout *l, struct hf_vec *claims)
{
	bool ok = true;
	for (size_t i = 0; i < hf_maps_count(l->maps); i++) {
		const struct hf_map *map = hf_maps_at(l->maps, i);
		if (is_other_memory(map))
			ok &= add(claims, map->start, map->end, hf_area(HF_AREA_MAPPING, 0, i));
	}
	return ok;
}

/* An alternate signal stack holds the interrupted context, with the stack pointer of the thread's
 * own stack in it: the lowest word that points into that stack is at or below it. */
static uint64_t lowest_pointer_into(
	struct hf_layout *l, uint64_t start, uint64_t end, const struct hf_stack_block *block)
{
	uint64_t lowest = block->end;
	struct hf_reader r;
	hf_reader_init(&r, l->mem);
	for (uint64_t at = start; at + 8 <= end;) {
		uint64_t word;
		if (!hf_reader_u64(&r, at, &word)) {
			at = hf_align_up(r.win.end, 8);
			continue;
		}
		if (word >= block->start && word < lowest)
			lowest = word;
		at += 8;
	}
	hf_reader_deinit(&r);
	return lowest;
}

/* The whole stack of a thread: from its struct pthread, or (main thread) the mapping called
 * [stack]. */
static bool own_stack(
	struct hf_layout *l, const struct hf_thread *thread, struct hf_stack_block *ret)
{
	uint64_t tp = thread->regs.fs_base;
	if (tp && hf_tls_stack_block(l->mem, tp, ret)) {
		ret->end = hf_align_down(tp - l->tls.total, 8);
		return ret->end > ret->start;
	}
	if (thread->tid != l->main_tid)
		return false;
	for (size_t i = 0; i < hf_maps_count(l->maps); i++) {
		const struct hf_map *map = hf_maps_at(l->maps, i);
		if (strcmp(map->path, "[stack]") == 0) {
			*ret = (struct hf_stack_block){map->start, map->end};
			return true;
		}
	}
	return false;
}

static void find_stack(struct hf_layout *l, size_t t)
{
	const struct hf_thread *thread = hf_threads_at(l->threads, t);
	struct hf_stack_layout *stack = &l->stacks[t];
	struct hf_stack_block own;
	bool known = !(thread->flags & HF_THREAD_NO_REGISTERS);
	*stack = (struct hf_stack_layout){.whole = true};
	if (!known)
		return;
	stack->sp = thread->regs.rsp;
	stack->pc = thread->regs.rip;
	stack->tp = thread->regs.fs_base;
	uint64_t live = hf_align_down(stack->sp - RED_ZONE, 8);
	const struct hf_map *map = hf_maps_find(l->maps, stack->sp);
	if (!own_stack(l, thread, &own)) {
		if (map)
			*stack = (struct hf_stack_layout){live < map->start ? map->start : live,
				map->end, stack->sp, stack->pc, stack->tp, false};
		return;
	}
	if (stack->sp >= own.start && stack->sp <= own.end) {
		stack->live_start = live < own.start ? own.start : live;
		stack->whole = false;
	} else {
		/* On a signal stack or a coroutine's: that memory is a mapping or an object of its
		 * own. */
		uint64_t limit = map && map->end - live > 1 << 20 ? live + (1 << 20)
				 : map                            ? map->end
								  : live;
		uint64_t lowest = lowest_pointer_into(l, live, limit, &own);
		stack->whole = lowest == own.end;
		stack->live_start = hf_align_down(stack->whole ? own.start : lowest, 8);
	}
	stack->live_end = own.end;
}

static bool find_ended(struct hf_layout *l)
{
	const size_t n = hf_threads_count(l->threads);
	uint64_t *tps = hf_pool_alloc(l->pool, (n + 1) * sizeof(*tps));
	for (size_t t = 0; tps && t < n; t++)
		tps[t] = l->stacks[t].tp;
	if (tps)
		hf_tls_ended_threads(l->mem, l->images, tps, n, &l->ended);
	return tps;
}

enum hf_status hf_layout_build(struct hf_layout *l, struct hf_err *err)
{
	static bool (*const claims[])(struct hf_layout *, struct hf_vec *) = {claim_skipped,
		claim_heaps, claim_registered, claim_tls, claim_stacks, claim_ended,
		claim_dead_stacks, claim_static, claim_mappings};
	hf_rangeset_init(&l->areas);
	hf_vec_init(&l->ended, sizeof(struct hf_ended_thread));
	enum hf_status status = hf_tls_find(&l->tls, l->mem, l->images, l->pool, err);
	if (status)
		return status;
	size_t n = hf_threads_count(l->threads);
	l->stacks = hf_pool_alloc(l->pool, (n + 1) * sizeof(*l->stacks));
	bool ok = l->stacks != NULL;
	for (size_t t = 0; ok && t < n; t++)
		find_stack(l, t);
	ok = ok && find_ended(l);
	for (size_t i = 0; ok && i < sizeof(claims) / sizeof(claims[0]); i++) {
		struct hf_vec vec;
		hf_vec_init(&vec, sizeof(struct hf_tagged_range));
		ok = claims[i](l, &vec) && hf_rangeset_claim(&l->areas, &vec);
		hf_vec_deinit(&vec);
	}
	return ok ? HF_OK : hf_err_set(err, HF_E_NOMEM, "no memory for the list of root areas");
}

void hf_layout_deinit(struct hf_layout *l)
{
	hf_rangeset_deinit(&l->areas);
	hf_vec_deinit(&l->ended);
}

bool hf_layout_in_stack(const struct hf_layout *l, uint64_t addr)
{
	const struct hf_tagged_range *range = hf_rangeset_find(&l->areas, addr);
	return range && hf_area_kind(range->tag) == HF_AREA_STACK;
}

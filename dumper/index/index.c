#include "index/index.h"

#include <string.h>

#include "base/checked.h"
#include "index/look.h"

void hf_index_init(struct hf_index *index)
{
	*index = (struct hf_index){0};
	hf_vec_init(&index->regions, sizeof(struct hf_index_region));
	hf_pool_init(&index->pool, NULL, 0);
}

void hf_index_deinit(struct hf_index *index)
{
	hf_vec_deinit(&index->regions);
	hf_pool_deinit(&index->pool);
	if (index->slots)
		hf_page_free(index->slots, (index->n_slots + 1) * sizeof(uint32_t));
	*index = (struct hf_index){0};
}

static uint64_t region_cells(const struct hf_index_region *region)
{
	return (region->end - region->start + HF_CELL_BYTES - 1) / HF_CELL_BYTES;
}

static struct hf_index_cell *alloc_cells(struct hf_index *index, uint64_t n)
{
	const uint64_t size = sizeof(struct hf_index_cell);
	void *memory = hf_pool_alloc(&index->pool, (n + 1) * size); /* aligned to 16 */
	return memory ? (struct hf_index_cell *)hf_align_up((uint64_t)memory, size) : NULL;
}

int64_t hf_index_add_region(
	struct hf_index *index, uint64_t start, uint64_t end, uint32_t arena, uint32_t tail_bytes)
{
	if (start % HF_GRANULE || end <= start)
		return -1;
	struct hf_index_region region = {
		.start = start, .end = end, .arena = arena, .tail_bytes = tail_bytes};
	region.cells = alloc_cells(index, region_cells(&region));
	struct hf_index_region *slot = region.cells ? hf_vec_push(&index->regions) : NULL;
	if (!slot)
		return -1;
	*slot = region;
	return (int64_t)index->regions.n - 1;
}

bool hf_index_add_single(struct hf_index *index, uint64_t addr, uint64_t usable, uint32_t arena)
{
	uint64_t end;
	struct hf_index_region *slot;
	if (!usable || !hf_add_u64(addr, usable, &end) || !(slot = hf_vec_push(&index->regions)))
		return false;
	*slot = (struct hf_index_region){.start = addr, .end = end, .arena = arena, .live = 1};
	return true;
}

static struct hf_index_cell *cell_of(
	struct hf_index_region *region, uint64_t addr, uint64_t *ret_bit)
{
	if (!region->cells || addr < region->start || addr >= region->end || addr % HF_GRANULE)
		return NULL;
	uint64_t granule = (addr - region->start) / HF_GRANULE;
	*ret_bit = 1ull << (granule % 64);
	return &region->cells[granule / 64];
}

bool hf_index_put(struct hf_index *index, int64_t handle, uint64_t addr, bool live)
{
	uint64_t bit;
	struct hf_index_cell *cell = cell_of(hf_index_region_at(index, handle), addr, &bit);
	if (!cell)
		return false;
	cell->starts |= bit;
	cell->live = live ? cell->live | bit : cell->live & ~bit;
	return true;
}

bool hf_index_kill(struct hf_index *index, int64_t handle, uint64_t addr)
{
	struct hf_index_region *region = hf_index_region_at(index, handle);
	if (!region->cells) {
		bool was = region->live && region->start == addr;
		region->live &= !was;
		return was;
	}
	uint64_t bit;
	struct hf_index_cell *cell = cell_of(region, addr, &bit);
	if (!cell || !(cell->live & bit))
		return false;
	cell->live &= ~bit;
	return true;
}

static int by_start(const void *a, const void *b)
{
	const struct hf_index_region *x = a, *y = b;
	return (x->start > y->start) - (x->start < y->start);
}

void hf_index_sort_regions(struct hf_index *index)
{
	hf_sort(index->regions.data, index->regions.n, index->regions.elem, by_start);
	index->sorted = true;
}

/* The last region that starts at or before addr, by binary search in [first, last). */
static size_t last_starting_before(
	const struct hf_index *index, size_t first, size_t last, uint64_t addr)
{
	while (last - first > 1) {
		size_t mid = first + (last - first) / 2;
		const struct hf_index_region *region = hf_vec_at(&index->regions, mid);
		if (region->start <= addr)
			first = mid;
		else
			last = mid;
	}
	return first;
}

bool hf_index_kill_any(struct hf_index *index, uint64_t addr)
{
	if (!index->regions.n)
		return false;
	if (index->sorted)
		return hf_index_kill(index,
			(int64_t)last_starting_before(index, 0, index->regions.n, addr), addr);
	for (size_t i = 0; i < index->regions.n; i++) {
		if (hf_index_kill(index, (int64_t)i, addr))
			return true;
	}
	return false;
}

static uint64_t number_cells(struct hf_index_region *region, uint64_t id)
{
	const uint64_t n = region_cells(region), first = id;
	const uint64_t end = (region->end - region->start) / HF_GRANULE;
	uint64_t granules = 0;
	uint32_t back = 0;
	unsigned carry = 0;
	/* The end of the region ends the last extent, as a start would. */
	if (end < n * 64)
		region->cells[end / 64].starts |= 1ull << (end % 64);
	for (uint64_t i = 0; i < n; i++) {
		struct hf_index_cell *cell = &region->cells[i];
		cell->rank = (uint32_t)id;
		cell->back = back;
		cell->next = i + 1 == n ? end == n * 64 : region->cells[i + 1].starts & 1;
		id += (uint64_t)__builtin_popcountll(cell->live);
		if (cell->starts)
			back = 1;
		else if (back)
			back++;
		/* The granules of live extents: a one added behind each live start runs as a carry
		 * through what is no start, up to the next start; the bits that changed are as many
		 * as its granules. */
		uint64_t gaps = ~cell->starts, ones = cell->live << 1 | carry, sum;
		carry = __builtin_add_overflow(gaps, ones, &sum) | (unsigned)(cell->live >> 63);
		granules += (uint64_t)__builtin_popcountll(gaps ^ sum);
	}
	granules += carry; /* one that ends with the last cell */
	region->n_live = id - first;
	region->live_bytes = granules * HF_GRANULE - region->n_live * region->tail_bytes;
	return id;
}

/* It is looked up in a cell of its own, of which it is the first granule. */
static uint64_t number_single(struct hf_index_region *region, uint64_t id, struct hf_index *index)
{
	region->single = alloc_cells(index, 1);
	if (region->single)
		*region->single = (struct hf_index_cell){
			.starts = 1, .live = region->live, .rank = (uint32_t)id};
	region->n_live = region->live;
	region->live_bytes = region->live ? region->end - region->start : 0;
	return id + region->live;
}

static enum hf_status no_memory(struct hf_err *err)
{
	return hf_err_set(err, HF_E_NOMEM, "no memory for the object index");
}

static void drop_overlaps(struct hf_index *index)
{
	size_t kept = 0;
	uint64_t end = 0;
	for (size_t i = 0; i < index->regions.n; i++) {
		struct hf_index_region *region = hf_vec_at(&index->regions, i);
		uint64_t region_end = region->end - region->tail_bytes;
		if (region->start < end) {
			index->regions_dropped++;
			continue;
		}
		end = region_end;
		*(struct hf_index_region *)hf_vec_at(&index->regions, kept++) = *region;
	}
	index->regions.n = kept;
}

static enum hf_status build_slots(struct hf_index *index, struct hf_err *err)
{
	index->n_slots = ((index->hi - index->lo) >> HF_SLOT_SHIFT) + 1;
	index->slots = hf_page_alloc((index->n_slots + 1) * sizeof(uint32_t));
	if (!index->slots)
		return no_memory(err);
	/* The space between brk heap and mmap area is some tens of TiB: walk it region by region,
	 * and leave untouched (zero) pages where slots are never looked at. */
	uint64_t slot = 0;
	for (size_t i = 0; i < index->regions.n; i++) {
		struct hf_index_region *region = hf_vec_at(&index->regions, i);
		uint64_t first = (region->start - index->lo) >> HF_SLOT_SHIFT;
		uint64_t last = (region->end - 1 - index->lo) >> HF_SLOT_SHIFT;
		/* A slot names the first region that touches it. */
		for (slot = i && first < slot ? slot : first; slot <= last; slot++)
			index->slots[slot] = (uint32_t)i + 1;
	}
	return HF_OK;
}

enum hf_status hf_index_seal(struct hf_index *index, struct hf_err *err)
{
	if (!__builtin_cpu_supports("popcnt"))
		return hf_err_set(err, HF_E_UNSUPPORTED, "this CPU has no POPCNT instruction");
	hf_index_sort_regions(index);
	drop_overlaps(index);
	index->lo = index->hi = index->live_bytes = 0;
	if (!index->regions.n)
		return HF_OK;
	uint64_t id = 0;
	for (size_t i = 0; i < index->regions.n; i++) {
		struct hf_index_region *region = hf_vec_at(&index->regions, i);
		if (id > UINT32_MAX - 1)
			break;
		id = region->cells ? number_cells(region, id) : number_single(region, id, index);
		if (!region->cells && !region->single)
			return no_memory(err);
		index->live_bytes += region->live_bytes;
		if (region->end > index->hi)
			index->hi = region->end;
	}
	if (id >= UINT32_MAX)
		return hf_err_set(err, HF_E_UNSUPPORTED, "more than 4,294,967,294 objects");
	index->n_objects = (uint32_t)id;
	index->lo = ((struct hf_index_region *)index->regions.data)->start;
	return build_slots(index, err);
}

const struct hf_index_region *hf_index_search_region(const struct hf_index *index, uint64_t addr)
{
	if (addr < index->lo || addr >= index->hi)
		return NULL;
	uint64_t slot = (addr - index->lo) >> HF_SLOT_SHIFT;
	size_t i = index->slots[slot];
	if (!i)
		return NULL;
	const struct hf_index_region *region = hf_vec_at(&index->regions, i - 1);
	if (addr < region->end - region->tail_bytes)
		return addr >= region->start ? region : NULL;
	/* Several regions touch this slot. */
	uint64_t slot_end = index->lo + ((slot + 1) << HF_SLOT_SHIFT);
	size_t last = i;
	for (size_t step = 1; last < index->regions.n; step *= 2) {
		const struct hf_index_region *next = hf_vec_at(&index->regions, last);
		if (next->start > addr || next->start >= slot_end)
			break;
		last = last + step < index->regions.n ? last + step : index->regions.n;
	}
	region = hf_vec_at(&index->regions, last_starting_before(index, i - 1, last, addr));
	return addr >= region->start && addr < region->end ? region : NULL;
}

uint64_t hf_index_extent_end(const struct hf_index_region *region, uint64_t cell, unsigned bit)
{
	uint64_t above = bit == 63 ? 0 : region->cells[cell].starts & (~0ull << (bit + 1));
	uint64_t n = region_cells(region);
	while (!above && ++cell < n)
		above = region->cells[cell].starts;
	if (!above)
		return region->end;
	return region->start + (cell * 64 + (unsigned)__builtin_ctzll(above)) * HF_GRANULE;
}

bool hf_index_next_piece(const struct hf_index *index, uint64_t bytes, struct hf_index_piece *at)
{
	const size_t n = index->regions.n;
	const struct hf_index_region *regions = index->regions.data;
	size_t i = at->last;
	if (i < n && at->to >= regions[i].end)
		i++;
	if (i >= n)
		return false;
	at->from = i == at->last && at->to > regions[i].start ? at->to : regions[i].start;
	at->first = i;
	uint64_t left = hf_align_up(bytes, HF_CELL_BYTES);
	for (;; i++) {
		uint64_t start = i == at->first ? at->from : regions[i].start;
		uint64_t size = regions[i].end - start;
		if (size > left)
			size = hf_align_up(left, HF_CELL_BYTES);
		at->to = start + size < regions[i].end ? start + size : regions[i].end;
		if (size >= left || i + 1 == n)
			break;
		left -= size;
	}
	at->last = i;
	return true;
}

int64_t hf_index_find(const struct hf_index *index, uint64_t addr, uint64_t *ret_start)
{
	uint64_t cell, rest, start;
	struct hf_index_region hint;
	hf_index_place(index, &hint, addr, &cell, &rest);
	const int64_t id = hf_index_look(cell, rest, addr, &start);
	if (id != HF_NO_OBJECT)
		*ret_start = start;
	return id;
}

void hf_index_iter_init(struct hf_index_iter *iter, const struct hf_index *index)
{
	*iter = (struct hf_index_iter){.index = index, .to = UINT64_MAX};
	if (index->regions.n) {
		const struct hf_index_region *first = index->regions.data;
		iter->left = first->cells ? first->cells[0].live : first->live;
	}
}

void hf_index_iter_range(
	struct hf_index_iter *iter, const struct hf_index *index, uint64_t from, uint64_t to)
{
	hf_index_iter_init(iter, index);
	iter->to = to;
	if (!index->regions.n || from <= index->lo)
		return;
	iter->region = last_starting_before(index, 0, index->regions.n, from);
	const struct hf_index_region *region = hf_vec_at(&index->regions, iter->region);
	const uint64_t granule = (from - region->start + HF_GRANULE - 1) / HF_GRANULE;
	iter->cell = granule / 64;
	iter->left = 0;
	if (!region->cells) {
		iter->left = from > region->start ? 0 : region->live;
		iter->id = region->single->rank + (iter->left ? 0 : region->live);
	} else if (iter->cell < region_cells(region)) {
		const struct hf_index_cell *cell = &region->cells[iter->cell];
		iter->left = cell->live & ~0ull << granule % 64;
		iter->id = cell->rank + (uint32_t)__builtin_popcountll(cell->live & ~iter->left);
	} else {
		iter->id = region->cells[0].rank + (uint32_t)region->n_live;
	}
}

bool hf_index_next(struct hf_index_iter *iter, struct hf_object *ret)
{
	const struct hf_index *index = iter->index;
	while (iter->region < index->regions.n) {
		const struct hf_index_region *region = hf_vec_at(&index->regions, iter->region);
		if (region->start + iter->cell * HF_CELL_BYTES >= iter->to)
			return false;
		if (iter->left && !region->cells) {
			*ret = (struct hf_object){region->start, region->end - region->start,
				iter->id++, region->arena};
			iter->left = 0;
			return true;
		}
		if (iter->left) {
			unsigned bit = (unsigned)__builtin_ctzll(iter->left);
			uint64_t addr = region->start + (iter->cell * 64 + bit) * HF_GRANULE;
			if (addr >= iter->to)
				return false;
			iter->left &= iter->left - 1;
			*ret = (struct hf_object){addr,
				hf_index_extent_end(region, iter->cell, bit) - region->tail_bytes -
					addr,
				iter->id++, region->arena};
			return true;
		}
		if (region->cells && ++iter->cell < region_cells(region)) {
			iter->left = region->cells[iter->cell].live;
			continue;
		}
		iter->cell = 0;
		if (++iter->region < index->regions.n) {
			region = hf_vec_at(&index->regions, iter->region);
			iter->left = region->cells ? region->cells[0].live : region->live;
		}
	}
	return false;
}

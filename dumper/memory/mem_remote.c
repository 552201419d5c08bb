/*
 * Windows are copies.
 *
 * process_vm_readv(2) would be faster, but it pins the pages, and since Linux 5.19 a page that is
 * shared by copy on write is copied for that: the snapshot would take as much memory as the target.
 */
#include "memory/mem_remote.h"

#include "base/checked.h"
#include "base/fmt.h"
#include "base/page_alloc.h"
#include "base/sys.h"
#include "memory/pagemap.h"

enum {
	BLOCK_PAGES = 512, /* pages of a block of residency bits: 2 MiB */
	BLOCK_BYTES = BLOCK_PAGES * HF_PAGE,
	N_BLOCKS = 1024, /* kept: 2 GiB of memory, in 72 KiB */
};

struct block {
	uint64_t tag; /* number of the block | private or shared << 63, + 1; 0: empty */
	uint64_t bits[BLOCK_PAGES / 64];
};

struct mem_remote {
	struct hf_mem mem;
	int memory, pagemap, target_pagemap;
	bool is_twin; /* in pages of its own; the descriptors are not its own */
	struct block blocks[N_BLOCKS];
};

static size_t copy(struct mem_remote *m, uint64_t addr, void *buf, size_t size)
{
	int64_t n = hf_sys_pread_full(m->memory, buf, size, addr);
	return n > 0 ? (size_t)n : 0;
}

/* A guard page looks swapped before Linux 6.15; reading it fails, which is looked at anyway. */
static const struct block *load_block(struct mem_remote *m, uint64_t number, bool shared)
{
	uint64_t tag = (number | (uint64_t)shared << 63) + 1;
	struct block *block = &m->blocks[(number * 2 + shared) % N_BLOCKS];
	if (block->tag == tag)
		return block;
	uint64_t entries[BLOCK_PAGES];
	int64_t n = hf_pagemap_entries(shared ? m->target_pagemap : m->pagemap, true,
		number * BLOCK_BYTES, BLOCK_PAGES, entries);
	*block = (struct block){.tag = tag};
	for (int64_t i = 0; i < n; i++) {
		if ((entries[i] & (HF_PAGEMAP_PRESENT | HF_PAGEMAP_SWAPPED)) &&
			!(entries[i] & HF_PAGEMAP_GUARD))
			block->bits[i / 64] |= 1ull << (i % 64);
	}
	return block;
}

static bool is_resident(struct mem_remote *m, uint64_t page, bool shared)
{
	const struct block *block = load_block(m, page / BLOCK_BYTES, shared);
	uint64_t i = page % BLOCK_BYTES / HF_PAGE;
	return block->bits[i / 64] >> (i % 64) & 1;
}

/* The run of pages like the first one, at most max bytes long, in whole words of bits where it can
 * be. */
static uint64_t run_end(
	struct mem_remote *m, uint64_t page, uint64_t limit, bool resident, bool shared)
{
	uint64_t at = page + HF_PAGE;
	while (at < limit) {
		const struct block *block = load_block(m, at / BLOCK_BYTES, shared);
		uint64_t i = at % BLOCK_BYTES / HF_PAGE;
		uint64_t bits = block->bits[i / 64];
		if (i % 64 == 0 && bits == (resident ? UINT64_MAX : 0)) {
			at += 64 * HF_PAGE;
			continue;
		}
		if ((bits >> (i % 64) & 1) != resident)
			break;
		at += HF_PAGE;
	}
	return at < limit ? at : limit;
}

/* Reading must not wait for anybody. A page that is missing from private memory without a file is
 * zeros: it is not touched, since it may be that of a userfaultfd that nobody serves. One of shared
 * memory, or of a file whose server is silent, cannot be had. All others come from files. */
static size_t read_page(
	struct mem_remote *m, const struct hf_map *map, uint64_t addr, void *buf, size_t size)
{
	bool shared = map->perms & HF_PERM_SHARED, anonymous = hf_map_is_anonymous(map);
	bool careful = anonymous || shared || map->silent;
	uint64_t left = careful ? HF_PAGE - addr % HF_PAGE : map->end - addr;
	size = left < size ? left : size;
	if (!careful || is_resident(m, hf_align_down(addr, HF_PAGE), shared || map->silent))
		return copy(m, addr, buf, size);
	if (!anonymous || shared)
		return 0;
	memset(buf, 0, size);
	return size;
}

static enum hf_status remote_read(
	struct hf_mem *mem, uint64_t addr, void *buf, size_t size, struct hf_err *err)
{
	size_t done = 0;
	while (done < size) {
		const struct hf_map *map = hf_maps_find(mem->maps, addr + done);
		size_t n = map ? read_page((struct mem_remote *)mem, map, addr + done,
					 (char *)buf + done, size - done)
			       : 0;
		if (!n)
			break;
		done += n;
	}
	if (done == size)
		return HF_OK;
	if (err)
		err->at = addr;
	return hf_err_set(err, HF_E_CORRUPT, "no %zu readable bytes at 0x%lx", size, addr);
}

static void window_of(struct hf_reader *r, uint64_t addr, const struct hf_map *map)
{
	struct mem_remote *m = (struct mem_remote *)r->mem;
	bool shared = map->perms & HF_PERM_SHARED;
	uint64_t page = hf_align_down(addr, HF_PAGE), limit = map->end;
	if (!is_resident(m, page, shared)) {
		/* Sparse memory is crossed in long steps. */
		const uint64_t max = 16 << 20;
		uint64_t near = limit - page > max ? page + max : limit;
		uint64_t end = run_end(m, page, near, false, shared);
		if (end == near && near < limit)
			end = hf_pagemap_next(shared ? m->target_pagemap : m->pagemap, end, limit);
		r->win = (struct hf_window){page, end, NULL};
		return;
	}
	uint64_t want = hf_reader_wants(r, page);
	limit = limit - page > want ? page + want : limit;
	uint64_t end = run_end(m, page, limit, true, shared);
	size_t n = hf_reader_has_buffer(r) ? copy(m, page, r->buf, end - page) : 0;
	n = hf_align_down(n, HF_PAGE);
	r->win = n ? (struct hf_window){page, page + n, r->buf}
		   : (struct hf_window){page, page + HF_PAGE, NULL};
}

static void remote_window(struct hf_reader *r, uint64_t addr)
{
	const struct hf_maps *maps = r->mem->maps;
	size_t i = hf_maps_lower(maps, addr);
	const struct hf_map *map = i < hf_maps_count(maps) ? hf_maps_at(maps, i) : NULL;
	if (!map || addr < map->start)
		r->win = (struct hf_window){addr, map ? map->start : HF_MEM_TOP, NULL};
	else if (!(map->perms & HF_PERM_R))
		r->win = (struct hf_window){addr, map->end, NULL};
	else
		window_of(r, addr, map);
}

static void remote_destroy(struct hf_mem *mem)
{
	struct mem_remote *m = (struct mem_remote *)mem;
	if (m->is_twin) {
		hf_page_free(m, sizeof(*m));
		return;
	}
	if (m->target_pagemap != m->pagemap)
		hf_sys_close(m->target_pagemap);
	hf_sys_close(m->pagemap);
	hf_sys_close(m->memory);
}

static struct hf_mem *remote_twin(struct hf_mem *mem)
{
	struct mem_remote *twin = hf_page_alloc(sizeof(*twin));
	if (!twin)
		return NULL;
	*twin = *(struct mem_remote *)mem;
	twin->is_twin = true;
	return &twin->mem;
}

static const struct hf_mem_ops remote_ops = {
	remote_read, remote_window, remote_destroy, remote_twin};

static enum hf_status open_of(int pid, const char *name, int *ret, struct hf_err *err)
{
	char path[64];
	hf_fmt(path, sizeof(path), "/proc/%d/%s", pid, name);
	*ret = hf_sys_open_read(path);
	return *ret >= 0 ? HF_OK : hf_err_sys(err, HF_E_IO, -*ret, "cannot open %s", path);
}

enum hf_status hf_mem_remote(const struct hf_maps *maps, int pid, int target_pid,
	struct hf_pool *pool, struct hf_mem **ret, struct hf_err *err)
{
	struct mem_remote *m = hf_pool_alloc(pool, sizeof(*m));
	if (!m)
		return hf_err_set(err, HF_E_NOMEM, "no memory to read with");
	m->mem = (struct hf_mem){&remote_ops, maps};
	enum hf_status status = open_of(pid, "mem", &m->memory, err);
	if (!status) {
		status = open_of(pid, "pagemap", &m->pagemap, err);
		if (status)
			hf_sys_close(m->memory);
	}
	if (status)
		return status;
	m->target_pagemap = m->pagemap;
	/* Without it (the target may have ended) shared memory counts as not resident. */
	if (pid != target_pid)
		open_of(target_pid, "pagemap", &m->target_pagemap, NULL);
	*ret = &m->mem;
	return HF_OK;
}

/*
 * This process's own memory. Residency comes from /proc/self/pagemap (memory/pagemap.h). A swapped
 * page may be a guard page: it is only touched after process_vm_readv() could read it.
 *
 * A process that is not dumpable any more (it has changed its user) may not open pagemap: then
 * mincore(2) tells, which does not know of swapped pages.
 *
 * Pages of shared mappings are not copied by fork() and show as absent in a snapshot until touched;
 * they are read by process_vm_readv(), which fails where a load would raise SIGBUS.
 *
 * Memory of a snapshot is read in place, but where touching a page for the first time is slow. It
 * is in a virtual machine whose hypervisor keeps page tables of its own (measured: 7 us a page, and
 * 1 us to copy it): there windows are copies, for which the kernel touches nothing, through a pipe
 * that is given the pages (vmsplice(2), which copies once), or by /proc/self/mem (which copies
 * twice). Which is quicker, a touch or a copy, is tried once, on the first large run.
 *
 * A look at pagemap costs as much as reading thousands of words, and lists of free chunks lead all
 * over the heap: residency is remembered, a bit a page, by blocks of 8 MiB.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>

#include "base/checked.h"
#include "base/page_alloc.h"
#include "base/sys.h"
#include "memory/memory.h"
#include "memory/pagemap.h"

enum {
	BLOCK_PAGES = 2048,
	BLOCK_SHIFT = 23,              /* of a block's bytes */
	N_BLOCKS = 4096,               /* remembered: 32 GiB */
	SHARED_WINDOW = HF_WINDOW_MAX, /* bytes copied at a time of shared memory */
	/* A trial reads so many pages each way, twice. */
	TRIAL_PAGES = 16,
	TRIAL_RUN = 4 * TRIAL_PAGES * HF_PAGE,
};

struct block {
	uint64_t number; /* address >> BLOCK_SHIFT, + 1; 0: empty */
	uint64_t
		usable[BLOCK_PAGES / 64]; /* pages of private readable mappings that are resident */
};

struct mem_self {
	struct hf_mem mem;
	int pagemap; /* or -1 */
	int memory;  /* /proc/self/mem, or -1 */
	enum { UNKNOWN, IN_PLACE, COPIES } way;
	int pipe[2];         /* its own; -1: none */
	uint64_t pipe_bytes; /* that it holds; 0: not tried yet */
	long pid;
	bool is_twin;         /* in pages of its own; the descriptors are not its own */
	bool filtered;        /* a system call that the program does not make may end it */
	struct block *blocks; /* N_BLOCKS, by number % N_BLOCKS; pages of their own, untouched until
				 used */
	uint64_t entries[BLOCK_PAGES];
};

static const size_t BLOCKS_SIZE = N_BLOCKS * sizeof(struct block);

static bool copy_from_self(struct mem_self *self, uint64_t addr, void *buf, size_t size)
{
	struct iovec local = {buf, size}, remote = {(void *)addr, size};
	return hf_syscall6(SYS_process_vm_readv, self->pid, (long)&local, 1, (long)&remote, 1, 0) ==
	       (long)size;
}

static bool usable(struct mem_self *self, uint64_t entry, uint64_t page)
{
	if (entry & HF_PAGEMAP_GUARD)
		return false;
	if (entry & HF_PAGEMAP_PRESENT)
		return true;
	char byte;
	return (entry & HF_PAGEMAP_SWAPPED) && copy_from_self(self, page, &byte, 1);
}

/* What pagemap would say of the pages of one private mapping in [start, end). Pages of files may
 * lie behind the end of the file: they are looked at as swapped ones are. */
static void ask_mincore(struct mem_self *self, const struct hf_map *map, uint64_t start,
	uint64_t end, uint64_t *entries)
{
	unsigned char resident[BLOCK_PAGES];
	bool known = hf_syscall3(SYS_mincore, start, end - start, resident) >= 0;
	for (uint64_t i = 0; i < (end - start) / HF_PAGE; i++) {
		bool is_file = map->inode != 0;
		entries[i] = is_file                      ? HF_PAGEMAP_SWAPPED
			     : known && (resident[i] & 1) ? HF_PAGEMAP_PRESENT
							  : 0;
	}
}

/* The block of addr, from pagemap if it is not remembered. */
static const struct block *block_of(struct mem_self *self, uint64_t addr)
{
	const uint64_t number = addr >> BLOCK_SHIFT, start = number << BLOCK_SHIFT;
	struct block *block = &self->blocks[number % N_BLOCKS];
	if (block->number == number + 1)
		return block;
	*block = (struct block){.number = number + 1};
	int64_t got = self->pagemap < 0 ? BLOCK_PAGES
					: hf_pagemap_entries(self->pagemap, !self->filtered, start,
						  BLOCK_PAGES, self->entries);
	const uint64_t end = start + (got > 0 ? (uint64_t)got * HF_PAGE : 0);
	const struct hf_maps *maps = self->mem.maps;
	for (size_t i = hf_maps_lower(maps, start); i < hf_maps_count(maps); i++) {
		const struct hf_map *map = hf_maps_at(maps, i);
		if (map->start >= end)
			break;
		if (!(map->perms & HF_PERM_R) || (map->perms & HF_PERM_SHARED))
			continue;
		uint64_t page = map->start > start ? map->start : start;
		if (self->pagemap < 0)
			ask_mincore(self, map, page, map->end < end ? map->end : end,
				self->entries + (page - start) / HF_PAGE);
		for (; page < map->end && page < end; page += HF_PAGE) {
			uint64_t k = (page - start) / HF_PAGE;
			if (usable(self, self->entries[k], page))
				block->usable[k / 64] |= 1ull << (k % 64);
		}
	}
	return block;
}

static bool is_usable(const struct block *block, uint64_t page)
{
	uint64_t k = page / HF_PAGE % BLOCK_PAGES;
	return block->usable[k / 64] >> (k % 64) & 1;
}

static enum hf_status self_read(
	struct hf_mem *mem, uint64_t addr, void *buf, size_t size, struct hf_err *err)
{
	struct mem_self *self = (struct mem_self *)mem;
	if (size <= HF_PAGE && size && addr + size > addr && addr >> 47 == 0) {
		const uint64_t last = addr + size - 1;
		if (is_usable(block_of(self, addr), addr) &&
			is_usable(block_of(self, last), last)) {
			memcpy(buf, (const void *)addr, size);
			return HF_OK;
		}
	}
	if (copy_from_self(self, addr, buf, size))
		return HF_OK;
	if (err)
		err->at = addr;
	return hf_err_set(err, HF_E_CORRUPT, "no %zu readable bytes at 0x%lx", size, addr);
}

static uint64_t time_in_place(uint64_t at)
{
	const uint64_t since = hf_sys_monotonic_ns();
	for (uint64_t i = 0; i < TRIAL_PAGES * HF_PAGE; i += 64)
		(void)*(const volatile uint8_t *)(at + i);
	return hf_sys_monotonic_ns() - since;
}

static void open_pipe(struct mem_self *self)
{
	self->pipe[0] = self->pipe[1] = -1;
	self->pipe_bytes = HF_PAGE;
	if (self->filtered || hf_syscall2(SYS_pipe2, self->pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return;
	hf_syscall3(SYS_fcntl, self->pipe[1], F_SETPIPE_SZ, HF_WINDOW_MAX);
	const long size = hf_syscall2(SYS_fcntl, self->pipe[1], F_GETPIPE_SZ);
	if (size > HF_PAGE)
		self->pipe_bytes = hf_align_down((uint64_t)size, HF_PAGE);
}

static void close_pipe(struct mem_self *self)
{
	if (self->pipe_bytes && self->pipe[0] >= 0) {
		hf_sys_close(self->pipe[0]);
		hf_sys_close(self->pipe[1]);
	}
	self->pipe[0] = self->pipe[1] = -1;
}

/* Whole pages through the pipe; the bytes that came. */
static uint64_t copy_by_pipe(struct mem_self *self, uint64_t at, uint8_t *buf, uint64_t size)
{
	uint64_t done = 0;
	while (done < size && self->pipe[0] >= 0) {
		const uint64_t left = size - done;
		struct iovec pages = {
			(void *)(at + done), left < self->pipe_bytes ? left : self->pipe_bytes};
		const long n =
			hf_syscall4(SYS_vmsplice, self->pipe[1], &pages, 1, SPLICE_F_NONBLOCK);
		if (n <= 0 || hf_sys_read_full(self->pipe[0], buf + done, (size_t)n) != n)
			close_pipe(self);
		else
			done += (uint64_t)n;
	}
	return done;
}

/* Pages that are resident. False: not all of them can be had. */
static bool copy_pages(struct mem_self *self, uint64_t at, uint8_t *buf, uint64_t size)
{
	if (!self->pipe_bytes)
		open_pipe(self);
	const uint64_t done = copy_by_pipe(self, at, buf, size);
	return done == size || hf_sys_pread_full(self->memory, buf + done, size - done,
				       at + done) == (int64_t)(size - done);
}

static uint64_t time_to_copy(struct mem_self *self, uint64_t at, void *buf)
{
	const uint64_t since = hf_sys_monotonic_ns();
	if (!copy_pages(self, at, buf, TRIAL_PAGES * HF_PAGE))
		return UINT64_MAX / 4;
	return hf_sys_monotonic_ns() - since;
}

/* Of TRIAL_RUN bytes that are resident, and have not been touched. */
static void find_way(struct mem_self *self, struct hf_reader *r, uint64_t at)
{
	self->way = IN_PLACE;
	if (self->memory < 0 || !hf_reader_has_buffer(r))
		return;
	uint64_t place = UINT64_MAX, copy = UINT64_MAX;
	memset(r->buf, 0, TRIAL_PAGES * HF_PAGE); /* its own pages are there */
	for (unsigned i = 0; i < 2; i++, at += TRIAL_RUN / 2) {
		const uint64_t a = time_in_place(at),
			       b = time_to_copy(self, at + TRIAL_RUN / 4, r->buf);
		place = a < place ? a : place;
		copy = b < copy ? b : copy;
	}
	/* A heap is read twice; in place only the first time is slow. */
	if (place / 2 > copy)
		self->way = COPIES;
}

/* The page of addr, which is resident, and those behind it up to hi. In place, if they cannot be
 * copied. */
static void window_copied(struct mem_self *self, struct hf_reader *r, uint64_t addr, uint64_t hi)
{
	const struct block *block = block_of(self, addr);
	const uint64_t page = hf_align_down(addr, HF_PAGE), want = hf_reader_wants(r, page);
	uint64_t end = page + HF_PAGE;
	hi = hi - page < want ? hi : page + want;
	while (end < hi && is_usable(block, end))
		end += HF_PAGE;
	const bool copied = hf_reader_has_buffer(r) && copy_pages(self, page, r->buf, end - page);
	r->win = (struct hf_window){page, end, copied ? r->buf : (const uint8_t *)page};
}

static void window_private(
	struct mem_self *self, struct hf_reader *r, uint64_t addr, const struct hf_map *map)
{
	const struct block *block = block_of(self, addr);
	const uint64_t first = hf_align_down(addr, 1ull << BLOCK_SHIFT),
		       last = first + (1ull << BLOCK_SHIFT);
	const uint64_t lo = map->start > first ? map->start : first,
		       hi = map->end < last ? map->end : last;
	const bool resident = is_usable(block, addr);
	if (resident && self->way == COPIES) {
		window_copied(self, r, addr, hi);
		return;
	}
	uint64_t start = hf_align_down(addr, HF_PAGE), end = start + HF_PAGE;
	while (start > lo && is_usable(block, start - HF_PAGE) == resident)
		start -= HF_PAGE;
	while (end < hi && is_usable(block, end) == resident)
		end += HF_PAGE;
	/* Sparse memory is crossed in long steps. */
	if (!resident && end == last && end < map->end)
		end = hf_pagemap_next(self->pagemap, end, map->end);
	if (resident && self->way == UNKNOWN && end - start >= TRIAL_RUN)
		find_way(self, r, end - TRIAL_RUN);
	r->win = (struct hf_window){start, end, resident ? (const uint8_t *)start : NULL};
}

static void window_shared(struct mem_self *self, struct hf_reader *r, uint64_t addr, uint64_t limit)
{
	uint64_t page = hf_align_down(addr, HF_PAGE);
	uint64_t size = limit - page < SHARED_WINDOW ? limit - page : SHARED_WINDOW;
	/* Resident in the page cache (mincore(2)); holes of a sparse file are not made resident. */
	unsigned char resident[SHARED_WINDOW / HF_PAGE];
	if (!hf_reader_has_buffer(r) || hf_syscall3(SYS_mincore, page, size, resident) < 0) {
		r->win = (struct hf_window){page, page + HF_PAGE, NULL};
		return;
	}
	uint64_t run = 1;
	while (run < size / HF_PAGE && (resident[run] & 1) == (resident[0] & 1))
		run++;
	bool ok = (resident[0] & 1) && copy_from_self(self, page, r->buf, run * HF_PAGE);
	r->win = (struct hf_window){page, page + run * HF_PAGE, ok ? r->buf : NULL};
}

static void self_window(struct hf_reader *r, uint64_t addr)
{
	struct mem_self *self = (struct mem_self *)r->mem;
	const struct hf_maps *maps = r->mem->maps;
	size_t i = hf_maps_lower(maps, addr);
	struct hf_map *map = i < hf_maps_count(maps) ? hf_maps_at(maps, i) : NULL;
	if (!map || addr < map->start)
		r->win = (struct hf_window){addr, map ? map->start : HF_MEM_TOP, NULL};
	else if (!(map->perms & HF_PERM_R))
		r->win = (struct hf_window){addr, map->end, NULL};
	else if (map->perms & HF_PERM_SHARED)
		window_shared(self, r, addr, map->end);
	else
		window_private(self, r, addr, map);
}

static void self_destroy(struct hf_mem *mem)
{
	struct mem_self *self = (struct mem_self *)mem;
	hf_page_free(self->blocks, BLOCKS_SIZE);
	close_pipe(self);
	if (self->is_twin) {
		hf_page_free(self, sizeof(*self));
	} else {
		if (self->pagemap >= 0)
			hf_sys_close(self->pagemap);
		if (self->memory >= 0)
			hf_sys_close(self->memory);
	}
}

/* What is remembered is each one's own. */
static struct hf_mem *self_twin(struct hf_mem *mem)
{
	struct mem_self *twin = hf_page_alloc(sizeof(*twin));
	struct block *blocks = twin ? hf_page_alloc(BLOCKS_SIZE) : NULL;
	if (!blocks) {
		hf_page_free(twin, sizeof(*twin));
		return NULL;
	}
	*twin = *(struct mem_self *)mem;
	twin->is_twin = true;
	twin->blocks = blocks;
	twin->pipe_bytes = 0;
	return &twin->mem;
}

static bool is_filtered(void)
{
	char status[4096];
	return hf_sys_read_file("/proc/self/status", status, sizeof(status)) <= 0 ||
	       !strstr(status, "\nSeccomp:\t0\n");
}

static const struct hf_mem_ops self_ops = {self_read, self_window, self_destroy, self_twin};

enum hf_status hf_mem_self(
	const struct hf_maps *maps, struct hf_pool *pool, struct hf_mem **ret, struct hf_err *err)
{
	struct mem_self *self = hf_pool_alloc(pool, sizeof(*self));
	if (!self)
		return hf_err_set(err, HF_E_NOMEM, "no memory to read with");
	int fd = hf_sys_open_read("/proc/self/pagemap");
	if (fd < 0 && fd != -EACCES)
		return hf_err_sys(err, HF_E_IO, -fd, "cannot open /proc/self/pagemap");
	struct block *blocks = hf_page_alloc(BLOCKS_SIZE);
	if (!blocks) {
		if (fd >= 0)
			hf_sys_close(fd);
		return hf_err_set(err, HF_E_NOMEM, "no memory to read with");
	}
	self->mem = (struct hf_mem){&self_ops, maps};
	self->pagemap = fd;
	self->memory = hf_sys_open_read("/proc/self/mem");
	self->blocks = blocks;
	self->filtered = is_filtered();
	self->pid = hf_syscall0(SYS_getpid);
	*ret = &self->mem;
	return HF_OK;
}

void hf_mem_self_copies(struct hf_mem *mem, bool copies)
{
	((struct mem_self *)mem)->way = copies ? COPIES : IN_PLACE;
}

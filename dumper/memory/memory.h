/*
 * One read interface over the memory that is examined: this process's own (a snapshot of the
 * target), another process's, or a core file's.
 *
 * Two ways to read. hf_mem_read() copies any bytes that can be had, faulting file pages in. A
 * struct hf_reader gives pointers to runs of *resident* memory and skips what is not: sparse
 * mappings are not read whole, and nothing ever faults, whatever address the data names. All values
 * found in the memory are a stranger's.
 *
 * Thread and signal safety: async-signal-safe for the implementations that run in a target (self).
 * A struct hf_mem and its readers belong to one thread.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "memory/maps.h"

/* End of a window behind which there is nothing. Not the very last address: callers round up. */
#define HF_MEM_TOP (~(uint64_t)0xfff)

struct hf_mem;

/* A run of memory: the byte at addr is data[addr - start]. data NULL: [start, end) is not resident
 * or not readable, skip it. */
struct hf_window {
	uint64_t start, end;
	const uint8_t *data;
};

struct hf_reader {
	struct hf_mem *mem;
	struct hf_window win;
	void *buf; /* of the implementation, for memory that must be copied; NULL until needed */
	size_t buf_size;
};

/* For implementations that copy: how much from `page` on a reader should get. One that goes on
 * where its last window ended gets ever more, up to HF_WINDOW_MAX; one that jumps gets a page. */
enum { HF_WINDOW_MAX = 512 << 10 };
uint64_t hf_reader_wants(const struct hf_reader *r, uint64_t page);
/* Make sure that r->buf has HF_WINDOW_MAX bytes. */
bool hf_reader_has_buffer(struct hf_reader *r);

struct hf_mem_ops {
	/* Copy exactly size bytes, or fail. */
	enum hf_status (*read)(
		struct hf_mem *mem, uint64_t addr, void *buf, size_t size, struct hf_err *err);
	/* Fill r->win with a run that contains addr (its start may be below addr); it is never
	 * empty. */
	void (*window)(struct hf_reader *r, uint64_t addr);
	void (*destroy)(struct hf_mem *mem);
	/* The same memory for another thread: mem itself, if any thread may use it at any time; or
	 * one more, to be destroyed before mem; or NULL without memory. */
	struct hf_mem *(*twin)(struct hf_mem *mem);
};

struct hf_mem {
	const struct hf_mem_ops *ops;
	const struct hf_maps *maps; /* of the same moment; the caller's */
};

/* The memory of this process itself, which must not change meanwhile (a forked snapshot, or one
 * with all other threads parked). Uses /proc/self/pagemap. The result lives in pool. */
enum hf_status hf_mem_self(
	const struct hf_maps *maps, struct hf_pool *pool, struct hf_mem **ret, struct hf_err *err);
/* For tests: windows of its private memory are copies from now on, or none are. Else it is tried
 * which is quicker. */
void hf_mem_self_copies(struct hf_mem *mem, bool copies);
/* Closes what the implementation holds open. NULL is fine. */
void hf_mem_destroy(struct hf_mem *mem);
/* A way for another thread to read the same memory, or NULL. */
struct hf_mem *hf_mem_twin(struct hf_mem *mem);
void hf_mem_destroy_twin(struct hf_mem *twin, const struct hf_mem *of);

static inline enum hf_status hf_mem_read(
	struct hf_mem *mem, uint64_t addr, void *buf, size_t size, struct hf_err *err)
{
	return mem->ops->read(mem, addr, buf, size, err);
}

static inline void hf_reader_init(struct hf_reader *r, struct hf_mem *mem)
{
	*r = (struct hf_reader){.mem = mem};
}

void hf_reader_deinit(struct hf_reader *r);

/* Make r->win contain addr. Returns true if the byte at addr is resident; if not, nothing up to
 * r->win.end is. */
static inline bool hf_reader_seek(struct hf_reader *r, uint64_t addr)
{
	if (addr < r->win.start || addr >= r->win.end)
		r->mem->ops->window(r, addr);
	return r->win.data != NULL;
}

/* size bytes at addr, resident, small (a struct): copied into buf. False if not all of them are. */
bool hf_reader_copy(struct hf_reader *r, uint64_t addr, void *buf, size_t size);

static inline bool hf_reader_u64(struct hf_reader *r, uint64_t addr, uint64_t *ret)
{
	if (__builtin_expect(addr - r->win.start <= r->win.end - r->win.start - 8 && r->win.data &&
				     addr >= r->win.start && r->win.end - r->win.start >= 8,
		    1)) {
		memcpy(ret, r->win.data + (addr - r->win.start), 8);
		return true;
	}
	return hf_reader_copy(r, addr, ret, 8);
}

static inline bool hf_reader_u32(struct hf_reader *r, uint64_t addr, uint32_t *ret)
{
	return hf_reader_copy(r, addr, ret, 4);
}

#include "site/blocks.h"

#include "base/page_alloc.h"
#include "base/sys.h"

enum {
	FIRST_CHUNK = HF_PAGE,
	LAST_CHUNK = 256 << 10,
	POPULATE_FROM = 32 << 10,
	POPULATE_WRITE = 23, /* MADV_POPULATE_WRITE, Linux 5.14 */
	MOST_FREE = 16,      /* blocks of a class that a worker keeps */
};
static const uint64_t BLOCK_MASK = 0xffffffff;

static uint32_t *link_of(struct hf_site_store *s, uint32_t block)
{
	return (uint32_t *)((char *)s + (uint64_t)block * HF_BLOCKS_UNIT);
}

uint64_t hf_blocks_pages(struct hf_site_store *s, uint64_t size)
{
	uint64_t at = __atomic_load_n(&s->used, __ATOMIC_RELAXED);
	do {
		if (!hf_store_room(s, HF_SITE_PART_AREA, at - sizeof(*s) + size + HF_SITE_TAIL))
			return 0;
	} while (!__atomic_compare_exchange_n(
		&s->used, &at, at + size, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return at;
}

static bool take_chunk(struct hf_site_store *s, struct hf_site_worker *w)
{
	uint64_t size = w->chunk_size ? w->chunk_size * 2 : FIRST_CHUNK;
	size = size < LAST_CHUNK ? size : LAST_CHUNK;
	uint64_t at = hf_blocks_pages(s, size);
	if (!at && size > FIRST_CHUNK)
		at = hf_blocks_pages(s, size = FIRST_CHUNK);
	if (!at)
		return false;
	/* one call instead of a fault for each page; where it cannot be had, they fault */
	if (size >= POPULATE_FROM)
		hf_syscall3(SYS_madvise, (char *)s + at, size, POPULATE_WRITE);
	/* in this order: whatever a fork catches is a chunk, or none */
	__atomic_store_n(&w->chunk_end, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&w->chunk, at, __ATOMIC_RELEASE);
	__atomic_store_n(&w->chunk_end, at + size, __ATOMIC_RELEASE);
	w->chunk_size = size;
	return true;
}

/* The counter above the block's name makes a head that was taken and put back another one. */
static uint64_t next_head(uint64_t head, uint32_t block)
{
	return ((head >> 32) + 1) << 32 | block;
}

/* Of a block that another thread may be writing into by now; then the head of the list has changed.
 */
__attribute__((no_sanitize("thread"), noinline)) static uint32_t link_as_it_is(
	struct hf_site_store *s, uint32_t block)
{
	return *(volatile uint32_t *)link_of(s, block);
}

static uint32_t pop_shared(struct hf_site_store *s, unsigned class)
{
	uint64_t *list = &s->free_blocks[class];
	uint64_t head = __atomic_load_n(list, __ATOMIC_ACQUIRE);
	while (head & BLOCK_MASK) {
		uint32_t block = (uint32_t)head;
		uint32_t after = link_as_it_is(s, block);
		if (__atomic_compare_exchange_n(list, &head, next_head(head, after), true,
			    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			return block;
	}
	return 0;
}

static void push_shared(struct hf_site_store *s, unsigned class, uint32_t block)
{
	uint64_t *list = &s->free_blocks[class];
	uint64_t head = __atomic_load_n(list, __ATOMIC_RELAXED);
	do {
		__atomic_store_n(link_of(s, block), (uint32_t)head, __ATOMIC_RELAXED);
	} while (!__atomic_compare_exchange_n(
		list, &head, next_head(head, block), true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

uint32_t hf_blocks_take(struct hf_site_store *s, struct hf_site_worker *w, unsigned class)
{
	uint32_t block = w->free[class];
	if (block) {
		w->free[class] = *link_of(s, block);
		w->n_free[class]--;
		return block;
	}
	block = pop_shared(s, class);
	if (block)
		return block;
	uint64_t size = hf_blocks_size(class);
	if (w->chunk + size > w->chunk_end && !take_chunk(s, w))
		return 0;
	block = (uint32_t)(w->chunk / HF_BLOCKS_UNIT);
	w->chunk += size;
	return block;
}

void hf_blocks_give(
	struct hf_site_store *s, struct hf_site_worker *w, unsigned class, uint32_t block)
{
	if (w->n_free[class] >= MOST_FREE) {
		push_shared(s, class, block);
		return;
	}
	*link_of(s, block) = w->free[class];
	w->free[class] = block;
	w->n_free[class]++;
}

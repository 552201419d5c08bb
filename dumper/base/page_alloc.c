#include "base/page_alloc.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "base/sys.h"

/* Ranges in use. Slots are claimed with a compare-and-swap, because the recorder and a dump may
 * both allocate; a snapshot child inherits the table and goes on with its copy. */
static struct hf_page_table table = {.magic = HF_PAGE_TABLE_MAGIC};
static struct hf_page_range *const ranges = table.ranges;

static struct hf_page_range *range_claim(uint64_t start, uint64_t end)
{
	for (int i = 0; i < HF_PAGE_RANGES; i++) {
		uint64_t none = 0;
		if (__atomic_compare_exchange_n(&ranges[i].start, &none, start, false,
			    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
			__atomic_store_n(&ranges[i].end, end, __ATOMIC_RELEASE);
			return &ranges[i];
		}
	}
	return NULL;
}

enum { HUGE_FROM = 8 << 20 };

static void *map_pages(size_t size)
{
	uint64_t total;
	if (!size || !hf_add_u64(size, 3 * HF_PAGE - 1, &total))
		return NULL;
	total = hf_align_down(total, HF_PAGE);
	long base = hf_syscall6(SYS_mmap, 0, (long)total, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base < 0 && base > -4096)
		return NULL;
	if (hf_syscall3(SYS_mprotect, base + HF_PAGE, total - 2 * HF_PAGE, PROT_READ | PROT_WRITE) <
			0 ||
		!range_claim((uint64_t)base, (uint64_t)base + total)) {
		hf_syscall2(SYS_munmap, base, total);
		return NULL;
	}
	/* Large tables are looked up at random: fewer and larger pages, where the system has them.
	 */
	if (size >= HUGE_FROM)
		hf_syscall3(SYS_madvise, base + HF_PAGE, total - 2 * HF_PAGE, MADV_HUGEPAGE);
	return (char *)base + HF_PAGE;
}

bool hf_page_own(uint64_t start, uint64_t end)
{
	return range_claim(start, end);
}

void hf_page_disown(uint64_t start)
{
	for (int i = 0; i < HF_PAGE_RANGES; i++) {
		if (__atomic_load_n(&ranges[i].start, __ATOMIC_RELAXED) == start) {
			__atomic_store_n(&ranges[i].end, 0, __ATOMIC_RELAXED);
			__atomic_store_n(&ranges[i].start, 0, __ATOMIC_RELEASE);
			return;
		}
	}
}

/* The reserve: first fit, a bit a page. The lock is only tried, since a signal handler may have
 * interrupted its holder: whoever does not get it has no memory. */
enum { RESERVE_PAGES = 2048, LOCK_TRIES = 1000 };

static struct {
	uint8_t *start; /* NULL: none */
	uint32_t n_pages;
	int lock;
	uint64_t used[RESERVE_PAGES / 64];
} reserve;

static bool is_used(uint32_t page)
{
	return reserve.used[page / 64] >> (page % 64) & 1;
}

static void set_used(uint32_t page, uint32_t n, bool used)
{
	for (uint32_t i = page; i < page + n; i++) {
		uint64_t bit = 1ull << (i % 64);
		reserve.used[i / 64] =
			used ? reserve.used[i / 64] | bit : reserve.used[i / 64] & ~bit;
	}
}

static bool lock_reserve(void)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (!__atomic_exchange_n(&reserve.lock, 1, __ATOMIC_ACQUIRE))
			return true;
		hf_sys_sleep_ns(1000);
	}
	return false;
}

static void unlock_reserve(void)
{
	__atomic_store_n(&reserve.lock, 0, __ATOMIC_RELEASE);
}

static uint32_t pages_of(size_t size)
{
	return (uint32_t)((size + HF_PAGE - 1) / HF_PAGE);
}

static void *reserve_alloc(size_t size)
{
	if (!size || size > (size_t)reserve.n_pages * HF_PAGE || !lock_reserve())
		return NULL;
	uint32_t n = pages_of(size), run = 0, page = 0;
	while (page < reserve.n_pages && run < n) {
		run = is_used(page) ? 0 : run + 1;
		page++;
	}
	if (run == n)
		set_used(page - n, n, true);
	unlock_reserve();
	if (run < n)
		return NULL;
	void *ptr = reserve.start + (size_t)(page - n) * HF_PAGE;
	memset(ptr, 0, (size_t)n * HF_PAGE);
	return ptr;
}

static bool reserve_free(void *ptr, size_t size)
{
	uint8_t *at = ptr;
	if (!reserve.start || at < reserve.start ||
		at >= reserve.start + (size_t)reserve.n_pages * HF_PAGE)
		return false;
	if (lock_reserve()) { /* else these pages are lost */
		set_used((uint32_t)(at - reserve.start) / HF_PAGE, pages_of(size), false);
		unlock_reserve();
	}
	return true;
}

bool hf_page_reserve(size_t size)
{
	if (size > (size_t)RESERVE_PAGES * HF_PAGE)
		return false;
	uint8_t *start = hf_page_alloc(size);
	if (!start)
		return false;
	reserve.n_pages = (uint32_t)(size / HF_PAGE);
	reserve.start = start;
	return true;
}

void hf_page_reserve_forked(void)
{
	unlock_reserve();
}

void *hf_page_alloc_spare(size_t size)
{
	return map_pages(size);
}

void *hf_page_alloc(size_t size)
{
	void *ptr = map_pages(size);
	return ptr ? ptr : reserve_alloc(size);
}

void hf_page_free(void *ptr, size_t size)
{
	if (!ptr || reserve_free(ptr, size))
		return;
	uint64_t start = (uint64_t)ptr - HF_PAGE;
	uint64_t total = hf_align_down((uint64_t)size + 3 * HF_PAGE - 1, HF_PAGE);
	hf_syscall2(SYS_munmap, start, total);
	hf_page_disown(start);
}

void hf_page_each(void (*fn)(void *ctx, uint64_t start, uint64_t end), void *ctx)
{
	for (int i = 0; i < HF_PAGE_RANGES; i++) {
		uint64_t start = __atomic_load_n(&ranges[i].start, __ATOMIC_ACQUIRE);
		uint64_t end = __atomic_load_n(&ranges[i].end, __ATOMIC_ACQUIRE);
		if (start && end > start)
			fn(ctx, start, end);
	}
}

struct hf_pool_block {
	struct hf_pool_block *next;
	size_t size;
};

void hf_pool_init(struct hf_pool *pool, void *memory, size_t size)
{
	*pool = (struct hf_pool){.next = memory, .end = (uint8_t *)memory + size, .reserved = size};
}

void hf_pool_deinit(struct hf_pool *pool)
{
	while (pool->blocks) {
		struct hf_pool_block *block = pool->blocks;
		pool->blocks = block->next;
		hf_page_free(block, block->size);
	}
	*pool = (struct hf_pool){0};
}

void *hf_pool_alloc(struct hf_pool *pool, size_t size)
{
	size = hf_align_up(size ? size : 1, 16);
	if ((size_t)(pool->end - pool->next) < size) {
		/* Blocks grow with the pool, so that few ranges hold it however large it gets;
		 * what is not used of them is address space and no memory. */
		const size_t least = size + 64 > 1 << 18 ? size + 64 : 1 << 18;
		size_t block_size = least > pool->reserved / 8 ? least : pool->reserved / 8;
		struct hf_pool_block *block = hf_page_alloc(block_size);
		if (!block && block_size > least)
			block = hf_page_alloc(block_size = least);
		if (!block)
			return NULL;
		*block = (struct hf_pool_block){pool->blocks, block_size};
		pool->blocks = block;
		pool->next = (uint8_t *)block + 64;
		pool->end = (uint8_t *)block + block_size;
		pool->reserved += block_size;
	}
	void *ptr = pool->next;
	pool->next += size;
	pool->used += size;
	if (!pool->blocks) /* still in the caller's memory; pages come zeroed */
		memset(ptr, 0, size);
	return ptr;
}

char *hf_pool_strndup(struct hf_pool *pool, const char *s, size_t n)
{
	char *copy = hf_pool_alloc(pool, n + 1);
	if (copy)
		memcpy(copy, s, n);
	return copy;
}

void hf_vec_init(struct hf_vec *vec, size_t elem_size)
{
	*vec = (struct hf_vec){.elem = elem_size};
}

void hf_vec_deinit(struct hf_vec *vec)
{
	hf_page_free(vec->data, vec->mapped);
	*vec = (struct hf_vec){.elem = vec->elem};
}

bool hf_vec_reserve(struct hf_vec *vec, size_t cap)
{
	if (cap <= vec->cap)
		return true;
	uint64_t size;
	if (!hf_mul_u64(cap, vec->elem, &size) || !hf_add_u64(size, HF_PAGE - 1, &size))
		return false;
	size = hf_align_down(size, HF_PAGE);
	void *data = hf_page_alloc(size);
	if (!data)
		return false;
	if (vec->n)
		memcpy(data, vec->data, vec->n * vec->elem);
	hf_page_free(vec->data, vec->mapped);
	vec->data = data;
	vec->mapped = size;
	vec->cap = size / vec->elem;
	return true;
}

void *hf_vec_push(struct hf_vec *vec)
{
	if (vec->n == vec->cap && !hf_vec_reserve(vec, vec->cap ? vec->cap * 2 : 1))
		return NULL;
	return hf_vec_at(vec, vec->n++);
}

enum { SORT_MAX_ELEM = 128 };

static void sift_down(
	char *base, size_t root, size_t n, size_t size, int (*cmp)(const void *, const void *))
{
	char moved[SORT_MAX_ELEM];
	memcpy(moved, base + root * size, size);
	for (;;) {
		size_t child = 2 * root + 1;
		if (child >= n)
			break;
		if (child + 1 < n && cmp(base + child * size, base + (child + 1) * size) < 0)
			child++;
		if (cmp(moved, base + child * size) >= 0)
			break;
		memcpy(base + root * size, base + child * size, size);
		root = child;
	}
	memcpy(base + root * size, moved, size);
}

void hf_sort(void *base, size_t n, size_t size, int (*cmp)(const void *a, const void *b))
{
	if (n < 2 || size > SORT_MAX_ELEM)
		return;
	/* Lists from the kernel and from symbol tables are mostly in order already. */
	size_t i = 1;
	while (i < n && cmp((char *)base + (i - 1) * size, (char *)base + i * size) <= 0)
		i++;
	if (i == n)
		return;
	for (size_t root = n / 2; root-- > 0;)
		sift_down(base, root, n, size, cmp);
	for (size_t end = n - 1; end > 0; end--) {
		char swap[SORT_MAX_ELEM];
		memcpy(swap, base, size);
		memcpy(base, (char *)base + end * size, size);
		memcpy((char *)base + end * size, swap, size);
		sift_down(base, 0, end, size, cmp);
	}
}

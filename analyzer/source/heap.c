#include "source/heap.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "base/fmt.h"
#include "base/path.h"

enum {
	STRING_CHUNK = 64 << 10,
	HUGE_PAGE = 2 << 20,
	HUGE_ARRAY = 4 << 20, /* bytes from which an array asks for huge pages */
};

/* Strings lie in chunks, newest first; a long one gets a chunk of its own. */
struct chunk {
	struct chunk *next;
	size_t used, size;
	char bytes[];
};

struct hf_heap_strings {
	struct chunk *chunks;
	uint64_t bytes;
};

void hf_heap_init(struct hf_heap *heap)
{
	*heap = (struct hf_heap){0};
}

void hf_heap_deinit(struct hf_heap *heap)
{
	void *const arrays[] = {heap->addr, heap->usable, heap->arena, heap->requested, heap->site,
		heap->age, heap->tid, heap->edge_offset, heap->edge_dst, heap->edge_src_off,
		heap->edge_dst_off, heap->edges_wide.at, heap->modrefs.at, heap->modrefs_wide.at,
		heap->properties.at, heap->modules.at, heap->mappings.at, heap->threads.at,
		heap->registers.at, heap->stack_words.at, heap->arenas.at, heap->variables.at,
		heap->roots.at, heap->labels.at, heap->counters.at, heap->findings.at,
		heap->reasons.at};
	for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
		free(arrays[i]);
	while (heap->strings && heap->strings->chunks) {
		struct chunk *chunk = heap->strings->chunks;
		heap->strings->chunks = chunk->next;
		free(chunk);
	}
	free(heap->strings);
	*heap = (struct hf_heap){0};
}

#define LIST_BYTES(list) ((uint64_t)(list).cap * sizeof(*(list).at))

uint64_t hf_heap_memory(const struct hf_heap *heap)
{
	uint64_t n = heap->n_objects, m = heap->n_edges, bytes = sizeof(*heap);
	bytes += heap->addr ? n * sizeof(*heap->addr) : 0;
	bytes += heap->usable ? n * sizeof(*heap->usable) : 0;
	bytes += heap->arena ? n * sizeof(*heap->arena) : 0;
	bytes += heap->requested ? n * sizeof(*heap->requested) : 0;
	bytes += heap->site ? n * sizeof(*heap->site) : 0;
	bytes += heap->age ? n * sizeof(*heap->age) : 0;
	bytes += heap->tid ? n * sizeof(*heap->tid) : 0;
	bytes += heap->edge_offset ? (n + 1) * sizeof(*heap->edge_offset) : 0;
	bytes += heap->edge_dst ? m * sizeof(*heap->edge_dst) : 0;
	bytes += heap->edge_src_off ? m * sizeof(*heap->edge_src_off) : 0;
	bytes += heap->edge_dst_off ? m * sizeof(*heap->edge_dst_off) : 0;
	bytes += LIST_BYTES(heap->edges_wide) + LIST_BYTES(heap->modrefs) +
		 LIST_BYTES(heap->modrefs_wide) + LIST_BYTES(heap->properties) +
		 LIST_BYTES(heap->modules) + LIST_BYTES(heap->mappings) +
		 LIST_BYTES(heap->threads) + LIST_BYTES(heap->registers) +
		 LIST_BYTES(heap->stack_words) + LIST_BYTES(heap->arenas) +
		 LIST_BYTES(heap->variables) + LIST_BYTES(heap->roots) + LIST_BYTES(heap->labels) +
		 LIST_BYTES(heap->counters) + LIST_BYTES(heap->findings) +
		 LIST_BYTES(heap->reasons);
	return bytes + (heap->strings ? heap->strings->bytes : 0);
}

/* An array of n elements, at least one byte long; NULL and err: no memory. Large ones ask for huge
 * pages: first touches cost half of the time to load a heap otherwise. */
static void *array_alloc(uint64_t n, size_t size_bytes, const char *what, struct hf_err *err)
{
	uint64_t total;
	void *array = NULL;
	if (hf_mul_u64(n ? n : 1, size_bytes, &total) && total <= PTRDIFF_MAX - HUGE_PAGE) {
		array = total < HUGE_ARRAY
				? malloc(total)
				: aligned_alloc(HUGE_PAGE, hf_align_up(total, HUGE_PAGE));
		if (array && total >= HUGE_ARRAY)
			madvise(array, total, MADV_HUGEPAGE); /* only advice */
	}
	if (!array)
		hf_err_set(err, HF_E_NOMEM, "no memory for %lu %s of %zu bytes each", n, what,
			size_bytes);
	return array;
}

void *hf_heap_array(uint64_t n, size_t size_bytes)
{
	return array_alloc(n, size_bytes, "", NULL);
}

enum hf_status hf_heap_alloc_objects(struct hf_heap *heap, uint64_t n, struct hf_err *err)
{
	if (n >= HF_NONE)
		return hf_err_set(err, HF_E_UNSUPPORTED,
			"%lu objects: more than the 4294967294 that can be numbered", n);
	heap->addr = array_alloc(n, sizeof(*heap->addr), "object addresses", err);
	if (!heap->addr)
		return HF_E_NOMEM;
	heap->usable = array_alloc(n, sizeof(*heap->usable), "object sizes", err);
	if (!heap->usable)
		return HF_E_NOMEM;
	heap->arena = array_alloc(n, sizeof(*heap->arena), "object arenas", err);
	if (!heap->arena)
		return HF_E_NOMEM;
	heap->n_objects = n;
	return HF_OK;
}

enum hf_status hf_heap_alloc_edges(struct hf_heap *heap, uint64_t n, struct hf_err *err)
{
	heap->edge_offset = array_alloc(
		heap->n_objects + 1, sizeof(*heap->edge_offset), "edge list starts", err);
	if (!heap->edge_offset)
		return HF_E_NOMEM;
	memset(heap->edge_offset, 0, (heap->n_objects + 1) * sizeof(*heap->edge_offset));
	heap->edge_dst = array_alloc(n, sizeof(*heap->edge_dst), "edge targets", err);
	if (!heap->edge_dst)
		return HF_E_NOMEM;
	heap->edge_src_off = array_alloc(n, sizeof(*heap->edge_src_off), "edge offsets", err);
	if (!heap->edge_src_off)
		return HF_E_NOMEM;
	heap->edge_dst_off = array_alloc(n, sizeof(*heap->edge_dst_off), "edge offsets", err);
	if (!heap->edge_dst_off)
		return HF_E_NOMEM;
	heap->n_edges = n;
	return HF_OK;
}

enum hf_status hf_heap_alloc_sites(struct hf_heap *heap, struct hf_err *err)
{
	uint64_t n = heap->n_objects;
	heap->requested = array_alloc(n, sizeof(*heap->requested), "requested sizes", err);
	if (!heap->requested)
		return HF_E_NOMEM;
	heap->site = array_alloc(n, sizeof(*heap->site), "object sites", err);
	if (!heap->site)
		return HF_E_NOMEM;
	memcpy(heap->requested, heap->usable, n * sizeof(*heap->requested));
	memset(heap->site, 0, n * sizeof(*heap->site));
	return HF_OK;
}

enum hf_status hf_heap_alloc_ages(struct hf_heap *heap, struct hf_err *err)
{
	uint64_t n = heap->n_objects;
	heap->age = array_alloc(n, sizeof(*heap->age), "object ages", err);
	if (!heap->age)
		return HF_E_NOMEM;
	heap->tid = array_alloc(n, sizeof(*heap->tid), "allocating threads", err);
	if (!heap->tid)
		return HF_E_NOMEM;
	memset(heap->age, 0xff, n * sizeof(*heap->age));
	memset(heap->tid, 0, n * sizeof(*heap->tid));
	return HF_OK;
}

enum hf_status hf_heap_alloc_modrefs(struct hf_heap *heap, uint64_t n, struct hf_err *err)
{
	heap->modrefs.at = array_alloc(n, sizeof(*heap->modrefs.at), "module references", err);
	if (!heap->modrefs.at)
		return HF_E_NOMEM;
	heap->modrefs.n = n;
	heap->modrefs.cap = n ? n : 1;
	return HF_OK;
}

const char *hf_heap_string(struct hf_heap *heap, const void *bytes, size_t n)
{
	if (!n)
		return "";
	if (!heap->strings && !(heap->strings = calloc(1, sizeof(*heap->strings))))
		return NULL;
	struct chunk *chunk = heap->strings->chunks;
	if (!chunk || chunk->size - chunk->used <= n) {
		size_t size = n >= STRING_CHUNK / 4 ? n + 1 : STRING_CHUNK;
		struct chunk *fresh = malloc(sizeof(*fresh) + size);
		if (!fresh)
			return NULL;
		*fresh = (struct chunk){.size = size};
		heap->strings->bytes += sizeof(*fresh) + size;
		if (chunk && size != STRING_CHUNK) { /* keep filling the one before */
			fresh->next = chunk->next;
			chunk->next = fresh;
		} else {
			fresh->next = chunk;
			heap->strings->chunks = fresh;
		}
		chunk = fresh;
	}
	char *copy = chunk->bytes + chunk->used;
	memcpy(copy, bytes, n);
	copy[n] = 0;
	chunk->used += n + 1;
	return copy;
}

void *hf_heap_push_(void **at, size_t *n, size_t *cap, size_t size_bytes)
{
	if (*n == *cap) {
		size_t more = *cap ? *cap + *cap / 2 + 1 : 8;
		void *grown = reallocarray(*at, more, size_bytes);
		if (!grown)
			return NULL;
		*at = grown;
		*cap = more;
	}
	void *elem = (char *)*at + (*n)++ * size_bytes;
	memset(elem, 0, size_bytes);
	return elem;
}

void hf_heap_finding(
	struct hf_heap *heap, uint32_t severity, uint64_t addr, const char *format, ...)
{
	char text[HF_ERR_MSG_SIZE];
	va_list ap;
	va_start(ap, format);
	size_t n = hf_vfmt(text, sizeof(text), format, ap);
	va_end(ap);
	if (severity >= HF_PARTIAL)
		heap->partial = true;
	const char *copy = hf_heap_string(heap, text, n);
	if (!copy)
		return;
	struct hf_heap_finding *finding = hf_heap_push(&heap->findings);
	if (finding)
		*finding = (struct hf_heap_finding){severity, addr, copy};
	if (severity >= HF_PARTIAL) {
		const char **reason = hf_heap_push(&heap->reasons);
		if (reason)
			*reason = copy;
	}
}

uint32_t hf_heap_find(const struct hf_heap *heap, uint64_t addr)
{
	uint64_t low = 0, high = heap->n_objects;
	while (low < high) { /* the first object that starts after addr */
		uint64_t mid = low + (high - low) / 2;
		if (heap->addr[mid] <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low && addr - heap->addr[low - 1] < heap->usable[low - 1] ? (uint32_t)(low - 1)
									 : HF_NONE;
}

uint32_t hf_heap_find_module(const struct hf_heap *heap, uint64_t addr)
{
	for (size_t i = 0; i < heap->modules.n; i++) {
		const struct hf_heap_module *module = &heap->modules.at[i];
		if (addr >= module->base && addr - module->base < module->size)
			return (uint32_t)i;
	}
	return HF_NONE;
}

const char *hf_heap_property(const struct hf_heap *heap, const char *key)
{
	for (size_t i = 0; i < heap->properties.n; i++) {
		if (!strcmp(heap->properties.at[i].key, key))
			return heap->properties.at[i].value;
	}
	return NULL;
}

size_t hf_heap_modrefs_of(const struct hf_heap *heap, uint32_t object, size_t *ret_first)
{
	size_t low = 0, high = heap->modrefs.n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (heap->modrefs.at[mid].src < object)
			low = mid + 1;
		else
			high = mid;
	}
	*ret_first = low;
	size_t end = low;
	while (end < heap->modrefs.n && heap->modrefs.at[end].src == object)
		end++;
	return end - low;
}

const struct hf_heap_wide *hf_heap_wide_find(
	const struct hf_heap_wide *table, size_t n, uint64_t index)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (table[mid].index < index)
			low = mid + 1;
		else
			high = mid;
	}
	return low < n && table[low].index == index ? &table[low] : NULL;
}

bool hf_heap_is_loaders_own(const struct hf_heap *heap, const struct hf_heap_root *root)
{
	if (root->kind != HF_ROOT_STATIC || root->module == HF_NONE)
		return false;
	const char *name = hf_base_name(heap->modules.at[root->module].path);
	return strncmp(name, "ld-linux", 8) == 0 || strncmp(name, "ld-2.", 5) == 0;
}

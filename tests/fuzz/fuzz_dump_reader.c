/* The dump reader against any bytes: reading, the summary and the verification, with and without
 * checksums, so that the decoders are reached. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "source/dump/dump.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *as_file(const uint8_t *data, size_t size)
{
	static int fd = -1;
	static char path[40];
	if (fd < 0) {
		fd = memfd_create("dump", MFD_CLOEXEC);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	if (ftruncate(fd, (off_t)size) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	return path;
}

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "broken promise: %s, line %d\n", #condition, __LINE__);    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* The promises of source/heap.h. */
static void check_heap(const struct hf_heap *heap)
{
	for (uint64_t i = 0; i < heap->n_objects; i++) {
		CHECK(heap->arena[i] < heap->arenas.n);
		CHECK(heap->usable[i] <= UINT64_MAX - heap->addr[i]);
		CHECK(!i || (heap->addr[i] > heap->addr[i - 1] &&
				    heap->addr[i] >= heap->addr[i - 1] + heap->usable[i - 1]));
		CHECK(heap->edge_offset[i] <= heap->edge_offset[i + 1]);
		for (uint64_t e = heap->edge_offset[i]; e < heap->edge_offset[i + 1]; e++) {
			CHECK(heap->edge_dst[e] < heap->n_objects);
			hf_heap_dst_off(heap, e);
			CHECK(e == heap->edge_offset[i] ||
				hf_heap_src_off(heap, e - 1) < hf_heap_src_off(heap, e));
		}
	}
	CHECK(heap->edge_offset[0] == 0 && heap->edge_offset[heap->n_objects] == heap->n_edges);
	for (size_t i = 0; i < heap->modrefs.n; i++) {
		CHECK(heap->modrefs.at[i].src < heap->n_objects);
		CHECK(heap->modrefs.at[i].module < heap->modules.n);
		hf_heap_modref_src_off(heap, i);
		hf_heap_modref_module_off(heap, i);
	}
	for (size_t i = 0; i < heap->roots.n; i++) {
		const struct hf_heap_root *root = &heap->roots.at[i];
		CHECK(root->object < heap->n_objects);
		CHECK(root->variable == HF_NONE || root->variable < heap->variables.n);
		CHECK(root->module == HF_NONE || root->module < heap->modules.n);
		CHECK(root->thread == HF_NONE || root->thread < heap->threads.n);
	}
	CHECK(!heap->partial || heap->reasons.n);
}

static void read_all(const char *path, bool ignore_checksums)
{
	struct hf_dump_options options = {
		.n_threads = 1, .max_records = 1 << 20, .ignore_checksums = ignore_checksums};
	struct hf_heap heap;
	struct hf_dump_info info;
	struct hf_dump_verdict verdict;
	struct hf_err err;
	bool partial = true;
	if (hf_dump_read(path, &options, &heap, &err) == HF_OK) {
		check_heap(&heap);
		partial = heap.partial;
		hf_heap_deinit(&heap);
	}
	if (hf_dump_info(path, &options, &info, &err) == HF_OK) {
		/* what the whole heap is silent about, the summary must be, too */
		CHECK(partial || !info.heap.partial);
		hf_dump_info_deinit(&info);
	}
	if (hf_dump_verify(path, &options, 10, &verdict, &err) == HF_OK) {
		CHECK(verdict.n_problems || verdict.declared_partial || !partial);
		hf_dump_verdict_deinit(&verdict);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *path = as_file(data, size);
	read_all(path, false);
	read_all(path, true);
	return 0;
}

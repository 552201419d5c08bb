#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "source/dump/reader.h"

enum {
	MAX_THREADS = 16,
	DEFAULT_THREADS = 2,
	ALONE_BYTES = 128 << 10, /* up to so many stored bytes, one thread is faster */
};

struct pool {
	struct reader *reader;
	uint32_t sections;
	size_t next;         /* block; atomic */
	uint64_t done_bytes; /* atomic */
	int no_memory;       /* atomic */
};

static const char *decode_block(
	struct reader *reader, struct block_buffer *buffer, struct dump_block *block)
{
	switch (block->section) {
	case HF_SECTION_OBJECT:
		return decode_object(reader, buffer, block);
	case HF_SECTION_EDGE:
		return decode_edge(reader, buffer, block);
	default:
		return decode_modref(reader, buffer, block);
	}
}

/* Take blocks until there are none; the calling thread shows progress. */
static void work(struct pool *pool, bool calling_thread)
{
	struct reader *reader = pool->reader;
	struct block_buffer buffer = {0};
	for (;;) {
		size_t i = __atomic_fetch_add(&pool->next, 1, __ATOMIC_RELAXED);
		if (i >= reader->blocks.n || __atomic_load_n(&pool->no_memory, __ATOMIC_RELAXED))
			break;
		struct dump_block *block = &reader->blocks.at[i];
		if (block->problem || block->section >= HF_SECTION_END ||
			!(pool->sections & 1u << block->section))
			continue;
		block->problem = block_load(&buffer, &reader->file, block);
		if (!block->problem)
			block->problem = decode_block(reader, &buffer, block);
		if (block->problem == block_no_memory)
			__atomic_store_n(&pool->no_memory, 1, __ATOMIC_RELAXED);
		uint64_t done =
			__atomic_add_fetch(&pool->done_bytes, block->stored_size, __ATOMIC_RELAXED);
		if (calling_thread && reader->options.progress)
			reader->options.progress(
				reader->options.progress_ctx, done, reader->file.size);
	}
	block_buffer_free(&buffer);
}

static void *thread_main(void *arg)
{
	work(arg, false);
	return NULL;
}

static unsigned n_threads(const struct reader *reader, uint32_t sections)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < reader->blocks.n; i++) {
		const struct dump_block *block = &reader->blocks.at[i];
		if (block->section < HF_SECTION_END && sections & 1u << block->section)
			bytes += block->stored_size;
	}
	unsigned n = reader->options.n_threads;
	if (!n)
		n = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? DEFAULT_THREADS : 1;
	return bytes <= ALONE_BYTES ? 1 : n < MAX_THREADS ? n : MAX_THREADS;
}

enum hf_status decode_all(struct reader *reader, uint32_t sections, struct hf_err *err)
{
	struct pool pool = {
		.reader = reader, .sections = sections, .done_bytes = reader->done_bytes};
	pthread_t threads[MAX_THREADS];
	unsigned n = 0, wanted = n_threads(reader, sections);
	/* a thread that cannot be had only makes it slower */
	while (n + 1 < wanted && !pthread_create(&threads[n], NULL, thread_main, &pool))
		n++;
	work(&pool, true);
	while (n)
		pthread_join(threads[--n], NULL);
	reader->done_bytes = pool.done_bytes;
	if (pool.no_memory)
		return hf_err_set(err, HF_E_NOMEM, "%s: no memory to decode it", reader->file.name);
	return HF_OK;
}

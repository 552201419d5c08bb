#include <lz4.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "source/dump/blocks.h"

const char block_no_memory[] = "no memory";

static bool grow(struct block_buffer *buffer, uint8_t **part, size_t *cap, size_t size)
{
	if (size <= *cap)
		return true;
	free(*part);
	*cap = 0;
	*part = malloc(size);
	if (!*part) {
		buffer->no_memory = true;
		return false;
	}
	*cap = size;
	return true;
}

const char *block_check(
	struct block_buffer *buffer, const struct dump_file *file, const struct dump_block *block)
{
	size_t size = sizeof(struct hf_block_header) + block->stored_size;
	if (!grow(buffer, &buffer->stored, &buffer->stored_cap, size + COLUMN_SLACK))
		return block_no_memory;
	if (!dump_file_read(file, block->offset, buffer->stored, size))
		return "cannot be read";
	struct hf_block_header header;
	memcpy(&header, buffer->stored, sizeof(header));
	uint32_t crc = header.crc;
	header.crc = 0;
	memcpy(buffer->stored, &header, sizeof(header));
	if (!file->ignore_checksums && crc != hf_crc32c(0, buffer->stored, size))
		return "checksum differs";
	memset(buffer->stored + size, 0, COLUMN_SLACK);
	return NULL;
}

static const char cannot_decompress[] = "cannot be decompressed";

static const char *unzip(struct block_buffer *buffer, const struct dump_block *block)
{
	if (!buffer->z_ready) {
		buffer->z = (z_stream){0};
		if (inflateInit(&buffer->z) != Z_OK) {
			buffer->no_memory = true;
			return block_no_memory;
		}
		buffer->z_ready = true;
	}
	z_stream *z = &buffer->z;
	inflateReset(z);
	z->next_in = buffer->stored + sizeof(struct hf_block_header);
	z->avail_in = block->stored_size;
	z->next_out = buffer->raw;
	z->avail_out = block->raw_size;
	int status = inflate(z, Z_FINISH);
	if (status == Z_MEM_ERROR) {
		buffer->no_memory = true;
		return block_no_memory;
	}
	return status == Z_STREAM_END && !z->avail_out && !z->avail_in ? NULL : cannot_decompress;
}

static const char *decompress(struct block_buffer *buffer, const struct dump_block *block)
{
	if (!grow(buffer, &buffer->raw, &buffer->raw_cap, (size_t)block->raw_size + COLUMN_SLACK))
		return block_no_memory;
	const char *problem = NULL;
	if (block->codec == HF_CODEC_ZLIB) {
		problem = unzip(buffer, block);
	} else {
		const uint8_t *stored = buffer->stored + sizeof(struct hf_block_header);
		int n = LZ4_decompress_safe((const char *)stored, (char *)buffer->raw,
			(int)block->stored_size, (int)block->raw_size);
		problem = n >= 0 && (uint32_t)n == block->raw_size ? NULL : cannot_decompress;
	}
	memset(buffer->raw + block->raw_size, 0, COLUMN_SLACK);
	return problem;
}

static const char *split_columns(
	struct block_buffer *buffer, const struct dump_block *block, const uint8_t *raw)
{
	uint64_t at = 4ull * block->n_columns;
	for (unsigned c = 0; c < block->n_columns; c++) {
		uint32_t size;
		memcpy(&size, raw + 4 * c, sizeof(size));
		if (size < block->n_items || size > block->raw_size - at)
			return "its column sizes do not add up";
		buffer->columns[c] = (struct column){raw + at, raw + at + size, 0, false};
		at += size;
	}
	buffer->n_columns = block->n_columns;
	return at == block->raw_size ? NULL : "its column sizes do not add up";
}

const char *block_load(
	struct block_buffer *buffer, const struct dump_file *file, const struct dump_block *block)
{
	const char *problem = block_check(buffer, file, block);
	if (problem)
		return problem;
	if (block->codec == HF_CODEC_NONE)
		return split_columns(
			buffer, block, buffer->stored + sizeof(struct hf_block_header));
	problem = decompress(buffer, block);
	return problem ? problem : split_columns(buffer, block, buffer->raw);
}

void block_buffer_free(struct block_buffer *buffer)
{
	free(buffer->stored);
	free(buffer->raw);
	if (buffer->z_ready)
		inflateEnd(&buffer->z);
	*buffer = (struct block_buffer){0};
}

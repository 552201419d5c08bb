#include "write/block.h"

#include <immintrin.h>
#include <string.h>

#include "base/cpu.h"

/* In front of the columns there is room for their sizes, which the payload starts with. */
enum { SIZES = 4 * HF_FORMAT_MAX_COLUMNS };

/* Shares of the memory: what a column of real heaps needs, so that all fill up about together. */
static unsigned weight(enum hf_section section, unsigned column, char encoding)
{
	static const uint8_t object[] = {3, 3, 2}, edge[] = {2, 2, 6, 3},
			     root[] = {1, 2, 1, 1, 4, 4, 2};
	switch (section) {
	case HF_SECTION_OBJECT:
		return object[column];
	case HF_SECTION_EDGE:
	case HF_SECTION_MODREF:
		return edge[column];
	case HF_SECTION_ROOT:
		return root[column];
	default:
		return encoding == 'S' ? 8 : 2;
	}
}

void hf_block_open(struct hf_block *block, enum hf_section section)
{
	const char *encodings = hf_format_columns(section);
	block->section = section;
	block->n_columns = (uint8_t)strlen(encodings);
	block->max_items =
		section == HF_SECTION_INDEX ? HF_FORMAT_INDEX_ITEMS : HF_FORMAT_MAX_BLOCK_ITEMS;
	unsigned total = 0;
	for (unsigned c = 0; c < block->n_columns; c++)
		total += weight(section, c, encodings[c]);
	uint8_t *at = block->memory + SIZES;
	for (unsigned c = 0; c < block->n_columns; c++) {
		uint32_t size = (block->size - SIZES) / total * weight(section, c, encodings[c]);
		uint32_t longest =
			encodings[c] == 'S' ? HF_FORMAT_MAX_STRING + HF_VARINT_MAX : HF_VARINT_MAX;
		block->columns[c] = (struct hf_column){at, at, at + size - longest, 0};
		at += size;
	}
	block->n_items = 0;
}

static void reset(struct hf_block *block)
{
	for (unsigned c = 0; c < block->n_columns; c++) {
		block->columns[c].at = block->columns[c].start;
		block->columns[c].previous = 0;
	}
	block->n_items = 0;
}

static uint32_t column_size(const struct hf_block *block, unsigned c)
{
	return (uint32_t)(block->columns[c].at - block->columns[c].start);
}

static uint32_t raw_size(const struct hf_block *block)
{
	uint32_t size = 4u * block->n_columns;
	for (unsigned c = 0; c < block->n_columns; c++)
		size += column_size(block, c);
	return size;
}

uint32_t hf_block_packed_max(const struct hf_block *block)
{
	return (uint32_t)sizeof(struct hf_block_header) + raw_size(block);
}

/* Push the columns together behind their sizes: the payload. */
static const uint8_t *gather(struct hf_block *block)
{
	uint8_t *payload = block->columns[0].start - 4 * block->n_columns;
	uint8_t *at = block->columns[0].start;
	for (unsigned c = 0; c < block->n_columns; c++) {
		uint32_t size = column_size(block, c);
		memcpy(payload + 4 * c, &size, sizeof(size));
		memmove(at, block->columns[c].start, size);
		at += size;
	}
	return payload;
}

/* In sizes and steps of objects LZ4 finds many short matches that save little: what it would take
 * off (a third of a twentieth of the file) is not worth the time. */
static int acceleration(enum hf_section section)
{
	return section == HF_SECTION_OBJECT ? 32 : 1;
}

uint32_t hf_block_pack(struct hf_block *block, struct hf_packer *packer, uint8_t *out)
{
	struct hf_block_header header = {
		.magic = HF_FORMAT_BLOCK_MAGIC,
		.section = block->section,
		.codec = (uint8_t)packer->codec,
		.n_columns = block->n_columns,
		.n_items = block->n_items,
		.raw_size = raw_size(block),
	};
	const uint8_t *payload = gather(block);
	uint8_t *stored = out + sizeof(header);
	int n = 0;
	if (packer->codec == HF_CODEC_LZ4)
		n = LZ4_compress_fast_extState(&packer->lz4, (const char *)payload, (char *)stored,
			(int)header.raw_size, (int)header.raw_size - 1,
			acceleration(block->section));
	if (n <= 0) {
		header.codec = HF_CODEC_NONE;
		memcpy(stored, payload, header.raw_size);
		n = (int)header.raw_size;
	}
	header.stored_size = (uint32_t)n;
	memcpy(out, &header, sizeof(header));
	reset(block);
	return (uint32_t)sizeof(header) + header.stored_size;
}

uint32_t hf_block_room(const struct hf_block *block)
{
	uint64_t room = block->max_items - block->n_items;
	for (unsigned c = 0; c < block->n_columns; c++) {
		const struct hf_column *column = &block->columns[c];
		if (column->at > column->limit)
			return 0;
		uint64_t values = (uint64_t)(column->limit - column->at) / HF_VARINT_MAX + 1;
		room = values < room ? values : room;
	}
	return (uint32_t)room;
}

static uint8_t *put(uint8_t *at, uint64_t v)
{
	return v >> 56 ? hf_varint_put(at, v) : hf_varint_put_56(at, v);
}

static uint8_t *put_plain(uint8_t *at, const uint64_t *v, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		at = put(at, v[i]);
	return at;
}

/* Eight at a time: hf_varint_put_56(), line by line, but for the stores. */
__attribute__((target(HF_TARGET_AVX512))) static uint8_t *put_512(
	uint8_t *at, const uint64_t *v, uint32_t n)
{
#define EACH(x) _mm512_set1_epi64((long long)(x))
#define MOVE(x, stay, move, by)                                                                    \
	_mm512_or_si512(_mm512_and_si512(x, EACH(stay)),                                           \
		_mm512_slli_epi64(_mm512_and_si512(x, EACH(move)), by))
	uint32_t i = 0;
	for (; i + 8 <= n; i += 8) {
		__m512i x = _mm512_loadu_si512(v + i);
		/* In most columns most values have one byte. */
		if (!_mm512_cmpge_epu64_mask(x, EACH(0x80))) {
			_mm_storel_epi64((__m128i *)at, _mm512_cvtepi64_epi8(x));
			at += 8;
			continue;
		}
		if (_mm512_cmpge_epu64_mask(x, EACH(1ull << 56))) {
			at = put_plain(at, v + i, 8);
			continue;
		}
		uint64_t bytes[8], sizes[8];
		const __m512i bits =
			_mm512_sub_epi64(EACH(64), _mm512_lzcnt_epi64(_mm512_or_si512(x, EACH(1))));
		const __m512i size = _mm512_srli_epi64(
			_mm512_add_epi64(
				_mm512_add_epi64(bits, _mm512_slli_epi64(bits, 3)), EACH(64)),
			6);
		x = MOVE(x, 0x000000000fffffff, 0x00fffffff0000000, 4);
		x = MOVE(x, 0x00003fff00003fff, 0x0fffc0000fffc000, 2);
		x = MOVE(x, 0x007f007f007f007f, 0x3f803f803f803f80, 1);
		const __m512i before = _mm512_slli_epi64(_mm512_sub_epi64(size, EACH(1)), 3);
		const __m512i more = _mm512_sub_epi64(_mm512_sllv_epi64(EACH(1), before), EACH(1));
		x = _mm512_or_si512(x, _mm512_and_si512(more, EACH(0x8080808080808080)));
		_mm512_storeu_si512(bytes, x);
		_mm512_storeu_si512(sizes, size);
		for (unsigned k = 0; k < 8; k++) {
			memcpy(at, &bytes[k], 8);
			at += sizes[k];
		}
	}
	return put_plain(at, v + i, n - i);
#undef MOVE
#undef EACH
}

void hf_column_u_many(struct hf_column *column, const uint64_t *values, uint32_t n)
{
	column->at = (hf_cpu() == HF_CPU_AVX512 ? put_512 : put_plain)(column->at, values, n);
}

void hf_column_s(struct hf_column *column, const void *bytes, size_t size)
{
	column->at = hf_varint_put(column->at, size);
	if (size)
		memcpy(column->at, bytes, size);
	column->at += size;
}

#include "write/batch.h"

#include "base/checked.h"
#include "base/page_alloc.h"
#include "write/state.h"

size_t hf_batch_memory_size(void)
{
	return ROWS_SIZE + MODREF_SIZE + BATCH_OUT_SIZE;
}

void hf_batch_init(
	struct hf_batch *b, struct hf_writer *writer, enum hf_codec codec, uint8_t *memory)
{
	*b = (struct hf_batch){.writer = writer, .packer.codec = codec};
	b->rows = (struct hf_block){.memory = memory, .size = ROWS_SIZE};
	b->modrefs = (struct hf_block){.memory = memory + ROWS_SIZE, .size = MODREF_SIZE};
	b->out.blocks = memory + ROWS_SIZE + MODREF_SIZE;
	hf_block_open(&b->modrefs, HF_SECTION_MODREF);
}

static size_t output_size(void)
{
	return hf_align_up(sizeof(struct hf_batch_output), 64) + BATCH_OUT_SIZE;
}

static size_t struct_size(void)
{
	return hf_align_up(sizeof(struct hf_batch), 64);
}

enum hf_status hf_batch_create(struct hf_writer *writer, void (*turn)(void *ctx), void *ctx,
	struct hf_batch **ret, struct hf_err *err)
{
	uint8_t *memory = hf_page_alloc(struct_size() + hf_batch_memory_size());
	if (!memory)
		return hf_err_set(err, HF_E_NOMEM, "no memory for a part of the dump");
	struct hf_batch *b = (struct hf_batch *)memory;
	hf_batch_init(b, writer, writer->batch.packer.codec, memory + struct_size());
	b->turn = turn;
	b->ctx = ctx;
	*ret = b;
	return HF_OK;
}

struct hf_batch *hf_batch_of_writer(struct hf_writer *writer)
{
	hf_batch_flush(&writer->batch);
	return &writer->batch;
}

void hf_batch_destroy(struct hf_batch *b)
{
	if (b && b != &b->writer->batch)
		hf_page_free(b, struct_size() + hf_batch_memory_size());
}

static void hand_over(struct hf_batch *b)
{
	if (b->turn)
		b->turn(b->ctx);
	hf_writer_append(b->writer, &b->out);
	b->out.size = 0;
	for (unsigned i = 0; i < N_BULK; i++)
		b->out.order[i].any = false;
}

static void close_block(struct hf_batch *b, struct hf_block *block)
{
	if (!block->n_items)
		return;
	if (BATCH_OUT_SIZE - b->out.size < hf_block_packed_max(block))
		hand_over(b);
	b->out.size += hf_block_pack(block, &b->packer, b->out.blocks + b->out.size);
}

void hf_batch_close(struct hf_batch *b)
{
	close_block(b, &b->rows);
	close_block(b, &b->modrefs);
}

void hf_batch_flush(struct hf_batch *b)
{
	hf_batch_close(b);
	hand_over(b);
}

struct hf_batch_output *hf_batch_output_create(void)
{
	uint8_t *memory = hf_page_alloc_spare(output_size());
	struct hf_batch_output *o = (struct hf_batch_output *)memory;
	if (o)
		o->blocks = memory + output_size() - BATCH_OUT_SIZE;
	return o;
}

void hf_batch_output_destroy(struct hf_batch_output *o)
{
	if (o)
		hf_page_free(o, output_size());
}

void hf_batch_detach(struct hf_batch *b, struct hf_batch_output *ret)
{
	uint8_t *const blocks = ret->blocks;
	*ret = b->out;
	b->out = (struct hf_batch_output){.blocks = blocks, .err = ret->err};
}

void hf_batch_output_append(struct hf_batch_output *o, struct hf_writer *writer)
{
	hf_writer_append(writer, o);
}

/* Objects come before edges in the file; the two share a block's memory. */
static void open_rows(struct hf_batch *b, enum hf_section section)
{
	if (b->rows.section == section)
		return;
	if (b->rows.section)
		close_block(b, &b->rows);
	hf_block_open(&b->rows, section);
}

/* Records that the format wants in order came in another: our caller's mistake. The dump would not
 * be readable, so it fails. */
static bool in_order(
	struct hf_batch *b, enum hf_bulk kind, bool ok, struct hf_place first, struct hf_place next)
{
	static const enum hf_section sections[N_BULK] = {
		HF_SECTION_OBJECT, HF_SECTION_EDGE, HF_SECTION_MODREF};
	if (b->out.err.status)
		return false;
	if (!ok || (b->out.order[kind].any && hf_place_before(first, b->out.order[kind].next))) {
		hf_err_set(&b->out.err, HF_E_FAILED,
			"%s out of order at 0x%lx: a defect of the dumper",
			hf_format_section_name(sections[kind]), first.row);
		return false;
	}
	if (!b->out.order[kind].any)
		b->out.order[kind].first = first;
	b->out.order[kind].any = true;
	b->out.order[kind].next = next;
	return true;
}

void hf_batch_object(struct hf_batch *b, uint64_t addr, uint64_t usable_bytes, uint32_t arena)
{
	struct hf_place at = {addr, 0}, next = {addr + usable_bytes, 0};
	open_rows(b, HF_SECTION_OBJECT);
	if (__builtin_expect(!hf_block_has_room(&b->rows), 0))
		close_block(b, &b->rows);
	if (!in_order(b, BULK_OBJECT, true, at, next))
		return;
	b->rows.n_items++;
	hf_column_d(&b->rows.columns[0], addr);
	hf_column_u(&b->rows.columns[1], usable_bytes);
	hf_column_u(&b->rows.columns[2], arena);
}

/* Room for one reference more, if it is in order. */
static bool open_reference(struct hf_batch *b, enum hf_bulk kind, struct hf_block *block,
	uint64_t src, uint64_t offset)
{
	struct hf_place at = {src, offset / 8}, next = {src, offset / 8 + 1};
	open_rows(b, HF_SECTION_EDGE);
	if (__builtin_expect(!hf_block_has_room(block), 0))
		close_block(b, block);
	if (!in_order(b, kind, !(offset % 8), at, next))
		return false;
	block->n_items++;
	hf_column_d(&block->columns[0], src);
	hf_column_u(&block->columns[1], offset / 8);
	return true;
}

void hf_batch_edge(
	struct hf_batch *b, uint32_t src, uint64_t src_offset, uint32_t dst, uint64_t dst_offset)
{
	if (!open_reference(b, BULK_EDGE, &b->rows, src, src_offset))
		return;
	hf_column_u(&b->rows.columns[2], hf_zigzag((int64_t)dst - (int64_t)src));
	hf_column_u(&b->rows.columns[3], dst_offset);
}

void hf_batch_modref(struct hf_batch *b, uint32_t src, uint64_t src_offset, uint32_t module,
	uint64_t module_offset)
{
	if (!open_reference(b, BULK_MODREF, &b->modrefs, src, src_offset))
		return;
	hf_column_u(&b->modrefs.columns[2], module);
	hf_column_u(&b->modrefs.columns[3], module_offset);
}

/* How many of n rows fit; if none would, the block is closed first. */
static uint32_t rows_room(struct hf_batch *b, uint32_t n)
{
	if (!hf_block_room(&b->rows))
		close_block(b, &b->rows);
	uint32_t room = hf_block_room(&b->rows);
	return n < room ? n : room;
}

static void put_objects(
	struct hf_batch *b, const struct hf_objects *o, uint32_t first, uint32_t last)
{
	struct hf_column *columns = b->rows.columns;
	uint64_t steps[HF_BATCH_ROWS], arenas[HF_BATCH_ROWS], previous = columns[0].previous;
	for (uint32_t i = first; i < last; i++) {
		steps[i - first] = o->addr[i] - previous;
		arenas[i - first] = o->arena;
		previous = o->addr[i];
	}
	columns[0].previous = previous;
	hf_column_u_many(&columns[0], steps, last - first);
	hf_column_u_many(&columns[1], o->usable_bytes + first, last - first);
	hf_column_u_many(&columns[2], arenas, last - first);
	b->rows.n_items += last - first;
}

void hf_batch_objects(struct hf_batch *b, const struct hf_objects *o)
{
	if (!o->n)
		return;
	open_rows(b, HF_SECTION_OBJECT);
	const uint32_t n = o->n;
	bool ok = true;
	for (uint32_t i = 1; i < n; i++)
		ok &= o->addr[i] >= o->addr[i - 1] + o->usable_bytes[i - 1];
	struct hf_place first_place = {o->addr[0], 0},
			next = {o->addr[n - 1] + o->usable_bytes[n - 1], 0};
	if (!in_order(b, BULK_OBJECT, ok, first_place, next))
		return;
	for (uint32_t first = 0, last; first < n; first = last) {
		last = first + rows_room(b, n - first);
		put_objects(b, o, first, last);
	}
}

/* Edges first … last - 1, for which there is room in the block. */
static void put_edges(struct hf_batch *b, const struct hf_edges *e, uint32_t first, uint32_t last)
{
	struct hf_column *columns = b->rows.columns;
	uint64_t steps[HF_BATCH_ROWS], targets[HF_BATCH_ROWS], previous = columns[0].previous;
	for (uint32_t i = first; i < last; i++) {
		steps[i - first] = e->src[i] - previous;
		targets[i - first] = hf_zigzag((int64_t)(e->dst[i] - e->src[i]));
		previous = e->src[i];
	}
	columns[0].previous = previous;
	hf_column_u_many(&columns[0], steps, last - first);
	hf_column_u_many(&columns[1], e->word + first, last - first);
	hf_column_u_many(&columns[2], targets, last - first);
	hf_column_u_many(&columns[3], e->dst_offset + first, last - first);
	b->rows.n_items += last - first;
}

void hf_batch_edges(struct hf_batch *b, const struct hf_edges *e)
{
	if (!e->n)
		return;
	open_rows(b, HF_SECTION_EDGE);
	bool ok = true;
	for (uint32_t i = 1; i < e->n; i++)
		ok &= (e->src[i] > e->src[i - 1]) |
		      ((e->src[i] == e->src[i - 1]) & (e->word[i] > e->word[i - 1]));
	struct hf_place first_place = {e->src[0], e->word[0]},
			next = {e->src[e->n - 1], e->word[e->n - 1] + 1};
	if (!in_order(b, BULK_EDGE, ok, first_place, next))
		return;
	for (uint32_t first = 0, last; first < e->n; first = last) {
		last = first + rows_room(b, e->n - first);
		put_edges(b, e, first, last);
	}
}

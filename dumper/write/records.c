#include <string.h>

#include "base/fmt.h"
#include "write/state.h"

/* The block that takes the next record of a section, with room for it; NULL: the writer has
 * failed. */
static struct hf_block *open_block(
	struct hf_writer *w, struct hf_block *block, enum hf_section section)
{
	if (w->err.status != HF_OK)
		return NULL;
	if (block->section != section) {
		hf_writer_flush(w, block);
		/* what comes before in the file, so that a cut one has it whole */
		if (block == &w->main && w->note.section == HF_SECTION_PROCESS)
			hf_writer_flush(w, &w->note);
		if (block == &w->main && section > HF_SECTION_MODREF)
			hf_batch_flush(&w->batch);
		hf_block_open(block, section);
	} else if (!hf_block_has_room(block)) {
		hf_writer_flush(w, block);
	}
	block->n_items++;
	return block;
}

static void put_string(struct hf_column *column, const char *text)
{
	hf_column_s(column, text, text ? strnlen(text, HF_FORMAT_MAX_STRING) : 0);
}

/* Records that the format wants in order came in another: our caller's mistake. The dump would not
 * be readable, so it fails here. */
static bool in_order(struct hf_writer *w, bool ok, enum hf_section section, uint64_t value)
{
	if (__builtin_expect(!ok, 0))
		hf_err_set(&w->err, HF_E_FAILED, "%s out of order at 0x%lx: a defect of the dumper",
			hf_format_section_name(section), value);
	return ok;
}

void hf_write_process(struct hf_writer *w, const char *key, const char *value)
{
	struct hf_block *block = open_block(w, &w->note, HF_SECTION_PROCESS);
	if (!block)
		return;
	put_string(&block->columns[0], key);
	put_string(&block->columns[1], value);
}

void hf_write_module(struct hf_writer *w, uint64_t base, uint64_t size, uint64_t bias,
	const char *path, const void *build_id, size_t build_id_size)
{
	struct hf_block *block = open_block(w, &w->main, HF_SECTION_MODULE);
	if (!block || !in_order(w, base >= block->columns[0].previous, HF_SECTION_MODULE, base))
		return;
	hf_column_d(&block->columns[0], base);
	hf_column_u(&block->columns[1], size);
	hf_column_z(&block->columns[2], bias);
	put_string(&block->columns[3], path);
	hf_column_s(&block->columns[4], build_id,
		build_id_size < HF_FORMAT_MAX_STRING ? build_id_size : HF_FORMAT_MAX_STRING);
}

void hf_write_mapping(struct hf_writer *w, uint64_t start, uint64_t size, uint32_t perms,
	enum hf_mapping_kind kind, uint64_t rss_bytes, uint64_t offset, const char *path)
{
	struct hf_block *block = open_block(w, &w->main, HF_SECTION_MAPPING);
	if (!block || !in_order(w, start >= block->columns[0].previous, HF_SECTION_MAPPING, start))
		return;
	hf_column_d(&block->columns[0], start);
	hf_column_u(&block->columns[1], size);
	hf_column_u(&block->columns[2], perms);
	hf_column_u(&block->columns[3], kind);
	hf_column_u(&block->columns[4], rss_bytes);
	hf_column_u(&block->columns[5], offset);
	put_string(&block->columns[6], path);
}

void hf_write_thread(struct hf_writer *w, const struct hf_thread_record *thread)
{
	struct hf_block *block = open_block(w, &w->main, HF_SECTION_THREAD);
	if (!block)
		return;
	const uint64_t values[] = {thread->tid, thread->flags, thread->pc, thread->sp,
		thread->stack_start, thread->stack_size, thread->tp};
	for (unsigned c = 0; c < 7; c++)
		hf_column_u(&block->columns[c], values[c]);
	put_string(&block->columns[7], thread->name);
}

void hf_write_register(struct hf_writer *w, uint32_t thread, uint32_t number, uint64_t value)
{
	struct hf_block *block = open_block(w, &w->main, HF_SECTION_REGISTER);
	if (!block)
		return;
	hf_column_u(&block->columns[0], thread);
	hf_column_u(&block->columns[1], number);
	hf_column_u(&block->columns[2], value);
}

void hf_write_stack_word(struct hf_writer *w, uint32_t thread, uint64_t addr, uint64_t value)
{
	struct hf_block *block = open_block(w, &w->main, HF_SECTION_STACK_WORD);
	if (!block)
		return;
	hf_column_u(&block->columns[0], thread);
	hf_column_z(&block->columns[1], addr);
	hf_column_z(&block->columns[2], value);
}

void hf_write_arena(struct hf_writer *w, const struct hf_arena_record *arena)
{
	struct hf_block *block = open_block(w, &w->main, HF_SECTION_ARENA);
	if (!block)
		return;
	const uint64_t values[] = {arena->kind, arena->addr, arena->size_bytes, arena->live_bytes,
		arena->live_count, arena->free_bytes, arena->free_count, arena->metadata_bytes};
	put_string(&block->columns[0], arena->allocator);
	for (unsigned c = 0; c < 8; c++)
		hf_column_u(&block->columns[1 + c], values[c]);
}

/* The bulk of the dump goes through the writer's own batch, whose errors are the writer's. */
static void take_error(struct hf_writer *w)
{
	if (__builtin_expect(w->batch.out.err.status && !w->err.status, 0))
		w->err = w->batch.out.err;
}

void hf_write_object(struct hf_writer *w, uint64_t addr, uint64_t usable_bytes, uint32_t arena)
{
	hf_batch_object(&w->batch, addr, usable_bytes, arena);
	take_error(w);
}

void hf_write_edge(
	struct hf_writer *w, uint32_t src, uint64_t src_offset, uint32_t dst, uint64_t dst_offset)
{
	hf_batch_edge(&w->batch, src, src_offset, dst, dst_offset);
	take_error(w);
}

void hf_write_modref(struct hf_writer *w, uint32_t src, uint64_t src_offset, uint32_t module,
	uint64_t module_offset)
{
	hf_batch_modref(&w->batch, src, src_offset, module, module_offset);
	take_error(w);
}

void hf_write_variable(struct hf_writer *w, const struct hf_variable_record *variable)
{
	struct hf_block *block = open_block(w, &w->main, HF_SECTION_VARIABLE);
	if (!block)
		return;
	hf_column_u(&block->columns[0], variable->kind);
	hf_column_u(&block->columns[1], variable->module);
	hf_column_u(&block->columns[2], variable->thread);
	hf_column_u(&block->columns[3], variable->addr);
	hf_column_u(&block->columns[4], variable->size_bytes);
	put_string(&block->columns[5], variable->name);
}

void hf_write_root(struct hf_writer *w, const struct hf_root_record *root)
{
	struct hf_block *block = open_block(w, &w->main, HF_SECTION_ROOT);
	if (!block)
		return;
	hf_column_u(&block->columns[0], root->kind);
	hf_column_u(&block->columns[1], root->variable);
	hf_column_u(&block->columns[2], root->module);
	hf_column_u(&block->columns[3], root->thread);
	hf_column_z(&block->columns[4], root->addr);
	hf_column_u(&block->columns[5], root->object);
	hf_column_u(&block->columns[6], root->offset);
}

void hf_write_site(struct hf_writer *w, uint32_t object, const struct hf_site_facts *facts)
{
	struct hf_block *block = open_block(w, &w->main, HF_SECTION_SITE);
	bool ok = object >= w->next_site_object;
	if (!block || !in_order(w, ok, HF_SECTION_SITE, object))
		return;
	w->next_site_object = (uint64_t)object + 1;
	hf_column_d(&block->columns[0], object);
	hf_column_u(&block->columns[1], facts->site);
	hf_column_u(&block->columns[2], facts->requested_bytes);
	hf_column_u(&block->columns[3], facts->age_seconds);
	hf_column_u(&block->columns[4], facts->tid);
}

void hf_write_content(
	struct hf_writer *w, uint32_t object, uint64_t offset, const void *bytes, size_t size_bytes)
{
	struct hf_block *block = open_block(w, &w->main, HF_SECTION_CONTENT);
	if (!block ||
		!in_order(w, object >= block->columns[0].previous, HF_SECTION_CONTENT, object))
		return;
	hf_column_d(&block->columns[0], object);
	hf_column_u(&block->columns[1], offset);
	hf_column_s(&block->columns[2], bytes, size_bytes);
}

void hf_write_label(struct hf_writer *w, uint32_t object, const char *label)
{
	struct hf_block *block = open_block(w, &w->main, HF_SECTION_LABEL);
	if (!block)
		return;
	hf_column_u(&block->columns[0], object);
	put_string(&block->columns[1], label);
}

void hf_write_counter(
	struct hf_writer *w, const char *name, uint64_t allocator, uint64_t walked, bool must_match)
{
	if (must_match && allocator != walked) {
		w->partial = true;
		if (!w->reason[0])
			hf_fmt(w->reason, sizeof(w->reason),
				"%s: the allocator's own figure is %lu, the walk's %lu", name,
				allocator, walked);
	}
	struct hf_block *block = open_block(w, &w->note, HF_SECTION_COUNTER);
	if (!block)
		return;
	put_string(&block->columns[0], name);
	hf_column_u(&block->columns[1], allocator);
	hf_column_u(&block->columns[2], walked);
	hf_column_u(&block->columns[3], must_match);
}

void hf_write_finding(
	struct hf_writer *w, enum hf_severity severity, uint64_t addr, const char *text)
{
	if (severity >= HF_PARTIAL) {
		w->partial = true;
		if (!w->reason[0])
			hf_fmt(w->reason, sizeof(w->reason), "%s", text);
	}
	struct hf_block *block = open_block(w, &w->note, HF_SECTION_FINDING);
	if (!block)
		return;
	hf_column_u(&block->columns[0], severity);
	hf_column_u(&block->columns[1], addr);
	put_string(&block->columns[2], text);
}

#include "base/cleanup.h"
#include "store/insert.h"
#include "store/tables.h"

static void u64_or_null(struct hf_insert *ins, uint64_t v)
{
	if (v)
		hf_insert_u64(ins, v);
	else
		hf_insert_null(ins);
}

static enum hf_status insert_types(sqlite3 *db, const struct hf_names *names, struct hf_err *err)
{
	_cleanup_(hf_insert_deinit) struct hf_insert ins;
	enum hf_status status = hf_insert_init(&ins, db, "type", 5, err);
	for (size_t i = 0; !status && i < names->n_types; i++) {
		const struct hf_names_type *t = &names->types[i];
		hf_insert_u64(&ins, i + 1);
		hf_insert_text(&ins, t->name);
		u64_or_null(&ins, t->size_bytes);
		hf_insert_text(&ins, t->kind);
		hf_insert_text(&ins, t->origin);
		status = hf_insert_row(&ins, err);
	}
	return status;
}

static enum hf_status insert_fields(sqlite3 *db, const struct hf_names *names, struct hf_err *err)
{
	_cleanup_(hf_insert_deinit) struct hf_insert ins;
	enum hf_status status = hf_insert_init(&ins, db, "field", 6, err);
	for (size_t i = 0; !status && i < names->n_fields; i++) {
		const struct hf_names_field *f = &names->fields[i];
		hf_insert_u64(&ins, i + 1);
		hf_insert_u64(&ins, (uint64_t)f->type + 1);
		hf_insert_u64(&ins, f->offset);
		hf_insert_text(&ins, f->name);
		hf_insert_u64(&ins, f->pointer);
		u64_or_null(&ins, f->stride);
		status = hf_insert_row(&ins, err);
	}
	return status;
}

static enum hf_status insert_sites(sqlite3 *db, const struct hf_names *names, struct hf_err *err)
{
	_cleanup_(hf_insert_deinit) struct hf_insert ins;
	enum hf_status status = hf_insert_init(&ins, db, "site", 10, err);
	for (size_t i = 0; !status && i < names->n_sites; i++) {
		const struct hf_names_site *s = &names->sites[i];
		hf_insert_u64(&ins, s->id);
		hf_insert_text(&ins, s->function);
		hf_insert_text(&ins, s->file);
		u64_or_null(&ins, s->line);
		hf_insert_u64(&ins, s->live_bytes);
		hf_insert_u64(&ins, s->live_count);
		hf_insert_u64(&ins, s->total_bytes);
		hf_insert_u64(&ins, s->total_count);
		hf_insert_id(&ins, s->module);
		if (s->function)
			hf_insert_u64(&ins, s->depth);
		else
			hf_insert_null(&ins);
		status = hf_insert_row(&ins, err);
	}
	return status;
}

static enum hf_status insert_site_frames(
	sqlite3 *db, const struct hf_names *names, struct hf_err *err)
{
	_cleanup_(hf_insert_deinit) struct hf_insert ins;
	enum hf_status status = hf_insert_init(&ins, db, "site_frame", 7, err);
	for (size_t i = 0; !status && i < names->n_site_frames; i++) {
		const struct hf_names_frame *f = &names->site_frames[i];
		hf_insert_u64(&ins, f->of);
		hf_insert_u64(&ins, f->depth);
		hf_insert_text(&ins, f->function);
		hf_insert_text(&ins, f->file);
		u64_or_null(&ins, f->line);
		hf_insert_id(&ins, f->module);
		u64_or_null(&ins, f->pc);
		status = hf_insert_row(&ins, err);
	}
	return status;
}

static enum hf_status insert_frames(sqlite3 *db, const struct hf_names *names, struct hf_err *err)
{
	_cleanup_(hf_insert_deinit) struct hf_insert ins;
	enum hf_status status = hf_insert_init(&ins, db, "frame", 8, err);
	for (size_t i = 0; !status && i < names->n_frames; i++) {
		const struct hf_names_frame *f = &names->frames[i];
		hf_insert_u64(&ins, i + 1);
		hf_insert_u64(&ins, (uint64_t)f->of + 1);
		hf_insert_u64(&ins, f->depth);
		hf_insert_u64(&ins, f->pc);
		hf_insert_text(&ins, f->function);
		hf_insert_text(&ins, f->file);
		u64_or_null(&ins, f->line);
		hf_insert_id(&ins, f->module);
		status = hf_insert_row(&ins, err);
	}
	return status;
}

enum hf_status hf_tables_names(sqlite3 *db, const struct hf_names *names, struct hf_err *err)
{
	enum hf_status status = insert_types(db, names, err);
	if (!status)
		status = insert_fields(db, names, err);
	if (!status)
		status = insert_sites(db, names, err);
	if (!status)
		status = insert_site_frames(db, names, err);
	if (!status)
		status = insert_frames(db, names, err);
	return status;
}

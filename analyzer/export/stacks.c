#include "export/stacks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "report/db.h"

void hf_stacks_deinit(struct hf_stacks *s)
{
	free(s->at);
	free(s->frames);
	free(s->modules);
	hf_symbol_names_deinit(&s->texts);
	*s = (struct hf_stacks){0};
}

static enum hf_status no_memory(struct hf_err *err)
{
	return hf_err_set(err, HF_E_NOMEM, "no memory for the stacks");
}

/* Room for one more element of size_bytes at *at; NULL: no memory. */
static void *push(void **at, size_t *n, size_t *cap, size_t size_bytes)
{
	if (*n == *cap) {
		size_t want = *cap ? *cap * 2 : 64;
		void *bigger = reallocarray(*at, want, size_bytes);
		if (!bigger)
			return NULL;
		*at = bigger;
		*cap = want;
	}
	void *element = (char *)*at + (*n)++ * size_bytes;
	memset(element, 0, size_bytes);
	return element;
}

static const char *keep(struct hf_stacks *s, const char *text)
{
	const char *kept = *text ? hf_symbol_names_text(&s->texts, text) : "";
	return kept ? kept : "";
}

static enum hf_status read_meta(struct hf_stacks *s, sqlite3 *db, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	bool tied = true, known = false;
	s->program = "";
	s->period = 1;
	enum hf_status status = hf_query(db, &q, err, "SELECT key, value FROM meta", "");
	while (hf_row(q, &status, err)) {
		const char *key = hf_column_text(q, 0);
		if (!strcmp(key, "program"))
			s->program = keep(s, hf_column_text(q, 1));
		else if (!strcmp(key, "profile_sampled"))
			s->sampled |= hf_column_int(q, 1) != 0;
		else if (!strcmp(key, "profile_tied"))
			known = true, tied = hf_column_int(q, 1) != 0;
		else if (!strcmp(key, "profile_period") && hf_column_int(q, 1) > 0)
			s->period = (uint64_t)hf_column_int(q, 1);
		else if (!strcmp(key, "time_ns"))
			s->time_ns = hf_column_int(q, 1);
	}
	s->sampled |= known && !tied;
	return status;
}

static enum hf_status read_modules(struct hf_stacks *s, sqlite3 *db, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(
		db, &q, err, "SELECT path, build_id, base, size FROM module ORDER BY id", "");
	while (hf_row(q, &status, err)) {
		struct hf_stack_module *m = push(
			(void **)&s->modules, &s->n_modules, &s->cap_modules, sizeof(*s->modules));
		if (!m)
			return no_memory(err);
		*m = (struct hf_stack_module){.path = keep(s, hf_column_text(q, 0)),
			.build_id = keep(s, hf_column_text(q, 1)),
			.base = (uint64_t)hf_column_int(q, 2),
			.size = (uint64_t)hf_column_int(q, 3)};
	}
	return status;
}

/* "libfoo.so+0x1234" */
static const char *place(struct hf_stacks *s, const struct hf_stack_frame *f)
{
	char text[512];
	const struct hf_stack_module *m =
		f->module && f->module <= s->n_modules ? &s->modules[f->module - 1] : NULL;
	if (!m || !*m->path)
		snprintf(text, sizeof(text), "0x%llx", (unsigned long long)f->pc);
	else
		snprintf(text, sizeof(text), "%.400s+0x%llx", hf_base_name(m->path),
			(unsigned long long)(f->pc - m->base));
	return keep(s, text);
}

static enum hf_status read_frames(struct hf_stacks *s, sqlite3_stmt *q, int64_t site,
	struct hf_stack *stack, struct hf_err *err)
{
	enum hf_status status = HF_OK;
	stack->first_frame = s->n_frames;
	hf_rebind(q, "i", site);
	while (hf_row(q, &status, err)) {
		struct hf_stack_frame *f =
			push((void **)&s->frames, &s->n_frames, &s->cap_frames, sizeof(*s->frames));
		if (!f)
			return no_memory(err);
		int64_t module = hf_column_int(q, 3);
		f->module = module > 0 && (size_t)module <= s->n_modules ? (uint32_t)module : 0;
		f->pc = (uint64_t)hf_column_int(q, 4);
		f->line = (uint32_t)hf_column_int(q, 2);
		f->file = hf_column_null(q, 1) ? NULL : keep(s, hf_column_text(q, 1));
		f->function = hf_column_null(q, 0) ? place(s, f) : keep(s, hf_column_text(q, 0));
		stack->n_frames++;
	}
	sqlite3_reset(q);
	return status;
}

/* A stack of one frame, of objects whose allocation nobody saw. */
static enum hf_status bare_frame(struct hf_stacks *s, struct hf_stack *stack, struct hf_err *err)
{
	stack->first_frame = s->n_frames;
	static const char *const names[] = {NULL, "(no site)"};
	for (int i = stack->type ? 0 : 1; i < 2; i++) {
		struct hf_stack_frame *f =
			push((void **)&s->frames, &s->n_frames, &s->cap_frames, sizeof(*s->frames));
		if (!f)
			return no_memory(err);
		f->function = names[i] ? names[i] : stack->type;
		stack->n_frames++;
	}
	return HF_OK;
}

/* Site, its naming frame, type, count, bytes, retained: all, or as the profile estimates it. */
static const char exact_sql[] =
	"SELECT g.site, coalesce(s.depth, 0), t.name, g.n, g.bytes, 0 FROM (SELECT "
	"coalesce(site_id, 0) AS site, type_id, count(*) AS n, sum(size) AS bytes FROM object "
	"GROUP BY 1, 2) g LEFT JOIN site s ON s.id = g.site LEFT JOIN type t ON t.id = g.type_id "
	"UNION ALL SELECT r.id, coalesce(s.depth, 0), NULL, 0, 0, r.retained_size "
	"FROM stat_site r LEFT JOIN site s ON s.id = r.id ORDER BY 1, 3";
static const char estimates_sql[] =
	"SELECT s.id, coalesce(s.depth, 0), NULL, s.live_count, s.live_bytes, "
	"coalesce(r.retained_size, 0) FROM site s LEFT JOIN stat_site r ON r.id = s.id "
	"WHERE s.live_bytes > 0 ORDER BY 1";

static enum hf_status read_stacks(struct hf_stacks *s, sqlite3 *db, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL, *frames = NULL;
	enum hf_status status = hf_query(db, &frames, err,
		"SELECT function, file, line, module_id, pc FROM site_frame WHERE site_id = ? "
		"ORDER BY depth",
		"");
	if (status == HF_OK)
		status = hf_query(db, &q, err, s->sampled ? estimates_sql : exact_sql, "");
	while (hf_row(q, &status, err)) {
		struct hf_stack *stack = push((void **)&s->at, &s->n, &s->cap, sizeof(*s->at));
		if (!stack)
			return no_memory(err);
		stack->site = hf_column_int(q, 0);
		stack->naming = (uint32_t)hf_column_int(q, 1);
		stack->type = hf_column_null(q, 2) ? NULL : keep(s, hf_column_text(q, 2));
		stack->live_count = (uint64_t)hf_column_int(q, 3);
		stack->live_bytes = (uint64_t)hf_column_int(q, 4);
		stack->retained_bytes = (uint64_t)hf_column_int(q, 5);
		const struct hf_stack *before = s->n > 1 ? stack - 1 : NULL;
		if (before && stack->site && before->site == stack->site) {
			stack->first_frame = before->first_frame;
			stack->n_frames = before->n_frames;
		} else if (stack->site) {
			status = read_frames(s, frames, stack->site, stack, err);
		}
		if (status == HF_OK && !stack->n_frames)
			status = bare_frame(s, stack, err);
		if (stack->naming >= stack->n_frames)
			stack->naming = 0;
	}
	return status;
}

enum hf_status hf_stacks_read(struct hf_stacks *ret, sqlite3 *db, struct hf_err *err)
{
	*ret = (struct hf_stacks){0};
	enum hf_status status = read_meta(ret, db, err);
	if (status == HF_OK)
		status = read_modules(ret, db, err);
	if (status == HF_OK)
		status = read_stacks(ret, db, err);
	if (status != HF_OK)
		hf_stacks_deinit(ret);
	return status;
}

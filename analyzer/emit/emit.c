#include "emit/emit.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "emit/json.h"
#include "emit/table.h"
#include "emit/text.h"

enum { LABEL_WIDTH = 14, MAX_WARNINGS = 64 };

struct hf_emit {
	struct hf_emit_options o;
	struct hf_json json;
	bool bare; /* no object around the table */
	struct hf_table table;
	const struct hf_column *columns; /* of the open table, NULL: none is open */
	size_t n_columns;
	int n_rows;
	int n_tables;
	bool wrote; /* some line for people */
	char *warnings[MAX_WARNINGS];
	size_t n_warnings;
	char *error;       /* owned: why the report is incomplete */
	struct hf_err err; /* the first failure; status HF_OK: none */
};

enum hf_status hf_emit_create(const struct hf_emit_options *options, const char *command,
	struct hf_emit **ret, struct hf_err *err)
{
	struct hf_emit *emit = calloc(1, sizeof(*emit));
	if (!emit)
		return hf_err_set(err, HF_E_NOMEM, "no memory for the output");
	emit->o = *options;
	emit->json.out = options->out;
	emit->bare = !command;
	if (options->form == HF_EMIT_JSON && command) {
		hf_json_object_begin(&emit->json, NULL);
		hf_json_text(&emit->json, "report", command);
	}
	*ret = emit;
	return HF_OK;
}

void hf_emit_destroy(struct hf_emit *emit)
{
	if (!emit)
		return;
	hf_table_deinit(&emit->table);
	for (size_t i = 0; i < emit->n_warnings; i++)
		free(emit->warnings[i]);
	free(emit->error);
	free(emit);
}

enum hf_status hf_emit_finish(struct hf_emit *emit, struct hf_err *err)
{
	if (emit->o.form == HF_EMIT_JSON && !emit->bare) {
		if (emit->error)
			hf_json_text(&emit->json, "error", emit->error);
		hf_json_array_begin(&emit->json, "warnings");
		for (size_t i = 0; i < emit->n_warnings; i++)
			hf_json_text(&emit->json, NULL, emit->warnings[i]);
		hf_json_array_end(&emit->json);
		hf_json_object_end(&emit->json);
	}
	if (emit->err.status) {
		if (err)
			*err = emit->err;
		return emit->err.status;
	}
	if (fflush(emit->o.out) != 0 || ferror(emit->o.out))
		return hf_err_sys(err, HF_E_IO, errno, "cannot write the result");
	return HF_OK;
}

enum hf_emit_form hf_emit_form(const struct hf_emit *emit)
{
	return emit->o.form;
}

const char *hf_emit_times(const struct hf_emit *emit)
{
	return emit->o.ascii ? "x" : "×";
}

const char *hf_emit_dots(const struct hf_emit *emit)
{
	return emit->o.ascii ? "..." : "…";
}

const char *hf_emit_from(const struct hf_emit *emit)
{
	return emit->o.ascii ? "<-" : "←";
}

static void remember(struct hf_emit *emit, const struct hf_err *err)
{
	if (!emit->err.status)
		emit->err = *err;
}

/* Lines for people */

/* Control characters could drive the terminal; names in a dump are a stranger's. */
static void put_safe(struct hf_emit *emit, const char *text)
{
	for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
		bool c1 = s[0] == 0xc2 && s[1] >= 0x80 && s[1] <= 0x9f;
		if ((*s < 0x20 && *s != '\n') || *s == 0x7f || c1) {
			putc('?', emit->o.out);
			s += c1;
		} else {
			putc(*s, emit->o.out);
		}
	}
}

/* Goes on in further lines, a little indented, where the terminal is narrow. */
static void put_wrapped(struct hf_emit *emit, const char *s)
{
	size_t width = emit->o.width > 0 ? (size_t)emit->o.width : 0;
	size_t indent = strspn(s, " ") + 2, room = width;
	while (width && hf_text_width(s) > room) {
		size_t n = hf_text_break(s, room);
		_cleanup_(hf_text_deinit) struct hf_text line = HF_TEXT_INIT;
		hf_text_add(&line, s, n);
		put_safe(emit, hf_text_get(&line));
		s += n;
		s += strspn(s, " ");
		fprintf(emit->o.out, "\n%*s", (int)indent, "");
		room = width > indent + 8 ? width - indent : 8;
	}
	put_safe(emit, s);
}

static void put_line(
	struct hf_emit *emit, const char *colour, bool wrapped, const char *format, va_list ap)
{
	char *s = NULL;
	if (vasprintf(&s, format, ap) < 0)
		return;
	if (emit->o.colour)
		fputs(colour, emit->o.out);
	if (wrapped)
		put_wrapped(emit, s);
	else
		put_safe(emit, s);
	if (emit->o.colour && *colour)
		fputs("\033[0m", emit->o.out);
	putc('\n', emit->o.out);
	emit->wrote = true;
	free(s);
}

void hf_emit_title(struct hf_emit *emit, const char *format, ...)
{
	if (emit->o.form != HF_EMIT_HUMAN)
		return;
	if (emit->wrote)
		putc('\n', emit->o.out);
	va_list ap;
	va_start(ap, format);
	put_line(emit, "\033[1m", true, format, ap);
	va_end(ap);
}

void hf_emit_line(struct hf_emit *emit, const char *format, ...)
{
	if (emit->o.form != HF_EMIT_HUMAN)
		return;
	va_list ap;
	va_start(ap, format);
	put_line(emit, "", true, format, ap);
	va_end(ap);
}

static void put_unwrapped(struct hf_emit *emit, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	put_line(emit, "", false, format, ap);
	va_end(ap);
}

/* A command is to be copied, so it is not broken into lines. */
void hf_emit_hint(struct hf_emit *emit, const char *command, const char *what)
{
	if (emit->o.form == HF_EMIT_HUMAN)
		put_unwrapped(emit, "  %-26s %s", what, command);
}

void hf_emit_warning(struct hf_emit *emit, const char *format, ...)
{
	va_list ap, again;
	va_start(ap, format);
	va_copy(again, ap);
	if (emit->o.form == HF_EMIT_HUMAN) {
		_cleanup_(hf_text_deinit) struct hf_text marked = HF_TEXT_INIT;
		hf_text_addf(&marked, "! %s", format);
		put_line(emit, "\033[33m", true, hf_text_get(&marked), ap);
	} else if (emit->n_warnings < MAX_WARNINGS) {
		char *s = NULL;
		if (vasprintf(&s, format, again) >= 0)
			emit->warnings[emit->n_warnings++] = s;
	}
	va_end(again);
	va_end(ap);
}

void hf_emit_error(struct hf_emit *emit, const char *message)
{
	free(emit->error);
	emit->error = strdup(message);
}

/* Values */

static const char *exact_value(
	char buf[HF_NUMBER_SIZE], enum hf_value_kind kind, const struct hf_cell *cell)
{
	if (cell->type == HF_CELL_NULL)
		return kind == HF_VALUE_TEXT ? "" : "-";
	if (cell->type == HF_CELL_TEXT)
		return cell->s;
	double d = cell->type == HF_CELL_REAL ? cell->d : (double)cell->i;
	switch (kind) {
	case HF_VALUE_COUNT:
		return hf_human_count(buf, (uint64_t)cell->i);
	case HF_VALUE_SIZE:
		return hf_human_size(buf, (uint64_t)cell->i);
	case HF_VALUE_SHARE:
		return hf_human_share(buf, d);
	case HF_VALUE_ADDRESS:
		snprintf(buf, HF_NUMBER_SIZE, "0x%llx", (unsigned long long)cell->i);
		return buf;
	case HF_VALUE_COUNT_DELTA:
		return hf_human_count_delta(buf, cell->i);
	case HF_VALUE_SIZE_DELTA:
		return hf_human_size_delta(buf, cell->i);
	case HF_VALUE_BOOL:
		return cell->i ? "yes" : "no";
	case HF_VALUE_AGE:
		return hf_human_age(buf, cell->i);
	case HF_VALUE_SAMPLES:
		hf_human_count(buf, (uint64_t)cell->i);
		return cell->i <= HF_ROUGH_SAMPLES ? strcat(buf, " rough") : buf;
	case HF_VALUE_SIZE_ESTIMATE:
	case HF_VALUE_COUNT_ESTIMATE: /* see human_value() */
	case HF_VALUE_TEXT:
	case HF_VALUE_PLAIN:
		break;
	}
	if (cell->type == HF_CELL_REAL)
		snprintf(buf, HF_NUMBER_SIZE, "%.15g", cell->d);
	else
		snprintf(buf, HF_NUMBER_SIZE, "%lld", (long long)cell->i);
	return buf;
}

/* An estimate has a ~ before it. */
static const char *human_value(
	char buf[HF_NUMBER_SIZE], enum hf_value_kind kind, const struct hf_cell *cell)
{
	bool estimate = cell->estimate;
	if (kind == HF_VALUE_SIZE_ESTIMATE || kind == HF_VALUE_COUNT_ESTIMATE) {
		kind = kind == HF_VALUE_SIZE_ESTIMATE ? HF_VALUE_SIZE : HF_VALUE_COUNT;
		estimate = true;
	}
	if (!estimate || cell->type == HF_CELL_NULL || cell->type == HF_CELL_TEXT)
		return exact_value(buf, kind, cell);
	char number[HF_NUMBER_SIZE];
	const char *exact = exact_value(number, kind, cell);
	buf[0] = '~';
	memcpy(buf + 1, exact, strnlen(exact, HF_NUMBER_SIZE - 2));
	buf[1 + strnlen(exact, HF_NUMBER_SIZE - 2)] = 0;
	return buf;
}

static void json_value(
	struct hf_json *json, const char *key, enum hf_value_kind kind, const struct hf_cell *cell)
{
	char buf[HF_NUMBER_SIZE];
	if (cell->type == HF_CELL_NULL)
		hf_json_null(json, key);
	else if (cell->type == HF_CELL_TEXT)
		hf_json_text(json, key, cell->s);
	else if (kind == HF_VALUE_ADDRESS)
		hf_json_text(json, key, human_value(buf, kind, cell));
	else if (kind == HF_VALUE_BOOL)
		hf_json_bool(json, key, cell->i != 0);
	else if (cell->type == HF_CELL_INT)
		hf_json_int(json, key, cell->i);
	else if (kind == HF_VALUE_SHARE)
		/* Two decimals tell all that a share can. */
		hf_json_real(json, key, (double)(int64_t)(cell->d * 100 + 0.5) / 100);
	else
		hf_json_real(json, key, cell->d);
}

static void csv_value(FILE *out, enum hf_value_kind kind, const struct hf_cell *cell)
{
	char buf[HF_NUMBER_SIZE];
	if (cell->type == HF_CELL_NULL)
		return;
	if (cell->type == HF_CELL_INT && kind == HF_VALUE_ADDRESS) {
		fputs(human_value(buf, kind, cell), out);
	} else if (cell->type == HF_CELL_INT) {
		fprintf(out, "%lld", (long long)cell->i);
	} else if (cell->type == HF_CELL_REAL) {
		fprintf(out, kind == HF_VALUE_SHARE ? "%.2f" : "%.15g", cell->d);
	} else if (!strpbrk(cell->s, "\",\r\n")) {
		fputs(cell->s, out);
	} else { /* RFC 4180 */
		putc('"', out);
		for (const char *s = cell->s; *s; s++) {
			if (*s == '"')
				putc('"', out);
			putc(*s, out);
		}
		putc('"', out);
	}
}

void hf_emit_fact(struct hf_emit *emit, const char *key, const char *label, enum hf_value_kind kind,
	struct hf_cell value)
{
	if (emit->o.form == HF_EMIT_JSON)
		json_value(&emit->json, key, kind, &value);
	if (emit->o.form != HF_EMIT_HUMAN || !label)
		return;
	char buf[HF_NUMBER_SIZE];
	hf_emit_line(emit, "%-*s %s", LABEL_WIDTH, label, human_value(buf, kind, &value));
}

void hf_emit_object_begin(struct hf_emit *emit, const char *key)
{
	if (emit->o.form == HF_EMIT_JSON)
		hf_json_object_begin(&emit->json, key);
}

void hf_emit_object_end(struct hf_emit *emit)
{
	if (emit->o.form == HF_EMIT_JSON)
		hf_json_object_end(&emit->json);
}

void hf_emit_list_begin(struct hf_emit *emit, const char *key)
{
	if (emit->o.form == HF_EMIT_JSON)
		hf_json_array_begin(&emit->json, key);
}

void hf_emit_list_end(struct hf_emit *emit)
{
	if (emit->o.form == HF_EMIT_JSON)
		hf_json_array_end(&emit->json);
}

/* Tables */

static bool in_csv(const struct hf_emit *emit, const struct hf_column *column)
{
	return emit->n_tables == 1 && !(column->flags & HF_COLUMN_HUMAN);
}

void hf_emit_table_begin(
	struct hf_emit *emit, const char *key, const struct hf_column *columns, size_t n_columns)
{
	emit->columns = columns;
	emit->n_columns = n_columns;
	emit->n_rows = 0;
	emit->n_tables++;
	switch (emit->o.form) {
	case HF_EMIT_JSON:
		hf_json_array_begin(&emit->json, emit->bare ? NULL : key);
		break;
	case HF_EMIT_CSV:
		for (size_t c = 0, n = 0; c < n_columns; c++) {
			if (!in_csv(emit, &columns[c]))
				continue;
			if (n++)
				putc(',', emit->o.out);
			struct hf_cell name = hf_cell_text(columns[c].key);
			csv_value(emit->o.out, HF_VALUE_TEXT, &name);
		}
		if (emit->n_tables == 1)
			putc('\n', emit->o.out);
		break;
	case HF_EMIT_HUMAN:
		hf_table_init(&emit->table, columns, n_columns);
	}
}

static void row_json(struct hf_emit *emit, const struct hf_cell *cells)
{
	hf_json_record_begin(&emit->json);
	for (size_t c = 0; c < emit->n_columns; c++) {
		if (!(emit->columns[c].flags & HF_COLUMN_HUMAN))
			json_value(&emit->json, emit->columns[c].key, emit->columns[c].kind,
				&cells[c]);
	}
	hf_json_record_end(&emit->json);
}

static void row_csv(struct hf_emit *emit, const struct hf_cell *cells)
{
	if (emit->n_tables != 1)
		return;
	for (size_t c = 0, n = 0; c < emit->n_columns; c++) {
		if (!in_csv(emit, &emit->columns[c]))
			continue;
		if (n++)
			putc(',', emit->o.out);
		csv_value(emit->o.out, emit->columns[c].kind, &cells[c]);
	}
	putc('\n', emit->o.out);
}

static int row_human(struct hf_emit *emit, int parent, const struct hf_cell *cells)
{
	char bufs[HF_TABLE_MAX_COLUMNS][HF_NUMBER_SIZE];
	const char *texts[HF_TABLE_MAX_COLUMNS];
	for (size_t c = 0; c < emit->n_columns && c < HF_TABLE_MAX_COLUMNS; c++)
		texts[c] = emit->columns[c].flags & HF_COLUMN_JSON
				   ? NULL
				   : human_value(bufs[c], emit->columns[c].kind, &cells[c]);
	return hf_table_add(&emit->table, parent, texts);
}

int hf_emit_row(struct hf_emit *emit, int parent, const struct hf_cell *cells)
{
	if (emit->o.form == HF_EMIT_JSON)
		row_json(emit, cells);
	else if (emit->o.form == HF_EMIT_CSV)
		row_csv(emit, cells);
	else
		row_human(emit, parent, cells);
	return emit->n_rows++;
}

void hf_emit_table_flush(struct hf_emit *emit)
{
	if (emit->o.form != HF_EMIT_HUMAN)
		return;
	struct hf_err err;
	if (hf_table_print(&emit->table, &emit->o, &err) != HF_OK)
		remember(emit, &err);
	emit->wrote |= emit->n_rows > 0;
}

void hf_emit_table_end(struct hf_emit *emit)
{
	if (emit->o.form == HF_EMIT_JSON)
		hf_json_array_end(&emit->json);
	hf_emit_table_flush(emit);
	if (emit->o.form == HF_EMIT_HUMAN)
		hf_table_deinit(&emit->table);
	emit->columns = NULL;
}

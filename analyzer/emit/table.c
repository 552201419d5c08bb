#include "emit/table.h"

#include <libsmartcols.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "emit/text.h"

void hf_table_init(struct hf_table *table, const struct hf_column *columns, size_t n_columns)
{
	*table = (struct hf_table){.columns = columns, .n_columns = n_columns};
}

static void free_texts(struct hf_table *table)
{
	for (size_t i = 0; i < table->n_rows * table->n_columns; i++)
		free(table->texts[i]);
	table->n_rows = 0;
}

void hf_table_deinit(struct hf_table *table)
{
	free_texts(table);
	free(table->texts);
	free(table->parents);
	*table = (struct hf_table){0};
}

static bool grow(struct hf_table *table)
{
	if (table->n_rows < table->cap_rows)
		return true;
	size_t cap = table->cap_rows ? table->cap_rows * 2 : 32;
	char **texts = reallocarray(table->texts, cap * table->n_columns, sizeof(*texts));
	if (texts)
		table->texts = texts;
	int *parents = reallocarray(table->parents, cap, sizeof(*parents));
	if (parents)
		table->parents = parents;
	if (!texts || !parents)
		return false;
	table->cap_rows = cap;
	return true;
}

int hf_table_add(struct hf_table *table, int parent, const char *const *texts)
{
	int row = (int)(table->first_row + table->n_rows);
	if (!grow(table)) {
		table->failed = true;
		return row;
	}
	char **cells = table->texts + table->n_rows * table->n_columns;
	for (size_t c = 0; c < table->n_columns; c++) {
		cells[c] = texts[c] ? strdup(texts[c]) : NULL;
		table->failed |= texts[c] && !cells[c];
	}
	table->parents[table->n_rows++] = parent;
	return row;
}

static bool shown(const struct hf_column *column)
{
	return !(column->flags & HF_COLUMN_JSON);
}

static bool is_number(const char *s)
{
	return !s || s[strspn(s, "+-.,0123456789eE")] == 0;
}

/* Numbers are to the right; what a query gives is a number if all of it is. */
static bool is_right(const struct hf_table *table, size_t c)
{
	enum hf_value_kind kind = table->columns[c].kind;
	if (kind != HF_VALUE_PLAIN)
		return kind != HF_VALUE_TEXT && kind != HF_VALUE_ADDRESS && kind != HF_VALUE_BOOL;
	for (size_t r = 0; r < table->n_rows; r++) {
		if (!is_number(table->texts[r * table->n_columns + c]))
			return false;
	}
	return true;
}

/* How deep a row hangs in the tree; parents come before their children. */
static size_t row_depth(const struct hf_table *table, size_t row)
{
	size_t depth = 0;
	for (int p = table->parents[row]; p >= 0 && (size_t)p < table->n_rows;
		p = table->parents[p])
		depth++;
	return depth;
}

static size_t column_width(const struct hf_table *table, size_t c)
{
	size_t width = hf_text_width(table->columns[c].title);
	for (size_t r = 0; r < table->n_rows; r++) {
		const char *s = table->texts[r * table->n_columns + c];
		size_t w = s ? hf_text_width(s) : 0;
		width = w > width ? w : width;
	}
	return width;
}

/* What is left for the elastic column, at least 12 columns. */
static size_t elastic_width(const struct hf_table *table, int width)
{
	size_t used = 0;
	for (size_t c = 0; c < table->n_columns; c++) {
		const struct hf_column *column = &table->columns[c];
		if (!shown(column))
			continue;
		if (!(column->flags & (HF_COLUMN_ELIDE | HF_COLUMN_WRAP)))
			used += column_width(table, c);
		used++;
	}
	used = used ? used - 1 : 0;
	return (size_t)width > used + 12 ? (size_t)width - used : 12;
}

static void elide(struct hf_table *table, const struct hf_emit_options *options)
{
	size_t room = elastic_width(table, options->width);
	_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
	for (size_t c = 0; c < table->n_columns; c++) {
		if (!(table->columns[c].flags & HF_COLUMN_ELIDE) || !shown(&table->columns[c]))
			continue;
		for (size_t r = 0; r < table->n_rows; r++) {
			char **cell = &table->texts[r * table->n_columns + c];
			if (!*cell)
				continue;
			/* A tree's lines take two columns a level. */
			size_t drawn = table->columns[c].flags & HF_COLUMN_TREE
					       ? 2 * row_depth(table, r)
					       : 0;
			const char *cut = hf_text_elide(&text, *cell,
				room > drawn + 8 ? room - drawn : 8, options->ascii ? "..." : "…");
			char *copy = cut == *cell ? NULL : strdup(cut);
			if (copy) {
				free(*cell);
				*cell = copy;
			}
		}
	}
}

/* Split a row's text at c into rows of their own, each with nothing else. */
static bool wrap_row(
	struct hf_table *to, const struct hf_table *from, size_t r, size_t c, size_t room)
{
	const char *texts[HF_TABLE_MAX_COLUMNS];
	char **cells = from->texts + r * from->n_columns;
	for (size_t i = 0; i < from->n_columns; i++)
		texts[i] = cells[i];
	const char *rest = cells[c] ? cells[c] : "";
	do {
		size_t n = hf_text_break(rest, room);
		char *line = strndup(rest, n);
		if (!line)
			return false;
		texts[c] = line;
		hf_table_add(to, from->parents[r], texts);
		free(line);
		rest += n;
		rest += strspn(rest, " ");
		for (size_t i = 0; i < from->n_columns; i++)
			texts[i] = NULL;
	} while (*rest);
	return true;
}

/* Rows of a table with a wrapped column become as many as they need; such a table is no tree. */
static bool wrap(struct hf_table *table, const struct hf_emit_options *options)
{
	size_t c = 0;
	while (c < table->n_columns && !(table->columns[c].flags & HF_COLUMN_WRAP))
		c++;
	if (c == table->n_columns || table->n_columns > HF_TABLE_MAX_COLUMNS)
		return true;
	size_t room = elastic_width(table, options->width);
	struct hf_table wrapped;
	hf_table_init(&wrapped, table->columns, table->n_columns);
	bool ok = true;
	for (size_t r = 0; ok && r < table->n_rows; r++)
		ok = wrap_row(&wrapped, table, r, c, room);
	ok = ok && !wrapped.failed;
	wrapped.first_row = table->first_row;
	if (ok) {
		hf_table_deinit(table);
		*table = wrapped;
	} else {
		hf_table_deinit(&wrapped);
	}
	return ok;
}

static void table_unref(struct libscols_table **tb)
{
	scols_unref_table(*tb);
}

static bool fill(struct hf_table *table, struct libscols_table *tb)
{
	for (size_t c = 0; c < table->n_columns; c++) {
		const struct hf_column *column = &table->columns[c];
		int flags = (is_right(table, c) ? SCOLS_FL_RIGHT : 0) |
			    (column->flags & HF_COLUMN_TREE ? SCOLS_FL_TREE : 0);
		if (shown(column) && !scols_table_new_column(tb, column->title, 0, flags))
			return false;
	}
	struct libscols_line **lines = calloc(table->n_rows, sizeof(*lines));
	if (!lines)
		return false;
	bool ok = true;
	for (size_t r = 0; ok && r < table->n_rows; r++) {
		int parent = table->parents[r];
		lines[r] = scols_table_new_line(
			tb, parent >= 0 && (size_t)parent < r ? lines[parent] : NULL);
		ok = lines[r] != NULL;
		size_t to = 0;
		for (size_t c = 0; ok && c < table->n_columns; c++) {
			if (!shown(&table->columns[c]))
				continue;
			const char *s = table->texts[r * table->n_columns + c];
			ok = scols_line_set_data(lines[r], to++, s ? s : "") == 0;
		}
	}
	free(lines);
	return ok;
}

/* Columns are padded to their width; blanks at the end of a line are of no use to anybody. */
static void print_trimmed(const char *text, FILE *out)
{
	while (*text) {
		size_t line = strcspn(text, "\n"), n = line;
		while (n && text[n - 1] == ' ')
			n--;
		fwrite(text, 1, n, out);
		putc('\n', out);
		text += line + (text[line] == '\n');
	}
}

static bool any_shown(const struct hf_table *table)
{
	for (size_t c = 0; c < table->n_columns; c++) {
		if (shown(&table->columns[c]))
			return true;
	}
	return false;
}

enum hf_status hf_table_print(
	struct hf_table *table, const struct hf_emit_options *options, struct hf_err *err)
{
	if (table->failed)
		return hf_err_set(err, HF_E_NOMEM, "no memory for a table");
	if (!table->n_rows || !any_shown(table))
		return HF_OK;
	if (options->width > 0)
		elide(table, options);
	if (options->width > 0 && !wrap(table, options))
		return hf_err_set(err, HF_E_NOMEM, "no memory for a table");
	_cleanup_(table_unref) struct libscols_table *tb = scols_new_table();
	if (!tb || !fill(table, tb))
		return hf_err_set(err, HF_E_NOMEM, "no memory for a table");
	/* The texts fit already; left to itself smartcols would cut other columns too. */
	scols_table_set_termforce(tb, SCOLS_TERMFORCE_NEVER);
	scols_table_enable_ascii(tb, options->ascii);
	scols_table_enable_noheadings(tb, table->first_row != 0);
	char *text = NULL;
	if (scols_print_table_to_string(tb, &text) != 0)
		return hf_err_set(err, HF_E_FAILED, "cannot lay out a table");
	print_trimmed(text, options->out);
	free(text);
	table->first_row += table->n_rows;
	free_texts(table);
	return HF_OK;
}

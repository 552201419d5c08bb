/*
 * A table for people: rows of text are kept, then laid out by libsmartcols.
 *
 * The one elastic column is shortened in the middle of its texts so that lines fit the width.
 */
#pragma once
#include "emit/emit.h"

struct hf_table {
	const struct hf_column *columns;
	size_t n_columns;
	char **texts; /* n_rows × n_columns, owned; NULL is an empty cell */
	int *parents;
	size_t n_rows, cap_rows;
	size_t first_row; /* rows before it were printed */
	bool failed;
};

void hf_table_init(struct hf_table *table, const struct hf_column *columns, size_t n_columns);
void hf_table_deinit(struct hf_table *table);
/* Takes ownership of nothing: texts are copied. Returns the row's number. */
int hf_table_add(struct hf_table *table, int parent, const char *const *texts);
/* Print the rows that were not printed yet, the heading with the first of them. */
enum hf_status hf_table_print(
	struct hf_table *table, const struct hf_emit_options *options, struct hf_err *err);

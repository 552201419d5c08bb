/*
 * One set of calls, three forms of a result: text for people, JSON, CSV.
 *
 * A report is a sequence of facts (a named value each), tables, and lines that only people see. The
 * JSON form is one object with a member a fact and an array of objects a table; the CSV form is the
 * first table alone. The numbers are the same in all forms: people see them with units, JSON and
 * CSV as bytes and counts, addresses always as "0x…".
 *
 * Keys are public: once published they keep their meaning. Text that comes from a process or a file
 * (names, paths, labels) has its control characters replaced before it reaches a terminal.
 *
 * Not thread safe; an emitter belongs to one thread. Errors of the stream are sticky and returned
 * by hf_emit_finish().
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

struct hf_emit;

enum hf_emit_form {
	HF_EMIT_HUMAN,
	HF_EMIT_JSON,
	HF_EMIT_CSV,
};

struct hf_emit_options {
	enum hf_emit_form form;
	FILE *out;   /* stays the caller's */
	int width;   /* columns of the terminal; 0: as wide as the text */
	bool colour; /* of the human form */
	bool ascii;  /* no other characters than ASCII of our own */
};

/* command: the JSON form's "report" member; NULL: there is one table, and the JSON form is its
 * array alone. */
enum hf_status hf_emit_create(const struct hf_emit_options *options, const char *command,
	struct hf_emit **ret, struct hf_err *err);
void hf_emit_destroy(struct hf_emit *emit);
/* Close what is open and flush. */
enum hf_status hf_emit_finish(struct hf_emit *emit, struct hf_err *err);

enum hf_emit_form hf_emit_form(const struct hf_emit *emit);
/* "×" and "…", or their ASCII forms. */
const char *hf_emit_times(const struct hf_emit *emit);
const char *hf_emit_dots(const struct hf_emit *emit);
/* "←" or "<-": called by. */
const char *hf_emit_from(const struct hf_emit *emit);

/* Lines for people only. A title has a blank line before it unless it is the first thing; a hint
 * says what to type next. */
void hf_emit_title(struct hf_emit *emit, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void hf_emit_line(struct hf_emit *emit, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void hf_emit_hint(struct hf_emit *emit, const char *command, const char *what);
/* A line for people at the place of the call and an element of the JSON form's "warnings". */
void hf_emit_warning(struct hf_emit *emit, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Why the result is not what was asked for: the JSON form's "error"; people are told elsewhere. */
void hf_emit_error(struct hf_emit *emit, const char *message);

enum { HF_ROUGH_SAMPLES = 2 };

enum hf_value_kind {
	HF_VALUE_TEXT,
	HF_VALUE_COUNT,
	HF_VALUE_SIZE,  /* bytes */
	HF_VALUE_SHARE, /* percent, a real number */
	HF_VALUE_ADDRESS,
	HF_VALUE_PLAIN, /* a number that is no count: an id, a pid */
	HF_VALUE_COUNT_DELTA,
	HF_VALUE_SIZE_DELTA,
	HF_VALUE_BOOL,
	HF_VALUE_AGE,           /* seconds */
	HF_VALUE_SIZE_ESTIMATE, /* people see a ~ before them */
	HF_VALUE_COUNT_ESTIMATE,
	HF_VALUE_SAMPLES, /* how many; people see that an estimate by one or two is rough */
};

struct hf_cell {
	enum { HF_CELL_NULL, HF_CELL_INT, HF_CELL_REAL, HF_CELL_TEXT } type;
	int64_t i;
	double d;
	const char *s; /* only looked at during the call */
	bool estimate; /* people see a ~ before the number */
};

static inline struct hf_cell hf_cell_null(void)
{
	return (struct hf_cell){.type = HF_CELL_NULL};
}

static inline struct hf_cell hf_cell_int(int64_t i)
{
	return (struct hf_cell){.type = HF_CELL_INT, .i = i};
}

static inline struct hf_cell hf_cell_real(double d)
{
	return (struct hf_cell){.type = HF_CELL_REAL, .d = d};
}

/* NULL is the null cell. */
static inline struct hf_cell hf_cell_text(const char *s)
{
	return (struct hf_cell){.type = s ? HF_CELL_TEXT : HF_CELL_NULL, .s = s};
}

/* A fact. key: JSON member; label: what people see before the value, NULL leaves it to JSON. */
void hf_emit_fact(struct hf_emit *emit, const char *key, const char *label, enum hf_value_kind kind,
	struct hf_cell value);
/* Facts and tables up to the matching end are members of the JSON member `key` (NULL: of the next
 * element of the open list). A list holds objects alone. */
void hf_emit_object_begin(struct hf_emit *emit, const char *key);
void hf_emit_object_end(struct hf_emit *emit);
void hf_emit_list_begin(struct hf_emit *emit, const char *key);
void hf_emit_list_end(struct hf_emit *emit);

enum hf_column_flag {
	HF_COLUMN_JSON = 1,  /* not for people */
	HF_COLUMN_HUMAN = 2, /* for people only */
	HF_COLUMN_TREE = 4,  /* where the lines of a tree are drawn */
	HF_COLUMN_ELIDE = 8, /* shortened in its middle when the terminal is narrow */
	HF_COLUMN_WRAP = 16, /* goes on in the next line then; a table has one of these at most */
};

struct hf_column {
	const char *key;   /* JSON member and CSV heading */
	const char *title; /* heading for people */
	enum hf_value_kind kind;
	unsigned flags;
};

enum { HF_TABLE_MAX_COLUMNS = 256, HF_NO_ROW = -1 };

/* A table: begin, rows, end. Only one is open at a time. columns must live until the end. */
void hf_emit_table_begin(
	struct hf_emit *emit, const char *key, const struct hf_column *columns, size_t n_columns);
/* One cell a column. parent: the row (as returned) below which it hangs in a tree, or HF_NO_ROW.
 * Returns this row's number, from 0. */
int hf_emit_row(struct hf_emit *emit, int parent, const struct hf_cell *cells);
/* Print what people see of the table so far (long results of `sql`). */
void hf_emit_table_flush(struct hf_emit *emit);
void hf_emit_table_end(struct hf_emit *emit);

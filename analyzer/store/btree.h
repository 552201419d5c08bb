/*
 * Writes SQLite b-trees straight into a database file, from rows that are already sorted: some ten
 * times faster than INSERT, and every page is full.
 *
 * The tables and indexes must exist and be empty: SQLite itself has made the schema and the small
 * tables, has closed the file, and names the root page of each (sqlite_schema.rootpage). Here the
 * pages of the trees are appended to the file, the root of each goes where SQLite expects it, and
 * hf_btree_file_finish() brings page count and change counter up to date. Nothing else in the file
 * is touched, so the result is an ordinary database.
 *
 * Rows hold integers and NULLs. File format: https://sqlite.org/fileformat2.html. Its traps:
 *   - the page at file offset 1 GiB (the lock-byte page) is never used;
 *   - an interior page has at least one cell, a leaf that is no root too;
 *   - dividers of an index are entries themselves, those of a table copies of rowids;
 *   - a record may end early: the columns that it lacks have their DEFAULT.
 *
 * Thread rule: a file belongs to one thread at a time.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { HF_BTREE_MAX_COLUMNS = 32 };

/* In a row: SQL's NULL. */
static const int64_t HF_BTREE_NULL = INT64_MIN;

struct hf_btree_row {
	int64_t rowid; /* of a table row; ignored in an index */
	uint32_t n;    /* values, from the first column on; of a table without its INTEGER PRIMARY
			* KEY replaced: put HF_BTREE_NULL in its place. Of an index: the indexed
			* columns, then the rowid or the rest of the primary key */
	int64_t value[HF_BTREE_MAX_COLUMNS];
};

/* Fill row for row number i, which goes up from 0 by one; row->n keeps its value between calls. */
typedef void (*hf_btree_row_fn)(void *ctx, uint64_t i, struct hf_btree_row *row);

struct hf_btree_file {
	int fd; /* the caller's */
	uint32_t page_size;
	uint32_t lock_page; /* number of the page that is never used */
	uint32_t n_pages;
	uint32_t change_counter;
	uint8_t *buffer; /* pages from number buffer_page on that are not yet in the file; owned */
	uint32_t buffer_page, buffered;
	uint64_t written_out; /* up to here the disk has been told to write */
	/* May be NULL: called about once a MiB; returning false cancels (HF_E_FAILED). */
	bool (*progress)(void *ctx, uint64_t n_pages);
	void *progress_ctx;
};

/* Read the header of the database at fd (open for reading and writing). HF_E_UNSUPPORTED: not a
 * database that pages can be appended to (WAL, auto-vacuum, reserved bytes). */
enum hf_status hf_btree_file_init(struct hf_btree_file *file, int fd, struct hf_err *err);
void hf_btree_file_deinit(struct hf_btree_file *file);

/* Fill the table whose root page is root with n rows by strictly ascending rowid. */
enum hf_status hf_btree_write_table(struct hf_btree_file *file, uint32_t root, uint64_t n,
	hf_btree_row_fn fn, void *ctx, struct hf_err *err);

/* Fill the index, or table WITHOUT ROWID, whose root page is root with n entries (of two columns at
 * least) in ascending order of their columns. The order is not checked. */
enum hf_status hf_btree_write_index(struct hf_btree_file *file, uint32_t root, uint64_t n,
	hf_btree_row_fn fn, void *ctx, struct hf_err *err);

/* Write what is buffered and the file's header. */
enum hf_status hf_btree_file_finish(struct hf_btree_file *file, struct hf_err *err);

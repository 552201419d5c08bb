#include "store/btree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/btree_file.h"
#include "store/record.h"

enum {
	PAGE_INTERIOR_INDEX = 0x02,
	PAGE_INTERIOR_TABLE = 0x05,
	PAGE_LEAF_INDEX = 0x0a,
	PAGE_LEAF_TABLE = 0x0d,
	LEAF_HEADER = 8,
	INTERIOR_HEADER = 12,
	MAX_LEVELS = 20, /* SQLite's own limit */
};

/* Cells grow down from the end of the page, their pointers up from the header. */
struct page {
	uint8_t *data;
	uint32_t n_cells;
	uint32_t content; /* offset of the lowest cell */
	uint32_t header;  /* LEAF_HEADER or INTERIOR_HEADER */
	uint8_t type;
};

/* What separates a page from the next one: a rowid, or an index entry. */
struct divider {
	uint32_t size;
	uint8_t bytes[HF_RECORD_MAX_CELL];
};

/*
 * A level of the tree while it is built. A page is not given up before the page after it has a
 * cell: at the end the last page may turn out to be empty, and then borrows a cell.
 *
 * Interior pages lie in memory of their own. There is one leaf at a time, in the file's buffer:
 * after a full one has been given up, the next is reserved.
 */
struct level {
	struct page cur;
	struct page full; /* valid while pending */
	bool pending;     /* full waits, divider follows it, cur is empty */
	struct divider divider;
};

struct tree {
	struct hf_btree_file *file;
	struct level level[MAX_LEVELS];
	uint32_t n_levels;
	uint32_t page_size;
	uint8_t leaf_type, interior_type;
	enum hf_status status; /* of the first page that could not be written */
	struct hf_err *err;
};

static void page_reset(struct page *page, uint8_t type, uint32_t page_size)
{
	page->type = type;
	page->header = type & 8 ? LEAF_HEADER : INTERIOR_HEADER;
	page->n_cells = 0;
	page->content = page_size;
}

static inline bool page_fits(const struct page *page, uint32_t size)
{
	return page->header + 2 * (page->n_cells + 1) + size <= page->content;
}

/* The cell of this size that stands below the others is one of them now. */
static inline void page_added(struct page *page, uint32_t size)
{
	page->content -= size;
	hf_record_put16(page->data + page->header + 2 * page->n_cells, page->content);
	page->n_cells++;
}

static inline void page_add(struct page *page, const uint8_t *cell, uint32_t size)
{
	uint8_t *to = page->data + page->content - size;
	if (size >= 16 && size <= 32) { /* by far the most; a call would cost more than it copies */
		memcpy(to, cell, 16);
		memcpy(to + size - 16, cell + size - 16, 16);
	} else {
		memcpy(to, cell, size);
	}
	page_added(page, size);
}

/* Take the last cell off; its bytes stay where they are until the next page_add. */
static const uint8_t *page_pop(struct page *page, uint32_t page_size, uint32_t *ret_size)
{
	const uint8_t *pointer = page->data + page->header + 2 * (page->n_cells - 1);
	uint32_t end = page->n_cells > 1 ? hf_record_get16(pointer - 2) : page_size;
	const uint8_t *cell = page->data + page->content;
	*ret_size = end - page->content;
	page->content = end;
	page->n_cells--;
	return cell;
}

static void page_set_right(struct page *page, uint32_t child)
{
	hf_record_put32(page->data + 8, child);
}

static void page_seal(struct page *page)
{
	uint8_t *p = page->data;
	p[0] = page->type;
	hf_record_put16(p + 1, 0); /* no free blocks */
	hf_record_put16(p + 3, page->n_cells);
	hf_record_put16(p + 5, page->content & 0xffff); /* 0 stands for 65536 */
	p[7] = 0;                                       /* no fragments */
	uint32_t used = page->header + 2 * page->n_cells;
	memset(p + used, 0, page->content - used);
}

/* Append the page to the file; its number. */
static uint32_t tree_flush(struct tree *t, struct page *page)
{
	uint32_t number = 0;
	page_seal(page);
	if (!t->status)
		t->status = hf_btree_file_append(t->file, page->data, &number, t->err);
	return number;
}

static bool level_init(struct level *l, uint8_t type, uint32_t page_size)
{
	l->cur.data = malloc(page_size);
	l->full.data = malloc(page_size);
	page_reset(&l->cur, type, page_size);
	return l->cur.data && l->full.data;
}

/* A new leaf; false: t->status says why not. */
static bool leaf_start(struct tree *t)
{
	struct page *leaf = &t->level[0].cur;
	page_reset(leaf, t->leaf_type, t->page_size);
	leaf->data = hf_btree_file_reserve(t->file, t->err);
	if (!leaf->data && !t->status)
		t->status = HF_E_IO;
	return leaf->data && !t->status;
}

static void tree_deinit(struct tree *t)
{
	for (uint32_t i = 1; i < MAX_LEVELS; i++) {
		free(t->level[i].cur.data);
		free(t->level[i].full.data);
	}
}

static void tree_fail(struct tree *t, enum hf_status status, const char *why)
{
	if (!t->status)
		t->status = hf_err_set(t->err, status, "writing the database: %s", why);
}

/* The page cur is full: let it wait, with the divider after it. */
static void level_close(
	struct level *l, uint32_t page_size, const uint8_t *divider, uint32_t divider_size)
{
	struct page full = l->cur;
	l->cur.data = l->full.data;
	l->full = full;
	page_reset(&l->cur, full.type, page_size);
	memcpy(l->divider.bytes, divider, divider_size);
	l->divider.size = divider_size;
	l->pending = true;
}

/* The leaf is full: let it wait. */
static void leaf_close(struct level *leaf, const uint8_t *divider, uint32_t divider_size)
{
	leaf->full = leaf->cur;
	leaf->cur.data = NULL;
	memcpy(leaf->divider.bytes, divider, divider_size);
	leaf->divider.size = divider_size;
	leaf->pending = true;
}

static struct level *tree_level(struct tree *t, uint32_t i)
{
	if (i < t->n_levels)
		return &t->level[i];
	if (i == MAX_LEVELS) {
		tree_fail(t, HF_E_FAILED, "a b-tree of more than 20 levels");
		return NULL;
	}
	if (!level_init(&t->level[i], t->interior_type, t->page_size)) {
		tree_fail(t, HF_E_NOMEM, "no memory");
		return NULL;
	}
	t->n_levels = i + 1;
	return &t->level[i];
}

/* Tell level i of a child page below it and of the divider that follows the child. */
static void tree_up(struct tree *t, uint32_t i, uint32_t child, const struct divider *divider)
{
	struct divider mine = *divider;
	for (bool carry = true; carry && !t->status; i++) {
		struct level *l = tree_level(t, i);
		if (!l)
			return;
		struct divider next = {0};
		uint32_t next_child = 0;
		carry = l->pending;
		if (carry) {
			next = l->divider;
			next_child = tree_flush(t, &l->full);
			l->pending = false;
		}
		if (page_fits(&l->cur, 4 + mine.size)) {
			uint8_t cell[4 + HF_RECORD_MAX_CELL];
			hf_record_put32(cell, child);
			memcpy(cell + 4, mine.bytes, mine.size);
			page_add(&l->cur, cell, 4 + mine.size);
		} else {
			page_set_right(&l->cur, child);
			level_close(l, t->page_size, mine.bytes, mine.size);
		}
		mine = next;
		child = next_child;
	}
}

/* At the end: cur is empty and full waits. Move full's last cell up as the divider, and what was
 * the divider into cur. */
static void tree_borrow(struct tree *t, uint32_t i)
{
	struct level *l = &t->level[i];
	struct divider up = {0};
	uint32_t size;
	const uint8_t *cell = page_pop(&l->full, t->page_size, &size);
	uint32_t skip = i ? 4 : 0;
	up.size = size - skip;
	memcpy(up.bytes, cell + skip, up.size);
	if (i) {
		uint8_t moved[4 + HF_RECORD_MAX_CELL];
		memcpy(moved, l->full.data + 8, 4); /* the child at its right end */
		memcpy(moved + 4, l->divider.bytes, l->divider.size);
		page_set_right(&l->full, hf_record_get32(cell));
		page_add(&l->cur, moved, 4 + l->divider.size);
	}
	l->pending = false;
	tree_up(t, i + 1, tree_flush(t, &l->full), &up);
	if (!i && leaf_start(t))
		page_add(&l->cur, l->divider.bytes, l->divider.size);
}

static enum hf_status tree_finish(struct tree *t, uint32_t root)
{
	uint32_t right = 0;
	for (uint32_t i = 0; !t->status; i++) {
		struct level *l = &t->level[i];
		if (l->pending)
			tree_borrow(t, i);
		if (i)
			page_set_right(&l->cur, right);
		if (i + 1 == t->n_levels) {
			page_seal(&l->cur);
			if (!t->status)
				t->status =
					hf_btree_file_put_root(t->file, root, l->cur.data, t->err);
			break;
		}
		right = tree_flush(t, &l->cur);
	}
	return t->status;
}

static bool tree_init(struct tree *t, struct hf_btree_file *file, uint8_t leaf_type,
	uint8_t interior_type, struct hf_err *err)
{
	*t = (struct tree){.file = file,
		.page_size = file->page_size,
		.leaf_type = leaf_type,
		.interior_type = interior_type,
		.err = err};
	t->n_levels = 1;
	return leaf_start(t);
}

enum hf_status hf_btree_write_table(struct hf_btree_file *file, uint32_t root, uint64_t n,
	hf_btree_row_fn fn, void *ctx, struct hf_err *err)
{
	_cleanup_(tree_deinit) struct tree t;
	if (!tree_init(&t, file, PAGE_LEAF_TABLE, PAGE_INTERIOR_TABLE, err))
		return t.status;
	struct level *leaf = &t.level[0];
	struct hf_btree_row row = {0};
	int64_t last = INT64_MIN;
	uint8_t cell[HF_RECORD_MAX_CELL];
	for (uint64_t i = 0; i < n && !t.status; i++) {
		fn(ctx, i, &row);
		if (row.n < 1 || row.n > HF_BTREE_MAX_COLUMNS || (i && row.rowid <= last))
			return hf_err_set(err, HF_E_FAILED,
				"writing the database: row %llu is malformed or out of order",
				(unsigned long long)i);
		uint32_t size = hf_record_table_cell(cell, &row);
		if (!page_fits(&leaf->cur, size)) {
			struct divider divider;
			divider.size = hf_record_varint(divider.bytes, (uint64_t)last);
			tree_up(&t, 1, tree_flush(&t, &leaf->cur), &divider);
			if (!leaf_start(&t))
				break;
			if (size > t.page_size - 35)
				tree_fail(&t, HF_E_FAILED, "a row does not fit its page");
		}
		if (!t.status)
			page_add(&leaf->cur, cell, size);
		last = row.rowid;
	}
	return tree_finish(&t, root);
}

enum hf_status hf_btree_write_index(struct hf_btree_file *file, uint32_t root, uint64_t n,
	hf_btree_row_fn fn, void *ctx, struct hf_err *err)
{
	_cleanup_(tree_deinit) struct tree t;
	if (!tree_init(&t, file, PAGE_LEAF_INDEX, PAGE_INTERIOR_INDEX, err))
		return t.status;
	struct level *leaf = &t.level[0];
	const uint32_t max_local = (t.page_size - 12) * 64 / 255 - 23;
	struct hf_btree_row row = {0};
	uint8_t cell[HF_RECORD_MAX_CELL];
	for (uint64_t i = 0; i < n && !t.status; i++) {
		fn(ctx, i, &row);
		if (row.n < 2 || row.n > HF_BTREE_MAX_COLUMNS)
			return hf_err_set(err, HF_E_FAILED,
				"writing the database: entry %llu is malformed",
				(unsigned long long)i);
		if (leaf->pending) {
			leaf->pending = false;
			tree_up(&t, 1, tree_flush(&t, &leaf->full), &leaf->divider);
			if (!leaf_start(&t))
				break;
		}
		if (row.n <= HF_RECORD_MAX_BACK && page_fits(&leaf->cur, HF_RECORD_MAX_BACK_CELL)) {
			page_added(&leaf->cur, hf_record_index_cell_back(
						       leaf->cur.data + leaf->cur.content, &row));
			continue;
		}
		uint32_t size = hf_record_index_cell(cell, &row);
		if (size > max_local)
			tree_fail(&t, HF_E_FAILED, "an index entry does not fit its page");
		else if (page_fits(&leaf->cur, size))
			page_add(&leaf->cur, cell, size);
		else
			leaf_close(leaf, cell, size);
	}
	return tree_finish(&t, root);
}

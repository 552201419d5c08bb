/* Pages of a database file under construction; private to the page writer (btree.h). */
#pragma once
#include "store/btree.h"

/* Where the next page that is appended will lie, to be filled in place; until then nothing else may
 * be appended. NULL and err: it could not be had. */
uint8_t *hf_btree_file_reserve(struct hf_btree_file *file, struct hf_err *err);
/* Append a page, which may be the reserved one; its number, which is never that of the lock-byte
 * page. */
enum hf_status hf_btree_file_append(
	struct hf_btree_file *file, const uint8_t *page, uint32_t *ret_number, struct hf_err *err);

/* Write the page of a tree's root, which the file has already. */
enum hf_status hf_btree_file_put_root(
	struct hf_btree_file *file, uint32_t root, const uint8_t *page, struct hf_err *err);

/* The rows of the big tables by prepared INSERT: what the page writer is held against. */
#pragma once
#include <sqlite3.h>

#include "store/rows.h"

enum hf_status hf_rows_sql_objects(
	sqlite3 *db, struct hf_rows_objects *objects, struct hf_err *err);
enum hf_status hf_rows_sql_edges(sqlite3 *db, struct hf_rows_edges *edges, struct hf_err *err);

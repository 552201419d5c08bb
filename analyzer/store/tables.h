/* The small tables, by SQL; called by store.c in one transaction. */
#pragma once
#include <sqlite3.h>

#include "store/schema.h"
#include "store/store.h"
#include "store/summaries.h"

/* meta, module, mapping, thread, counter, finding, and what names knows. */
enum hf_status hf_tables_process(
	sqlite3 *db, const struct hf_store_input *input, struct hf_err *err);
/* type, field, site, site_frame, frame. */
enum hf_status hf_tables_names(sqlite3 *db, const struct hf_names *names, struct hf_err *err);
/* variable, root, stat_bare_root. */
enum hf_status hf_tables_roots(sqlite3 *db, const struct hf_store_input *input, struct hf_err *err);
/* arena and the summaries. */
enum hf_status hf_tables_summaries(sqlite3 *db, const struct hf_store_input *input,
	const struct hf_summaries *summaries, struct hf_err *err);
/* Labels of objects. */
enum hf_status hf_tables_labels(
	sqlite3 *db, const struct hf_store_input *input, struct hf_err *err);

/* The rows of object from the arrays of an input. */
struct hf_rows_objects hf_tables_objects(const struct hf_store_input *input);

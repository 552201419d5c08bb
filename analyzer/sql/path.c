#include "sql/path_sql.h"
#include "sql/query.h"

/*
 *     SELECT * FROM path(object_id)
 *
 * The best path to the object, from its root (hop 0, object_id NULL) to the object itself.
 * via_offset is where in the hop before the word lies that leads here; name of hop 0 is the root's,
 * of others the field's.
 */
const struct hf_sql_query hf_sql_path = {
	.name = "path",
	.columns = HF_SQL_PATH_COLUMNS ", of INTEGER HIDDEN",
	.n_columns = HF_SQL_PATH_N_COLUMNS,
	.n_args = 1,
	.sql = HF_SQL_PATH("SELECT id FROM object WHERE id = ?1"),
};

#include "sql/object_at.h"
#include "sql/path_sql.h"
#include "sql/query.h"

/*
 *     SELECT * FROM who(addr)
 *
 * Who holds the object that contains addr (an integer, or text as '0x55…'): its best path, as
 * path() gives it. No rows if no object contains it.
 */
const struct hf_sql_query hf_sql_who = {
	.name = "who",
	.columns = HF_SQL_PATH_COLUMNS ", at HIDDEN",
	.n_columns = HF_SQL_PATH_N_COLUMNS,
	.n_args = 1,
	.takes_address = 1,
	.sql = HF_SQL_PATH(HF_SQL_OBJECT_AT("?1")),
};

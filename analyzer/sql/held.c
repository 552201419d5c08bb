#include "sql/query.h"
#include "sql/tree_sql.h"

/*
 *     SELECT * FROM held(object_id)          or held(object_id, levels)
 *
 * The object's holder tree, itself included (level 0): sum(size) is its held_size. Level 1 is what
 * it holds directly. A holder points to what it holds, so the edges lead to the children.
 */
const struct hf_sql_query hf_sql_held = {
	.name = "held",
	.columns = HF_SQL_TREE_COLUMNS,
	.n_columns = HF_SQL_TREE_N_COLUMNS,
	.n_args = 2,
	.sql = HF_SQL_TREE("UNION ALL SELECT o.id, t.id, t.level + 1 FROM t"
			   " CROSS JOIN edge e ON e.src_id = t.id"
			   " CROSS JOIN object o ON o.id = e.dst_id AND o.holder_id = t.id"
			   " WHERE (?2 IS NULL OR t.level < ?2)" HF_SQL_TREE_ONE_EDGE),
};

#include "sql/query.h"
#include "sql/tree_sql.h"

/*
 *     SELECT * FROM dominated(object_id)     or dominated(object_id, levels)
 *
 * What would go with the object, itself included (level 0): sum(size) is its retained_size. Level 1
 * are the objects that it dominates immediately: those that it points to and is the parent of, and
 * by the index object_far_idom the others.
 */
const struct hf_sql_query hf_sql_dominated = {
	.name = "dominated",
	.columns = HF_SQL_TREE_COLUMNS,
	.n_columns = HF_SQL_TREE_N_COLUMNS,
	.n_args = 2,
	.sql = HF_SQL_TREE("UNION ALL SELECT o.id, t.id, t.level + 1 FROM t"
			   " CROSS JOIN edge e ON e.src_id = t.id"
			   " CROSS JOIN object o ON o.id = e.dst_id AND o.idom_id = t.id AND "
			   "o.parent_id = t.id"
			   " WHERE (?2 IS NULL OR t.level < ?2)" HF_SQL_TREE_ONE_EDGE
			   " UNION ALL SELECT o.id, t.id, t.level + 1 FROM t"
			   " CROSS JOIN object o INDEXED BY object_far_idom ON o.idom_id = t.id"
			   " AND o.idom_id IS NOT NULL AND o.idom_id IS NOT o.parent_id"
			   " WHERE (?2 IS NULL OR t.level < ?2)"),
};

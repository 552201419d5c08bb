#include "field/field_sql.h"
#include "sql/query.h"

/*
 *     SELECT * FROM referrers(object_id)
 *
 * Every word that points into the object: root words first (root_id), then words of objects
 * (object_id), by address.
 */
const struct hf_sql_query hf_sql_referrers = {
	.name = "referrers",
	.columns = "kind TEXT, object_id INTEGER, root_id INTEGER, addr INTEGER, offset INTEGER, "
		   "name TEXT, dst_offset INTEGER, size INTEGER, retained_size INTEGER, "
		   "held_size INTEGER, type TEXT, label TEXT, of INTEGER HIDDEN",
	.n_columns = 12,
	.n_args = 1,
	.sql = "SELECT r.kind, NULL, r.id, r.addr, r.addr - v.addr, r.name, r.offset, v.size,"
	       " v.retained_size, v.held_size, t.name, NULL"
	       " FROM root r LEFT JOIN variable v ON v.id = r.variable_id"
	       " LEFT JOIN type t ON t.id = v.type_id WHERE r.object_id = ?1 "
	       "UNION ALL "
	       "SELECT 'object', o.id, NULL, o.addr, e.src_offset, " HF_SQL_FIELD("f",
		       "e.src_offset") ", e.dst_offset, o.size,"
				       " o.retained_size, o.held_size, t.name, o.label"
				       " FROM edge e CROSS JOIN object o ON o.id = e.src_id"
				       " LEFT JOIN field f ON f.id = e.field_id"
				       " LEFT JOIN type t ON t.id = o.type_id WHERE e.dst_id = ?1",
};

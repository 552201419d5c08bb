/* The best path to an object, as SQL: what path() and who() share. START selects the object's id.
 */
#pragma once
#include "field/field_sql.h"

#define HF_SQL_PATH_COLUMNS                                                                        \
	"hop INTEGER, object_id INTEGER, addr INTEGER, kind TEXT, name TEXT, via_offset INTEGER, " \
	"size INTEGER, retained_size INTEGER, held_size INTEGER, type TEXT, label TEXT"
enum { HF_SQL_PATH_N_COLUMNS = 11 };

/* The walk goes up along holder_id; its length is bounded for databases that somebody changed. The
 * start of the path is the root word's variable, or the word itself; of a leak, a row that says so.
 */
#define HF_SQL_PATH(START)                                                                         \
	"WITH RECURSIVE up (id, n) AS MATERIALIZED ("                                              \
	" SELECT (" START "), 0"                                                                   \
	" UNION ALL"                                                                               \
	" SELECT o.holder_id, up.n + 1 FROM up CROSS JOIN object o ON o.id = up.id"                \
	" WHERE o.holder_id IS NOT NULL LIMIT 100000000"                                           \
	"), first (id, n) AS MATERIALIZED ("                                                       \
	" SELECT o.id, u.n FROM (SELECT id, max(n) AS n FROM up) u"                                \
	" CROSS JOIN object o ON o.id = u.id) "                                                    \
	"SELECT 0, NULL, r.addr, r.kind, r.name, NULL, v.size,"                                    \
	" v.retained_size, v.held_size, t.name, NULL"                                              \
	" FROM first CROSS JOIN object o ON o.id = first.id"                                       \
	" CROSS JOIN root r ON r.id = o.holder_root_id"                                            \
	" LEFT JOIN variable v ON v.id = r.variable_id"                                            \
	" LEFT JOIN type t ON t.id = v.type_id "                                                   \
	"UNION ALL "                                                                               \
	"SELECT 0, NULL, NULL, 'leak', 'unreachable', NULL, NULL, NULL, NULL, NULL, NULL"          \
	" FROM first CROSS JOIN object o ON o.id = first.id WHERE o.reachable = 0 "                \
	"UNION ALL "                                                                               \
	"SELECT * FROM (SELECT (SELECT n FROM first) - up.n + 1, o.id, o.addr, "                   \
	"'object', " HF_SQL_FIELD(                                                                 \
		"f", "e.src_offset") ","                                                           \
				     " coalesce(e.src_offset, (SELECT r.addr - v.addr FROM root "  \
				     "r JOIN variable v"                                           \
				     "  ON v.id = r.variable_id WHERE r.id = o.holder_root_id "    \
				     "AND o.holder_id IS NULL)),"                                  \
				     " o.size, o.retained_size, o.held_size, t.name, o.label"      \
				     " FROM up CROSS JOIN object o ON o.id = up.id"                \
				     " LEFT JOIN edge e ON e.src_id = o.holder_id AND "            \
				     "e.src_offset = (SELECT min(src_offset)"                      \
				     "  FROM edge WHERE dst_id = o.id AND src_id = o.holder_id)"   \
				     " LEFT JOIN field f ON f.id = e.field_id"                     \
				     " LEFT JOIN type t ON t.id = o.type_id ORDER BY up.n DESC)"

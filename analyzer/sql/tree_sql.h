/* Walks down the two trees, as SQL: what dominated() and held() share. Parameters: ?1 the object,
 * ?2 levels to go down (NULL: all). The object itself is level 0. */
#pragma once

#define HF_SQL_TREE_COLUMNS                                                                        \
	"object_id INTEGER, parent_id INTEGER, level INTEGER, addr INTEGER, size INTEGER, "        \
	"retained_size INTEGER, held_size INTEGER, type TEXT, site_id INTEGER, label TEXT, "       \
	"of INTEGER HIDDEN, levels INTEGER HIDDEN"
enum { HF_SQL_TREE_N_COLUMNS = 10 };

/* One edge from t.id to o, not each of several. */
#define HF_SQL_TREE_ONE_EDGE                                                                       \
	" AND NOT EXISTS (SELECT 1 FROM edge f INDEXED BY edge_dst WHERE f.dst_id = e.dst_id"      \
	" AND f.src_id = e.src_id AND f.src_offset < e.src_offset)"

#define HF_SQL_TREE(STEP)                                                                          \
	"WITH RECURSIVE t (id, parent, level) AS ("                                                \
	" SELECT id, NULL, 0 FROM object WHERE id = ?1 " STEP ") "                                 \
	"SELECT o.id, t.parent, t.level, o.addr, o.size, o.retained_size, o.held_size, ty.name,"   \
	" o.site_id, o.label FROM t CROSS JOIN object o ON o.id = t.id"                            \
	" LEFT JOIN type ty ON ty.id = o.type_id"

/* Which object contains an address, as SQL: ids are ranks by address, so the range of ids is halved
 * some 24 times. Gives an id, or no row. */
#pragma once

#define HF_SQL_OBJECT_AT(ADDR)                                                                     \
	"WITH RECURSIVE find (low, high) AS ("                                                     \
	" SELECT 1, (SELECT max(id) FROM object)"                                                  \
	" UNION ALL"                                                                               \
	" SELECT iif(o.addr <= " ADDR ", o.id, low), iif(o.addr <= " ADDR ", high, o.id - 1)"      \
	" FROM find CROSS JOIN object o ON o.id = (low + high + 1) / 2 WHERE low < high) "         \
	"SELECT o.id FROM (SELECT low FROM find WHERE low >= high) f"                              \
	" CROSS JOIN object o ON o.id = f.low"                                                     \
	" WHERE o.addr <= " ADDR " AND " ADDR " < o.addr + max(o.usable, 1)"

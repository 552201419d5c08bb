/* How SQL spells the name of an edge's field: "buckets[17]", from field.name "buckets[]" and the
 * word's offset. */
#pragma once

/* The expression, for the row `f` of field (NULLs if there is none) and a word's offset. */
#define HF_SQL_FIELD(f, offset)                                                                    \
	"CASE WHEN " f ".stride > 0 THEN replace(" f ".name, '[]', '[' || ((" offset " - " f       \
	".offset) / " f ".stride) || ']') ELSE " f ".name END"
/* The same for the edge `e`, as a subquery. */
#define HF_SQL_EDGE_FIELD(e)                                                                       \
	"(SELECT " HF_SQL_FIELD("f", e ".src_offset") " FROM field f WHERE f.id = " e ".field_id)"

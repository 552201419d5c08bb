#include "sql/sql.h"

#include "sql/graph_cache.h"
#include "sql/query.h"

int hf_sql_register(sqlite3 *db, char **ret_message)
{
	static const struct hf_sql_query *const queries[] = {
		&hf_sql_who, &hf_sql_path, &hf_sql_referrers, &hf_sql_dominated, &hf_sql_held};
	int rc = SQLITE_OK;
	for (size_t i = 0; rc == SQLITE_OK && i < sizeof(queries) / sizeof(*queries); i++)
		rc = hf_sql_query_register(db, queries[i]);
	if (rc == SQLITE_OK)
		rc = hf_sql_ptr_register(db);
	struct hf_sql_graph_cache *cache = rc == SQLITE_OK ? hf_sql_graph_cache_create(2) : NULL;
	if (rc == SQLITE_OK && !cache)
		rc = SQLITE_NOMEM;
	/* Each gives its reference back, also if it cannot be registered. */
	if (rc == SQLITE_OK) {
		rc = hf_sql_also_holds_register(db, cache);
		if (rc != SQLITE_OK)
			hf_sql_graph_unref(cache);
		else
			rc = hf_sql_retained_set_register(db, cache);
	}
	if (rc != SQLITE_OK && ret_message)
		*ret_message =
			sqlite3_mprintf("registering Holdfast's functions: %s", sqlite3_errmsg(db));
	return rc;
}

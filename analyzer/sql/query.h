/*
 * A table-valued function that is a SQL statement: its arguments are the statement's parameters,
 * its rows the statement's rows. Inside sql/ only.
 */
#pragma once
#include "sql/api.h"

struct hf_sql_query {
	const char *name;
	/* Columns of the result, comma-separated, then n_args HIDDEN ones in the order of the
	 * parameters. */
	const char *columns;
	int n_columns, n_args; /* arguments after the first may be left out: NULL */
	/* Addresses may be given as text, '0x55…', too: the first argument is one. */
	int takes_address;
	const char *sql;
};

int hf_sql_query_register(sqlite3 *db, const struct hf_sql_query *query);

extern const struct hf_sql_query hf_sql_who, hf_sql_path, hf_sql_referrers, hf_sql_dominated,
	hf_sql_held;

/* Each takes over one reference to the cache. */
struct hf_sql_graph_cache;
int hf_sql_also_holds_register(sqlite3 *db, struct hf_sql_graph_cache *cache);
int hf_sql_retained_set_register(sqlite3 *db, struct hf_sql_graph_cache *cache);
int hf_sql_ptr_register(sqlite3 *db);

/* An address from a value: an integer, or text as '0x55…' or decimal. 0: it is none. */
int hf_sql_address(sqlite3_value *value, sqlite3_int64 *ret);

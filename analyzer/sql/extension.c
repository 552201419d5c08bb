/*
 * The functions as a loadable extension, for the plain sqlite3 shell and Python:
 *
 *     sqlite> .load ./holdfast_sqlite
 *     sqlite> SELECT * FROM who('0x55f0c8a2b010');
 */
#include <sqlite3ext.h>
SQLITE_EXTENSION_INIT1

#include "sql/sql.h"

/* SQLite makes the name from that of the file. */
__attribute__((visibility("default"))) int sqlite3_holdfastsqlite_init(
	sqlite3 *db, char **ret_message, const sqlite3_api_routines *api);

int sqlite3_holdfastsqlite_init(sqlite3 *db, char **ret_message, const sqlite3_api_routines *api)
{
	SQLITE_EXTENSION_INIT2(api);
	return hf_sql_register(db, ret_message);
}

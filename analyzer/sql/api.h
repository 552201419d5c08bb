/* SQLite's interface: linked into our own programs, or through the table that a loadable extension
 * is given. Every file of this folder includes this in place of sqlite3.h. */
#pragma once
#ifdef HF_SQL_EXTENSION
#	include <sqlite3ext.h>
SQLITE_EXTENSION_INIT3
#else
#	include <sqlite3.h>
#endif

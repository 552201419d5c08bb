#include "store/schema.h"

enum hf_status hf_schema_apply(sqlite3 *db, struct hf_err *err)
{
	for (const struct hf_embedded *s = hf_schema_scripts; s->name; s++)
		if (sqlite3_exec(db, s->text, NULL, NULL, NULL) != SQLITE_OK)
			return hf_err_set(err, HF_E_FAILED, "schema script %s: %s", s->name,
				sqlite3_errmsg(db));
	return HF_OK;
}

static enum hf_status read_pragma(
	sqlite3 *db, const char *path, const char *sql, int *ret, struct hf_err *err)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int(stmt, 0);
	sqlite3_finalize(stmt);
	if (rc == SQLITE_ROW)
		return HF_OK;
	enum hf_status status =
		rc == SQLITE_NOTADB || rc == SQLITE_CORRUPT ? HF_E_CORRUPT : HF_E_FAILED;
	return hf_err_set(err, status, "%s: %s", path, sqlite3_errmsg(db));
}

bool hf_schema_is_ours(sqlite3 *db)
{
	int id = 0;
	return !read_pragma(db, "", "PRAGMA application_id", &id, NULL) &&
	       id == HF_SCHEMA_APPLICATION_ID;
}

enum hf_status hf_schema_check(sqlite3 *db, const char *path, struct hf_err *err)
{
	int id = 0, version = 0;
	enum hf_status status = read_pragma(db, path, "PRAGMA application_id", &id, err);
	if (status)
		return status;
	if (id != HF_SCHEMA_APPLICATION_ID)
		return hf_err_set(err, HF_E_UNSUPPORTED, "%s is not a Holdfast database", path);
	status = read_pragma(db, path, "PRAGMA user_version", &version, err);
	if (status)
		return status;
	if (version != HF_SCHEMA_VERSION)
		return hf_err_set(err, HF_E_UNSUPPORTED,
			"%s has schema version %d, this Holdfast reads version %d: load the dump "
			"again%s",
			path, version, HF_SCHEMA_VERSION,
			version > HF_SCHEMA_VERSION ? " or use a newer Holdfast" : "");
	return HF_OK;
}

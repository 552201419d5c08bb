#include "store/insert.h"

#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"

enum hf_status hf_insert_exec(sqlite3 *db, const char *sql, struct hf_err *err)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return hf_err_set(err, HF_E_FAILED, "writing the database: %s", sqlite3_errmsg(db));
	return HF_OK;
}

static enum hf_status prepare(struct hf_insert *ret, sqlite3 *db, const char *verb,
	const char *table, unsigned n_columns, struct hf_err *err)
{
	char sql[300];
	size_t n = hf_fmt(sql, sizeof(sql), "%s INTO %s VALUES (", verb, table);
	for (unsigned i = 0; i < n_columns; i++)
		n += hf_fmt(sql + n, sizeof(sql) - n, i ? ",?" : "?");
	hf_fmt(sql + n, sizeof(sql) - n, ")");
	*ret = (struct hf_insert){.db = db, .table = table};
	if (sqlite3_prepare_v2(db, sql, -1, &ret->stmt, NULL) != SQLITE_OK)
		return hf_err_set(err, HF_E_FAILED, "writing the database: table %s: %s", table,
			sqlite3_errmsg(db));
	return HF_OK;
}

enum hf_status hf_insert_init(struct hf_insert *ret, sqlite3 *db, const char *table,
	unsigned n_columns, struct hf_err *err)
{
	return prepare(ret, db, "INSERT", table, n_columns, err);
}

enum hf_status hf_insert_init_or_replace(struct hf_insert *ret, sqlite3 *db, const char *table,
	unsigned n_columns, struct hf_err *err)
{
	return prepare(ret, db, "INSERT OR REPLACE", table, n_columns, err);
}

void hf_insert_deinit(struct hf_insert *insert)
{
	sqlite3_finalize(insert->stmt);
	insert->stmt = NULL;
}

void hf_insert_u64(struct hf_insert *insert, uint64_t v)
{
	sqlite3_bind_int64(insert->stmt, ++insert->at, (sqlite3_int64)v);
}

void hf_insert_double(struct hf_insert *insert, double v)
{
	sqlite3_bind_double(insert->stmt, ++insert->at, v);
}

void hf_insert_null(struct hf_insert *insert)
{
	sqlite3_bind_null(insert->stmt, ++insert->at);
}

void hf_insert_id(struct hf_insert *insert, uint32_t id)
{
	if (id)
		hf_insert_u64(insert, id);
	else
		hf_insert_null(insert);
}

void hf_insert_index(struct hf_insert *insert, uint32_t index)
{
	hf_insert_id(insert, index + 1); /* HF_NONE + 1 is 0 */
}

/* Length of the well-formed UTF-8 sequence at s, or 0. */
static unsigned utf8_length(const unsigned char *s)
{
	unsigned n = s[0] < 0x80   ? 1
		     : s[0] < 0xc2 ? 0
		     : s[0] < 0xe0 ? 2
		     : s[0] < 0xf0 ? 3
		     : s[0] < 0xf5 ? 4
				   : 0;
	for (unsigned i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
		(s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

static char *escape(const char *text)
{
	static const char hex[] = "0123456789abcdef";
	char *out = malloc(4 * strlen(text) + 1), *p = out;
	if (!out)
		return NULL;
	for (const unsigned char *s = (const unsigned char *)text; *s;) {
		unsigned n = utf8_length(s);
		if (n) {
			memcpy(p, s, n);
			p += n;
			s += n;
			continue;
		}
		*p++ = '\\';
		*p++ = 'x';
		*p++ = hex[*s >> 4];
		*p++ = hex[*s++ & 15];
	}
	*p = 0;
	return out;
}

static int is_utf8(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	while (*s) {
		unsigned n = utf8_length(s);
		if (!n)
			return 0;
		s += n;
	}
	return 1;
}

void hf_insert_text(struct hf_insert *insert, const char *text)
{
	if (!text) {
		hf_insert_null(insert);
		return;
	}
	if (is_utf8(text)) {
		sqlite3_bind_text(insert->stmt, ++insert->at, text, -1, SQLITE_STATIC);
		return;
	}
	char *escaped = escape(text);
	if (escaped)
		sqlite3_bind_text(insert->stmt, ++insert->at, escaped, -1, free);
	else
		hf_insert_null(insert);
}

enum hf_status hf_insert_row(struct hf_insert *insert, struct hf_err *err)
{
	int rc = sqlite3_step(insert->stmt);
	sqlite3_reset(insert->stmt);
	int expected = sqlite3_bind_parameter_count(insert->stmt), given = insert->at;
	insert->at = 0;
	if (rc == SQLITE_DONE && given == expected)
		return HF_OK;
	return hf_err_set(err, HF_E_FAILED, "writing the database: table %s: %s", insert->table,
		rc == SQLITE_DONE ? "wrong number of values" : sqlite3_errmsg(insert->db));
}

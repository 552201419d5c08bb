#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "analyzer/analyze.h"
#include "base/cleanup.h"
#include "base/fmt.h"
#include "holdfast/format.h"
#include "profile/profile.h"
#include "store/schema.h"

static void say(
	const struct hf_analyze_options *options, const char *format, const char *a, const char *b)
{
	char text[1200];
	if (!options || !options->message)
		return;
	hf_fmt(text, sizeof(text), format, a, b); /* NOLINT: formats are ours */
	options->message(options->ctx, text);
}

char *hf_analyze_cache_path(const char *input_path)
{
	size_t n = strlen(input_path);
	if (n > 4 && !strcmp(input_path + n - 4, ".hfd") && input_path[n - 5] != '/')
		n -= 4;
	char *path = malloc(n + sizeof(".hfdb"));
	if (path) {
		memcpy(path, input_path, n);
		memcpy(path + n, ".hfdb", sizeof(".hfdb"));
	}
	return path;
}

/* First bytes of a file; 0 if it cannot be read. */
static size_t peek(const char *path, void *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, buf, size);
	close(fd);
	return n < 0 ? 0 : (size_t)n;
}

static bool is_database(const char *path)
{
	char magic[16];
	return peek(path, magic, sizeof(magic)) == sizeof(magic) &&
	       !memcmp(magic, "SQLite format 3", sizeof(magic));
}

static enum hf_status open_database(const char *path, sqlite3 **ret, struct hf_err *err)
{
	sqlite3 *db = NULL;
	enum hf_status status;
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
		status = hf_err_set(
			err, HF_E_IO, "%s: %s", path, db ? sqlite3_errmsg(db) : "no memory");
	else
		status = hf_schema_check(db, path, err);
	if (status)
		sqlite3_close(db);
	else
		*ret = db;
	return status;
}

/* value NULL: whatever it is. */
static bool meta_is(sqlite3 *db, const char *key, const char *value)
{
	sqlite3_stmt *stmt = NULL;
	bool same = false;
	if (sqlite3_prepare_v2(db,
		    "SELECT 1 FROM meta WHERE key = ?1 AND (?2 IS NULL OR CAST(value AS TEXT) = "
		    "?2)",
		    -1, &stmt, NULL) == SQLITE_OK) {
		sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
		sqlite3_bind_text(stmt, 2, value, -1, SQLITE_STATIC);
		same = sqlite3_step(stmt) == SQLITE_ROW;
	}
	sqlite3_finalize(stmt);
	return same;
}

/* Was db made of the dump at path? Its size, and the token of its header, stand in meta. Dumps of
 * other kinds have no token. */
static bool same_dump(sqlite3 *db, const char *path, const struct stat *dump)
{
	char text[2 * HF_FORMAT_TOKEN_SIZE + 1];
	hf_fmt(text, sizeof(text), "%llu", (unsigned long long)dump->st_size);
	if (!meta_is(db, "dump_size", text))
		return false;
	struct hf_file_header h;
	if (peek(path, &h, sizeof(h)) != sizeof(h) || memcmp(h.magic, HF_FORMAT_MAGIC, 8) != 0)
		return true;
	for (unsigned i = 0; i < HF_FORMAT_TOKEN_SIZE; i++)
		hf_fmt(text + 2 * i, 3, "%02x", h.token[i]);
	return meta_is(db, "token", text);
}

static bool older(const struct stat *a, const struct stat *b)
{
	return a->st_mtim.tv_sec != b->st_mtim.tv_sec ? a->st_mtim.tv_sec < b->st_mtim.tv_sec
						      : a->st_mtim.tv_nsec < b->st_mtim.tv_nsec;
}

/* Did the heap profile beside the dump come, or change, after the database was made? */
static bool older_than_profile(const struct stat *db, const char *dump_path)
{
	struct stat profile;
	_cleanup_(hf_freep) char *path = hf_profile_path_of(dump_path);
	return path && !stat(path, &profile) && older(db, &profile);
}

/* Is it there, whatever its time, and was not when the database was made? */
static bool lacked_profile(sqlite3 *db, const char *dump_path)
{
	_cleanup_(hf_freep) char *path = hf_profile_path_of(dump_path);
	return path && !access(path, R_OK) && meta_is(db, "profile_missing", NULL);
}

/* The cached database, or NULL if there is none that can be used. */
static sqlite3 *open_cached(const char *path, const char *cache)
{
	struct stat dump, db_stat;
	sqlite3 *db = NULL;
	if (stat(path, &dump) || stat(cache, &db_stat) || older(&db_stat, &dump) ||
		older_than_profile(&db_stat, path) || !is_database(cache) ||
		open_database(cache, &db, NULL))
		return NULL;
	if (same_dump(db, path, &dump) && !lacked_profile(db, path))
		return db;
	sqlite3_close(db);
	return NULL;
}

/* Load into a temporary file and open that; its name is gone at once. */
static enum hf_status open_temporary(const char *path, const struct hf_analyze_options *options,
	sqlite3 **ret, struct hf_err *err)
{
	const char *tmp = getenv("TMPDIR");
	char dir[512];
	hf_fmt(dir, sizeof(dir), "%s/holdfast-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(dir))
		return hf_err_sys(err, HF_E_IO, errno, "creating %s", dir);
	char db[sizeof(dir) + 16];
	hf_fmt(db, sizeof(db), "%s/dump.hfdb", dir);
	enum hf_status status = hf_analyze(path, db, options, NULL, err);
	if (!status)
		status = open_database(db, ret, err);
	unlink(db);
	rmdir(dir);
	return status;
}

enum hf_status hf_open_input(const char *path, const struct hf_analyze_options *options,
	sqlite3 **ret, struct hf_err *err)
{
	if (access(path, R_OK))
		return hf_err_sys(err, HF_E_NOTFOUND, errno, "%s", path);
	if (is_database(path))
		return open_database(path, ret, err);
	_cleanup_(hf_freep) char *cache = hf_analyze_cache_path(path);
	if (!cache)
		return hf_err_set(err, HF_E_NOMEM, "no memory");
	*ret = open_cached(path, cache);
	if (*ret)
		return HF_OK;
	enum hf_status status = hf_analyze(path, cache, options, NULL, err);
	if (!status)
		return open_database(cache, ret, err);
	if (status == HF_E_PERM) {
		say(options, "%s cannot be written: %s is loaded into a temporary file, each time",
			cache, path);
		return open_temporary(path, options, ret, err);
	}
	if (status == HF_E_EXISTS) {
		say(options, "%s is in the way: %s is loaded into a temporary file, each time",
			cache, path);
		return open_temporary(path, options, ret, err);
	}
	return status;
}

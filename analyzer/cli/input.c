#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/session.h"

enum hf_status hf_input_open(const char *path, sqlite3 **ret, struct hf_err *err)
{
	char magic[16] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return hf_err_sys(err, HF_E_NOTFOUND, errno, "%s", path);
	ssize_t n = read(fd, magic, sizeof(magic));
	close(fd);
	if (n != (ssize_t)sizeof(magic) || memcmp(magic, "SQLite format 3", sizeof(magic)) != 0)
		return hf_err_set(err, HF_E_UNSUPPORTED,
			"%s: neither a database nor a dump of Holdfast", path);
	sqlite3 *db = NULL;
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK) {
		hf_err_set(
			err, HF_E_CORRUPT, "%s: %s", path, db ? sqlite3_errmsg(db) : "no memory");
		sqlite3_close(db);
		return HF_E_CORRUPT;
	}
	*ret = db;
	return HF_OK;
}

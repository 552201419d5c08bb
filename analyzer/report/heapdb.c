#include "report/heapdb.h"

#include <string.h>

#include "base/path.h"
#include "field/field_sql.h"
#include "report/db.h"

/* Reading all of it takes some tenths of a second. */
enum { SMALL_HEAP = 100000 };

/* Databases of older versions lack some. */
static enum hf_status has_table(sqlite3 *db, const char *name, bool *ret, struct hf_err *err)
{
	int64_t n = 0;
	enum hf_status status = hf_query_int(
		db, &n, err, "SELECT count(*) FROM sqlite_schema WHERE name = ?", "s", name);
	*ret = n > 0;
	return status;
}

enum hf_status hf_heapdb_init(struct hf_heapdb *heap, sqlite3 *db, struct hf_err *err)
{
	*heap = (struct hf_heapdb){.db = db};
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(db, &q, err, "SELECT key, value FROM meta", "");
	while (hf_row(q, &status, err)) {
		const char *key = hf_column_text(q, 0);
		uint64_t value = (uint64_t)hf_column_int(q, 1);
		if (!strcmp(key, "live_size"))
			heap->live_size = value;
		else if (!strcmp(key, "live_usable"))
			heap->live_usable = value;
		else if (!strcmp(key, "sizes_requested"))
			heap->sizes_requested = value != 0;
		else if (!strcmp(key, "object_count"))
			heap->live_count = value;
		else if (!strcmp(key, "leak_size"))
			heap->leak_size = value;
		else if (!strcmp(key, "leak_count"))
			heap->leak_count = value;
		else if (!strcmp(key, "doubtful_size"))
			heap->doubtful_size = value;
		else if (!strcmp(key, "partial"))
			heap->partial = value != 0;
		else if (!strcmp(key, "profile_tied"))
			heap->has_profile = true, heap->profile_tied = value != 0;
		else if (!strcmp(key, "profile_lost"))
			heap->profile_lost = (uint64_t)value;
		else if (!strcmp(key, "profile_sampled"))
			heap->profile_sampled = value != 0;
		else if (!strcmp(key, "profile_period"))
			heap->profile_period = value;
		else if (!strcmp(key, "profile_missing"))
			snprintf(heap->profile_missing, sizeof(heap->profile_missing), "%s",
				hf_column_text(q, 1));
		else if (!strcmp(key, "profile_maker"))
			snprintf(heap->profile_maker, sizeof(heap->profile_maker), "%s",
				hf_column_text(q, 1));
	}
	bool has_estimates = true;
	int64_t n = 0;
	if (status == HF_OK)
		status = has_table(db, "stat_wide", &heap->has_wide, err);
	if (status == HF_OK)
		status = has_table(db, "stat_estimate", &has_estimates, err);
	if (status == HF_OK)
		status = hf_query_int(db, &n, err, "SELECT EXISTS (SELECT 1 FROM root)", "");
	heap->has_roots = n > 0;
	if (status == HF_OK && !has_estimates &&
		sqlite3_exec(db,
			"CREATE TEMP TABLE IF NOT EXISTS stat_estimate (site_id INTEGER PRIMARY "
			"KEY, samples, count, size)",
			NULL, NULL, NULL) != SQLITE_OK)
		return hf_db_error(db, err, "preparing estimates");
	heap->small = heap->live_count <= SMALL_HEAP;
	n = 0;
	if (status == HF_OK && heap->has_profile)
		status = hf_query_int(db, &n, err,
			"SELECT coalesce(sum(count), 0) FROM stat_site WHERE id > 0", "");
	heap->n_with_site = (uint64_t)n;
	return status;
}

void hf_heapdb_deinit(struct hf_heapdb *heap)
{
	hf_stmt_done(&heap->object);
	hf_stmt_done(&heap->addr);
	hf_stmt_done(&heap->word);
	hf_stmt_done(&heap->field);
	hf_stmt_done(&heap->root);
}

static void copy_text(char *to, size_t size, sqlite3_stmt *q, int c)
{
	const char *s = hf_column_text(q, c);
	size_t n = strnlen(s, size - 1);
	memcpy(to, s, n);
	to[n] = 0;
}

/* Prepare a statement once and bind its parameters. */
static enum hf_status use(struct hf_heapdb *heap, sqlite3_stmt **stmt, const char *sql, int64_t a,
	const int64_t *b, struct hf_err *err)
{
	enum hf_status status = HF_OK;
	if (!*stmt)
		status = hf_query(heap->db, stmt, err, sql, "");
	if (status != HF_OK)
		return status;
	if (b)
		hf_rebind(*stmt, "ii", a, *b);
	else
		hf_rebind(*stmt, "i", a);
	return HF_OK;
}

/* Reset, so that no read transaction stays open. */
static enum hf_status found(sqlite3_stmt *stmt, bool row, enum hf_status status)
{
	sqlite3_reset(stmt);
	return row || status != HF_OK ? status : HF_E_NOTFOUND;
}

#define OBJECT_COLUMNS                                                                             \
	"SELECT o.id, o.addr, o.size, o.usable, o.reachable, o.arena_id, o.type_id, o.site_id, "   \
	"o.idom_id, o.holder_id, o.holder_root_id, o.retained_size, o.retained_count, "            \
	"o.held_size, o.held_count, coalesce(o.depth, -1), "                                       \
	"(SELECT name FROM type WHERE id = o.type_id) || iif(o.origin_id IN (SELECT id FROM "      \
	"origin WHERE confidence = 'guess'), '?', ''), "                                           \
	"(SELECT function FROM site WHERE id = o.site_id), o.label, o.idom_variable_id, "          \
	"(SELECT file FROM site WHERE id = o.site_id), "                                           \
	"(SELECT line FROM site WHERE id = o.site_id), coalesce(o.age, -1), o.alloc_tid FROM "     \
	"object o "

static enum hf_status read_object(
	sqlite3_stmt *q, enum hf_status status, struct hf_object *ret, struct hf_err *err)
{
	bool row = hf_row(q, &status, err);
	if (row) {
		*ret = (struct hf_object){
			.id = hf_column_int(q, 0),
			.addr = (uint64_t)hf_column_int(q, 1),
			.size = (uint64_t)hf_column_int(q, 2),
			.usable = (uint64_t)hf_column_int(q, 3),
			.reachable = hf_column_int(q, 4) != 0,
			.arena_id = hf_column_int(q, 5),
			.type_id = hf_column_int(q, 6),
			.site_id = hf_column_int(q, 7),
			.idom_id = hf_column_int(q, 8),
			.holder_id = hf_column_int(q, 9),
			.holder_root_id = hf_column_int(q, 10),
			.retained_size = (uint64_t)hf_column_int(q, 11),
			.retained_count = (uint64_t)hf_column_int(q, 12),
			.held_size = (uint64_t)hf_column_int(q, 13),
			.held_count = (uint64_t)hf_column_int(q, 14),
			.depth = hf_column_int(q, 15),
			.idom_variable_id = hf_column_int(q, 19),
			.site_line = hf_column_int(q, 21),
			.age = hf_column_int(q, 22),
			.alloc_tid = hf_column_int(q, 23),
		};
		copy_text(ret->type, sizeof(ret->type), q, 16);
		copy_text(ret->site, sizeof(ret->site), q, 17);
		copy_text(ret->label, sizeof(ret->label), q, 18);
		copy_text(ret->site_file, sizeof(ret->site_file), q, 20);
	}
	return found(q, row, status);
}

enum hf_status hf_heapdb_object(
	struct hf_heapdb *heap, int64_t id, struct hf_object *ret, struct hf_err *err)
{
	enum hf_status status =
		use(heap, &heap->object, OBJECT_COLUMNS "WHERE o.id = ?", id, NULL, err);
	return status == HF_OK ? read_object(heap->object, status, ret, err) : status;
}

/* Ids are ranks by address: the id of the last object at an address ≤ addr, 0: there is none. */
static enum hf_status rank(struct hf_heapdb *heap, uint64_t addr, int64_t *ret, struct hf_err *err)
{
	int64_t low = 0, high;
	enum hf_status status =
		hf_query_int(heap->db, &high, err, "SELECT coalesce(max(id), 0) FROM object", "");
	while (status == HF_OK && low < high) {
		int64_t middle = low + (high - low + 1) / 2;
		status = use(heap, &heap->addr, "SELECT addr FROM object WHERE id = ?", middle,
			NULL, err);
		bool row = status == HF_OK && hf_row(heap->addr, &status, err);
		if (status == HF_OK && !row)
			status = hf_err_set(err, HF_E_CORRUPT, "the database lacks object %lld",
				(long long)middle);
		if (row && (uint64_t)hf_column_int(heap->addr, 0) <= addr)
			low = middle;
		else
			high = middle - 1;
		sqlite3_reset(heap->addr);
	}
	if (status == HF_OK)
		*ret = low;
	return status;
}

enum hf_status hf_heapdb_at_or_before(
	struct hf_heapdb *heap, uint64_t addr, struct hf_object *ret, struct hf_err *err)
{
	int64_t id = 0;
	enum hf_status status = rank(heap, addr, &id, err);
	return status == HF_OK ? hf_heapdb_object(heap, id, ret, err) : status;
}

enum hf_status hf_heapdb_after(
	struct hf_heapdb *heap, uint64_t addr, struct hf_object *ret, struct hf_err *err)
{
	int64_t id = 0;
	enum hf_status status = rank(heap, addr, &id, err);
	return status == HF_OK ? hf_heapdb_object(heap, id + 1, ret, err) : status;
}

enum hf_status hf_heapdb_containing(
	struct hf_heapdb *heap, uint64_t addr, struct hf_object *ret, struct hf_err *err)
{
	struct hf_object object;
	enum hf_status status = hf_heapdb_at_or_before(heap, addr, &object, err);
	if (status != HF_OK)
		return status;
	uint64_t size = object.usable > object.size ? object.usable : object.size;
	if (addr - object.addr >= (size ? size : 1))
		return HF_E_NOTFOUND;
	*ret = object;
	return HF_OK;
}

enum hf_status hf_heapdb_word(
	struct hf_heapdb *heap, int64_t src, int64_t dst, struct hf_word *ret, struct hf_err *err)
{
	enum hf_status status = use(heap, &heap->word,
		"SELECT src_offset, dst_offset, " HF_SQL_EDGE_FIELD(
			"edge") " "
				"FROM edge INDEXED BY edge_dst WHERE dst_id = ? AND src_id = ? "
				"ORDER BY "
				"coalesce((SELECT pointer FROM field WHERE id = field_id), 1) "
				"DESC, "
				"src_offset LIMIT 1",
		dst, &src, err);
	if (status != HF_OK)
		return status;
	bool row = hf_row(heap->word, &status, err);
	if (row) {
		ret->src_offset = (uint64_t)hf_column_int(heap->word, 0);
		ret->dst_offset = (uint64_t)hf_column_int(heap->word, 1);
		copy_text(ret->field, sizeof(ret->field), heap->word, 2);
	}
	return found(heap->word, row, status);
}

enum hf_status hf_heapdb_field(
	struct hf_heapdb *heap, int64_t src, struct hf_word *word, struct hf_err *err)
{
	int64_t offset = (int64_t)word->src_offset;
	enum hf_status status = use(heap, &heap->field,
		"SELECT " HF_SQL_EDGE_FIELD(
			"edge") " FROM edge WHERE src_id = ? AND src_offset = ?",
		src, &offset, err);
	if (status != HF_OK)
		return status;
	bool row = hf_row(heap->field, &status, err);
	if (row)
		copy_text(word->field, sizeof(word->field), heap->field, 0);
	return found(heap->field, row, status);
}

enum hf_status hf_heapdb_root(
	struct hf_heapdb *heap, int64_t id, struct hf_root *ret, struct hf_err *err)
{
	enum hf_status status = use(heap, &heap->root,
		"SELECT r.id, r.variable_id, r.object_id, r.kind, "
		"CASE WHEN v.type_id IS NULL THEN coalesce(nullif(v.name, ''), r.name) "
		"ELSE r.name END, m.path, t.name, t.tid, r.addr, "
		"coalesce(r.addr - v.addr, 0), r.offset, v.addr, v.size, v.held_size, "
		"v.held_count, v.retained_size, v.type_id IS NOT NULL FROM root r "
		"LEFT JOIN variable v ON v.id = r.variable_id "
		"LEFT JOIN module m ON m.id = coalesce(r.module_id, v.module_id) "
		"LEFT JOIN thread t ON t.id = coalesce(r.thread_id, v.thread_id) WHERE r.id = ?",
		id, NULL, err);
	if (status != HF_OK)
		return status;
	sqlite3_stmt *q = heap->root;
	bool row = hf_row(q, &status, err);
	if (row) {
		*ret = (struct hf_root){
			.id = hf_column_int(q, 0),
			.variable_id = hf_column_int(q, 1),
			.object_id = hf_column_int(q, 2),
			.tid = hf_column_int(q, 7),
			.addr = (uint64_t)hf_column_int(q, 8),
			.word_offset = (uint64_t)hf_column_int(q, 9),
			.offset = (uint64_t)hf_column_int(q, 10),
			.variable_addr = (uint64_t)hf_column_int(q, 11),
			.variable_size = (uint64_t)hf_column_int(q, 12),
			.held_size = (uint64_t)hf_column_int(q, 13),
			.held_count = (uint64_t)hf_column_int(q, 14),
			.retained_size = (uint64_t)hf_column_int(q, 15),
			.named_word = hf_column_int(q, 16) != 0,
		};
		copy_text(ret->kind, sizeof(ret->kind), q, 3);
		copy_text(ret->name, sizeof(ret->name), q, 4);
		copy_text(ret->module, sizeof(ret->module), q, 5);
		copy_text(ret->thread, sizeof(ret->thread), q, 6);
	}
	return found(q, row, status);
}

void hf_field_star(char *field)
{
	char *open = strchr(field, '[');
	size_t digits = open ? strspn(open + 1, "0123456789") : 0;
	if (!digits || open[1 + digits] != ']')
		return;
	open[1] = '*';
	memmove(open + 2, open + 1 + digits, strlen(open + 1 + digits) + 1);
}

void hf_heapdb_root_name(struct hf_text *text, const struct hf_root *root)
{
	hf_text_addf(text, "%s", root->name[0] ? root->name : root->kind);
	if (root->named_word)
		return;
	if (root->word_offset && root->word_offset < root->variable_size)
		hf_text_addf(text, "[+0x%llx]", (unsigned long long)root->word_offset);
}

void hf_heapdb_root_label_of(struct hf_text *text, const char *name, const char *kind,
	const char *module, int64_t tid, const char *thread)
{
	hf_text_addf(text, "%s", name);
	/* "registers of thread 12 (worker)" says it all, "thread worker › run() › buf" nearly. */
	if (strstr(name, "of thread "))
		return;
	if (tid && !strncmp(name, "thread ", strlen("thread "))) {
		hf_text_addf(text, "  %s, tid %lld", kind, (long long)tid);
		return;
	}
	if (!strcmp(kind, "tls"))
		kind = "thread-local";
	else if (!strcmp(kind, "registered"))
		kind = "registered root";
	hf_text_addf(text, "  %s", kind);
	if (module && *module)
		hf_text_addf(text, " in %s", hf_base_name(module));
	if (tid) {
		hf_text_addf(text, " of thread %lld", (long long)tid);
		if (thread && *thread)
			hf_text_addf(text, " (%s)", thread);
	}
}

void hf_heapdb_root_label(struct hf_text *text, const struct hf_root *root)
{
	_cleanup_(hf_text_deinit) struct hf_text name = HF_TEXT_INIT;
	hf_heapdb_root_name(&name, root);
	hf_heapdb_root_label_of(
		text, hf_text_get(&name), root->kind, root->module, root->tid, root->thread);
}

void hf_heapdb_word_name(struct hf_text *text, const struct hf_word *word)
{
	if (word->field[0] == '[') /* an element */
		hf_text_addf(text, "%s", word->field);
	else if (word->field[0])
		hf_text_addf(text, "->%s", word->field);
	else
		hf_text_addf(text, "->[+%llu]", (unsigned long long)word->src_offset);
}

void hf_heapdb_object_what(struct hf_text *text, const struct hf_object *object)
{
	const char *separator = "";
	if (object->label[0]) {
		hf_text_addf(text, "\"%s\"", object->label);
		separator = " ";
	}
	if (object->type[0]) {
		hf_text_addf(text, "%s%s", separator, object->type);
		separator = " ";
	}
	if (object->site[0])
		hf_text_addf(text, "%sfrom %s", separator, object->site);
}

void hf_heapdb_object_place(struct hf_text *text, struct hf_heapdb *heap,
	const struct hf_object *object, const char *dots)
{
	hf_heapdb_object_what(text, object);
	const char *separator = text->len ? ", " : "";
	struct hf_root root;
	if (!object->reachable) {
		hf_text_addf(text, "%sleaked", separator);
	} else if (object->holder_root_id &&
		   hf_heapdb_root(heap, object->holder_root_id, &root, NULL) == HF_OK) {
		hf_text_addf(text, "%s", separator);
		hf_heapdb_root_name(text, &root);
		if (object->holder_id)
			hf_text_addf(text, "->%s", dots);
	}
}

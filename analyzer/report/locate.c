#include "report/locate.h"

#include <string.h>

#include "base/fmt.h"
#include "base/path.h"
#include "report/db.h"

static void copy(char *to, size_t size, const char *s)
{
	size_t n = strnlen(s, size - 1);
	memcpy(to, s, n);
	to[n] = 0;
}

/* Tables of mappings, threads, modules and variables are small beside those of objects. */

static enum hf_status find_mapping(
	sqlite3 *db, uint64_t addr, struct hf_location *where, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(db, &q, err,
		"SELECT start, size, kind, path, perms FROM mapping "
		"WHERE start <= ?1 AND ?1 - start < size LIMIT 1",
		"i", (int64_t)addr);
	if (hf_row(q, &status, err)) {
		where->place = HF_PLACE_MAPPING;
		where->mapping_start = (uint64_t)hf_column_int(q, 0);
		where->mapping_size = (uint64_t)hf_column_int(q, 1);
		copy(where->mapping_kind, sizeof(where->mapping_kind), hf_column_text(q, 2));
		copy(where->mapping_path, sizeof(where->mapping_path), hf_column_text(q, 3));
		copy(where->perms, sizeof(where->perms), hf_column_text(q, 4));
		if (!strcmp(where->mapping_kind, "heap"))
			where->place = HF_PLACE_HEAP_GAP;
	}
	return status;
}

static enum hf_status find_module(
	sqlite3 *db, uint64_t addr, struct hf_location *where, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(db, &q, err,
		"SELECT path, ?1 - base FROM module WHERE base <= ?1 AND ?1 - base < size LIMIT 1",
		"i", (int64_t)addr);
	if (hf_row(q, &status, err)) {
		where->place = HF_PLACE_MODULE;
		copy(where->module, sizeof(where->module), hf_column_text(q, 0));
		where->module_offset = (uint64_t)hf_column_int(q, 1);
	}
	return status;
}

static enum hf_status find_stack(
	sqlite3 *db, uint64_t addr, struct hf_location *where, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	/* A stack's mapping reaches below its live part; the stack that ends in it is its own. */
	enum hf_status status = hf_query(db, &q, err,
		"SELECT tid, name FROM thread WHERE stack_start IS NOT NULL AND "
		"((stack_start <= ?1 AND ?1 - stack_start < stack_size) OR "
		"(?4 AND stack_start >= ?2 AND stack_start - ?2 < ?3)) LIMIT 1",
		"iiii", (int64_t)addr, (int64_t)where->mapping_start, (int64_t)where->mapping_size,
		(int64_t)!strcmp(where->mapping_kind, "stack"));
	if (hf_row(q, &status, err)) {
		where->place = HF_PLACE_STACK;
		where->tid = hf_column_int(q, 0);
		copy(where->thread, sizeof(where->thread), hf_column_text(q, 1));
	}
	return status;
}

static enum hf_status find_variable(
	sqlite3 *db, uint64_t addr, struct hf_location *where, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(db, &q, err,
		"SELECT v.name, ?1 - v.addr, v.kind, t.tid, t.name FROM variable v "
		"LEFT JOIN thread t ON t.id = v.thread_id "
		"WHERE v.addr <= ?1 AND ?1 - v.addr < v.size AND v.kind NOT IN ('stack', "
		"'register') ORDER BY v.size LIMIT 1",
		"i", (int64_t)addr);
	if (hf_row(q, &status, err)) {
		where->place = HF_PLACE_VARIABLE;
		copy(where->variable, sizeof(where->variable), hf_column_text(q, 0));
		where->variable_offset = (uint64_t)hf_column_int(q, 1);
		where->tid = hf_column_int(q, 3);
		copy(where->thread, sizeof(where->thread), hf_column_text(q, 4));
	}
	return status;
}

static enum hf_status find_neighbours(
	struct hf_heapdb *heap, uint64_t addr, struct hf_location *where, struct hf_err *err)
{
	enum hf_status status = hf_heapdb_at_or_before(heap, addr, &where->before, err);
	where->has_before = status == HF_OK;
	if (status == HF_OK || status == HF_E_NOTFOUND)
		status = hf_heapdb_after(heap, addr, &where->after, err);
	where->has_after = status == HF_OK;
	return status == HF_E_NOTFOUND ? HF_OK : status;
}

enum hf_status hf_locate(
	struct hf_heapdb *heap, uint64_t addr, struct hf_location *ret, struct hf_err *err)
{
	static const char *const names[] = {
		[HF_PLACE_UNMAPPED] = "unmapped",
		[HF_PLACE_HEAP_GAP] = "heap_gap",
		[HF_PLACE_STACK] = "stack",
		[HF_PLACE_VARIABLE] = "variable",
		[HF_PLACE_MODULE] = "module",
		[HF_PLACE_MAPPING] = "mapping",
	};
	*ret = (struct hf_location){0};
	enum hf_status status = find_mapping(heap->db, addr, ret, err);
	if (status == HF_OK)
		status = find_module(heap->db, addr, ret, err);
	if (status == HF_OK && ret->place != HF_PLACE_MODULE)
		status = find_stack(heap->db, addr, ret, err);
	if (status == HF_OK)
		status = find_variable(heap->db, addr, ret, err);
	if (status == HF_OK)
		status = find_neighbours(heap, addr, ret, err);
	copy(ret->name, sizeof(ret->name), names[ret->place]);
	return status;
}

static void add_offset(struct hf_text *text, const char *name, uint64_t offset)
{
	hf_text_addf(text, "%s+0x%llx", name, (unsigned long long)offset);
}

void hf_location_text(struct hf_text *text, const struct hf_location *where)
{
	switch (where->place) {
	case HF_PLACE_UNMAPPED:
		hf_text_addf(text, "not mapped");
		return;
	case HF_PLACE_HEAP_GAP:
		hf_text_addf(text, "heap memory, but no live object: free, or the allocator's own");
		break;
	case HF_PLACE_STACK:
		hf_text_addf(text, "in the stack of thread %lld", (long long)where->tid);
		if (where->thread[0])
			hf_text_addf(text, " (%s)", where->thread);
		break;
	case HF_PLACE_VARIABLE:
		hf_text_addf(text, "in the variable ");
		add_offset(text, where->variable, where->variable_offset);
		if (where->module[0])
			hf_text_addf(text, " of %s", hf_base_name(where->module));
		if (where->tid)
			hf_text_addf(text, " of thread %lld", (long long)where->tid);
		break;
	case HF_PLACE_MODULE:
		hf_text_addf(text, "in the module ");
		add_offset(text, where->module, where->module_offset);
		break;
	case HF_PLACE_MAPPING:
		hf_text_addf(text, "in the mapping %s",
			where->mapping_path[0] ? where->mapping_path : "of anonymous memory");
		break;
	}
	if (where->place == HF_PLACE_HEAP_GAP || where->place == HF_PLACE_MAPPING)
		hf_text_addf(text, ", 0x%llx-0x%llx", (unsigned long long)where->mapping_start,
			(unsigned long long)(where->mapping_start + where->mapping_size));
}

enum hf_status hf_parse_address(const char *text, uint64_t *ret, struct hf_err *err)
{
	const char *s = text;
	uint64_t value;
	if (hf_parse_u64(&s, &value) && !*s) {
		*ret = value;
		return HF_OK;
	}
	/* gdb and logs print addresses without 0x, too; only where it cannot be decimal. */
	if (*text && strspn(text, "0123456789abcdefABCDEF") == strlen(text) && strlen(text) <= 16) {
		value = 0;
		for (s = text; *s; s++)
			value = value << 4 |
				(uint64_t)(*s <= '9' ? *s - '0' : (*s | 0x20) - 'a' + 10);
		*ret = value;
		return HF_OK;
	}
	return hf_err_set(err, HF_E_USAGE,
		"\"%s\" is not an address: write it as 0x… or as a decimal number", text);
}

#include "report/also_note.h"

enum {
	LOOKED_AT = 16,      /* words that are looked at for one that is no pointer */
	LITTLE_PERCENT = 85, /* of what is held; where more is retained there is nothing to say */
	EXPLAINED_PERCENT = 90, /* of the difference */
};

/* Is one of the words that reach most out of a field that is certainly no pointer? */
static enum hf_status has_doubtful(
	sqlite3 *db, const struct hf_also *also, bool *ret, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(db, &q, err,
		"SELECT 1 FROM edge e JOIN field f ON f.id = e.field_id "
		"WHERE e.src_id = ? AND e.src_offset = ? AND f.pointer = 0",
		"");
	*ret = false;
	for (size_t i = 0; i < also->n && i < LOOKED_AT && !*ret && status == HF_OK; i++) {
		if (!also->at[i].src_id)
			continue;
		hf_rebind(q, "ii", also->at[i].src_id, (int64_t)also->at[i].src_offset);
		*ret = hf_row(q, &status, err);
		sqlite3_reset(q);
	}
	return status;
}

enum hf_status hf_also_note(struct hf_report *report, const struct hf_also_top *top,
	const struct hf_also *also, const char *indent, struct hf_err *err)
{
	if (!also->n || hf_percent(top->retained_size, top->held_size) >= LITTLE_PERCENT)
		return HF_OK;
	double reached = 0;
	for (size_t i = 0; i < also->n; i++)
		reached += also->at[i].weight * (double)also->at[i].bytes;
	uint64_t missing = top->held_size - top->retained_size;
	char size[HF_NUMBER_SIZE];
	if (also->complete && reached * 100 < (double)missing * EXPLAINED_PERCENT)
		hf_emit_line(report->emit,
			"%sfrom there other words lead on, to all of the %s that it does not "
			"retain",
			indent, hf_human_size(size, missing));
	int64_t precise = 0;
	bool doubtful = false;
	enum hf_status status = hf_query_int(report->heap.db, &precise, err,
		"SELECT coalesce(max(value), 0) FROM meta WHERE key = 'precise'", "");
	if (status == HF_OK && !precise)
		status = has_doubtful(report->heap.db, also, &doubtful, err);
	if (doubtful)
		hf_emit_line(report->emit,
			"%s(holdfast load --precise leaves out words that are no pointers by type)",
			indent);
	return status;
}

#include "base/cleanup.h"
#include "cli/commands.h"
#include "cli/session.h"

enum { MAX_OLD = 15 };

struct old_heaps {
	struct hf_heapdb at[MAX_OLD];
	struct hf_heapdb *list[MAX_OLD];
	sqlite3 *db[MAX_OLD];
	size_t n;
	bool partial;
};

static void old_heaps_close(struct old_heaps *old)
{
	for (size_t i = 0; i < old->n; i++) {
		hf_heapdb_deinit(&old->at[i]);
		sqlite3_close(old->db[i]);
	}
}

static enum hf_status old_heaps_open(
	struct old_heaps *old, const struct hf_args *args, struct hf_err *err)
{
	enum hf_status status = HF_OK;
	if (args->n_args > MAX_OLD + 1)
		return hf_err_set(err, HF_E_USAGE, "diff: at most %d dumps", MAX_OLD + 1);
	while (status == HF_OK && old->n + 1 < (size_t)args->n_args) {
		size_t i = old->n;
		status = hf_input_open(args->args[i], &old->db[i], err);
		if (status != HF_OK)
			break;
		old->n++;
		status = hf_heapdb_init(&old->at[i], old->db[i], err);
		old->list[i] = &old->at[i];
		old->partial |= old->at[i].partial;
	}
	return status;
}

int hf_cmd_diff(const struct hf_args *args)
{
	struct hf_err err;
	struct hf_diff_options options = {
		.by = hf_args_value(args, "by"), .n = 20, .n_given = hf_args_has(args, "n")};
	uint64_t limit = INT64_MAX;
	if (hf_args_number(args, "n", 1, 1000000, &options.n, &err) != HF_OK ||
		hf_args_size(args, "fail-over", &limit, &err) != HF_OK ||
		hf_report_diff_check(&options, &err) != HF_OK)
		return hf_fail(&err);
	struct hf_session session = {0};
	_cleanup_(old_heaps_close) struct old_heaps old = {0};
	int64_t growth = 0;
	enum hf_status status = old_heaps_open(&old, args, &err);
	if (status == HF_OK)
		status = hf_session_open(&session, args, args->n_args - 1, &err);
	for (size_t i = 0; i < old.n && status == HF_OK; i++) {
		if (old.at[i].partial)
			hf_emit_warning(session.emit,
				"PARTIAL: the older dump, %s, does not hold the whole heap",
				args->args[i]);
	}
	if (status == HF_OK)
		status = hf_report_diff(&session.report, old.list, old.n, &options, &growth, &err);
	int code = hf_session_close(&session, status, &err);
	if (code == HF_EXIT_OK && old.partial)
		code = HF_EXIT_PARTIAL;
	return hf_session_findings(
		args, code, "of growth", growth > 0 ? (uint64_t)growth : 0, limit);
}

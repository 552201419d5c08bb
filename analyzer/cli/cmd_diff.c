#include "cli/commands.h"
#include "cli/session.h"

int hf_cmd_diff(const struct hf_args *args)
{
	struct hf_err err;
	struct hf_diff_options options = {.by = hf_args_value(args, "by"), .n = 20};
	uint64_t limit = INT64_MAX;
	if (hf_args_number(args, "n", 1, 1000000, &options.n, &err) != HF_OK ||
		hf_args_size(args, "fail-over", &limit, &err) != HF_OK)
		return hf_fail(&err);
	struct hf_session session = {0};
	struct hf_heapdb old = {0};
	sqlite3 *old_db = NULL;
	int64_t growth = 0;
	enum hf_status status = hf_input_open(args->args[0], &old_db, &err);
	if (status == HF_OK)
		status = hf_heapdb_init(&old, old_db, &err);
	if (status == HF_OK)
		status = hf_session_open(&session, args, 1, &err);
	if (status == HF_OK && old.partial)
		hf_emit_warning(session.emit,
			"PARTIAL: the older dump, %s, does not hold the whole heap", args->args[0]);
	if (status == HF_OK)
		status = hf_report_diff(&session.report, &old, &options, &growth, &err);
	bool partial = old.partial;
	int code = hf_session_close(&session, status, &err);
	hf_heapdb_deinit(&old);
	sqlite3_close(old_db);
	if (code == HF_EXIT_OK && partial)
		code = HF_EXIT_PARTIAL;
	bool over = growth > 0 && (uint64_t)growth > limit;
	return (code == HF_EXIT_OK || code == HF_EXIT_PARTIAL) && over ? HF_EXIT_FINDINGS : code;
}

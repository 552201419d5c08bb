/* The commands that are one report each: report, who, top, tree, refs, leaks. */
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "report/locate.h"

int hf_cmd_report(const struct hf_args *args)
{
	struct hf_session session;
	struct hf_err err;
	enum hf_status status = hf_session_open(&session, args, 0, &err);
	if (status == HF_OK)
		status = hf_report_overview(&session.report, &err);
	return hf_session_close(&session, status, &err);
}

static int who_set(const struct hf_args *args, const struct hf_who_set *set)
{
	struct hf_session session;
	struct hf_err err;
	enum hf_status status = hf_session_open(&session, args, 0, &err);
	session.report.progress = hf_progress_hook();
	if (status == HF_OK)
		status = hf_report_who_set(&session.report, set, &err);
	hf_progress_clear();
	return hf_session_close(&session, status, &err);
}

int hf_cmd_who(const struct hf_args *args)
{
	struct hf_err err;
	uint64_t addr;
	int64_t n = hf_args_has(args, "all") ? 5 : 1;
	struct hf_who_set set = {
		.type = hf_args_value(args, "type"),
		.site = hf_args_value(args, "site"),
		.sql = hf_args_value(args, "sql"),
		.n = 20,
	};
	int n_sets = !!set.type + !!set.site + !!set.sql;
	if (n_sets + (args->n_args > 1) != 1) {
		hf_err_set(&err, HF_E_USAGE,
			"who: give one of ADDR, --type, --site and --sql: whose holders?");
		return hf_fail(&err);
	}
	if (n_sets) {
		if (hf_args_has(args, "all"))
			hf_err_set(&err, HF_E_USAGE, "who: --all goes with ADDR alone");
		else if (hf_args_number(args, "n", 1, 1000000, &set.n, &err) == HF_OK)
			return who_set(args, &set);
		return hf_fail(&err);
	}
	if (hf_args_has(args, "n")) {
		hf_err_set(&err, HF_E_USAGE,
			"who: -n goes with --type, --site and --sql; of one object: --all=N");
		return hf_fail(&err);
	}
	if (hf_parse_address(args->args[1], &addr, &err) != HF_OK ||
		hf_args_number(args, "all", 2, 1000, &n, &err) != HF_OK)
		return hf_fail(&err);
	struct hf_session session;
	struct hf_who_options options = {.n_paths = (int)n};
	enum hf_status status = hf_session_open(&session, args, 0, &err);
	if (status == HF_OK)
		status = hf_report_who(&session.report, addr, &options, &err);
	return hf_session_close(&session, status, &err);
}

int hf_cmd_top(const struct hf_args *args)
{
	struct hf_err err;
	struct hf_top_options options = {
		.by = hf_args_has(args, "by") ? hf_args_value(args, "by") : "object",
		.sort = hf_args_value(args, "sort"),
		.n = 20,
	};
	if (hf_args_number(args, "n", 1, 1000000, &options.n, &err) != HF_OK ||
		hf_report_top_check(&options, &err) != HF_OK)
		return hf_fail(&err);
	struct hf_session session;
	enum hf_status status = hf_session_open(&session, args, 0, &err);
	if (status == HF_OK)
		status = hf_report_top(&session.report, &options, &err);
	return hf_session_close(&session, status, &err);
}

int hf_cmd_tree(const struct hf_args *args)
{
	struct hf_err err;
	struct hf_tree_options options = {
		.has_addr = args->n_args > 1,
		.dominators = hf_args_has(args, "dominators"),
		.n = 6,
		.depth = 4,
		.min_percent = 5,
	};
	if ((options.has_addr && hf_parse_address(args->args[1], &options.addr, &err) != HF_OK) ||
		hf_args_number(args, "n", 1, 60, &options.n, &err) != HF_OK ||
		hf_args_number(args, "depth", 0, 20, &options.depth, &err) != HF_OK ||
		hf_args_percent(args, "min", &options.min_percent, &err) != HF_OK)
		return hf_fail(&err);
	struct hf_session session;
	enum hf_status status = hf_session_open(&session, args, 0, &err);
	if (status == HF_OK)
		status = hf_report_tree(&session.report, &options, &err);
	return hf_session_close(&session, status, &err);
}

int hf_cmd_refs(const struct hf_args *args)
{
	struct hf_err err;
	uint64_t addr;
	bool in = hf_args_has(args, "in"), out = hf_args_has(args, "out");
	struct hf_refs_options options = {.in = in || !out, .out = out || !in, .limit = 20};
	if (hf_parse_address(args->args[1], &addr, &err) != HF_OK ||
		hf_args_number(args, "limit", 1, 1000000, &options.limit, &err) != HF_OK)
		return hf_fail(&err);
	struct hf_session session;
	enum hf_status status = hf_session_open(&session, args, 0, &err);
	if (status == HF_OK)
		status = hf_report_refs(&session.report, addr, &options, &err);
	return hf_session_close(&session, status, &err);
}

/* The verdict of --fail-over on what is leaked: none where it could be a false one. */
static int leaks_verdict(
	const struct hf_args *args, int code, const struct hf_leaks_found *found, uint64_t limit)
{
	char least[HF_NUMBER_SIZE], most[HF_NUMBER_SIZE], over[HF_NUMBER_SIZE],
		about[HF_NUMBER_SIZE + 32];
	if (code != HF_EXIT_OK || found->least > limit || found->most <= limit)
		return hf_session_findings(args, code, "leaked", found->least, limit);
	hf_human_size(over, limit);
	hf_human_size(most, found->estimate);
	if (found->estimate_is_over) {
		fprintf(stderr,
			"holdfast: leaks: ~%s leaked, by samples that leave no doubt: more than "
			"the %s of --fail-over\n",
			most, over);
		return HF_EXIT_FINDINGS;
	}
	snprintf(about, sizeof(about), found->has_estimate ? " (by samples ~%s)" : "", most);
	fprintf(stderr,
		"holdfast: leaks: no verdict on --fail-over %s: %s to %s%s are leaked and that "
		"old, not all ages are known; 'holdfast run --exact' records them\n",
		over, hf_human_size(least, found->least), hf_human_size(most, found->most), about);
	return HF_EXIT_PARTIAL;
}

int hf_cmd_leaks(const struct hf_args *args)
{
	struct hf_err err;
	struct hf_leaks_options options = {
		.n = 20, .n_given = hf_args_has(args, "n"), .older_s = -1, .limit = UINT64_MAX};
	struct hf_leaks_found found = {0};
	if (hf_args_number(args, "n", 1, 1000000, &options.n, &err) != HF_OK ||
		hf_args_age(args, "older", &options.older_s, &err) != HF_OK ||
		hf_args_size(args, "fail-over", &options.limit, &err) != HF_OK)
		return hf_fail(&err);
	struct hf_session session;
	enum hf_status status = hf_session_open(&session, args, 0, &err);
	if (status == HF_OK)
		status = hf_report_leaks(&session.report, &options, &found, &err);
	int code = hf_session_close(&session, status, &err);
	return leaks_verdict(args, code, &found, options.limit);
}

/* export and symbolize: results and profiles in formats of others. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/session.h"
#include "export/export.h"
#include "export/file.h"

static enum hf_status read_options(
	const struct hf_args *args, struct hf_export_options *ret, struct hf_err *err)
{
	const char *what = hf_args_value(args, "what");
	*ret = (struct hf_export_options){.format = hf_args_value(args, "format"),
		.path = hf_args_value(args, "o"),
		.input = args->args[0]};
	if (!ret->format)
		return hf_err_set(err, HF_E_USAGE, "export: which --format? There are %s",
			hf_export_formats());
	if (!hf_export_has(ret->format))
		return hf_err_set(err, HF_E_USAGE, "--format %s: not in this version; there are %s",
			ret->format, hf_export_formats());
	if (!ret->path)
		return hf_err_set(err, HF_E_USAGE, "export: where to? -o FILE, or -o - for stdout");
	if (what && !strcmp(what, "retained"))
		ret->what = HF_EXPORT_RETAINED;
	else if (what && strcmp(what, "live") != 0)
		return hf_err_set(err, HF_E_USAGE, "--what %s: it is live or retained", what);
	return hf_export_check(ret->path, err);
}

int hf_cmd_export(const struct hf_args *args)
{
	struct hf_err err;
	struct hf_export_options options;
	struct hf_heapdb heap = {0};
	sqlite3 *db = NULL;
	enum hf_status status = read_options(args, &options, &err);
	if (status == HF_OK)
		status = hf_input_open(args->args[0], &db, &err);
	if (status == HF_OK)
		status = hf_heapdb_init(&heap, db, &err);
	if (status == HF_OK)
		status = hf_export(db, &options, &err);
	bool partial = heap.partial;
	hf_heapdb_deinit(&heap);
	sqlite3_close(db);
	if (status != HF_OK)
		return hf_fail(&err);
	if (partial)
		fputs("holdfast: PARTIAL: the dump does not hold the whole heap\n", stderr);
	return partial ? HF_EXIT_PARTIAL : HF_EXIT_OK;
}

int hf_cmd_symbolize(const struct hf_args *args)
{
	struct hf_err err;
	struct hf_export_symbolized result = {0};
	const char *dirs[HF_MAX_GIVEN], *path = args->args[0];
	struct hf_debug_options debug = {
		.dirs = dirs, .n_dirs = hf_args_values(args, "debug-dir", dirs, HF_MAX_GIVEN)};
	const char *to = hf_args_has(args, "o") ? hf_args_value(args, "o") : path;
	if (hf_export_check(to, &err) != HF_OK ||
		hf_export_symbolize(path, to, &debug, &result, &err) != HF_OK)
		return hf_fail(&err);
	/* The profile itself may be on stdout. */
	fprintf(hf_export_is_stdout(to) ? stderr : stdout,
		"%s: %zu of %zu addresses have a name now\n", to, result.n_named,
		result.n_locations);
	return HF_EXIT_OK;
}

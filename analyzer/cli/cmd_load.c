#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "analyzer/analyze.h"
#include "base/cleanup.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/session.h"

static void emit_result(
	struct hf_emit *emit, const char *path, const struct hf_analyze_result *result)
{
	char objects[HF_NUMBER_SIZE], edges[HF_NUMBER_SIZE], size[HF_NUMBER_SIZE];
	struct stat st = {0};
	stat(path, &st);
	hf_emit_fact(emit, "partial", NULL, HF_VALUE_BOOL, hf_cell_int(result->partial));
	if (result->partial)
		hf_emit_warning(emit, "PARTIAL: the dump does not hold the whole heap; see info");
	hf_emit_fact(emit, "database", NULL, HF_VALUE_TEXT, hf_cell_text(path));
	hf_emit_fact(emit, "size", NULL, HF_VALUE_SIZE, hf_cell_int(st.st_size));
	hf_emit_fact(emit, "object_count", NULL, HF_VALUE_COUNT,
		hf_cell_int((int64_t)result->n_objects));
	hf_emit_fact(
		emit, "edge_count", NULL, HF_VALUE_COUNT, hf_cell_int((int64_t)result->n_edges));
	hf_emit_line(emit, "%s: %s objects, %s edges, %s", path,
		hf_human_count(objects, result->n_objects), hf_human_count(edges, result->n_edges),
		hf_human_size(size, (uint64_t)st.st_size));
}

int hf_cmd_load(const struct hf_args *args)
{
	struct hf_err err;
	struct hf_analyze_options options;
	struct hf_analyze_result result = {0};
	struct hf_session session = {0};
	_cleanup_(hf_freep) char *cache = hf_analyze_cache_path(args->args[0]);
	const char *path = hf_args_has(args, "o") ? hf_args_value(args, "o") : cache;
	if (!path) {
		hf_err_set(&err, HF_E_NOMEM, "no memory");
		return hf_fail(&err);
	}
	const char *dirs[HF_MAX_GIVEN], *allocators[HF_MAX_GIVEN];
	hf_input_options(&options);
	hf_interrupt_cleans_up();
	options.profile = hf_args_value(args, "profile");
	options.debug_dirs = dirs;
	options.n_debug_dirs = hf_args_values(args, "debug-dir", dirs, HF_MAX_GIVEN);
	options.sysroot = hf_args_value(args, "sysroot");
	options.no_cache = hf_args_has(args, "no-cache");
	options.precise = hf_args_has(args, "precise");
	options.tagged_pointers = hf_args_has(args, "tagged-pointers");
	options.allocators = allocators;
	options.n_allocators = hf_args_values(args, "allocator", allocators, HF_MAX_GIVEN);
	enum hf_status status = hf_analyze(args->args[0], path, &options, &result, &err);
	hf_input_done();
	struct hf_emit_options emit = hf_session_emit(args);
	if (status == HF_OK)
		status = hf_emit_create(&emit, "load", &session.emit, &err);
	if (status == HF_OK)
		emit_result(session.emit, path, &result);
	session.report.heap.partial = result.partial;
	return hf_session_close(&session, status, &err);
}

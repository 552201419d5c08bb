/* info and verify: a dump is looked at as it lies there, a database is asked. */
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "report/dump_file.h"
#include "source/dump/dump.h"

static int of_dump(const struct hf_args *args,
	enum hf_status (*report)(struct hf_emit *, const char *, bool *, struct hf_err *))
{
	struct hf_session session = {0};
	struct hf_err err;
	struct hf_emit_options options = hf_session_emit(args);
	enum hf_status status = hf_emit_create(&options, args->command->name, &session.emit, &err);
	if (status == HF_OK)
		status = report(session.emit, args->args[0], &session.report.heap.partial, &err);
	return hf_session_close(&session, status, &err);
}

static int of_database(
	const struct hf_args *args, enum hf_status (*report)(struct hf_report *, struct hf_err *))
{
	struct hf_session session;
	struct hf_err err;
	enum hf_status status = hf_session_open(&session, args, 0, &err);
	session.report.progress = hf_progress_hook();
	if (status == HF_OK)
		status = report(&session.report, &err);
	hf_progress_clear();
	return hf_session_close(&session, status, &err);
}

int hf_cmd_info(const struct hf_args *args)
{
	return hf_dump_is_dump(args->args[0]) ? of_dump(args, hf_report_dump_info)
					      : of_database(args, hf_report_info);
}

int hf_cmd_verify(const struct hf_args *args)
{
	return hf_dump_is_dump(args->args[0]) ? of_dump(args, hf_report_dump_verify)
					      : of_database(args, hf_report_verify);
}

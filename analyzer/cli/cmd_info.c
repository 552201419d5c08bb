/* info and verify: of a database here, of a dump by its reader. */
#include "cli/commands.h"
#include "cli/session.h"

int hf_cmd_info(const struct hf_args *args)
{
	struct hf_session session;
	struct hf_err err;
	enum hf_status status = hf_session_open(&session, args, 0, &err);
	if (status == HF_OK)
		status = hf_report_info(&session.report, &err);
	return hf_session_close(&session, status, &err);
}

int hf_cmd_verify(const struct hf_args *args)
{
	struct hf_session session;
	struct hf_err err;
	enum hf_status status = hf_session_open(&session, args, 0, &err);
	if (status == HF_OK)
		status = hf_report_verify(&session.report, &err);
	return hf_session_close(&session, status, &err);
}

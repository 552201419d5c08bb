#include <stdio.h>

#include "cli/commands.h"
#include "cli/session.h"

int hf_cmd_load(const struct hf_args *args)
{
	struct hf_err err;
	(void)args;
	hf_err_set(&err, HF_E_FAILED, "load: not in this build");
	return hf_fail(&err);
}

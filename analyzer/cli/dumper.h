/*
 * Handing over to holdfast-dump, which links no database and can run where little is.
 */
#pragma once
#include "base/err.h"

enum { HF_DUMPER_ARGS = 12 };

/* Is text the number of a process? command is the command that asks, for the message. */
enum hf_status hf_dumper_check_pid(const char *command, const char *text, struct hf_err *err);
/* Become holdfast-dump with these arguments (ended by NULL). Returns only if that fails: an exit
 * status, and stderr says why. */
int hf_dumper_exec(const char *command, const char *const *args);

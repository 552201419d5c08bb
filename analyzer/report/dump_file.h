/*
 * info and verify of a dump file itself, without loading it.
 */
#pragma once
#include <stdbool.h>

#include "emit/emit.h"

/* Header, totals, completeness. *ret_partial: something is missing from it. */
enum hf_status hf_report_dump_info(
	struct hf_emit *emit, const char *path, bool *ret_partial, struct hf_err *err);
/* Every checksum and invariant. HF_E_CORRUPT, after listing what is wrong, for a damaged file;
 * HF_E_PARTIAL for one that is cut off. *ret_partial: sound, but the dumper says that something is
 * missing. */
enum hf_status hf_report_dump_verify(
	struct hf_emit *emit, const char *path, bool *ret_partial, struct hf_err *err);

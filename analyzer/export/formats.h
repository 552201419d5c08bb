/* The formats. Inside export/ only. */
#pragma once
#include "export/export.h"
#include "export/stacks.h"

enum hf_status hf_export_pprof(const struct hf_stacks *stacks,
	const struct hf_export_options *options, struct hf_err *err);
enum hf_status hf_export_svg(const struct hf_stacks *stacks,
	const struct hf_export_options *options, struct hf_err *err);

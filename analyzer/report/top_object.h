/*
 * The largest objects by what they retain, hold or are.
 */
#pragma once
#include "report/report.h"

enum hf_object_rank {
	HF_RANK_RETAINED,
	HF_RANK_HELD,
	HF_RANK_SIZE,
};

enum hf_status hf_top_objects(
	struct hf_report *report, enum hf_object_rank rank, int64_t n, struct hf_err *err);

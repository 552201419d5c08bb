/*
 * Who holds most: the suspects of a heap, with where below each the memory piles up, what most of
 * it is, and which words spoil the dominator figure.
 *
 * Thread rule: as the connection.
 */
#pragma once
#include "report/report.h"

/* *ret_point: address of the first one's accumulation point; 0 if there is none. */
enum hf_status hf_report_suspects(
	struct hf_report *report, uint64_t *ret_point, struct hf_err *err);

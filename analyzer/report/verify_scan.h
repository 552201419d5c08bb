/*
 * The invariants of the big tables, from one pass over each of them and each of their indexes, with
 * some 40 bytes an object in memory: a query a check would look every row up several times.
 */
#pragma once
#include "report/report.h"

enum hf_scan_check {
	HF_SCAN_OBJECT_ORDER,
	HF_SCAN_OBJECT_IDS,
	HF_SCAN_OBJECT_SIZE,
	HF_SCAN_OBJECT_ARENA,
	HF_SCAN_ARENA_LIVE,
	HF_SCAN_EDGE_SOURCE,
	HF_SCAN_EDGE_TARGET,
	HF_SCAN_REACHABLE,
	HF_SCAN_HOLDER_EDGE,
	HF_SCAN_HOLDER_SUM,
	HF_SCAN_DOMINATOR_SUM,
	HF_SCAN_HELD_TOTAL,
	HF_SCAN_VARIABLE_HELD,
	HF_SCAN_TOTALS,
	HF_SCAN_EDGE_INDEX,
	HF_SCAN_OBJECT_INDEX,
	HF_SCAN_CHECKS,
};

struct hf_scan_result {
	int64_t n;         /* rows that break the invariant */
	char example[128]; /* the first of them; "": none in particular */
};

/* Fill result, one a check. Only what keeps the tables from being read is an error. */
enum hf_status hf_verify_scan(
	struct hf_report *report, struct hf_scan_result result[HF_SCAN_CHECKS], struct hf_err *err);

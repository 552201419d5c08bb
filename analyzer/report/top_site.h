/* Rankings by where memory was allocated: sites, functions, modules. */
#pragma once
#include "report/report.h"

enum hf_site_by { HF_BY_SITE, HF_BY_FUNCTION, HF_BY_MODULE };

/* order: what to sort by (retained, size, count), or NULL: what suits the profile. Where sites are
 * sampled, sizes and counts are the estimates. *ret_shown, *ret_all: rows. */
enum hf_status hf_top_sites(struct hf_report *report, enum hf_site_by by, const char *order,
	int64_t n, int64_t *ret_shown, int64_t *ret_all, struct hf_err *err);

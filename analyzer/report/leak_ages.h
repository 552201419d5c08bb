/*
 * How much of what is leaked is of an age, where only recorded objects have one: bounds that hold
 * whatever the age of the others is, an estimate by samples, and what may be said of a limit.
 *
 * Thread rule: as the connection.
 */
#pragma once
#include "report/report.h"

/* Leaked objects of an age by site and type, as leak_summary has all of them; ?1: the age. Its
 * estimates need hf_leak_ages() to have been called. */
extern const char hf_leak_ages_sql[];

/* Lines and facts on the leaked objects of at least that age; *ret_listed: of them, those that are
 * known. HF_E_UNSUPPORTED where no object has an age. */
enum hf_status hf_leak_ages(struct hf_report *report, const struct hf_leaks_options *options,
	struct hf_leaks_found *ret, uint64_t *ret_listed, struct hf_err *err);

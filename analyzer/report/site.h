/*
 * Allocation sites as reports show them: "load_avatar (user.c:88) ← load_user ← session_open", and
 * what of their figures is exact.
 *
 * Thread rule: as the connection.
 */
#pragma once
#include "report/group.h"
#include "report/report.h"

/* "load_avatar (user.c:88)" of a site by its id, then at most n_callers of those that called it,
 * without the standard library's. Long template arguments are left out. "site 7" where it has no
 * name. */
enum hf_status hf_site_text(struct hf_report *report, int64_t site, int n_callers,
	struct hf_text *text, struct hf_err *err);
/* What tells it from others of the same line: ", for std::_List_node<Item>" by the type that an
 * allocator was asked for, ", in std::string::reserve" by the library's function. Nothing where it
 * is called without any. */
enum hf_status hf_site_detail(
	struct hf_report *report, int64_t site, struct hf_text *text, struct hf_err *err);
/* The site that most bytes of a set of objects come from: 0 if none of them has one. *ret_share: of
 * the bytes of those that have one, percent. */
enum hf_status hf_site_of_set(struct hf_report *report, const struct hf_member *members, size_t n,
	int64_t *ret_site, double *ret_share, struct hf_err *err);
/* All frames of a site as the JSON member "stack", innermost first; nothing for people. */
enum hf_status hf_site_stack(struct hf_report *report, int64_t site, struct hf_err *err);

/* Lines for people, and the JSON member "sites", on which figures are exact and which estimates;
 * nothing where all are. */
void hf_site_note(struct hf_report *report);

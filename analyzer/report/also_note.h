/*
 * What the list of words that spoil a retained size leaves open. Not thread safe.
 */
#pragma once
#include "report/also.h"
#include "report/report.h"

/* Where something retains much less than it holds: a line on what the words found do not reach
 * themselves, but lead to; and, where one of them is certainly no pointer, what leaves such words
 * out. indent: before the line. */
enum hf_status hf_also_note(struct hf_report *report, const struct hf_also_top *top,
	const struct hf_also *also, const char *indent, struct hf_err *err);

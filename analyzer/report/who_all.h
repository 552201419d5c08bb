/*
 * The other ways to an object: paths from further roots, and the words that enter what it holds
 * from outside.
 */
#pragma once
#include "report/path.h"
#include "report/report.h"

/* Emit a path: its text and the table of its hops, as the JSON member `key`. */
void hf_who_path(struct hf_report *report, const char *key, const struct hf_path *path);

/* Emit the shortest path from each of at most n roots, nearest first: a breadth-first search
 * against the direction of the edges, bounded; what it did not look at is said. */
enum hf_status hf_who_all(
	struct hf_report *report, const struct hf_object *object, int n, struct hf_err *err);

/* Emit what else reaches into the holder tree of the object, the at most n that reach most. */
enum hf_status hf_who_also(
	struct hf_report *report, const struct hf_object *object, int n, struct hf_err *err);

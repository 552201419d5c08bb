/*
 * The place where the memory of a suspect piles up: the path there, what the objects of that very
 * path have, and where most of it is beyond.
 *
 * The search for suspects ends at a point: a variable, or an object. From there the path goes on to
 * what the point holds directly ("->buckets[*]"), along a chain, or through a structure: objects
 * that are alike and hang on each other, as the nodes of a search tree do. A container has several
 * words into such a structure (its first and last node); then it starts at all of them.
 *
 * Not thread safe.
 */
#pragma once
#include "report/group.h"
#include "report/report.h"

/* A row of the view suspect. */
struct hf_suspect_row {
	const char *basis, *path;      /* valid until the next row */
	const char *root, *point_type; /* NULL: none */
	bool group, retained, leaked;  /* by its basis; else it is held */
	uint64_t size, count;          /* of the start, in the tree of the basis */
	uint64_t addr, point_addr;     /* 0: none */
	uint64_t point_size, point_below, point_children;
	uint64_t held_size, retained_size;
	int64_t point_id, variable_id, object_id; /* 0: none */
};

struct hf_place {
	struct hf_text path;
	uint64_t size;    /* that the objects of the path have */
	uint64_t links;   /* of a chain; 0: there is none */
	uint64_t members; /* of a structure; 0: there is none */
	bool members_estimated;
	/* Where most of it is: empty where the path says it all. */
	struct hf_text bulk;
	uint64_t bulk_size, bulk_count;
	bool bulk_estimated; /* the figures are, from a sample */
	int64_t site;        /* where most of it was allocated; 0: not known */
	double site_share;
};

/* Of a held suspect with a look at what is below its point; of others what the row says. thorough:
 * false for what the row says alone. */
enum hf_status hf_place_read(struct hf_report *report, const struct hf_suspect_row *row,
	bool thorough, struct hf_place *ret, struct hf_err *err);
void hf_place_deinit(struct hf_place *place);

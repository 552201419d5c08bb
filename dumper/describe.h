/*
 * What the dump says about the process: each function writes one section (or a few) from what the
 * steps of the pipeline found. Async-signal-safe; one thread.
 */
#pragma once
#include "dump.h"
#include "roots/roots.h"
#include "scan/scan.h"

struct hf_describe {
	const struct hf_dump_input *in;
	const struct hf_images *images;
	const struct hf_index *index;
	const struct hf_walk *walk;
	const struct hf_layout *layout;
	const struct hf_roots *roots;
	uint32_t broken_images;
	struct hf_writer *writer;
};

void hf_describe_token(uint8_t token[HF_FORMAT_TOKEN_SIZE]);
void hf_describe_process(const struct hf_describe *d);
void hf_describe_modules(const struct hf_describe *d);
void hf_describe_mappings(const struct hf_describe *d);
/* Threads, their registers and their stack words. */
void hf_describe_threads(const struct hf_describe *d);
void hf_describe_arenas(const struct hf_describe *d);
void hf_describe_roots(const struct hf_describe *d);
void hf_describe_labels(const struct hf_describe *d);
/* Of the objects whose allocation was recorded. */
void hf_describe_sites(const struct hf_describe *d);
void hf_describe_contents(const struct hf_describe *d);
/* Counters and findings: the walk's, the front end's and those of the steps here. */
void hf_describe_checks(const struct hf_describe *d, const struct hf_scan_totals *totals);

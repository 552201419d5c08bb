/*
 * What the program told the library: registered roots and labels. The tables lie in the library's
 * data behind a magic, so that a dumper that looks at the process from outside finds them.
 */
#pragma once
#include "dump.h"

enum { HF_TOLD_MAX = 4096 /* entries of a table that a reader takes */ };

#define HF_TOLD_MAGIC "holdfast told  1" /* 16 bytes, no NUL */
struct hf_told {
	char magic[16];
	/* an entry whose addr is 0 is free */
	struct hf_registered_root *registered;
	struct hf_label *labels;
	uint32_t n_registered, n_labels;
};

/* The API's lists; 0 or a negative errno value. From any thread. */
int hf_told_register_root(const void *addr, size_t size, const char *name);
int hf_told_unregister_root(const void *addr);
int hf_told_label(const void *object, const char *label);

/* What was told, for the dump: the roots as a copy in the pool; among the labels, one of address 0
 * is none. */
struct hf_registered_root *hf_told_registered(struct hf_pool *pool, size_t *ret_n);
const struct hf_label *hf_told_labels(size_t *ret_n);

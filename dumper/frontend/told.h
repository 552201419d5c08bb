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

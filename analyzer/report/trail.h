/*
 * The hops of a way down a tree, step by step: equal ones in a row are counted, and of very many
 * different ones the middle is dropped. Not thread safe.
 */
#pragma once
#include "emit/emit.h"
#include "report/heapdb.h"

enum { HF_TRAIL_RUNS = 12 };

struct hf_trail_run {
	struct hf_word word;
	bool direct;  /* false: no word leads there, it is dominated only */
	bool of_root; /* the word is one of a variable */
	uint64_t times;
};

struct hf_trail {
	struct hf_trail_run runs[HF_TRAIL_RUNS];
	int n;
	bool elided; /* runs in the middle were dropped */
};

void hf_trail_add(struct hf_trail *trail, const struct hf_word *word, bool direct, bool of_root);
/* "[+0x10]->[+16]->[+8] ×750", "=>" for what is not direct. */
void hf_trail_text(struct hf_text *text, const struct hf_trail *trail, struct hf_emit *emit);

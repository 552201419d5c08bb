#include "report/trail.h"

#include <string.h>

void hf_trail_add(struct hf_trail *trail, const struct hf_word *word, bool direct, bool of_root)
{
	struct hf_trail_run *last = trail->n ? &trail->runs[trail->n - 1] : NULL;
	if (last && last->direct == direct && !last->of_root &&
		last->word.src_offset == word->src_offset &&
		!strcmp(last->word.field, word->field)) {
		last->times++;
		return;
	}
	if (trail->n == HF_TRAIL_RUNS) {
		/* Keep the first half, and let the second half move on. */
		memmove(&trail->runs[HF_TRAIL_RUNS / 2], &trail->runs[HF_TRAIL_RUNS / 2 + 1],
			(HF_TRAIL_RUNS - HF_TRAIL_RUNS / 2 - 1) * sizeof(*trail->runs));
		trail->elided = true;
		trail->n--;
	}
	trail->runs[trail->n++] = (struct hf_trail_run){*word, direct, of_root, 1};
}

void hf_trail_text(struct hf_text *text, const struct hf_trail *trail, struct hf_emit *emit)
{
	char number[HF_NUMBER_SIZE];
	for (int i = 0; i < trail->n; i++) {
		const struct hf_trail_run *run = &trail->runs[i];
		if (trail->elided && i == HF_TRAIL_RUNS / 2)
			hf_text_addf(text, "->%s", hf_emit_dots(emit));
		const char *arrow = trail->n == 1 ? "->" : "";
		if (run->of_root && run->word.field[0])
			hf_text_addf(text, "%s%s", run->word.field, arrow);
		else if (run->of_root && run->word.src_offset)
			hf_text_addf(text, "[+0x%llx]%s", (unsigned long long)run->word.src_offset,
				arrow);
		else if (run->of_root)
			hf_text_addf(text, "%s", arrow);
		else if (run->direct && run->word.field[0] == '(' && trail->n > 1)
			continue; /* how a container links its nodes */
		else if (run->direct)
			hf_heapdb_word_name(text, &run->word);
		else
			hf_text_addf(text, "=>");
		if (run->times > 1)
			hf_text_addf(text, " %s%s", hf_emit_times(emit),
				hf_human_count(number, run->times));
	}
}

/* Opening INPUT: progress and messages go to stderr, progress only to a terminal. */
#include <stdio.h>

#include "analyzer/analyze.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/session.h"

static void show_message(void *ctx, const char *text)
{
	(void)ctx;
	hf_progress_clear();
	fprintf(stderr, "holdfast: %s\n", text);
}

void hf_input_options(struct hf_analyze_options *ret)
{
	*ret = (struct hf_analyze_options){
		.progress = hf_progress_hook(),
		.message = show_message,
		.ctx = (void *)"loading: ",
	};
}

void hf_input_done(void)
{
	hf_progress_clear();
}

enum hf_status hf_input_open(const char *path, sqlite3 **ret, struct hf_err *err)
{
	struct hf_analyze_options options;
	hf_input_options(&options);
	hf_interrupt_cleans_up();
	enum hf_status status = hf_open_input(path, &options, ret, err);
	hf_input_done();
	/* Questions read here and there; the page cache of the system is faster than our own. */
	if (status == HF_OK)
		sqlite3_exec(*ret, "PRAGMA mmap_size = 1099511627776; PRAGMA cache_size = -65536",
			NULL, NULL, NULL);
	return status;
}

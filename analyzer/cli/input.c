/* Opening INPUT: progress and messages go to stderr, progress only to a terminal. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "analyzer/analyze.h"
#include "cli/session.h"

/* The line that is being overwritten on the terminal. */
static struct {
	double shown_at; /* seconds, 0: nothing is shown */
	size_t length;
} line;

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void clear_line(void)
{
	if (line.length)
		fprintf(stderr, "\r%*s\r", (int)line.length, "");
	line.length = 0;
}

static bool show_progress(void *ctx, const char *stage, uint64_t done, uint64_t total)
{
	(void)ctx;
	char text[64];
	double t = now();
	/* What is over in a moment needs no progress. */
	if (!line.shown_at)
		line.shown_at = t;
	if (t - line.shown_at < 0.2)
		return true;
	line.shown_at = t;
	if (total)
		snprintf(text, sizeof(text), "loading: %.30s %3.0f%%", stage,
			100.0 * (double)(done < total ? done : total) / (double)total);
	else
		snprintf(text, sizeof(text), "loading: %.30s", stage);
	clear_line();
	fputs(text, stderr);
	line.length = strlen(text);
	return true;
}

static void show_message(void *ctx, const char *text)
{
	(void)ctx;
	clear_line();
	fprintf(stderr, "holdfast: %s\n", text);
}

void hf_input_options(struct hf_analyze_options *ret)
{
	*ret = (struct hf_analyze_options){
		.progress = isatty(STDERR_FILENO) ? show_progress : NULL,
		.message = show_message,
	};
}

void hf_input_done(void)
{
	clear_line();
}

enum hf_status hf_input_open(const char *path, sqlite3 **ret, struct hf_err *err)
{
	struct hf_analyze_options options;
	hf_input_options(&options);
	enum hf_status status = hf_open_input(path, &options, ret, err);
	hf_input_done();
	/* Questions read here and there; the page cache of the system is faster than our own. */
	if (status == HF_OK)
		sqlite3_exec(*ret, "PRAGMA mmap_size = 1099511627776; PRAGMA cache_size = -65536",
			NULL, NULL, NULL);
	return status;
}

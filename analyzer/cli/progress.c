#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "emit/text.h"

/* The line that is being overwritten on the terminal. */
static struct {
	double shown_at; /* seconds, 0: nothing was asked for yet */
	size_t length;
	char stage[40];
	double stage_start;
} line;

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void hf_progress_clear(void)
{
	if (line.length)
		fprintf(stderr, "\r%*s\r", (int)line.length, "");
	line.length = 0;
}

void hf_progress_text(char *ret, unsigned size, const char *prefix, const char *stage,
	uint64_t done, uint64_t total, double seconds)
{
	enum { LEFT_FROM = 2 }; /* seconds from which on a guess is worth showing */
	char rate[HF_NUMBER_SIZE];
	if (done > total)
		done = total;
	int n = snprintf(ret, size, "%s%.30s", prefix ? prefix : "", stage);
	if (!total || n < 0 || n >= (int)size)
		return;
	n += snprintf(ret + n, size - (unsigned)n, " %.0f%%", 100.0 * (double)done / (double)total);
	if (seconds < 0.5 || !done || n >= (int)size)
		return;
	double per_second = (double)done / seconds;
	bool bytes = !strcmp(stage, "reading");
	n += snprintf(ret + n, size - (unsigned)n, ", %s/s",
		bytes ? hf_human_size(rate, (uint64_t)per_second)
		      : hf_human_count(rate, (uint64_t)per_second));
	double left = (double)(total - done) / per_second;
	if (n < (int)size && left >= LEFT_FROM)
		snprintf(ret + n, size - (unsigned)n, ", %.0f s left", left);
}

static bool show(void *ctx, const char *stage, uint64_t done, uint64_t total)
{
	char text[100];
	double t = now();
	if (strncmp(stage, line.stage, sizeof(line.stage) - 1)) {
		snprintf(line.stage, sizeof(line.stage), "%s", stage);
		line.stage_start = t;
	}
	/* What is over in a moment needs no progress. */
	if (!line.shown_at)
		line.shown_at = t;
	if (t - line.shown_at < 0.2)
		return true;
	line.shown_at = t;
	hf_progress_text(text, sizeof(text), ctx, stage, done, total, t - line.stage_start);
	hf_progress_clear();
	fputs(text, stderr);
	line.length = strlen(text);
	return true;
}

hf_progress_fn hf_progress_hook(void)
{
	return isatty(STDERR_FILENO) ? show : NULL;
}

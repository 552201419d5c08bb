/* read_frozen NAME: NAME.hfd reads as NAME.txt says, passes the verification, and has the same
 * summary. read_frozen --print NAME: print the text (to look at; the .txt of a frozen dump is
 * frozen, too). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dump_kit.h"

static char *read_text(const char *path)
{
	FILE *file = fopen(path, "rb");
	if (!file)
		return NULL;
	fseek(file, 0, SEEK_END);
	size_t size = (size_t)ftell(file);
	rewind(file);
	char *text = calloc(1, size + 1);
	if (text && fread(text, 1, size, file) != size)
		text[0] = 0;
	fclose(file);
	return text;
}

static char *print(const struct hf_heap *heap)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	fprintf(out, "format %s\ntime %lu\ntoken ", heap->format, heap->time_ns);
	for (unsigned i = 0; i < sizeof(heap->token); i++)
		fprintf(out, "%02x", heap->token[i]);
	fprintf(out, "\n");
	kit_print(out, heap);
	fclose(out);
	return text;
}

static int differ(const char *got, const char *want)
{
	unsigned line = 1;
	while (*got && *got == *want)
		line += *got++ == '\n', want++;
	if (*got == *want)
		return 0;
	fprintf(stderr, "line %u: is   %.*s\n         was %.*s\n", line, (int)strcspn(got, "\n"),
		got, (int)strcspn(want, "\n"), want);
	return 1;
}

int main(int argc, char **argv)
{
	int show = argc == 3 && !strcmp(argv[1], "--print");
	if (argc != 2 + show)
		return 2;
	char dump[4096], text[4096];
	snprintf(dump, sizeof(dump), "%s.hfd", argv[1 + show]);
	snprintf(text, sizeof(text), "%s.txt", argv[1 + show]);
	struct hf_heap heap;
	struct hf_dump_info info;
	struct hf_dump_verdict verdict;
	struct hf_err err;
	if (hf_dump_read(dump, NULL, &heap, &err) != HF_OK ||
		hf_dump_info(dump, NULL, &info, &err) != HF_OK ||
		hf_dump_verify(dump, NULL, 10, &verdict, &err) != HF_OK) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	char *got = print(&heap), *want = show ? NULL : read_text(text);
	int bad = 0;
	if (show)
		fputs(got, stdout);
	else
		bad = !want || differ(got, want);
	for (size_t i = 0; i < verdict.n; i++)
		fprintf(stderr, "verify: 0x%lx %s\n", verdict.problems[i].offset,
			verdict.problems[i].text);
	bad |= verdict.n_problems > 0 || !info.complete || info.heap.partial != heap.partial ||
	       info.sections[HF_SECTION_OBJECT].n_items != heap.n_objects ||
	       info.sections[HF_SECTION_EDGE].n_items != heap.n_edges ||
	       info.heap.properties.n != heap.properties.n;
	free(got);
	free(want);
	hf_heap_deinit(&heap);
	hf_dump_info_deinit(&info);
	hf_dump_verdict_deinit(&verdict);
	return bad;
}

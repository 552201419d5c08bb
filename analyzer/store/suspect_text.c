#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/root_name.h"
#include "store/suspect.h"

enum { MAX_TEXT = 600 }; /* bytes after which a path is cut in its middle parts */

/* What step i of the path goes through: its field, or its offset. */
static void step_text(
	const struct hf_suspect_input *in, const struct hf_suspect_path *path, size_t i, FILE *out)
{
	const struct hf_rows_objects *o = in->objects;
	uint64_t edge = path->edge[i];
	if (edge == UINT64_MAX) {
		fprintf(out, " => 0x%llx", (unsigned long long)o->heap->addr[path->node[i]]);
		return;
	}
	const struct hf_names *names = o->names;
	uint32_t field = names && names->edge_field ? names->edge_field[edge] : 0;
	uint64_t offset = hf_heap_src_off(o->heap, edge);
	char name[HF_ROOT_NAME_SIZE];
	if (!field) {
		fprintf(out, "->[+%llu]", (unsigned long long)offset);
		return;
	}
	hf_field_name(name, &names->fields[field - 1], offset);
	/* an element has no arrow, and the inside of a container is nobody's business */
	if (name[0] != '(')
		fprintf(out, "%s%s", name[0] == '[' ? "" : "->", name);
}

static bool same_step(
	const struct hf_suspect_input *in, const struct hf_suspect_path *path, size_t a, size_t b)
{
	uint64_t x = path->edge[a], y = path->edge[b];
	return x != UINT64_MAX && y != UINT64_MAX && hf_suspect_same_word(in, x, y) &&
	       in->objects->size[path->node[a]] == in->objects->size[path->node[b]];
}

static void start_text(const struct hf_suspect_input *in, const struct hf_suspect_path *path,
	uint32_t root, FILE *out)
{
	const struct hf_rows_objects *o = in->objects;
	uint32_t n_objects = in->graph->n_objects, node = path->node[0];
	char name[HF_ROOT_NAME_SIZE];
	if (node >= n_objects && path->n > 1) {
		/* The word of the variable that leads on. */
		const struct hf_graph_link *link = &o->held->link[path->node[1]];
		if (link->parent == HF_GRAPH_NONE &&
			in->graph->roots[link->root].variable == node - n_objects)
			root = link->root;
	}
	if (root != HF_NONE)
		hf_root_name(name, o->heap, o->names, root);
	else if (node >= n_objects)
		snprintf(name, sizeof(name), "%s",
			hf_variable_name(o->heap, o->names, node - n_objects));
	else
		snprintf(name, sizeof(name), "0x%llx", (unsigned long long)o->heap->addr[node]);
	fputs(name, out);
}

char *hf_suspect_text(const struct hf_suspect_input *input, const struct hf_suspect_path *path,
	size_t point, uint32_t root)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	start_text(input, path, root, out);
	/* From a variable to its first object there is no edge: the root word is that step. */
	size_t i = path->node[0] >= input->graph->n_objects ? 2 : 1;
	while (i <= point) {
		size_t run = 1;
		while (i + run <= point && same_step(input, path, i, i + run))
			run++;
		if (ftell(out) < MAX_TEXT)
			step_text(input, path, i, out);
		else
			fputs(" …", out);
		if (run > 1)
			fprintf(out, " ×%zu", run);
		if (ftell(out) >= MAX_TEXT)
			break;
		i += run;
	}
	size_t chain = hf_suspect_chain_length(input, path, point);
	if (chain) {
		fputs(" [chain ", out);
		step_text(input, path, point + 1, out);
		fprintf(out, " ×%zu]", chain);
	}
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

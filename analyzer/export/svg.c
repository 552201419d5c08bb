/*
 * A flame graph as one SVG file: the outermost functions at the top, as wide as the bytes below
 * them; a click goes into one, tooltips tell the figures. It is readable without its script, too.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "emit/text.h"
#include "export/file.h"
#include "export/flame.h"
#include "export/formats.h"
#include "export/scripts.h"

enum {
	WIDTH = 1200,
	MARGIN = 12,
	TOP = 78,
	ROW = 19,
	BOTTOM = 12,
	NONE = UINT32_MAX,
	MAX_SHOWN_DEPTH = 200,
};
static const double CHARACTER = 7.25; /* pixels, of the font below */
static const double NARROWEST = 0.15; /* pixels: what is narrower is not drawn */

struct drawing {
	struct hf_text *out;
	const struct hf_flame *flame;
	enum hf_export_what what;
	bool sampled;
	uint64_t n_left_out;
};

/* Text of a stranger between tags or in an attribute. */
static void put_escaped(struct hf_text *out, const char *text)
{
	for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
		if (*s == '&')
			hf_text_addf(out, "&amp;");
		else if (*s == '<')
			hf_text_addf(out, "&lt;");
		else if (*s == '>')
			hf_text_addf(out, "&gt;");
		else if (*s == '"')
			hf_text_addf(out, "&quot;");
		else if (*s < 0x20 || *s == 0x7f)
			hf_text_addf(out, "?");
		else
			hf_text_add(out, (const char *)s, 1);
	}
}

/* Warm colours, one a function; libraries and bare types are cooler. */
static void colour(const struct hf_flame_node *node, char ret[32])
{
	uint64_t h = 0xcbf29ce484222325ull;
	for (const char *s = node->function; *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3ull;
	h ^= h >> 31;
	unsigned a = (unsigned)(h % 18), b = (unsigned)(h >> 8) % 10;
	bool library = node->module && strstr(node->module, ".so");
	if (!node->module || !*node->module)
		snprintf(ret, 32, "hsl(0,0%%,%u%%)", 78 + b);
	else if (library)
		snprintf(ret, 32, "hsl(%u,45%%,%u%%)", 195 + a, 72 + b);
	else
		snprintf(ret, 32, "hsl(%u,82%%,%u%%)", 22 + a, 62 + b);
}

/* The name, with the size where both fit; else what fits, cut at the end. UTF-8 stays whole. */
static void put_label(struct hf_text *out, const char *name, const char *size, double width)
{
	double room = (width - 6) / CHARACTER;
	if (room < 3)
		return;
	size_t columns = (size_t)room;
	if (hf_text_width(name) <= columns) {
		put_escaped(out, name);
		if (hf_text_width(name) + hf_text_width(size) + 2 <= columns)
			hf_text_addf(out, "  %s", size);
		return;
	}
	size_t n = 0;
	for (size_t c = 0; name[n] && c < columns - 1; c++) {
		n++;
		while (((unsigned char)name[n] & 0xc0) == 0x80)
			n++;
	}
	char cut[512];
	n = n < sizeof(cut) - 1 ? n : sizeof(cut) - 1;
	memcpy(cut, name, n);
	cut[n] = 0;
	put_escaped(out, cut);
	hf_text_addf(out, "…");
}

/* "load_avatar (user.c:88)" */
static void node_name(struct hf_text *out, const struct hf_flame_node *node)
{
	hf_text_addf(out, "%s", node->function);
	if (node->file && node->line)
		hf_text_addf(out, " (%s:%u)", hf_base_name(node->file), node->line);
}

static void figures(struct hf_text *out, const struct drawing *d, const struct hf_flame_node *node)
{
	char size[HF_NUMBER_SIZE], count[HF_NUMBER_SIZE], share[HF_NUMBER_SIZE];
	const char *about = d->sampled && d->what == HF_EXPORT_LIVE ? "~" : "";
	hf_text_addf(out, "%s%s, %s", about, hf_human_size(size, node->bytes),
		hf_human_share(share, hf_percent(node->bytes, d->flame->at[0].bytes)));
	if (d->what == HF_EXPORT_LIVE)
		hf_text_addf(out, ", %s%s object%s", about, hf_human_count(count, node->count),
			node->count == 1 ? "" : "s");
}

static void draw(struct drawing *d, const struct hf_flame_node *node, double x, double width)
{
	struct hf_text *out = d->out;
	_cleanup_(hf_text_deinit) struct hf_text name = HF_TEXT_INIT, facts = HF_TEXT_INIT;
	char fill[32], number[HF_NUMBER_SIZE], size[HF_NUMBER_SIZE + 1];
	snprintf(size, sizeof(size), "%s%s", d->sampled && d->what == HF_EXPORT_LIVE ? "~" : "",
		hf_human_size(number, node->bytes));
	node_name(&name, node);
	figures(&facts, d, node);
	colour(node, fill);
	double y = TOP + (double)node->depth * ROW;
	double of = (double)WIDTH - 2 * MARGIN;
	hf_text_addf(out, "<g data-x=\"%.9g\" data-w=\"%.9g\" data-d=\"%u\" data-n=\"",
		(x - MARGIN) / of, width / of, node->depth);
	put_escaped(out, hf_text_get(&name));
	hf_text_addf(out, "\" data-s=\"%s\"><title>", size);
	put_escaped(out, hf_text_get(&name));
	hf_text_addf(out, "\n");
	put_escaped(out, hf_text_get(&facts));
	if (node->module && *node->module) {
		hf_text_addf(out, "\n");
		put_escaped(out, node->module);
	}
	hf_text_addf(out,
		"</title><rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%d\" fill=\"%s\"/>"
		"<text x=\"%.2f\" y=\"%.1f\">",
		x, y, width > 0.6 ? width - 0.5 : width, ROW - 1, fill, x + 3, y + 13.5);
	put_label(out, hf_text_get(&name), size, width);
	hf_text_addf(out, "</text></g>\n");
}

/* Where the children of a node start is kept in an array: nothing recurses. */
static void draw_all(struct drawing *d, double *start)
{
	const struct hf_flame *flame = d->flame;
	double scale = ((double)WIDTH - 2 * MARGIN) / (double)flame->at[0].bytes;
	start[0] = MARGIN;
	uint32_t i = 0;
	while (i != NONE) {
		const struct hf_flame_node *node = &flame->at[i];
		double width = (double)node->bytes * scale;
		bool drawn = width >= NARROWEST && node->depth <= MAX_SHOWN_DEPTH;
		if (drawn)
			draw(d, node, start[i], width);
		else
			d->n_left_out++;
		if (drawn && node->child != NONE) {
			start[node->child] = start[i];
			i = node->child;
			continue;
		}
		while (i != NONE && flame->at[i].next == NONE)
			i = flame->at[i].parent;
		if (i == NONE || !i)
			break;
		uint32_t next = flame->at[i].next;
		start[next] = start[i] + (double)flame->at[i].bytes * scale;
		i = next;
	}
}

static const char style[] =
	"text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;"
	"fill:#1c1c1c;white-space:pre}"
	"#title{font:600 17px system-ui,'DejaVu Sans',sans-serif}"
	".sub{font:13px system-ui,'DejaVu Sans',sans-serif;fill:#555}"
	".button{font:13px system-ui,'DejaVu Sans',sans-serif;fill:#0b57d0;cursor:pointer}"
	"#boxes rect{rx:2}#boxes text{pointer-events:none}"
	"#boxes g{cursor:pointer}#boxes g:hover rect{stroke:#222;stroke-width:1}"
	"#boxes g.above{opacity:.55}#boxes g.hit rect{fill:#d24dff}";

static void put_head(
	struct drawing *d, const struct hf_stacks *stacks, const char *input, double height)
{
	char size[HF_NUMBER_SIZE], period[HF_NUMBER_SIZE];
	struct hf_text *out = d->out;
	bool retained = d->what == HF_EXPORT_RETAINED;
	hf_text_addf(out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" width=\"%d\" "
		"height=\"%.0f\">\n<style>%s</style>\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
		"<text id=\"title\" x=\"%d\" y=\"28\">",
		WIDTH, height, WIDTH, height, style, MARGIN);
	put_escaped(out, *stacks->program ? hf_base_name(stacks->program) : hf_base_name(input));
	hf_text_addf(out, ": %s by where it was allocated</text>\n",
		retained ? "memory retained" : "live memory");
	hf_text_addf(out, "<text class=\"sub\" x=\"%d\" y=\"49\">%s%s. ", MARGIN,
		d->sampled && !retained ? "About " : "",
		hf_human_size(size, d->flame->at[0].bytes));
	if (retained)
		hf_text_addf(out, "What would go with the objects of a site; sites overlap, so the "
				  "sum may be more than the heap. ");
	if (d->sampled)
		hf_text_addf(out, "%s, one allocation in %s.",
			retained ? "Of the sampled objects alone" : "Estimated from samples",
			hf_human_size(period, stacks->period));
	hf_text_addf(out, "</text>\n<text class=\"sub\" id=\"detail\" x=\"%d\" y=\"68\"> </text>\n",
		MARGIN + 110);
	hf_text_addf(out,
		"<text class=\"button\" id=\"reset\" x=\"%d\" y=\"68\" style=\"display:none\">"
		"back to all</text>\n<text class=\"button\" id=\"search\" x=\"%d\" y=\"28\" "
		"text-anchor=\"end\" style=\"display:none\">search</text>\n"
		"<text class=\"sub\" id=\"matched\" x=\"%d\" y=\"49\" "
		"text-anchor=\"end\"></text>\n",
		MARGIN, WIDTH - MARGIN, WIDTH - MARGIN);
}

static enum hf_status write_svg(const struct hf_stacks *stacks, const struct hf_flame *flame,
	const struct hf_export_options *options, struct hf_err *err)
{
	_cleanup_(hf_text_deinit) struct hf_text out = HF_TEXT_INIT;
	_cleanup_(hf_freep) double *start = calloc(flame->n + 1, sizeof(*start));
	struct drawing d = {
		.out = &out, .flame = flame, .what = options->what, .sampled = stacks->sampled};
	if (!start)
		return hf_err_set(err, HF_E_NOMEM, "no memory for the flame graph");
	uint32_t depth = flame->max_depth < MAX_SHOWN_DEPTH ? flame->max_depth : MAX_SHOWN_DEPTH;
	put_head(&d, stacks, options->input, TOP + (double)(depth + 1) * ROW + BOTTOM);
	hf_text_addf(&out, "<g id=\"boxes\" data-width=\"%d\" data-left=\"%d\">\n",
		WIDTH - 2 * MARGIN, MARGIN);
	draw_all(&d, start);
	hf_text_addf(&out, "</g>\n<!-- %" PRIu64 " boxes are too narrow to be drawn -->\n",
		d.n_left_out);
	hf_text_addf(
		&out, "<script><![CDATA[\n%s]]></script>\n</svg>\n", hf_export_scripts[0].text);
	return out.failed ? hf_err_set(err, HF_E_NOMEM, "no memory for the flame graph")
			  : hf_export_file(options->path, hf_text_get(&out), out.len, err);
}

enum hf_status hf_export_svg(
	const struct hf_stacks *stacks, const struct hf_export_options *options, struct hf_err *err)
{
	_cleanup_(hf_flame_deinit) struct hf_flame flame = {0};
	enum hf_status status = hf_flame_init(&flame, stacks, options->what, err);
	if (status)
		return status;
	flame.at[0].function = "all";
	flame.at[0].module = "";
	if (!flame.at[0].bytes)
		return hf_err_set(err, HF_E_UNSUPPORTED, "%s: nothing to draw", options->input);
	return write_svg(stacks, &flame, options, err);
}

/*
 * The heap by allocation site as a pprof profile: objects and bytes that live, bytes that are
 * retained. What is retained by one site may be retained by another as well, so these do not add up
 * to the heap.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "export/formats.h"
#include "export/pprof_build.h"

enum { INUSE_OBJECTS, INUSE_SPACE, RETAINED_SPACE };

/* Locations by their address and functions. */
struct locations {
	const struct hf_stacks *stacks;
	struct hf_pprof *b;
	uint64_t *keys; /* hash of the frames; 0: empty */
	uint64_t *ids;
	size_t n, n_slots;
};

static void locations_deinit(struct locations *l)
{
	free(l->keys);
	free(l->ids);
}

static bool same(const struct hf_stack_frame *a, const struct hf_stack_frame *b)
{
	return a->pc == b->pc && a->function == b->function && a->file == b->file &&
	       a->line == b->line;
}

/* How many frames from f on are one location: inlined functions share the address of their caller.
 * A function that calls itself has its address several times in a row, with the same frames again.
 */
static uint32_t frames_of_location(const struct hf_stack_frame *f, uint32_t n)
{
	uint32_t run = 1;
	if (!f->pc)
		return 1;
	while (run < n && f[run].pc == f->pc)
		run++;
	for (uint32_t period = 1; period < run; period++) {
		uint32_t i = period;
		while (i < run && same(&f[i], &f[i - period]))
			i++;
		if (i == run && run % period == 0)
			return period;
	}
	return run;
}

static uint64_t hash_frames(const struct hf_stack_frame *f, uint32_t n)
{
	uint64_t h = f->pc + n;
	for (uint32_t i = 0; i < n; i++) {
		h = (h ^ (uintptr_t)f[i].function) * 0x9e3779b97f4a7c15ull;
		h = (h ^ h >> 31 ^ f[i].line) * 0x9e3779b97f4a7c15ull;
	}
	return (h ^ h >> 29) | 1;
}

static bool grow(struct locations *l)
{
	if (l->n_slots && l->n < l->n_slots / 2)
		return true;
	struct locations bigger = *l;
	bigger.n_slots = l->n_slots ? l->n_slots * 2 : 1024;
	bigger.keys = calloc(bigger.n_slots, sizeof(*bigger.keys));
	bigger.ids = calloc(bigger.n_slots, sizeof(*bigger.ids));
	if (!bigger.keys || !bigger.ids) {
		locations_deinit(&bigger);
		return false;
	}
	for (size_t i = 0; i < l->n_slots; i++) {
		size_t at = l->keys[i] & (bigger.n_slots - 1);
		while (l->keys[i] && bigger.keys[at])
			at = (at + 1) & (bigger.n_slots - 1);
		if (l->keys[i]) {
			bigger.keys[at] = l->keys[i];
			bigger.ids[at] = l->ids[i];
		}
	}
	locations_deinit(l);
	*l = bigger;
	return true;
}

/* The id of the location of n frames; 0: no memory. */
static uint64_t location_of(struct locations *l, const struct hf_stack_frame *f, uint32_t n)
{
	if (!grow(l))
		return 0;
	uint64_t key = hash_frames(f, n);
	size_t at = key & (l->n_slots - 1);
	for (; l->keys[at]; at = (at + 1) & (l->n_slots - 1)) {
		if (l->keys[at] == key)
			return l->ids[at];
	}
	HfPb__Location *location = hf_pprof_location(l->b, n);
	if (!location)
		return 0;
	location->address = f->pc;
	location->mapping_id = f->module;
	for (uint32_t i = 0; i < n; i++) {
		location->line[i]->function_id =
			hf_pprof_function(l->b, f[i].function, NULL, f[i].file);
		location->line[i]->line = f[i].line;
	}
	l->keys[at] = key;
	l->ids[at] = location->id;
	l->n++;
	return location->id;
}

static bool put_sample(struct locations *l, const struct hf_stack *stack)
{
	const struct hf_stack_frame *f = l->stacks->frames + stack->first_frame;
	HfPb__Sample *s = hf_pprof_sample(l->b, stack->n_frames);
	if (!s)
		return false;
	s->n_location_id = 0;
	/* From the frame on that names the site: allocators say nothing. */
	for (uint32_t i = stack->naming; i < stack->n_frames;) {
		uint32_t n = frames_of_location(f + i, stack->n_frames - i);
		uint64_t id = location_of(l, f + i, n);
		if (!id)
			return false;
		s->location_id[s->n_location_id++] = id;
		i += n;
	}
	s->value[INUSE_OBJECTS] = (int64_t)stack->live_count;
	s->value[INUSE_SPACE] = (int64_t)stack->live_bytes;
	s->value[RETAINED_SPACE] = (int64_t)stack->retained_bytes;
	if (stack->site)
		hf_pprof_label(l->b, s, "site", NULL, stack->site);
	if (stack->type)
		hf_pprof_label(l->b, s, "type", stack->type, 0);
	return true;
}

static void put_mappings(struct hf_pprof *b, const struct hf_stacks *stacks)
{
	for (size_t i = 0; i < stacks->n_modules; i++) {
		const struct hf_stack_module *m = &stacks->modules[i];
		HfPb__Mapping *to = hf_pprof_mapping(b);
		if (!to)
			return;
		to->memory_start = m->base;
		to->memory_limit = m->base + m->size;
		to->filename = hf_pprof_string(b, m->path);
		to->build_id = hf_pprof_string(b, m->build_id);
		/* All that is known of names is here. */
		to->has_functions = to->has_filenames = to->has_line_numbers =
			to->has_inline_frames = true;
	}
}

static void put_comments(struct hf_pprof *b, const struct hf_stacks *stacks)
{
	char text[512];
	snprintf(text, sizeof(text), "holdfast-export: the heap of %.300s by allocation site",
		*stacks->program ? stacks->program : "a process");
	hf_pprof_comment(b, text);
	hf_pprof_comment(
		b, "retained_space: what would go with all objects of a site; sites overlap");
	if (stacks->sampled)
		hf_pprof_comment(b, "inuse values are estimates from samples, retained_space is "
				    "that of the sampled objects");
}

enum hf_status hf_export_pprof(
	const struct hf_stacks *stacks, const struct hf_export_options *options, struct hf_err *err)
{
	_cleanup_(hf_pprof_deinit) struct hf_pprof b;
	hf_pprof_init(&b);
	_cleanup_(locations_deinit) struct locations l = {.stacks = stacks, .b = &b};
	hf_pprof_sample_type(&b, "inuse_objects", "count");
	hf_pprof_sample_type(&b, "inuse_space", "bytes");
	hf_pprof_sample_type(&b, "retained_space", "bytes");
	b.p.default_sample_type = hf_pprof_string(
		&b, options->what == HF_EXPORT_RETAINED ? "retained_space" : "inuse_space");
	hf_pprof_period(&b, stacks->period);
	b.p.time_nanos = stacks->time_ns;
	put_mappings(&b, stacks);
	put_comments(&b, stacks);
	for (size_t i = 0; i < stacks->n; i++) {
		if (!put_sample(&l, &stacks->at[i]))
			return hf_err_set(err, HF_E_NOMEM, "no memory for the profile");
	}
	return hf_pprof_write(&b, options->path, err);
}

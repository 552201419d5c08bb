#include "sites/frames.h"

#include <stdlib.h>
#include <string.h>

#include "sites/modules.h"
#include "symbolize/demangle.h"

enum { MAX_FRAMES = 100000000 };

void hf_sites_frames_deinit(struct hf_sites_frames *f)
{
	hf_symbolizer_destroy(f->symbolizer);
	hf_symbolizer_destroy(f->own_symbolizer);
	hf_debug_files_destroy(f->own_files);
	hf_heap_deinit(&f->own);
	free(f->locations);
	free(f->frames);
	*f = (struct hf_sites_frames){0};
}

static enum hf_status no_memory(struct hf_err *err)
{
	return hf_err_set(err, HF_E_NOMEM, "no memory for the functions of the profile");
}

/* n more frames at the end. */
static struct hf_symbol_frame *push(struct hf_sites_frames *f, size_t n)
{
	while (f->n_frames + n > f->cap_frames) {
		size_t cap = f->cap_frames ? f->cap_frames * 2 : 256;
		struct hf_symbol_frame *bigger =
			cap > MAX_FRAMES ? NULL : reallocarray(f->frames, cap, sizeof(*bigger));
		if (!bigger)
			return NULL;
		f->frames = bigger;
		f->cap_frames = cap;
	}
	f->n_frames += n;
	return &f->frames[f->n_frames - n];
}

static const char *text_or_null(const char *text)
{
	return *text ? text : NULL;
}

/* Names may be mangled still. */
static const char *readable(struct hf_sites_frames *f, const char *name)
{
	char buf[HF_DEMANGLED_SIZE];
	const char *better = hf_demangle(name, buf, sizeof(buf));
	return better == name ? text_or_null(name)
			      : hf_heap_string(&f->own, better, strlen(better));
}

/* The profile has names itself. */
static enum hf_status by_profile(struct hf_sites_frames *f, uint32_t location, struct hf_err *err)
{
	const struct hf_profile_location *l = &f->profile->locations[location];
	struct hf_symbol_frame *to = push(f, l->n_lines);
	if (!to)
		return no_memory(err);
	for (uint32_t i = 0; i < l->n_lines; i++) {
		const struct hf_profile_line *line = &f->profile->lines[l->first_line + i];
		const struct hf_profile_function *function = &f->profile->functions[line->function];
		to[i] = (struct hf_symbol_frame){.function = readable(f, function->name),
			.linkage = text_or_null(function->system_name),
			.file = text_or_null(function->file),
			.line = line->line};
	}
	f->locations[location].n = l->n_lines;
	return HF_OK;
}

/* In the dump's modules, or, of a module that was unloaded before the dump, in the profile's. */
static enum hf_status by_symbols(struct hf_sites_frames *f, uint32_t location,
	const struct hf_heap *heap, struct hf_err *err)
{
	struct hf_symbol_frame found[HF_SYMBOL_MAX_FRAMES];
	const struct hf_profile_location *l = &f->profile->locations[location];
	struct hf_sites_location *to = &f->locations[location];
	size_t n = 0;
	if (to->module != HF_NONE)
		n = hf_symbolize(
			f->symbolizer, to->module, l->address, found, HF_SYMBOL_MAX_FRAMES);
	else if (l->mapping != HF_PROFILE_NONE)
		n = hf_symbolize(
			f->own_symbolizer, l->mapping, l->address, found, HF_SYMBOL_MAX_FRAMES);
	if (!n)
		found[n++] = (struct hf_symbol_frame){0};
	struct hf_symbol_frame *frames = push(f, n);
	if (!frames)
		return no_memory(err);
	memcpy(frames, found, n * sizeof(*frames));
	to->n = (uint32_t)n;
	return HF_OK;
}

/* The module of the heap that is at the address, if it is the one that the profile saw there. */
static uint32_t module_of(const struct hf_sites_frames *f, const struct hf_profile_location *l,
	const struct hf_heap *heap)
{
	uint32_t module = heap && l->address ? hf_heap_find_module(heap, l->address) : HF_NONE;
	if (module == HF_NONE || l->mapping == HF_PROFILE_NONE)
		return module;
	const struct hf_heap_module *of_profile = &f->own.modules.at[l->mapping],
				    *of_heap = &heap->modules.at[module];
	if (of_profile->build_id_size && of_heap->build_id_size)
		return of_profile->build_id_size == of_heap->build_id_size &&
				       !memcmp(of_profile->build_id, of_heap->build_id,
					       of_heap->build_id_size)
			       ? module
			       : HF_NONE;
	return strcmp(of_profile->path, of_heap->path) ? HF_NONE : module;
}

static enum hf_status resolve(
	struct hf_sites_frames *f, const struct hf_heap *heap, struct hf_err *err)
{
	enum hf_status status = HF_OK;
	for (uint32_t i = 0; !status && i < f->profile->n_locations; i++) {
		const struct hf_profile_location *l = &f->profile->locations[i];
		struct hf_sites_location *to = &f->locations[i];
		*to = (struct hf_sites_location){
			.first = (uint32_t)f->n_frames, .module = module_of(f, l, heap)};
		status = l->n_lines ? by_profile(f, i, err) : by_symbols(f, i, heap, err);
		f->n_named += !status && f->frames[to->first].function;
	}
	return status;
}

enum hf_status hf_sites_frames_init(struct hf_sites_frames *ret, const struct hf_profile *profile,
	const struct hf_sites_frames_options *options, struct hf_err *err)
{
	*ret = (struct hf_sites_frames){.profile = profile};
	hf_heap_init(&ret->own);
	ret->locations = calloc(profile->n_locations + 1, sizeof(*ret->locations));
	enum hf_status status = ret->locations ? HF_OK : no_memory(err);
	if (!status)
		status = hf_sites_modules(profile, &ret->own, err);
	if (!status)
		status = hf_debug_files_create(&ret->own_files, &ret->own, options->debug, err);
	if (!status)
		status = hf_symbolizer_create(&ret->own_symbolizer, ret->own_files, err);
	if (!status && options->heap)
		status = hf_symbolizer_create(&ret->symbolizer, options->files, err);
	if (!status)
		status = resolve(ret, options->heap, err);
	if (status)
		hf_sites_frames_deinit(ret);
	return status;
}

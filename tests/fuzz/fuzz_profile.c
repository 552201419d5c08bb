/* Any bytes as a heap profile: what is read keeps the promises of its header. */
#include <stdlib.h>
#include <string.h>

#include "profile/profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_profile p;
	struct hf_err err = {.msg = ""};
	if (hf_profile_parse(data, size, "input", &p, &err)) {
		check(err.msg[0] && err.status);
		return 0;
	}
	for (size_t i = 0; i < p.n_sites; i++) {
		const struct hf_profile_site *s = &p.sites[i];
		check(s->first_frame + s->n_frames <= p.n_frames);
		check(s->n_frames <= HF_PROFILE_MAX_FRAMES);
		check(s->id && (!i || p.sites[i - 1].id < s->id));
	}
	for (size_t i = 0; i < p.n_frames; i++)
		check(p.frames[i] < p.n_locations);
	for (size_t i = 0; i < p.n_locations; i++) {
		const struct hf_profile_location *l = &p.locations[i];
		check(l->mapping == HF_PROFILE_NONE || l->mapping < p.n_mappings);
		check((size_t)l->first_line + l->n_lines <= p.n_lines);
	}
	size_t sum = 0;
	for (size_t i = 0; i < p.n_lines; i++)
		check(p.lines[i].function < p.n_functions);
	for (size_t i = 0; i < p.n_functions; i++)
		sum += strlen(p.functions[i].name) + strlen(p.functions[i].file) +
		       strlen(p.functions[i].system_name);
	for (size_t i = 0; i < p.n_mappings; i++)
		sum += strlen(p.mappings[i].file) + strlen(p.mappings[i].build_id);
	check(sum < SIZE_MAX);
	hf_profile_deinit(&p);
	return 0;
}

#include "walk/walk.h"

#include <stdarg.h>
#include <string.h>

#include "base/fmt.h"
#include "walk/others.h"

void hf_walk_init(struct hf_walk *walk)
{
	*walk = (struct hf_walk){0};
	hf_vec_init(&walk->arenas, sizeof(struct hf_walk_arena));
	hf_vec_init(&walk->counters, sizeof(struct hf_walk_counter));
	hf_vec_init(&walk->findings, sizeof(struct hf_walk_finding));
	hf_vec_init(&walk->heaps, sizeof(struct hf_walk_range));
	hf_vec_init(&walk->excluded, sizeof(struct hf_walk_range));
	hf_vec_init(&walk->tcaches, sizeof(struct hf_walk_range));
}

void hf_walk_deinit(struct hf_walk *walk)
{
	hf_vec_deinit(&walk->arenas);
	hf_vec_deinit(&walk->counters);
	hf_vec_deinit(&walk->findings);
	hf_vec_deinit(&walk->heaps);
	hf_vec_deinit(&walk->excluded);
	hf_vec_deinit(&walk->tcaches);
}

void hf_walk_finding(
	struct hf_walk *walk, enum hf_severity severity, uint64_t addr, const char *format, ...)
{
	struct hf_walk_finding *finding = hf_vec_push(&walk->findings);
	if (!finding)
		return;
	finding->severity = severity;
	finding->addr = addr;
	va_list ap;
	va_start(ap, format);
	hf_vfmt(finding->text, sizeof(finding->text), format, ap);
	va_end(ap);
}

void hf_walk_counter(struct hf_walk *walk, const char *name, uint64_t allocator, uint64_t walked,
	bool must_match)
{
	const char *copy = hf_pool_strndup(walk->pool, name, strlen(name));
	struct hf_walk_counter *counter = copy ? hf_vec_push(&walk->counters) : NULL;
	if (counter)
		*counter = (struct hf_walk_counter){copy, allocator, walked, must_match};
}

bool hf_walk_range(struct hf_vec *ranges, uint64_t start, uint64_t end)
{
	struct hf_walk_range *range = end > start ? hf_vec_push(ranges) : NULL;
	if (range)
		*range = (struct hf_walk_range){start, end};
	return range != NULL;
}

static const struct hf_walker *const walkers[] = {&hf_walker_glibc};

enum hf_status hf_walk_all(struct hf_walk *walk, struct hf_err *err)
{
	size_t n_found = 0;
	for (size_t i = 0; i < sizeof(walkers) / sizeof(walkers[0]); i++) {
		void *state;
		struct hf_err probe_err = {0};
		enum hf_status status = walkers[i]->probe(walk, &state, &probe_err);
		if (status == HF_E_NOTFOUND)
			continue;
		if (status == HF_E_UNSUPPORTED) {
			n_found++;
			hf_walk_finding(walk, HF_PARTIAL, probe_err.at, "%s", probe_err.msg);
			continue;
		}
		if (!status) {
			n_found++;
			status = walkers[i]->walk(walk, state, &probe_err);
		}
		if (status) {
			if (err)
				*err = probe_err;
			return status;
		}
	}
	n_found += hf_walk_name_others(walk);
	if (!n_found)
		hf_walk_finding(walk, HF_PARTIAL, 0,
			"no allocator found: no initialised glibc malloc, and no module of another "
			"allocator that is known by name");
	return HF_OK;
}

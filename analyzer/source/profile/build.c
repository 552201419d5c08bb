#include "profile/build.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "source/sampling.h"

enum { STRING_CHUNK = 64 << 10, FIRST_SLOTS = 1024 };

struct chunk {
	struct chunk *next;
	size_t used, size;
	char bytes[];
};

struct hf_profile_strings {
	struct chunk *chunks;
};

enum hf_status profile_no_memory(struct profile_build *b)
{
	return hf_err_set(b->err, HF_E_NOMEM, "%s: no memory for the profile", b->name);
}

void profile_build_init(struct profile_build *b, const char *name, struct hf_err *err)
{
	*b = (struct profile_build){.name = name, .err = err, .profile = {.maker = ""}};
}

void profile_build_deinit(struct profile_build *b)
{
	hf_profile_deinit(&b->profile);
	free(b->site_slots);
	free(b->location_slots);
	free(b->values);
	*b = (struct profile_build){0};
}

void hf_profile_deinit(struct hf_profile *profile)
{
	void *const arrays[] = {profile->mappings, profile->functions, profile->lines,
		profile->locations, profile->frames, profile->sites};
	for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
		free(arrays[i]);
	while (profile->strings && profile->strings->chunks) {
		struct chunk *chunk = profile->strings->chunks;
		profile->strings->chunks = chunk->next;
		free(chunk);
	}
	free(profile->strings);
	*profile = (struct hf_profile){0};
}

/* May so many more bytes be taken? */
static bool charge(struct profile_build *b, uint64_t bytes)
{
	if (b->profile.memory + bytes > 4 * HF_PROFILE_MAX_BYTES) {
		hf_err_set(b->err, HF_E_UNSUPPORTED, "%s: the profile is too large to be read",
			b->name);
		return false;
	}
	b->profile.memory += bytes;
	return true;
}

void *profile_push_(struct profile_build *b, void **at, size_t *n, size_t *cap, size_t size_bytes,
	size_t n_more)
{
	if (n_more > *cap - *n) {
		size_t want = *cap ? *cap * 2 : 64;
		while (want - *n < n_more)
			want *= 2;
		if (!charge(b, (want - *cap) * size_bytes))
			return NULL;
		void *bigger = reallocarray(*at, want, size_bytes);
		if (!bigger) {
			profile_no_memory(b);
			return NULL;
		}
		*at = bigger;
		*cap = want;
	}
	void *element = (char *)*at + *n * size_bytes;
	memset(element, 0, n_more * size_bytes);
	*n += n_more;
	return element;
}

const char *profile_string(struct profile_build *b, const void *bytes, size_t n)
{
	if (!n)
		return "";
	if (!b->profile.strings)
		b->profile.strings = calloc(1, sizeof(*b->profile.strings));
	struct chunk *chunk = b->profile.strings ? b->profile.strings->chunks : NULL;
	if (!b->profile.strings || !chunk || chunk->size - chunk->used < n + 1) {
		size_t size = n + 1 > STRING_CHUNK ? n + 1 : STRING_CHUNK;
		struct chunk *new =
			b->profile.strings &&charge(b, size) ? malloc(sizeof(*new) + size) : NULL;
		if (!new) {
			profile_no_memory(b);
			return NULL;
		}
		*new = (struct chunk){chunk, 0, size};
		b->profile.strings->chunks = chunk = new;
	}
	char *text = chunk->bytes + chunk->used;
	memcpy(text, bytes, n);
	text[n] = 0;
	/* No name has a NUL; one inside would only hide the rest. */
	chunk->used += n + 1;
	return text;
}

/* Hash tables of indexes + 1. */

static bool grow_slots(struct profile_build *b, uint32_t **slots, size_t *n_slots, size_t n_used,
	uint64_t (*hash)(const struct hf_profile *, uint32_t))
{
	if (*n_slots && n_used < *n_slots / 2)
		return true;
	size_t n = *n_slots ? *n_slots * 2 : FIRST_SLOTS;
	uint32_t *new = charge(b, (n - *n_slots) * sizeof(*new)) ? calloc(n, sizeof(*new)) : NULL;
	if (!new)
		return false;
	for (size_t i = 0; i < *n_slots; i++) {
		if (!(*slots)[i])
			continue;
		size_t at = hash(&b->profile, (*slots)[i] - 1) & (n - 1);
		while (new[at])
			at = (at + 1) & (n - 1);
		new[at] = (*slots)[i];
	}
	free(*slots);
	*slots = new;
	*n_slots = n;
	return true;
}

static uint64_t mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

static uint64_t location_hash(const struct hf_profile *p, uint32_t i)
{
	return mix(p->locations[i].address);
}

static uint64_t stack_hash(const uint32_t *stack, size_t n)
{
	uint64_t h = n;
	for (size_t i = 0; i < n; i++)
		h = mix(h ^ stack[i]);
	return h;
}

static uint64_t site_hash(const struct hf_profile *p, uint32_t i)
{
	return stack_hash(p->frames + p->sites[i].first_frame, p->sites[i].n_frames);
}

static uint32_t mapping_of(const struct hf_profile *p, uint64_t address)
{
	for (size_t i = 0; i < p->n_mappings; i++) {
		if (address >= p->mappings[i].start && address < p->mappings[i].limit)
			return (uint32_t)i;
	}
	return HF_PROFILE_NONE;
}

uint32_t profile_location_at(struct profile_build *b, uint64_t address)
{
	struct hf_profile *p = &b->profile;
	if (!grow_slots(b, &b->location_slots, &b->n_location_slots, p->n_locations, location_hash))
		return HF_PROFILE_NONE;
	size_t at = mix(address) & (b->n_location_slots - 1);
	for (; b->location_slots[at]; at = (at + 1) & (b->n_location_slots - 1)) {
		if (p->locations[b->location_slots[at] - 1].address == address)
			return b->location_slots[at] - 1;
	}
	struct hf_profile_location *l = profile_push(b, locations, 1);
	if (!l)
		return HF_PROFILE_NONE;
	*l = (struct hf_profile_location){.address = address, .mapping = mapping_of(p, address)};
	b->location_slots[at] = (uint32_t)p->n_locations;
	return (uint32_t)p->n_locations - 1;
}

static enum hf_status new_site(
	struct profile_build *b, const uint32_t *stack, size_t n, uint64_t own_id, uint32_t *ret)
{
	struct hf_profile *p = &b->profile;
	uint32_t *frames = n ? profile_push(b, frames, n) : NULL;
	if (n && !frames)
		return b->err ? b->err->status : HF_E_NOMEM;
	if (n)
		memcpy(frames, stack, n * sizeof(*frames));
	struct hf_profile_site *site = profile_push(b, sites, 1);
	size_t n_values = (p->n_sites - 1) * 4;
	if (!site || !profile_push_(b, (void **)&b->values, &n_values, &b->cap_values,
			     sizeof(*b->values), 4))
		return b->err ? b->err->status : HF_E_NOMEM;
	*site = (struct hf_profile_site){.id = own_id ? own_id : p->n_sites,
		.n_frames = (uint32_t)n,
		.first_frame = p->n_frames - n};
	*ret = (uint32_t)p->n_sites - 1;
	return HF_OK;
}

/* The site of a stack; HF_PROFILE_NONE in *ret and its slot, if there is none yet. */
static size_t find_stack(
	const struct profile_build *b, const uint32_t *stack, size_t n, uint32_t *ret)
{
	const struct hf_profile *p = &b->profile;
	size_t at = stack_hash(stack, n) & (b->n_site_slots - 1);
	*ret = HF_PROFILE_NONE;
	for (; b->site_slots[at]; at = (at + 1) & (b->n_site_slots - 1)) {
		const struct hf_profile_site *s = &p->sites[b->site_slots[at] - 1];
		if (s->n_frames != n ||
			(n && memcmp(p->frames + s->first_frame, stack, n * sizeof(*stack)) != 0))
			continue;
		*ret = b->site_slots[at] - 1;
		break;
	}
	return at;
}

enum hf_status profile_add(struct profile_build *b, const uint32_t *stack, size_t n,
	uint64_t own_id, const struct profile_values *values)
{
	uint32_t site = HF_PROFILE_NONE;
	size_t slot = 0;
	if (!own_id) {
		if (!grow_slots(b, &b->site_slots, &b->n_site_slots, b->profile.n_sites, site_hash))
			return profile_no_memory(b);
		slot = find_stack(b, stack, n, &site);
	}
	if (site == HF_PROFILE_NONE) {
		enum hf_status status = new_site(b, stack, n, own_id, &site);
		if (status)
			return status;
		if (!own_id)
			b->site_slots[slot] = site + 1;
	}
	double *v = b->values + (size_t)site * 4;
	v[0] += values->live_bytes;
	v[1] += values->live_count;
	v[2] += values->total_bytes;
	v[3] += values->total_count;
	return HF_OK;
}

static uint64_t rounded(double v)
{
	return v < 0 || isnan(v) ? 0 : v > 9e18 ? (uint64_t)9e18 : (uint64_t)(v + 0.5);
}

static int by_id(const void *pa, const void *pb)
{
	const struct hf_profile_site *a = pa, *b = pb;
	return a->id < b->id ? -1 : a->id > b->id;
}

enum hf_status profile_finish(struct profile_build *b, struct hf_profile *ret)
{
	struct hf_profile *p = &b->profile;
	for (size_t i = 0; i < p->n_sites; i++) {
		struct hf_profile_site *s = &p->sites[i];
		s->live_bytes = rounded(b->values[4 * i]);
		s->live_count = rounded(b->values[4 * i + 1]);
		s->total_bytes = rounded(b->values[4 * i + 2]);
		s->total_count = rounded(b->values[4 * i + 3]);
	}
	if (p->n_sites)
		qsort(p->sites, p->n_sites, sizeof(*p->sites), by_id);
	for (size_t i = 1; i < p->n_sites; i++) {
		if (p->sites[i].id == p->sites[i - 1].id)
			return hf_err_set(b->err, HF_E_CORRUPT, "%s: two samples of site %" PRIu64,
				b->name, p->sites[i].id);
	}
	*ret = *p;
	*p = (struct hf_profile){0};
	return HF_OK;
}

double profile_unsample(double bytes, double count, double period)
{
	if (period <= 1 || count <= 0 || bytes <= 0)
		return 1;
	return hf_sample_weight(bytes / count, period);
}

#include "store/account.h"

#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"

enum { MAX_OTHER_ROWS = 16, ROWS_AN_ALLOCATOR = 3 };

static const char NOTE_LIVE[] =
	"not every page of its mappings is resident: at most this, at least "
	"resident_min";
static const char NOTE_FREE[] = "the allocator has more, of which no more can be resident";

/* Sums of the arenas of one allocator. */
struct allocator {
	const char *name;
	uint64_t live, live_resident, free, metadata;
	uint64_t live_min; /* resident however the resident pages of a mapping lie */
};

struct work {
	const struct hf_heap *heap;
	struct allocator *allocator; /* [n_allocators] */
	uint32_t *of_arena;          /* [arenas.n] index into allocator */
	uint64_t *live_here;         /* [n_allocators] of the mapping at hand */
	size_t n_allocators;
	uint64_t next;                      /* first object that may reach into the next mapping */
	uint64_t heap_left, heap_left_size; /* of heap mappings beside live objects */
};

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

bool hf_account_resident_known(const struct hf_heap *heap)
{
	const char *resident = hf_heap_property(heap, "resident");
	return !resident || strcmp(resident, "unknown") != 0;
}

static void work_deinit(struct work *w)
{
	free(w->allocator);
	free(w->of_arena);
	free(w->live_here);
}

static enum hf_status work_init(struct work *w, const struct hf_heap *heap, struct hf_err *err)
{
	size_t n = heap->arenas.n;
	*w = (struct work){.heap = heap};
	w->allocator = calloc(n + 1, sizeof(*w->allocator));
	w->of_arena = calloc(n + 1, sizeof(*w->of_arena));
	w->live_here = calloc(n + 1, sizeof(*w->live_here));
	if (!w->allocator || !w->of_arena || !w->live_here)
		return hf_err_set(err, HF_E_NOMEM, "no memory for the memory account");
	for (size_t i = 0; i < n; i++) {
		const struct hf_heap_arena *arena = &heap->arenas.at[i];
		size_t a = 0;
		while (a < w->n_allocators && strcmp(w->allocator[a].name, arena->allocator) != 0)
			a++;
		if (a == w->n_allocators)
			w->allocator[w->n_allocators++].name = arena->allocator;
		w->of_arena[i] = (uint32_t)a;
		w->allocator[a].free += arena->free_bytes;
		w->allocator[a].metadata += arena->metadata_bytes;
	}
	return HF_OK;
}

/* Usable bytes of objects inside the mapping, by allocator, into live_here; their sum. Mappings and
 * objects are in order of address. */
static uint64_t live_in(struct work *w, const struct hf_heap_mapping *m)
{
	const struct hf_heap *heap = w->heap;
	uint64_t start = m->start, end = m->start + m->size, sum = 0;
	memset(w->live_here, 0, w->n_allocators * sizeof(*w->live_here));
	while (w->next < heap->n_objects && heap->addr[w->next] + heap->usable[w->next] <= start)
		w->next++;
	for (uint64_t i = w->next; i < heap->n_objects && heap->addr[i] < end; i++) {
		uint64_t a = heap->addr[i], b = a + heap->usable[i];
		uint64_t part = least(b, end) - (a > start ? a : start);
		w->live_here[w->of_arena[heap->arena[i]]] += part;
		sum += part;
		w->next = i; /* it may go on in the next mapping */
	}
	return sum;
}

/* part of whole in proportion to all; part <= all. */
static uint64_t share(uint64_t part, uint64_t whole, uint64_t all)
{
	return (uint64_t)((unsigned __int128)part * whole / all);
}

/* Give the live objects of a mapping their resident bytes; returns what is left of them. */
static uint64_t account_objects(
	struct work *w, const struct hf_heap_mapping *m, uint64_t rss, uint64_t *ret_live)
{
	uint64_t live = *ret_live = live_in(w, m), left = rss;
	if (!live)
		return left;
	uint64_t absent = m->size - least(m->size, rss);
	uint64_t live_min = live - least(live, absent);
	for (size_t a = 0; a < w->n_allocators; a++) {
		uint64_t here = w->live_here[a], part = here;
		if (live > rss)
			part = share(here, rss, live);
		w->allocator[a].live += here;
		w->allocator[a].live_resident += part;
		w->allocator[a].live_min += share(here, live_min, live);
		left -= part;
	}
	return left;
}

struct category {
	const char *category, *name;
};

static struct category category_of(const struct hf_heap_mapping *m)
{
	static const struct category by_kind[] = {
		[HF_MAPPING_OTHER] = {"other anonymous memory", ""},
		[HF_MAPPING_HEAP] = {"heap", "slack of heap mappings"},
		[HF_MAPPING_STACK] = {"stacks", ""},
		[HF_MAPPING_MODULE] = {"modules", "code and constants"},
		[HF_MAPPING_FILE] = {"file mappings", ""},
		[HF_MAPPING_SHARED] = {"shared memory", ""},
		[HF_MAPPING_KERNEL] = {"kernel", "vdso and the like"},
		[HF_MAPPING_OWN] = {"Holdfast's own", ""},
	};
	enum { WRITABLE = 2 }; /* of HF_SECTION_MAPPING's perms */
	if (m->kind == HF_MAPPING_MODULE && (m->perms & WRITABLE))
		return (struct category){"modules", "static data"};
	return by_kind[m->kind <= HF_MAPPING_OWN ? m->kind : HF_MAPPING_OTHER];
}

static void add(struct hf_account *account, const char *category, const char *name,
	uint64_t resident, uint64_t resident_min, uint64_t size, const char *note)
{
	account->resident += resident;
	for (size_t i = 0; i < account->n; i++) {
		struct hf_account_row *row = &account->row[i];
		if (!strcmp(row->category, category) && !strcmp(row->name, name)) {
			row->resident += resident;
			row->resident_min += resident_min;
			row->size += size;
			return;
		}
	}
	account->row[account->n++] =
		(struct hf_account_row){category, name, note, resident, resident_min, size};
}

/* Allocators' rows: what the heap mappings have beside objects goes to metadata, then to free
 * memory, then to slack. */
static void add_allocators(struct hf_account *account, struct work *w)
{
	uint64_t left = w->heap_left;
	for (size_t i = 0; i < w->n_allocators; i++) {
		struct allocator *a = &w->allocator[i];
		uint64_t metadata = least(a->metadata, left);
		left -= metadata;
		add(account, "live objects", a->name, a->live_resident, a->live_min, a->live,
			a->live_min < a->live_resident ? NOTE_LIVE : NULL);
		add(account, "allocator metadata", a->name, metadata, 0, a->metadata, NULL);
	}
	uint64_t sizes = w->heap_left_size;
	for (size_t i = 0; i < w->n_allocators; i++) {
		struct allocator *a = &w->allocator[i];
		uint64_t part = least(a->free, left);
		left -= part;
		add(account, "allocator free", a->name, part, 0, a->free,
			part < a->free ? NOTE_FREE : NULL);
		sizes -= least(sizes, a->free + a->metadata);
	}
	add(account, "heap", "slack of heap mappings", left, 0, sizes, NULL);
}

/* The process's own figure, in bytes; 0: not known. */
static uint64_t process_rss(const struct hf_heap *heap)
{
	const char *text = hf_heap_property(heap, "rss_bytes");
	uint64_t v = 0;
	if (text)
		hf_parse_u64(&text, &v);
	return v;
}

/* Sizes are all that is known; a note about what is resident would be wrong. */
static void forget_resident(struct hf_account *account)
{
	account->unknown = true;
	account->resident = 0;
	for (size_t i = 0; i < account->n; i++) {
		account->row[i].resident = account->row[i].resident_min = 0;
		account->row[i].note = NULL;
	}
}

enum hf_status hf_account_init(
	struct hf_account *ret, const struct hf_heap *heap, struct hf_err *err)
{
	struct work w;
	*ret = (struct hf_account){0};
	enum hf_status status = work_init(&w, heap, err);
	ret->row = calloc(w.n_allocators * ROWS_AN_ALLOCATOR + MAX_OTHER_ROWS, sizeof(*ret->row));
	if (!status && !ret->row)
		status = hf_err_set(err, HF_E_NOMEM, "no memory for the memory account");
	struct hf_account others = {
		.row = status ? NULL : calloc(MAX_OTHER_ROWS, sizeof(*ret->row))};
	if (!status && !others.row)
		status = hf_err_set(err, HF_E_NOMEM, "no memory for the memory account");
	for (size_t i = 0; !status && i < heap->mappings.n; i++) {
		const struct hf_heap_mapping *m = &heap->mappings.at[i];
		struct category c = category_of(m);
		uint64_t live;
		uint64_t left = account_objects(&w, m, m->rss_bytes, &live);
		if (m->kind == HF_MAPPING_HEAP) {
			w.heap_left += left;
			w.heap_left_size += m->size - least(live, m->size);
		} else {
			add(&others, c.category, c.name, left, left, m->size - least(live, m->size),
				NULL);
		}
	}
	if (!status) {
		add_allocators(ret, &w);
		for (size_t i = 0; i < others.n; i++)
			add(ret, others.row[i].category, others.row[i].name, others.row[i].resident,
				others.row[i].resident_min, others.row[i].size, NULL);
		uint64_t rss = process_rss(heap);
		if (rss > ret->resident)
			add(ret, "unaccounted", "in no mapping that was seen", rss - ret->resident,
				rss - ret->resident, 0,
				"the process's own figure is larger than the sum of its mappings");
	}
	free(others.row);
	work_deinit(&w);
	if (!hf_account_resident_known(heap))
		forget_resident(ret);
	if (status)
		hf_account_deinit(ret);
	return status;
}

void hf_account_deinit(struct hf_account *account)
{
	free(account->row);
	account->row = NULL;
	account->n = 0;
}

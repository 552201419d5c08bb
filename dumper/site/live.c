#include "site/live.h"

#include <emmintrin.h>
#include <string.h>

#include "base/page_alloc.h"
#include "base/sys.h"
#include "site/blocks.h"

enum {
	TID_BITS = 22,
	TIME_BITS = 22,
	ID_BITS = TID_BITS + TIME_BITS,
	/* A size that 32 bits do not hold is all ones, and the object has a second entry, of the
	 * next multiple of 8 (where no other object can be), with the site SECOND: 32 low bits as
	 * its size, the others in place of thread and time. */
	BIG_STEP = 8,
	SECOND = HF_SITE_MAX_SITES - 1,
	SPINS = 200,
	MOST_TRIES = 1000,
	/* a group's word */
	LOCK = 1,
	CLASS_SHIFT = 1, /* 4 bits */
	N_SHIFT = 5,     /* 9 bits: objects */
	VERSION_SHIFT = 14,
	BLOCK_SHIFT = 32, /* 32 bits: name of the block, if there are objects */
};
static const uint32_t BIG_SIZE = 0xffffffff;
static const uint64_t VERSION = 1 << VERSION_SHIFT;
static const uint64_t VERSION_MASK = (1ull << BLOCK_SHIFT) - (1 << VERSION_SHIFT);

/* What a word says. */
struct group {
	unsigned class, n;
	uint32_t block;
};

static struct group group_of(uint64_t word)
{
	return (struct group){
		word >> CLASS_SHIFT & 15, word >> N_SHIFT & 511, (uint32_t)(word >> BLOCK_SHIFT)};
}

static uint64_t word_of(struct group g, uint64_t before)
{
	return ((before + VERSION) & VERSION_MASK) | (uint64_t)g.class << CLASS_SHIFT |
	       (uint64_t)g.n << N_SHIFT | (uint64_t)g.block << BLOCK_SHIFT;
}

static uint8_t *keys_of(const struct hf_site_store *s, struct group g)
{
	return (uint8_t *)(uintptr_t)s + (uint64_t)g.block * HF_BLOCKS_UNIT;
}

static struct hf_site_entry *entries_of(const struct hf_site_store *s, struct group g)
{
	return (struct hf_site_entry *)(keys_of(s, g) + hf_blocks_keys_size(g.class));
}

static uint8_t key_of(uint64_t addr)
{
	return (uint8_t)(addr >> 3);
}

/* Words. */

/* The first of a region that is used: a table of zeroes. Of two threads that make it one wins. */
static uint32_t make_table(struct hf_site_store *s, uint64_t region)
{
	uint64_t at = hf_blocks_pages(s, HF_SITE_GROUPS * sizeof(uint64_t));
	uint32_t none = 0, table = (uint32_t)(at / HF_PAGE);
	if (!at)
		return 0;
	if (!__atomic_compare_exchange_n(
		    &s->regions[region], &none, table, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return none;
	uint32_t i = __atomic_fetch_add(&s->n_regions, 1, __ATOMIC_RELAXED);
	if (i < HF_SITE_REGION_LIST)
		__atomic_store_n(&s->region_list[i], (uint32_t)region + 1, __ATOMIC_RELEASE);
	return table;
}

static uint64_t *table_of(const struct hf_site_store *s, uint64_t region)
{
	uint32_t table = __atomic_load_n(&s->regions[region], __ATOMIC_ACQUIRE);
	return table ? (uint64_t *)((uintptr_t)s + (uint64_t)table * HF_PAGE) : NULL;
}

static uint64_t *find_word(const struct hf_site_store *s, uint64_t addr)
{
	if (addr >> HF_SITE_ADDRESS_BITS || addr % 8)
		return NULL;
	uint64_t *table = table_of(s, addr >> HF_SITE_REGION_BITS);
	return table ? &table[(addr >> HF_SITE_GROUP_BITS) & (HF_SITE_GROUPS - 1)] : NULL;
}

static uint64_t *make_word(struct hf_site_store *s, uint64_t addr)
{
	uint64_t *word = find_word(s, addr);
	if (__builtin_expect(word != NULL, 1))
		return word;
	if (addr >> HF_SITE_ADDRESS_BITS || addr % 8 || !make_table(s, addr >> HF_SITE_REGION_BITS))
		return NULL;
	return find_word(s, addr);
}

/* Workers. */

static bool is_alive(int tid)
{
	return hf_syscall3(SYS_tgkill, hf_syscall0(SYS_getpid), tid, 0) == 0;
}

static bool claim(struct hf_site_worker *w, int tid, bool of_the_dead)
{
	int32_t owner = __atomic_load_n(&w->owner, __ATOMIC_ACQUIRE);
	if (owner && (!of_the_dead || is_alive(owner)))
		return false;
	return __atomic_compare_exchange_n(
		&w->owner, &owner, tid, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* The dead are looked for when the workers in use reach a power of two, so a thread costs few
 * system calls, and workers are at most twice the threads that ever lived at a time. */
struct hf_site_worker *hf_live_join(struct hf_site_store *s, int tid)
{
	uint32_t n = __atomic_load_n(&s->n_workers, __ATOMIC_ACQUIRE);
	n = n < HF_SITE_WORKERS ? n : HF_SITE_WORKERS;
	for (uint32_t i = 1; (n & (n - 1)) == 0 && i < n; i++) {
		if (claim(&s->workers[i], tid, true))
			return &s->workers[i];
	}
	for (uint32_t i = n ? n : 1; i < HF_SITE_WORKERS; i++) {
		if (!claim(&s->workers[i], tid, false))
			continue;
		while (n < i + 1 && !__atomic_compare_exchange_n(&s->n_workers, &n, i + 1, true,
					    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			;
		return &s->workers[i];
	}
	return NULL;
}

static void wait_a_little(unsigned *spins)
{
	if (++*spins % SPINS)
		__builtin_ia32_pause();
	else
		hf_syscall0(SYS_sched_yield);
}

/* The shared worker, whose users exclude each other. */
static struct hf_site_worker *borrow(struct hf_site_store *s)
{
	struct hf_site_worker *w = &s->workers[0];
	for (unsigned spins = 0; __atomic_exchange_n(&w->lock, 1, __ATOMIC_ACQUIRE);)
		wait_a_little(&spins);
	return w;
}

static void give_back(struct hf_site_worker *w)
{
	__atomic_store_n(&w->lock, 0, __ATOMIC_RELEASE);
}

/* Locks. A worker says which group it wants before it has it: a forked child has to free those. */

static uint64_t lock(struct hf_site_store *s, struct hf_site_worker *w, uint64_t *word)
{
	unsigned spins = 0;
	__atomic_store_n(&w->group, (uint64_t)((char *)word - (char *)s), __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	for (;;) {
		uint64_t was = __atomic_load_n(word, __ATOMIC_RELAXED) & ~(uint64_t)LOCK;
		if (__builtin_expect(__atomic_compare_exchange_n(word, &was, was | LOCK, true,
					     __ATOMIC_ACQUIRE, __ATOMIC_RELAXED),
			    1))
			return was;
		wait_a_little(&spins);
	}
}

static void unlock(struct hf_site_worker *w, uint64_t *word, uint64_t now)
{
	__atomic_store_n(word, now, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&w->group, 0, __ATOMIC_RELAXED);
}

void hf_live_forked(struct hf_site_store *s)
{
	for (uint32_t i = 0; i < HF_SITE_WORKERS && i < s->n_workers; i++) {
		struct hf_site_worker *w = &s->workers[i];
		w->lock = 0;
		if (w->group)
			*(uint64_t *)((char *)s + w->group) &= ~(uint64_t)LOCK;
		w->group = 0;
	}
}

/* Entries. */

/* Position of the object with that key, from position `from` on; -1: there is none. May look at 15
 * bytes behind the keys. */
static int find_key(const uint8_t *keys, unsigned n, uint8_t key, unsigned from)
{
	const __m128i wanted = _mm_set1_epi8((char)key);
	for (unsigned at = from; at < n; at += 16) {
		__m128i have = _mm_loadu_si128((const __m128i *)(keys + at));
		unsigned found = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(have, wanted));
		if (n - at < 16)
			found &= (1u << (n - at)) - 1;
		if (found)
			return (int)(at + (unsigned)__builtin_ctz(found));
	}
	return -1;
}

static struct hf_site_entry entry_of(uint64_t size, uint64_t site, uint64_t id)
{
	uint64_t bits = site << ID_BITS | id;
	return (struct hf_site_entry){size < BIG_SIZE ? (uint32_t)size : BIG_SIZE, (uint32_t)bits,
		(uint32_t)(bits >> 32)};
}

static uint64_t bits_of(const struct hf_site_entry *e)
{
	return (uint64_t)e->high << 32 | e->low;
}

/* Who reads in between finds no object rather than half of one. */
static void put(struct hf_site_entry *at, struct hf_site_entry entry)
{
	__atomic_store_n(&at->high, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&at->low, entry.low, __ATOMIC_RELEASE);
	__atomic_store_n(&at->size, entry.size, __ATOMIC_RELEASE);
	__atomic_store_n(&at->high, entry.high, __ATOMIC_RELEASE);
}

static bool move(struct hf_site_store *s, struct hf_site_worker *w, struct group *g, unsigned class)
{
	struct group to = {class, g->n, hf_blocks_take(s, w, class)};
	if (!to.block)
		return false;
	memcpy(keys_of(s, to), keys_of(s, *g), g->n);
	memcpy(entries_of(s, to), entries_of(s, *g), g->n * sizeof(struct hf_site_entry));
	*g = to;
	return true;
}

/* A heap is filled as evenly as it was so far: start a little below what the group before has. */
static unsigned first_class(const uint64_t *word)
{
	if (!((uintptr_t)word & (HF_PAGE - 1)))
		return 0;
	struct group before = group_of(__atomic_load_n(word - 1, __ATOMIC_RELAXED));
	unsigned class = 0;
	while (class + 1 < HF_SITE_CLASSES && hf_blocks_capacity[class + 1] <= before.n)
		class ++;
	return class;
}

static bool make_room(
	struct hf_site_store *s, struct hf_site_worker *w, const uint64_t *word, struct group *g)
{
	if (!g->n) {
		g->class = first_class(word);
		g->block = hf_blocks_take(s, w, g->class);
		if (!g->block && g->class)
			g->block = hf_blocks_take(s, w, g->class = 0);
		return g->block;
	}
	return g->n < hf_blocks_capacity[g->class] ||
	       (g->class + 1 < HF_SITE_CLASSES && move(s, w, g, g->class + 1));
}

static bool insert(struct hf_site_store *s, struct hf_site_worker *w, uint64_t addr,
	struct hf_site_entry entry)
{
	uint64_t *word = make_word(s, addr);
	if (!word)
		return false;
	uint64_t was = lock(s, w, word);
	struct group old = group_of(was), g = old;
	int at = g.n ? find_key(keys_of(s, g), g.n, key_of(addr), 0) : -1;
	if (at >= 0) {
		put(&entries_of(s, g)[at], entry);
	} else if (make_room(s, w, word, &g)) {
		keys_of(s, g)[g.n] = key_of(addr);
		entries_of(s, g)[g.n] = entry;
		g.n++;
	} else {
		unlock(w, word, was);
		return false;
	}
	unlock(w, word, word_of(g, was));
	if (old.n && old.block != g.block)
		hf_blocks_give(s, w, old.class, old.block);
	return true;
}

/* The last goes to where the removed one was. */
static void fill_gap(uint8_t *keys, struct hf_site_entry *entries, unsigned at, unsigned last)
{
	struct hf_site_entry entry = entries[last];
	__atomic_store_n(&entries[at].high, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&keys[at], keys[last], __ATOMIC_RELEASE);
	put(&entries[at], entry);
}

static bool remove_key(
	struct hf_site_store *s, struct hf_site_worker *w, uint64_t addr, struct hf_site_entry *ret)
{
	uint64_t *word = find_word(s, addr);
	if (!word || !group_of(__atomic_load_n(word, __ATOMIC_RELAXED)).n)
		return false;
	uint64_t was = lock(s, w, word);
	struct group old = group_of(was), g = old;
	int at = g.n ? find_key(keys_of(s, g), g.n, key_of(addr), 0) : -1;
	if (at < 0) {
		unlock(w, word, was);
		return false;
	}
	*ret = entries_of(s, g)[at];
	g.n--;
	if ((unsigned)at != g.n)
		fill_gap(keys_of(s, g), entries_of(s, g), (unsigned)at, g.n);
	/* to a block of half the size once three quarters are empty */
	if (!g.n)
		g.block = 0;
	else if (g.class > 3 && g.n * 4 <= hf_blocks_capacity[g.class])
		move(s, w, &g, g.class - 2);
	unlock(w, word, word_of(g, was));
	if (old.block != g.block)
		hf_blocks_give(s, w, old.class, old.block);
	return true;
}

static void decode(uint64_t addr, const struct hf_site_entry *e, struct hf_live_object *ret)
{
	uint64_t bits = bits_of(e);
	*ret = (struct hf_live_object){
		.addr = addr,
		.size = e->size,
		.site = (uint32_t)(bits >> ID_BITS),
		.tid = (uint32_t)(bits >> TIME_BITS) & ((1u << TID_BITS) - 1),
		.seconds = (uint32_t)bits & ((1u << TIME_BITS) - 1),
	};
}

static uint64_t big_size(const struct hf_site_entry *second)
{
	return (bits_of(second) & ((1ull << ID_BITS) - 1)) << 32 | second->size;
}

static bool insert_object(
	struct hf_site_store *s, struct hf_site_worker *w, const struct hf_live_object *o)
{
	const uint32_t latest = (1u << TIME_BITS) - 1, tid_mask = (1u << TID_BITS) - 1;
	uint64_t seconds = o->seconds < latest ? o->seconds : latest;
	uint64_t id = (uint64_t)(o->tid & tid_mask) << TIME_BITS | seconds;
	if (__builtin_expect(o->size >= BIG_SIZE, 0)) {
		uint64_t high = o->size >> 32 & ((1ull << ID_BITS) - 1);
		struct hf_site_entry second = entry_of(0, SECOND, high);
		second.size = (uint32_t)o->size;
		if (!insert(s, w, o->addr + BIG_STEP, second))
			return false;
	}
	return insert(s, w, o->addr, entry_of(o->size, o->site, id));
}

bool hf_live_insert(
	struct hf_site_store *s, struct hf_site_worker *worker, const struct hf_live_object *o)
{
	struct hf_site_worker *w = worker ? worker : borrow(s);
	bool ok = insert_object(s, w, o);
	if (!ok)
		__atomic_add_fetch(&s->lost_objects, 1, __ATOMIC_RELAXED);
	if (!worker)
		give_back(w);
	return ok;
}

static bool remove_object(struct hf_site_store *s, struct hf_site_worker *w, uint64_t addr,
	struct hf_live_object *ret)
{
	struct hf_site_entry entry, second;
	if (!remove_key(s, w, addr, &entry))
		return false;
	bool big = entry.size == BIG_SIZE && remove_key(s, w, addr + BIG_STEP, &second);
	if (!ret)
		return true;
	decode(addr, &entry, ret);
	if (big)
		ret->size = big_size(&second);
	return true;
}

bool hf_live_remove(struct hf_site_store *s, struct hf_site_worker *worker, uint64_t addr,
	struct hf_live_object *ret)
{
	struct hf_site_worker *w = worker ? worker : borrow(s);
	bool found = remove_object(s, w, addr, ret);
	if (!worker)
		give_back(w);
	return found;
}

/* Reading, also of a stranger's file: nothing outside the store is looked at. */

static bool is_sound(const struct hf_site_store *s, struct group g)
{
	return g.class < HF_SITE_CLASSES && g.n <= hf_blocks_capacity[g.class] &&
	       (uint64_t)g.block * HF_BLOCKS_UNIT + hf_blocks_size(g.class) + 16 <= s->size;
}

static const uint64_t *sound_word(const struct hf_site_store *s, uint64_t addr)
{
	const uint64_t *word = find_word(s, addr);
	return word && (uint64_t)((const char *)word - (const char *)s) + 8 <= s->size ? word
										       : NULL;
}

static bool find_entry(const struct hf_site_store *s, uint64_t addr, struct hf_site_entry *ret)
{
	const uint64_t *word = sound_word(s, addr);
	bool found = false;
	for (int tries = 0; word && tries < MOST_TRIES; tries++) {
		uint64_t before = __atomic_load_n(word, __ATOMIC_ACQUIRE);
		struct group g = group_of(before);
		found = false;
		if (!g.n)
			return false;
		if (!is_sound(s, g))
			return false;
		for (int at = -1; !found && (at = find_key(keys_of(s, g), g.n, key_of(addr),
						     (unsigned)(at + 1))) >= 0;) {
			*ret = entries_of(s, g)[at];
			found = bits_of(ret) >> ID_BITS;
		}
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		/* still locked after many tries: whoever holds it stands still, or is no more */
		if (!(before & LOCK) && __atomic_load_n(word, __ATOMIC_RELAXED) == before)
			break;
	}
	return found;
}

static bool is_second(const struct hf_site_entry *e)
{
	return bits_of(e) >> ID_BITS == SECOND;
}

static bool read_object(const struct hf_site_store *s, uint64_t addr,
	const struct hf_site_entry *entry, struct hf_live_object *ret)
{
	struct hf_site_entry second;
	if (is_second(entry))
		return false;
	decode(addr, entry, ret);
	if (entry->size == BIG_SIZE && find_entry(s, addr + BIG_STEP, &second) &&
		is_second(&second))
		ret->size = big_size(&second);
	return true;
}

bool hf_live_find(const struct hf_site_store *s, uint64_t addr, struct hf_live_object *ret)
{
	struct hf_site_entry entry;
	return find_entry(s, addr, &entry) && read_object(s, addr, &entry, ret);
}

/* Is the last object one that already lies in a gap, too? */
static bool has_moved(const struct hf_site_store *s, struct group g)
{
	const uint8_t *keys = keys_of(s, g);
	int at = find_key(keys, g.n - 1, keys[g.n - 1], 0);
	return at >= 0 && bits_of(&entries_of(s, g)[at]) >> ID_BITS;
}

static void each_of_group(const struct hf_site_store *s, uint64_t start, struct group g,
	void (*fn)(void *ctx, const struct hf_live_object *object), void *ctx)
{
	g.n -= has_moved(s, g);
	for (unsigned i = 0; i < g.n; i++) {
		struct hf_live_object object;
		uint64_t addr = start + (uint64_t)keys_of(s, g)[i] * 8;
		struct hf_site_entry entry = entries_of(s, g)[i];
		if (bits_of(&entry) >> ID_BITS && read_object(s, addr, &entry, &object))
			fn(ctx, &object);
	}
}

void hf_live_each(const struct hf_site_store *s,
	void (*fn)(void *ctx, const struct hf_live_object *object), void *ctx)
{
	for (uint32_t i = 0; i < HF_SITE_REGION_LIST && i < s->n_regions; i++) {
		uint64_t region = s->region_list[i] - 1;
		if (region >= HF_SITE_REGIONS)
			continue;
		const uint64_t *table = table_of(s, region);
		if (!table || (uint64_t)((const char *)table - (const char *)s) >
				      s->size - HF_SITE_GROUPS * sizeof(*table))
			continue;
		for (uint64_t k = 0; k < HF_SITE_GROUPS; k++) {
			struct group g = group_of(__atomic_load_n(&table[k], __ATOMIC_ACQUIRE));
			if (g.n && is_sound(s, g))
				each_of_group(s,
					region << HF_SITE_REGION_BITS | k << HF_SITE_GROUP_BITS, g,
					fn, ctx);
		}
	}
}

/* Each group for itself, under its lock; what is between groups does not matter. */
void hf_live_copy(const struct hf_site_store *from, struct hf_site_store *to)
{
	struct hf_site_store *s = (struct hf_site_store *)(uintptr_t)from;
	struct hf_site_worker *w = borrow(s);
	uint32_t n = from->n_regions < HF_SITE_REGION_LIST ? from->n_regions : HF_SITE_REGION_LIST;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t region = __atomic_load_n(&from->region_list[i], __ATOMIC_ACQUIRE);
		uint64_t *table = region ? table_of(from, --region) : NULL;
		if (!table)
			continue;
		to->region_list[to->n_regions++] = (uint32_t)region + 1;
		to->regions[region] = from->regions[region];
		uint64_t *words = table_of(to, region);
		for (uint64_t k = 0; k < HF_SITE_GROUPS; k++) {
			if (!group_of(__atomic_load_n(&table[k], __ATOMIC_RELAXED)).n)
				continue;
			uint64_t word = lock(s, w, &table[k]);
			struct group g = group_of(word);
			if (g.n)
				memcpy(keys_of(to, g), keys_of(from, g), hf_blocks_size(g.class));
			unlock(w, &table[k], word);
			words[k] = g.n ? word : 0;
		}
	}
	give_back(w);
	to->used = __atomic_load_n(&from->used, __ATOMIC_ACQUIRE);
}

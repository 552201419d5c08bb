#include "site/live.h"

#include <emmintrin.h>
#include <string.h>

#include "base/page_alloc.h"
#include "base/sys.h"
#include "site/blocks.h"

#define INLINE    static inline __attribute__((always_inline))
#define SELDOM    static __attribute__((noinline, cold))
#define LIKELY(c) __builtin_expect(!!(c), 1)

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
	CLASS_SHIFT = 1,    /* 4 bits: of the block; 0: there is none, and no object */
	N_SHIFT = 5,        /* 9 bits: objects */
	BLOCK_SHIFT = 14,   /* 32 bits: name of the block */
	VERSION_SHIFT = 46, /* 18 bits: counts the changes */
};
static const uint32_t BIG_SIZE = 0xffffffff;
static const uint64_t VERSION = 1ull << VERSION_SHIFT;
static const uint64_t ONE_OBJECT = 1 << N_SHIFT;

/* With so many objects left a group gets a block of half the size, or none. */
static const uint8_t few[HF_SITE_CLASSES] = {0, 0, 0, 0, 0, 3, 5, 7, 10, 14, 20, 28, 40, 64};

/* What a word says. */
struct group {
	unsigned class, n;
	uint32_t block;
};

INLINE struct group group_of(uint64_t word)
{
	return (struct group){
		word >> CLASS_SHIFT & 15, word >> N_SHIFT & 511, (uint32_t)(word >> BLOCK_SHIFT)};
}

static uint64_t word_of(struct group g, uint64_t before)
{
	return (before & -VERSION) | (uint64_t)g.class << CLASS_SHIFT | (uint64_t)g.n << N_SHIFT |
	       (uint64_t)g.block << BLOCK_SHIFT;
}

INLINE uint8_t *keys_of(const struct hf_site_store *s, struct group g)
{
	return (uint8_t *)(uintptr_t)s + (uint64_t)g.block * HF_BLOCKS_UNIT;
}

INLINE struct hf_site_entry *entries_of(const struct hf_site_store *s, struct group g)
{
	return (struct hf_site_entry *)(keys_of(s, g) + hf_blocks_keys_size(g.class));
}

static uint8_t key_of(uint64_t addr)
{
	return (uint8_t)(addr >> 3);
}

/* Words. */

/* The table at *page, made if there is none: zeroes. Of two threads that make it one wins. */
static void *make_table(struct hf_site_store *s, uint32_t *page, uint64_t size)
{
	uint32_t none = 0, made = __atomic_load_n(page, __ATOMIC_ACQUIRE);
	if (made)
		return (char *)s + (uint64_t)made * HF_PAGE;
	made = (uint32_t)(hf_blocks_pages(s, size) / HF_PAGE);
	if (!made)
		return NULL;
	if (!__atomic_compare_exchange_n(
		    page, &none, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		made = none;
	return (char *)s + (uint64_t)made * HF_PAGE;
}

INLINE void *table_at(const struct hf_site_store *s, const uint32_t *page)
{
	uint32_t at = __atomic_load_n(page, __ATOMIC_ACQUIRE);
	return at ? (char *)(uintptr_t)s + (uint64_t)at * HF_PAGE : NULL;
}

INLINE uint64_t *find_word(const struct hf_site_store *s, uint64_t addr)
{
	if (addr >> HF_SITE_ADDRESS_BITS || addr % 8)
		return NULL;
	uint32_t *realm = table_at(s, &s->realms[addr >> HF_SITE_REALM_BITS]);
	if (!LIKELY(realm))
		return NULL;
	uint64_t *table = table_at(s, &realm[hf_live_region(addr)]);
	return LIKELY(table) ? &table[hf_live_group(addr)] : NULL;
}

SELDOM uint64_t *make_word(struct hf_site_store *s, uint64_t addr)
{
	if (addr >> HF_SITE_ADDRESS_BITS || addr % 8)
		return NULL;
	uint32_t *realm = make_table(
		s, &s->realms[addr >> HF_SITE_REALM_BITS], HF_SITE_REALM * sizeof(uint32_t));
	uint64_t *table = realm ? make_table(s, &realm[hf_live_region(addr)],
					  HF_SITE_GROUPS * sizeof(uint64_t))
				: NULL;
	return table ? &table[hf_live_group(addr)] : NULL;
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
		if (!hf_store_room(s, HF_SITE_PART_WORKERS, (i + 1) * sizeof(s->workers[0])))
			return NULL;
		if (!claim(&s->workers[i], tid, false))
			continue;
		while (n < i + 1 && !__atomic_compare_exchange_n(&s->n_workers, &n, i + 1, true,
					    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			;
		return &s->workers[i];
	}
	return NULL;
}

uint64_t hf_live_samples(const struct hf_site_store *s)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < s->n_workers && i < HF_SITE_WORKERS; i++)
		n += __atomic_load_n(&s->workers[i].n_samples, __ATOMIC_RELAXED);
	return n;
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

INLINE bool try_lock(uint64_t *word, uint64_t *ret_was)
{
	*ret_was = __atomic_load_n(word, __ATOMIC_RELAXED) & ~(uint64_t)LOCK;
	return __atomic_compare_exchange_n(
		word, ret_was, *ret_was | LOCK, true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

SELDOM uint64_t lock_later(uint64_t *word)
{
	uint64_t was;
	for (unsigned spins = 0; !try_lock(word, &was);)
		wait_a_little(&spins);
	return was;
}

INLINE uint64_t lock(struct hf_site_store *s, struct hf_site_worker *w, uint64_t *word)
{
	uint64_t was;
	__atomic_store_n(&w->group, (uint64_t)((char *)word - (char *)s), __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return LIKELY(try_lock(word, &was)) ? was : lock_later(word);
}

INLINE void unlock(struct hf_site_worker *w, uint64_t *word, uint64_t now)
{
	__atomic_store_n(word, now, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&w->group, 0, __ATOMIC_RELAXED);
}

void hf_live_forked(struct hf_site_store *s)
{
	s->growing = 0;
	for (uint32_t i = 0; i < HF_SITE_WORKERS && i < s->n_workers; i++) {
		struct hf_site_worker *w = &s->workers[i];
		w->lock = 0;
		if (w->group)
			*(uint64_t *)((char *)s + w->group) &= ~(uint64_t)LOCK;
		w->group = 0;
	}
}

/* Entries. */

/* Position of the object with that key, from position `from` on; -1: there is none. Looks at up to
 * 15 bytes behind the keys, where nothing matters. */
INLINE int find_key(const uint8_t *keys, unsigned n, uint8_t key, unsigned from)
{
	const __m128i wanted = _mm_set1_epi8((char)key);
	for (unsigned at = from; at < n; at += 16) {
		__m128i have = _mm_loadu_si128((const __m128i *)(keys + at));
		unsigned found = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(have, wanted));
		if (found) {
			at += (unsigned)__builtin_ctz(found);
			return at < n ? (int)at : -1;
		}
	}
	return -1;
}

INLINE struct hf_site_entry entry_of(uint64_t size, uint64_t site, uint64_t id)
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
		return 1;
	struct group before = group_of(__atomic_load_n(word - 1, __ATOMIC_RELAXED));
	unsigned class = 1;
	while (class + 1 < HF_SITE_CLASSES && hf_blocks_capacity[class + 1] <= before.n)
		class ++;
	return class;
}

static __attribute__((noinline)) bool make_room(
	struct hf_site_store *s, struct hf_site_worker *w, const uint64_t *word, struct group *g)
{
	/* when there is no more memory, a larger one that was given back will do */
	if (!g->class) {
		g->class = first_class(word);
		g->block = hf_blocks_take(s, w, g->class);
		for (unsigned class = 1; !g->block && class < HF_SITE_CLASSES; class ++)
			g->block = hf_blocks_take(s, w, g->class = class);
		return g->block;
	}
	for (unsigned class = g->class + 1; class < HF_SITE_CLASSES; class ++) {
		if (move(s, w, g, class))
			return true;
	}
	return false;
}

/* The first object of a group, or one for which its block has no room. */
static __attribute__((noinline)) bool insert_more(struct hf_site_store *s, struct hf_site_worker *w,
	uint64_t *word, uint64_t was, uint8_t key, const struct hf_site_entry *entry)
{
	struct group old = group_of(was), g = old;
	if (!make_room(s, w, word, &g)) {
		unlock(w, word, was);
		return false;
	}
	keys_of(s, g)[g.n] = key;
	entries_of(s, g)[g.n] = *entry;
	g.n++;
	unlock(w, word, word_of(g, was + VERSION));
	if (old.class)
		hf_blocks_give(s, w, old.class, old.block);
	return true;
}

INLINE bool insert(struct hf_site_store *s, struct hf_site_worker *w, uint64_t addr,
	struct hf_site_entry entry)
{
	uint64_t *word = find_word(s, addr);
	if (!LIKELY(word) && !(word = make_word(s, addr)))
		return false;
	uint64_t was = lock(s, w, word);
	struct group g = group_of(was);
	uint8_t *keys = keys_of(s, g);
	int at = find_key(keys, g.n, key_of(addr), 0);
	if (!LIKELY(at < 0)) {
		put(&entries_of(s, g)[at], entry);
		unlock(w, word, was + VERSION);
	} else if (LIKELY(g.n < hf_blocks_capacity[g.class])) {
		keys[g.n] = key_of(addr);
		entries_of(s, g)[g.n] = entry;
		unlock(w, word, was + VERSION + ONE_OBJECT);
	} else {
		return insert_more(s, w, word, was, key_of(addr), &entry);
	}
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

/* The last goes to where the removed one was. */
INLINE void fill_gap(uint8_t *keys, struct hf_site_entry *entries, unsigned at, unsigned last)
{
	struct hf_site_entry *to = &entries[at], *from = &entries[last];
	__atomic_store_n(&to->high, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&keys[at], keys[last], __ATOMIC_RELEASE);
	__atomic_store_n(&to->low, from->low, __ATOMIC_RELEASE);
	__atomic_store_n(&to->size, from->size, __ATOMIC_RELEASE);
	__atomic_store_n(&to->high, from->high, __ATOMIC_RELEASE);
}

/* A group with so few objects left, none among them, that its block is given back. */
static __attribute__((noinline)) void shrink(
	struct hf_site_store *s, struct hf_site_worker *w, uint64_t *word, uint64_t was)
{
	struct group old = group_of(was), g = old;
	if (!g.n)
		g.block = g.class = 0;
	else
		move(s, w, &g, g.class - 2);
	unlock(w, word, word_of(g, was));
	if (old.block != g.block)
		hf_blocks_give(s, w, old.class, old.block);
}

INLINE bool remove_key(
	struct hf_site_store *s, struct hf_site_worker *w, uint64_t addr, struct hf_site_entry *ret)
{
	uint64_t *word = find_word(s, addr);
	if (!LIKELY(word))
		return false;
	uint64_t was = lock(s, w, word);
	struct group g = group_of(was);
	uint8_t *keys = keys_of(s, g);
	int at = find_key(keys, g.n, key_of(addr), 0);
	if (!LIKELY(at >= 0)) {
		unlock(w, word, was);
		return false;
	}
	struct hf_site_entry *entries = entries_of(s, g);
	*ret = entries[at];
	if ((unsigned)at != --g.n)
		fill_gap(keys, entries, (unsigned)at, g.n);
	was += VERSION - ONE_OBJECT;
	if (LIKELY(g.n > few[g.class]))
		unlock(w, word, was);
	else
		shrink(s, w, word, was);
	return true;
}

SELDOM bool insert_second(
	struct hf_site_store *s, struct hf_site_worker *w, uint64_t addr, uint64_t size)
{
	struct hf_site_entry second = entry_of(0, SECOND, size >> 32 & ((1ull << ID_BITS) - 1));
	second.size = (uint32_t)size;
	return insert(s, w, addr + BIG_STEP, second);
}

INLINE bool insert_object(
	struct hf_site_store *s, struct hf_site_worker *w, const struct hf_live_object *o)
{
	const uint32_t latest = (1u << TIME_BITS) - 1, tid_mask = (1u << TID_BITS) - 1;
	uint64_t seconds = o->seconds < latest ? o->seconds : latest;
	uint64_t id = (uint64_t)(o->tid & tid_mask) << TIME_BITS | seconds;
	if (!LIKELY(o->size < BIG_SIZE) && !insert_second(s, w, o->addr, o->size))
		return false;
	return insert(s, w, o->addr, entry_of(o->size, o->site, id));
}

SELDOM bool insert_as_guest(struct hf_site_store *s, const struct hf_live_object *o)
{
	struct hf_site_worker *w = borrow(s);
	bool ok = insert_object(s, w, o);
	give_back(w);
	return ok;
}

bool hf_live_insert(
	struct hf_site_store *s, struct hf_site_worker *worker, const struct hf_live_object *o)
{
	bool ok = LIKELY(worker) ? insert_object(s, worker, o) : insert_as_guest(s, o);
	if (!LIKELY(ok))
		__atomic_add_fetch(&s->lost_objects, 1, __ATOMIC_RELAXED);
	return ok;
}

SELDOM bool remove_second(
	struct hf_site_store *s, struct hf_site_worker *w, uint64_t addr, struct hf_site_entry *ret)
{
	return remove_key(s, w, addr + BIG_STEP, ret);
}

INLINE bool remove_object(struct hf_site_store *s, struct hf_site_worker *w, uint64_t addr,
	struct hf_live_object *ret)
{
	struct hf_site_entry entry, second;
	if (!remove_key(s, w, addr, &entry))
		return false;
	bool big = !LIKELY(entry.size != BIG_SIZE) && remove_second(s, w, addr, &second);
	if (!ret)
		return true;
	decode(addr, &entry, ret);
	if (big)
		ret->size = big_size(&second);
	return true;
}

SELDOM bool remove_as_guest(struct hf_site_store *s, uint64_t addr, struct hf_live_object *ret)
{
	struct hf_site_worker *w = borrow(s);
	bool found = remove_object(s, w, addr, ret);
	give_back(w);
	return found;
}

bool hf_live_remove(struct hf_site_store *s, struct hf_site_worker *worker, uint64_t addr,
	struct hf_live_object *ret)
{
	return LIKELY(worker) ? remove_object(s, worker, addr, ret) : remove_as_guest(s, addr, ret);
}

/* Reading, also of a stranger's file: nothing outside the store is looked at. */

static bool is_sound(const struct hf_site_store *s, struct group g)
{
	return g.class && g.class < HF_SITE_CLASSES && g.n <= hf_blocks_capacity[g.class] &&
	       (uint64_t)g.block * HF_BLOCKS_UNIT + hf_blocks_size(g.class) + 16 <= s->size;
}

static bool is_inside(const struct hf_site_store *s, const void *table, uint64_t size)
{
	return table && (uint64_t)((const char *)table - (const char *)s) <= s->size - size;
}

/* The tables of a realm, and that of a region; NULL: there is none. */
static const uint32_t *sound_realm(const struct hf_site_store *s, uint64_t number)
{
	const uint32_t *realm = table_at(s, &s->realms[number]);
	return is_inside(s, realm, HF_SITE_REALM * sizeof(*realm)) ? realm : NULL;
}

static uint64_t *sound_table(const struct hf_site_store *s, const uint32_t *realm, uint64_t region)
{
	uint64_t *table = realm ? table_at(s, &realm[region]) : NULL;
	return is_inside(s, table, HF_SITE_GROUPS * sizeof(*table)) ? table : NULL;
}

static const uint64_t *sound_word(const struct hf_site_store *s, uint64_t addr)
{
	if (addr >> HF_SITE_ADDRESS_BITS || addr % 8)
		return NULL;
	const uint64_t *table =
		sound_table(s, sound_realm(s, addr >> HF_SITE_REALM_BITS), hf_live_region(addr));
	return table ? &table[hf_live_group(addr)] : NULL;
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
		/* x86-64 keeps loads in order; the compiler is told to */
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
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

static void each_of_table(const struct hf_site_store *s, uint64_t start, const uint64_t *table,
	void (*fn)(void *ctx, const struct hf_live_object *object), void *ctx)
{
	for (uint64_t k = 0; k < HF_SITE_GROUPS; k++) {
		struct group g = group_of(__atomic_load_n(&table[k], __ATOMIC_ACQUIRE));
		if (g.n && is_sound(s, g))
			each_of_group(s, start | k << HF_SITE_GROUP_BITS, g, fn, ctx);
	}
}

void hf_live_each(const struct hf_site_store *s,
	void (*fn)(void *ctx, const struct hf_live_object *object), void *ctx)
{
	for (uint64_t i = 0; i < HF_SITE_REALMS; i++) {
		const uint32_t *realm = sound_realm(s, i);
		for (uint64_t k = 0; realm && k < HF_SITE_REALM; k++) {
			const uint64_t *table = sound_table(s, realm, k);
			if (table)
				each_of_table(s, i << HF_SITE_REALM_BITS | k << HF_SITE_REGION_BITS,
					table, fn, ctx);
		}
	}
}

/* The number of the first group of the table, from `first` on, that has an object. */
static uint64_t next_of_table(const struct hf_site_store *s, const uint64_t *table, uint64_t first)
{
	for (uint64_t k = first; k < HF_SITE_GROUPS; k++) {
		struct group g = group_of(__atomic_load_n(&table[k], __ATOMIC_ACQUIRE));
		if (g.n && is_sound(s, g))
			return k;
	}
	return HF_SITE_GROUPS;
}

bool hf_live_next(
	const struct hf_site_store *s, uint64_t addr, uint64_t *ret_start, uint64_t *ret_end)
{
	const uint64_t realm_size = 1ull << HF_SITE_REALM_BITS,
		       region_size = 1ull << HF_SITE_REGION_BITS,
		       group_size = 1ull << HF_SITE_GROUP_BITS;
	for (uint64_t at = addr; at >> HF_SITE_ADDRESS_BITS == 0;) {
		const uint32_t *realm = sound_realm(s, at >> HF_SITE_REALM_BITS);
		if (!realm) {
			at = (at | (realm_size - 1)) + 1;
			continue;
		}
		const uint64_t *table = sound_table(s, realm, hf_live_region(at));
		const uint64_t group =
			table ? next_of_table(s, table, hf_live_group(at)) : HF_SITE_GROUPS;
		if (group < HF_SITE_GROUPS) {
			*ret_start = (at & ~(region_size - 1)) | group << HF_SITE_GROUP_BITS;
			*ret_end = *ret_start + group_size;
			return true;
		}
		at = (at | (region_size - 1)) + 1;
	}
	return false;
}

/* Make the same bytes of the copy's area the source's. */
static bool copy_area(
	const struct hf_site_store *from, struct hf_site_store *to, const void *at, uint64_t size)
{
	uint64_t offset = (uint64_t)((const char *)at - (const char *)from);
	if (!hf_store_room(to, HF_SITE_PART_AREA, offset - sizeof(*to) + size))
		return false;
	memcpy((char *)to + offset, at, size);
	return true;
}

/* Each group for itself, under its lock; what is between groups does not matter. */
static bool copy_table(struct hf_site_store *s, struct hf_site_worker *w, uint64_t *table,
	struct hf_site_store *to)
{
	uint64_t *words = (uint64_t *)((char *)to + ((char *)table - (char *)s));
	if (!hf_store_room(to, HF_SITE_PART_AREA,
		    (uint64_t)((char *)&table[HF_SITE_GROUPS] - (char *)s) - sizeof(*s)))
		return false;
	bool ok = true;
	for (uint64_t k = 0; ok && k < HF_SITE_GROUPS; k++) {
		if (!group_of(__atomic_load_n(&table[k], __ATOMIC_RELAXED)).n)
			continue;
		uint64_t word = lock(s, w, &table[k]);
		struct group g = group_of(word);
		ok = !g.n || copy_area(s, to, keys_of(s, g), hf_blocks_size(g.class));
		words[k] = ok && g.n ? word : 0;
		unlock(w, &table[k], word);
	}
	return ok;
}

bool hf_live_copy(const struct hf_site_store *from, struct hf_site_store *to)
{
	struct hf_site_store *s = (struct hf_site_store *)(uintptr_t)from;
	struct hf_site_worker *w = borrow(s);
	bool ok = true;
	memset(to->realms, 0, sizeof(to->realms));
	for (uint64_t i = 0; ok && i < HF_SITE_REALMS; i++) {
		uint32_t *realm = table_at(s, &s->realms[i]);
		if (!realm)
			continue;
		ok = copy_area(s, to, realm, HF_SITE_REALM * sizeof(*realm));
		to->realms[i] = ok ? s->realms[i] : 0;
		/* by the copy: other threads add tables */
		uint32_t *copied = ok ? table_at(to, &to->realms[i]) : NULL;
		for (uint64_t k = 0; ok && k < HF_SITE_REALM; k++)
			ok = !copied[k] || copy_table(s, w, table_at(s, &copied[k]), to);
	}
	give_back(w);
	to->used = __atomic_load_n(&from->used, __ATOMIC_ACQUIRE);
	return ok && hf_store_room(to, HF_SITE_PART_AREA, to->used - sizeof(*to) + HF_SITE_TAIL);
}

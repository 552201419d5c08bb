#include "site/live.h"

#include <string.h>

#include "base/sys.h"

enum {
	SIZE_BITS = 20,
	SIZE_MASK = (1 << SIZE_BITS) - 1, /* as a size: it lies in the second slot */
	TID_BITS = 22,
	TIME_BITS = 22,
	BIG_STEP = 8, /* address of the second slot - address */
	SPINS = 200,
	CLUSTER_BITS = 5, /* of an address/8: 256 bytes */
	ORDER_SHIFT = 26,
};
static const uint64_t CLUSTER_MASK = (1 << CLUSTER_BITS) - 1;

/* Objects of the same 256 bytes have neighbouring slots: what is allocated together is found
 * together. A hash is 6 bits of shard, then 32 bits that order the slots in it, the last 5 of which
 * are the place in the 256 bytes. */
static uint64_t hash_of(uint64_t w0)
{
	uint64_t key = w0 >> SIZE_BITS;
	uint64_t h = (key >> CLUSTER_BITS) * 0x9e3779b97f4a7c15ull;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ull;
	return (h & ~(CLUSTER_MASK << ORDER_SHIFT)) | (key & CLUSTER_MASK) << ORDER_SHIFT;
}

static uint32_t shard_of(uint64_t hash)
{
	return (uint32_t)(hash >> 58);
}

static uint32_t order_of(uint64_t hash)
{
	return (uint32_t)(hash >> ORDER_SHIFT);
}

static uint32_t home_of(uint32_t order, uint32_t capacity)
{
	return (uint32_t)((uint64_t)order * capacity >> 32);
}

static void lock(struct hf_site_shard *shard)
{
	for (unsigned spins = 0; __atomic_exchange_n(&shard->lock, 1, __ATOMIC_ACQUIRE);) {
		while (__atomic_load_n(&shard->lock, __ATOMIC_RELAXED)) {
			if (++spins % SPINS)
				__builtin_ia32_pause();
			else
				hf_syscall0(SYS_sched_yield);
		}
	}
}

static void unlock(struct hf_site_shard *shard)
{
	__atomic_store_n(&shard->lock, 0, __ATOMIC_RELEASE);
}

/* A shard as its functions see it. */
struct table {
	struct hf_site_shard *shard;
	struct hf_site_slot *slots;
	uint32_t limit; /* slots, the tail included */
};

static struct table table_of(const struct hf_site_store *s, uint32_t number)
{
	struct hf_site_store *store = (struct hf_site_store *)s;
	return (struct table){&store->shards[number],
		store->slots + (uint64_t)number * s->shard_slots,
		store->shards[number].capacity + HF_SITE_TAIL};
}

/* Position of the key, or where it belongs: behind the slots that do not come after it. Four slots
 * at a time without a branch, since which of them it is cannot be foreseen; behind an empty slot
 * all come later. */
static bool search(const struct table *t, uint64_t w0, uint32_t order, uint32_t *ret)
{
	enum { GROUP = 4 };
	uint32_t at = home_of(order, t->shard->capacity);
	for (; at + GROUP <= t->limit; at += GROUP) {
		const struct hf_site_slot *slot = &t->slots[at];
		uint32_t before = 0, found = 0;
		for (uint32_t i = 0; i < GROUP; i++) {
			uint64_t w = slot[i].w0;
			before += (w != 0) & (order_of(hash_of(w)) <= order);
			found |= (uint32_t)(w >> SIZE_BITS == w0 >> SIZE_BITS) << i;
		}
		if (found) {
			*ret = at + (uint32_t)__builtin_ctz(found);
			return true;
		}
		if (before < GROUP) {
			*ret = at + before;
			return false;
		}
	}
	for (; at < t->limit && t->slots[at].w0; at++) {
		if (t->slots[at].w0 >> SIZE_BITS == w0 >> SIZE_BITS) {
			*ret = at;
			return true;
		}
		if (order_of(hash_of(t->slots[at].w0)) > order)
			break;
	}
	*ret = at;
	return false;
}

/* Spread the slots over a capacity that is greater by 2/5: first all to the far end, in order, then
 * each to its new home or behind the one before it, which is never past where it lies. */
static bool grow(struct hf_site_store *s, struct table *t)
{
	uint32_t most = s->shard_slots - HF_SITE_TAIL;
	uint32_t capacity = t->shard->capacity;
	if (capacity == most)
		return false;
	uint64_t wanted = (uint64_t)capacity * 7 / 5;
	uint32_t next = wanted < most ? (uint32_t)wanted : most;
	uint32_t end = next + HF_SITE_TAIL, from = end;
	t->shard->moving = 1;
	for (uint32_t i = t->limit; i-- > 0;) {
		struct hf_site_slot slot = t->slots[i];
		if (slot.w0) {
			t->slots[i].w0 = 0;
			t->slots[--from] = slot;
		}
	}
	uint32_t to = 0;
	for (uint32_t i = from; i < end; i++, to++) {
		struct hf_site_slot slot = t->slots[i];
		uint32_t home = home_of(order_of(hash_of(slot.w0)), next);
		to = home > to ? home : to;
		t->slots[i].w0 = 0;
		t->slots[to] = slot;
	}
	t->shard->capacity = next;
	t->limit = end;
	t->shard->moving = 0;
	return true;
}

static bool insert_at(struct table *t, uint32_t at, struct hf_site_slot slot)
{
	uint32_t empty = at;
	while (empty < t->limit && t->slots[empty].w0)
		empty++;
	if (empty >= t->limit)
		return false;
	for (; empty > at; empty--)
		t->slots[empty] = t->slots[empty - 1];
	t->slots[at] = slot;
	t->shard->n++;
	return true;
}

static bool insert(struct hf_site_store *s, struct hf_site_slot slot)
{
	uint64_t hash = hash_of(slot.w0);
	struct table t = table_of(s, shard_of(hash));
	uint32_t at;
	bool ok = true;
	lock(t.shard);
	t.limit = t.shard->capacity + HF_SITE_TAIL; /* it may have grown before the lock */
	if (t.shard->n >= (uint64_t)t.shard->capacity * 4 / 5)
		ok = grow(s, &t);
	if (search(&t, slot.w0, order_of(hash), &at)) {
		t.slots[at] = slot;
		ok = true;
	} else if (ok) {
		/* one long run at the end of the array has used up the tail */
		while (!(ok = insert_at(&t, at, slot)) && grow(s, &t))
			search(&t, slot.w0, order_of(hash), &at);
	}
	unlock(t.shard);
	return ok;
}

static bool remove_key(struct hf_site_store *s, uint64_t w0, struct hf_site_slot *ret)
{
	uint64_t hash = hash_of(w0);
	struct table t = table_of(s, shard_of(hash));
	uint32_t at;
	lock(t.shard);
	t.limit = t.shard->capacity + HF_SITE_TAIL;
	bool found = search(&t, w0, order_of(hash), &at);
	if (found) {
		*ret = t.slots[at];
		while (at + 1 < t.limit && t.slots[at + 1].w0 &&
			home_of(order_of(hash_of(t.slots[at + 1].w0)), t.shard->capacity) <= at) {
			t.slots[at] = t.slots[at + 1];
			at++;
		}
		t.slots[at].w0 = 0;
		t.shard->n--;
	}
	unlock(t.shard);
	return found;
}

static uint64_t key(uint64_t addr)
{
	return addr >> 3 << SIZE_BITS;
}

static bool is_big(struct hf_site_slot slot)
{
	return (slot.w0 & SIZE_MASK) == SIZE_MASK;
}

/* The second slot of a big object has site 0. */
static bool is_second(struct hf_site_slot slot)
{
	return !(slot.w1 >> (TID_BITS + TIME_BITS));
}

static void decode(struct hf_site_slot slot, struct hf_live_object *ret)
{
	*ret = (struct hf_live_object){
		.addr = slot.w0 >> SIZE_BITS << 3,
		.size = slot.w0 & SIZE_MASK,
		.site = (uint32_t)(slot.w1 >> (TID_BITS + TIME_BITS)),
		.tid = (uint32_t)(slot.w1 >> TIME_BITS) & ((1u << TID_BITS) - 1),
		.seconds = (uint32_t)slot.w1 & ((1u << TIME_BITS) - 1),
	};
}

static uint64_t big_size(struct hf_site_slot second)
{
	return second.w1 << SIZE_BITS | (second.w0 & SIZE_MASK);
}

bool hf_live_insert(struct hf_site_store *s, const struct hf_live_object *o)
{
	const uint64_t latest = (1u << TIME_BITS) - 1;
	uint64_t seconds = o->seconds < latest ? o->seconds : latest;
	bool big = o->size >= SIZE_MASK;
	struct hf_site_slot slot = {key(o->addr) | (big ? SIZE_MASK : o->size),
		(uint64_t)o->site << (TID_BITS + TIME_BITS) |
			(uint64_t)(o->tid & ((1u << TID_BITS) - 1)) << TIME_BITS | seconds};
	struct hf_site_slot second = {
		key(o->addr + BIG_STEP) | (o->size & SIZE_MASK), o->size >> SIZE_BITS};
	bool ok = (!big || insert(s, second)) && insert(s, slot);
	if (!ok)
		__atomic_add_fetch(&s->lost_objects, 1, __ATOMIC_RELAXED);
	return ok;
}

bool hf_live_remove(struct hf_site_store *s, uint64_t addr, struct hf_live_object *ret)
{
	struct hf_site_slot slot, second;
	struct hf_live_object object;
	if (!remove_key(s, key(addr), &slot) || is_second(slot))
		return false;
	decode(slot, &object);
	if (is_big(slot) && remove_key(s, key(addr + BIG_STEP), &second))
		object.size = big_size(second);
	if (ret)
		*ret = object;
	return true;
}

static bool find_key(const struct hf_site_store *s, uint64_t w0, struct hf_site_slot *ret)
{
	uint64_t hash = hash_of(w0);
	struct table t = table_of(s, shard_of(hash));
	uint32_t at;
	if (!search(&t, w0, order_of(hash), &at))
		return false;
	*ret = t.slots[at];
	return true;
}

static void read_slot(
	const struct hf_site_store *s, struct hf_site_slot slot, struct hf_live_object *ret)
{
	struct hf_site_slot second;
	decode(slot, ret);
	if (is_big(slot) && find_key(s, key(ret->addr + BIG_STEP), &second) && is_second(second))
		ret->size = big_size(second);
}

bool hf_live_find(const struct hf_site_store *s, uint64_t addr, struct hf_live_object *ret)
{
	struct hf_site_slot slot;
	if (addr % 8 || !find_key(s, key(addr), &slot) || is_second(slot))
		return false;
	read_slot(s, slot, ret);
	return true;
}

void hf_live_each(const struct hf_site_store *s,
	void (*fn)(void *ctx, const struct hf_live_object *object), void *ctx)
{
	for (uint32_t i = 0; i < HF_SITE_SHARDS; i++) {
		struct table t = table_of(s, i);
		for (uint32_t at = 0; at < t.limit; at++) {
			struct hf_live_object object;
			if (!t.slots[at].w0 || is_second(t.slots[at]))
				continue;
			read_slot(s, t.slots[at], &object);
			fn(ctx, &object);
		}
	}
}

void hf_live_lock_all(struct hf_site_store *s)
{
	for (int i = 0; i < HF_SITE_SHARDS; i++)
		lock(&s->shards[i]);
}

void hf_live_unlock_all(struct hf_site_store *s)
{
	for (int i = 0; i < HF_SITE_SHARDS; i++)
		unlock(&s->shards[i]);
}

bool hf_live_busy(const struct hf_site_store *s)
{
	for (int i = 0; i < HF_SITE_SHARDS; i++) {
		if (__atomic_load_n(&s->shards[i].lock, __ATOMIC_ACQUIRE))
			return true;
	}
	return false;
}

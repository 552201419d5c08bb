#include "frontend/told.h"

#include <errno.h>

#include "base/fmt.h"
#include "base/sys.h"

enum {
	MAX_REGISTERED = 256,
	MAX_LABELS = 1024,
};

static int list_lock; /* of the lists below; never taken while anything else can block */
static struct hf_registered_root registered[MAX_REGISTERED];
static struct hf_label labels[MAX_LABELS];

/* Only a dumper outside this process reads it. */
__attribute__((used)) static struct hf_told told = {
	HF_TOLD_MAGIC, registered, labels, MAX_REGISTERED, MAX_LABELS};

/* The lists: writers exclude each other by a spin lock with the signals left alone; a handler that
 * interrupts a writer on the same thread gets -EAGAIN instead of a deadlock. */

static bool lock_lists(void)
{
	for (int i = 0; i < 1000; i++) {
		int none = 0;
		if (__atomic_compare_exchange_n(
			    &list_lock, &none, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
		hf_sys_sleep_ns(10000);
	}
	return false;
}

static int unlock_lists(int result)
{
	__atomic_store_n(&list_lock, 0, __ATOMIC_RELEASE);
	return result;
}

int hf_told_register_root(const void *addr, size_t size, const char *name)
{
	uint64_t end;
	if (!addr || (uint64_t)addr % 8 || !size ||
		__builtin_add_overflow((uint64_t)addr, size, &end))
		return -EINVAL;
	if (!lock_lists())
		return -EAGAIN;
	struct hf_registered_root *slot = NULL;
	for (size_t i = 0; i < MAX_REGISTERED; i++) {
		if (registered[i].addr == (uint64_t)addr)
			slot = &registered[i];
		else if (!slot && !registered[i].addr)
			slot = &registered[i];
	}
	if (!slot)
		return unlock_lists(-ENOSPC);
	slot->size = size;
	hf_fmt(slot->name, sizeof(slot->name), "%s", name ? name : "registered root");
	slot->addr = (uint64_t)addr;
	return unlock_lists(0);
}

int hf_told_unregister_root(const void *addr)
{
	if (!lock_lists())
		return -EAGAIN;
	for (size_t i = 0; addr && i < MAX_REGISTERED; i++) {
		if (registered[i].addr == (uint64_t)addr) {
			registered[i].addr = 0;
			return unlock_lists(0);
		}
	}
	return unlock_lists(-ENOENT);
}

int hf_told_label(const void *object, const char *label)
{
	if (!object)
		return -EINVAL;
	if (!lock_lists())
		return -EAGAIN;
	struct hf_label *slot = NULL;
	for (size_t i = 0; i < MAX_LABELS; i++) {
		if (labels[i].addr == (uint64_t)object) {
			slot = &labels[i];
			break;
		}
		if (!slot && !labels[i].addr)
			slot = &labels[i];
	}
	if (!label) {
		if (slot && slot->addr == (uint64_t)object)
			slot->addr = 0;
		return unlock_lists(0);
	}
	if (!slot)
		return unlock_lists(-ENOSPC);
	hf_fmt(slot->text, sizeof(slot->text), "%s", label);
	slot->addr = (uint64_t)object;
	return unlock_lists(0);
}

struct hf_registered_root *hf_told_registered(struct hf_pool *pool, size_t *ret_n)
{
	struct hf_registered_root *copy = hf_pool_alloc(pool, sizeof(registered));
	*ret_n = 0;
	for (size_t i = 0; copy && i < MAX_REGISTERED; i++) {
		if (registered[i].addr)
			copy[(*ret_n)++] = registered[i];
	}
	return copy;
}

const struct hf_label *hf_told_labels(size_t *ret_n)
{
	*ret_n = MAX_LABELS;
	return labels;
}

#include "shapes.h"

#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "holdfast/holdfast.h"
#include "manifest.h"
#include "wipe.h"

enum { T_PAGE = 4096 };

struct list_node {
	struct list_node *next;
	uint64_t value;
};

struct table_entry {
	struct table_entry *next;
	uint64_t key;
	char *value;
};

struct table {
	uint64_t n_entries;
	struct table_entry **buckets;
};

struct tree_node {
	struct tree_node *left, *right, *parent;
	uint64_t key;
};

struct ring_node {
	struct ring_node *next, *prev;
	uint64_t value;
};

/* The roots. Arrays, because every builder thread has its own element. */
struct list_node *g_list[T_ROOTS];
struct table *g_table[T_ROOTS];
void **g_shared_left[T_ROOTS], **g_shared_right[T_ROOTS];
void **g_aligned[T_ROOTS], **g_large[T_ROOTS], **g_zero_size[T_ROOTS];
static struct tree_node *s_tree[T_ROOTS];
static void **s_interior[T_ROOTS];
static char *s_into_the_middle[T_ROOTS];
__thread struct list_node *tls_list;
static __thread struct list_node *tls_static_list;

#define ROOT(kind, variable, index, object, offset)                                                \
	t_root(kind, #variable, (void *volatile *)&variable[index], object, offset)
#define TLS_ROOT(variable, object) t_root(T_TLS, #variable, (void *volatile *)&variable, object, 0)

uint64_t t_random(struct t_builder *b)
{
	b->random ^= b->random >> 12;
	b->random ^= b->random << 25;
	b->random ^= b->random >> 27;
	return b->random * 0x2545f4914f6cdd1d;
}

size_t t_below(struct t_builder *b, size_t n)
{
	return (size_t)((t_random(b) >> 32) * n >> 32);
}

static struct list_node *new_list(struct t_builder *b, size_t n)
{
	struct list_node *head = NULL;
	for (size_t i = 0; i < n; i++) {
		struct list_node *node = t_new(sizeof(*node) + t_below(b, 160));
		node->next = NULL;
		node->value = i;
		if (head)
			t_link(node, offsetof(struct list_node, next), head, 0);
		head = node;
	}
	return head;
}

static void build_list(struct t_builder *b, size_t n)
{
	ROOT(T_GLOBAL, g_list, b->slot, new_list(b, n), 0);
}

static void build_table(struct t_builder *b, size_t n)
{
	struct table *table = t_new(sizeof(*table));
	ROOT(T_GLOBAL, g_table, b->slot, table, 0);
	size_t n_buckets = n / 3 + 1; /* chains of two on average */
	struct table_entry **buckets = t_new_zeroed(n_buckets * sizeof(*buckets));
	t_link(table, offsetof(struct table, buckets), buckets, 0);
	table->n_entries = n / 2;
	for (size_t i = 0; i < n / 2; i++) {
		struct table_entry *entry = t_new(sizeof(*entry));
		entry->key = t_random(b) >> 40; /* too small to be an address */
		size_t bucket = entry->key % n_buckets;
		if (buckets[bucket])
			t_link(entry, offsetof(struct table_entry, next), buckets[bucket], 0);
		char *value = t_below(b, 4) ? t_new(8 + t_below(b, 300))
					    : t_new_grown(64 + t_below(b, 600));
		t_link(entry, offsetof(struct table_entry, value), value, 0);
		buckets[bucket] = entry;
	}
	for (size_t i = 0; i < n_buckets; i++) {
		if (buckets[i])
			t_link(buckets, i * sizeof(*buckets), buckets[i], 0);
	}
}

static struct tree_node *new_tree(struct t_builder *b, size_t n)
{
	struct tree_node *root = NULL;
	for (size_t i = 0; i < n; i++) {
		struct tree_node *node = t_new_zeroed(sizeof(*node) + t_below(b, 64));
		node->key = t_random(b) >> 40;
		size_t side = 0;
		struct tree_node *parent = NULL, *at = root;
		while (at) {
			parent = at;
			side = node->key < at->key ? offsetof(struct tree_node, left)
						   : offsetof(struct tree_node, right);
			at = side ? at->right : at->left;
		}
		if (parent) {
			t_link(parent, side, node, 0);
			t_link(node, offsetof(struct tree_node, parent), parent, 0);
		} else {
			root = node;
		}
	}
	return root;
}

static void build_tree(struct t_builder *b, size_t n)
{
	ROOT(T_STATIC, s_tree, b->slot, new_tree(b, n), 0);
}

static struct ring_node *new_ring(size_t n)
{
	struct ring_node *first = NULL, *last = NULL;
	for (size_t i = 0; i < n; i++) {
		struct ring_node *node = t_new(sizeof(*node));
		node->value = i;
		if (last) {
			t_link(last, offsetof(struct ring_node, next), node, 0);
			t_link(node, offsetof(struct ring_node, prev), last, 0);
		} else {
			first = node;
		}
		last = node;
	}
	t_link(last, offsetof(struct ring_node, next), first, 0);
	t_link(first, offsetof(struct ring_node, prev), last, 0);
	return first;
}

static void build_cycle(struct t_builder *b, size_t n)
{
	static struct ring_node *s_ring[T_ROOTS];
	ROOT(T_STATIC, s_ring, b->slot, new_ring(n), 0);
}

static void **new_array(size_t n)
{
	return t_new_zeroed((n ? n : 1) * sizeof(void *));
}

/* Both arrays hold every second leaf, so neither of them dominates those. */
static void build_shared(struct t_builder *b, size_t n)
{
	void **left = new_array(n), **right = new_array(n);
	ROOT(T_GLOBAL, g_shared_left, b->slot, left, 0);
	ROOT(T_GLOBAL, g_shared_right, b->slot, right, 0);
	for (size_t i = 0; i < n; i++) {
		char *leaf = t_new(16 + t_below(b, 100));
		t_link(left, i * sizeof(void *), leaf, 0);
		if (i % 2)
			t_link(right, i * sizeof(void *), leaf, 0);
	}
}

/* Leaves that are only pointed into: anywhere up to their last requested byte. */
static void build_interior(struct t_builder *b, size_t n)
{
	void **array = new_array(n);
	ROOT(T_STATIC, s_interior, b->slot, array, 0);
	for (size_t i = 0; i < n; i++) {
		size_t size = 40 + t_below(b, 200);
		char *leaf = i % 512 ? t_new(size) : t_new(size += 150000);
		t_link(array, i * sizeof(void *), leaf, 1 + t_below(b, size - 1));
	}
	ROOT(T_STATIC, s_into_the_middle, b->slot, t_new(96), 40);
}

static void build_aligned(struct t_builder *b, size_t n)
{
	void **array = new_array(n);
	ROOT(T_GLOBAL, g_aligned, b->slot, array, 0);
	for (size_t i = 0; i < n; i++) {
		size_t alignment = (size_t)32 << t_below(b, i % 16 ? 6 : 12);
		t_link(array, i * sizeof(void *), t_new_aligned(alignment, 1 + t_below(b, 2000)),
			0);
	}
}

static void build_zero_size(struct t_builder *b, size_t n)
{
	void **array = new_array(n);
	ROOT(T_GLOBAL, g_zero_size, b->slot, array, 0);
	for (size_t i = 0; i < n; i++)
		t_link(array, i * sizeof(void *), t_new(0), 0);
}

static void *new_aligned_then_grown(void)
{
	void *object = realloc(memalign(64, 140000), 600000);
	t_adopt(object);
	return object;
}

/* Past the mmap threshold each has a mapping of its own; mremap moves and aligns them oddly. */
static void build_large(struct t_builder *b)
{
	void **array = new_array(8);
	ROOT(T_GLOBAL, g_large, b->slot, array, 0);
	void *const large[] = {
		t_new(200000),
		t_new_grown(1 << 20),
		t_new_shrunk(300000),
		t_new_zeroed(256 << 10),
		t_new_aligned(4096, 180000),
		t_new_aligned(1 << 16, 500000),
		new_aligned_then_grown(),
	};
	for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++)
		t_link(array, i * sizeof(void *), large[i], i % 2 ? 0 : 4096 * i + 8);
	t_link(large[1], (1 << 20) - 8, large[0], 0);
}

static void build_thread_local(struct t_builder *b, size_t n)
{
	TLS_ROOT(tls_list, new_list(b, n / 2 + 1));
	TLS_ROOT(tls_static_list, new_list(b, n / 2 + 1));
}

static void **map_words(size_t n_pages)
{
	void **words = mmap(
		NULL, n_pages * T_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (words == MAP_FAILED)
		t_die("mmap");
	return words;
}

/* Only pages that nothing else points to know these. */
static void build_mapping(struct t_builder *b, size_t n)
{
	enum { N_PAGES = 3, N_WORDS = N_PAGES * T_PAGE / sizeof(void *) };
	void **words = map_words(N_PAGES);
	t_root(T_MAPPING, "-", &words[7 + b->slot], new_list(b, n / 3 + 1), 0);
	t_root(T_MAPPING, "-", &words[N_WORDS - 1], new_list(b, n / 3 + 1), 0);
}

/* Like that, but the program says so, where the library is there to listen. */
static void build_registered(struct t_builder *b, size_t n)
{
	void **words = map_words(1);
	int status = holdfast_register_root(words, T_PAGE, "registered_page");
	void *list = new_list(b, n / 3 + 1);
	t_root(status ? T_MAPPING : T_REGISTERED, status ? "-" : "registered_page", &words[1], list,
		0);
	if (!holdfast_label(list, "registered_list"))
		t_label(list, "registered_list");
}

/* Held by nothing: alone, pointing to itself, in cycles, as trees, and pointing into what lives. */
static void build_leaks(struct t_builder *b, size_t n)
{
	t_set_leaking(1);
	for (size_t i = 0; i < n / 4 + 1; i++) {
		char *alone = t_new(16 + t_below(b, 200));
		if (i % 4 == 1)
			t_link(alone, 8, alone, 0);
		if (i % 4 == 2)
			t_link(alone, 0, g_table[b->slot], 8);
	}
	for (size_t i = 0; i < n / 16 + 1; i++)
		new_ring(4);
	for (size_t i = 0; i < n / 80 + 1; i++)
		new_tree(b, 20);
	new_list(b, n / 4 + 1);
	t_new(250000);
	t_set_leaking(0);
}

static __attribute__((noinline)) void build_shapes(struct t_builder *b, size_t n, int thread_lives)
{
	build_list(b, n * 14 / 100);
	build_table(b, n * 24 / 100);
	build_leaks(b, n * 5 / 100);
	build_tree(b, n * 12 / 100);
	build_cycle(b, n * 5 / 100 + 1);
	build_shared(b, n * 8 / 100);
	build_interior(b, n * 5 / 100);
	build_aligned(b, n * 2 / 100);
	build_zero_size(b, n * 2 / 100);
	build_mapping(b, n * 3 / 100);
	build_registered(b, n * 3 / 100);
	build_large(b);
	if (thread_lives)
		build_thread_local(b, n * 4 / 100);
}

void t_build(struct t_builder *b, size_t n, int thread_lives)
{
	build_shapes(b, n, thread_lives);
	t_wipe();
}

__attribute__((noinline)) void t_hold_on_stack(
	struct t_builder *b, int depth, void (*fn)(void *), void *context)
{
	void *volatile held;
	t_root(T_STACK, "held", &held, new_list(b, 3), 0);
	if (depth > 0)
		t_hold_on_stack(b, depth - 1, fn, context);
	else
		fn(context);
	__asm__ volatile("" ::"r"(held)); /* no tail call: the frame stays */
}

/*
 * Leak suspects: what holds or retains a tenth of the heap or more, and where below it the memory
 * piles up.
 *
 * From each such start (a variable, a root word without one, the head of a leaked component) the
 * search goes down to the largest child while that keeps 0.7 of its parent. Where it stops is the
 * accumulation point: below it the memory spreads over many children. A chain (a linked list: eight
 * steps and more through the same offset of objects of the same size) loses its mass link by link
 * and would hide that; if it loses 0.3 of it or more, the point is the chain's first object. So
 * does a structure of alike objects that divides (a search tree): then the point is its topmost
 * object on the way.
 *
 * Besides, groups of alike objects that nothing dominates are looked for (suspect_groups.c).
 *
 * Held figures come first; a start in the dominator tree is added if no path of a held suspect goes
 * through it. Nothing recurses; thread rule: pure functions over read-only arrays.
 */
#pragma once
#include "store/rows.h"

enum hf_suspect_basis {
	HF_SUSPECT_HELD,     /* the start holds a tenth of the heap */
	HF_SUSPECT_RETAINED, /* it retains a tenth */
	HF_SUSPECT_LEAKED,   /* it is unreachable and holds a tenth */
	HF_SUSPECT_GROUP, /* objects of one type and site that nothing dominates retain a fifth */
};

enum { HF_SUSPECT_SHARE = 10 /* one holds 1/10 of the heap */ };

struct hf_suspect {
	enum hf_suspect_basis basis;
	uint32_t variable, root, object; /* where the path starts: one of them; else HF_NONE */
	uint64_t held_size, held_count, retained_size, retained_count;
	uint32_t point;          /* object, or HF_NONE: the variable itself */
	uint32_t point_children; /* objects directly below it in the tree of the basis */
	uint32_t hops;           /* objects on the path from the start to the point */
	uint32_t type, site;     /* of a group: index+1 of names, site id; 0: none */
	char *path;              /* owned; of a group: what it is */
};

struct hf_suspects {
	struct hf_suspect *at; /* owned; largest first */
	size_t n, cap;
};

struct hf_suspect_input {
	const struct hf_rows_objects *objects;
	const struct hf_graph *graph;
	const struct hf_graph_heads *heads;
};

enum hf_status hf_suspects_init(
	struct hf_suspects *ret, const struct hf_suspect_input *input, struct hf_err *err);
void hf_suspects_deinit(struct hf_suspects *suspects);

/* Inside store/ only. Add the groups that are suspects: their object is the largest member,
 * point_children the number of members. Those that are held by suspected variables for the most
 * part are left out. */
enum hf_status hf_suspects_groups(struct hf_suspects *found, const struct hf_suspect_input *input,
	uint64_t total_bytes, struct hf_err *err);
/* A new last one; NULL: no memory. */
struct hf_suspect *hf_suspects_push(struct hf_suspects *suspects);

/* A path down a tree, as the search found it: node[0] is the start (a node of the graph; HF_NONE: a
 * root word), the others are objects. */
struct hf_suspect_path {
	uint32_t *node;
	uint64_t *edge; /* [i]: from node[i - 1] to node[i]; UINT64_MAX: not joined by one */
	size_t n, cap;
	bool dominators; /* the tree */
};

/* Is there a chain from node[at] on? The number of its steps on the path, else 0. */
size_t hf_suspect_chain(
	const struct hf_suspect_input *input, const struct hf_suspect_path *path, size_t at);
/* The number of its objects, from node[at] to its tail, beyond the path, too; 0: no chain. */
size_t hf_suspect_chain_length(
	const struct hf_suspect_input *input, const struct hf_suspect_path *path, size_t at);
/* Do two edges of a path lead through the same word: the same offset, and field where known? */
bool hf_suspect_same_word(const struct hf_suspect_input *input, uint64_t a, uint64_t b);

/* Text of the path as far as node[point], with the chain below it: an allocated string or NULL (no
 * memory). */
char *hf_suspect_text(const struct hf_suspect_input *input, const struct hf_suspect_path *path,
	size_t point, uint32_t root);

/* The answers by brute force: definitions written down as loops, nothing shared with the module. */
#pragma once
#include "sample.h"

enum { ORACLE_NODES = SAMPLE_OBJECTS + SAMPLE_VARIABLES };

struct oracle_key {
	uint32_t rank, doubts, depth, root;
};

struct oracle {
	struct hf_graph_link reach[SAMPLE_OBJECTS];
	bool reachable[SAMPLE_OBJECTS], head[SAMPLE_OBJECTS];
	bool dominates[ORACLE_NODES][SAMPLE_OBJECTS]; /* [node][object]; a node dominates itself */
	uint64_t retained_size[ORACLE_NODES];
	uint32_t retained_count[ORACLE_NODES];
	uint32_t idom[SAMPLE_OBJECTS];
	struct oracle_key held[SAMPLE_OBJECTS]; /* unreachable: rank 256, root is the head */
};

void oracle_init(struct oracle *o, const struct sample *s);

/* What is still reachable from the root words (leaked false), or from the heads over unreachable
 * objects (leaked true), when the nodes marked in removed are gone. */
void oracle_alive(const struct oracle *o, const struct sample *s, const bool *removed, bool leaked,
	bool *ret_alive);

/* Is a path with key a better than one with key b? */
bool oracle_better(struct oracle_key a, struct oracle_key b);
/* The key of a path that goes on over edge e. */
struct oracle_key oracle_extend(const struct sample *s, struct oracle_key key, uint64_t e);

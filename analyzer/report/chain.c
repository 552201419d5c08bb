#include "report/chain.h"

#include <string.h>

enum {
	SIZE_SLACK = 16,  /* bytes by which an allocator may round one link more than another */
	BRANCH_SHARE = 8, /* a branch has more than one part in so many */
};

static bool alike(const struct hf_child *a, const struct hf_child *b)
{
	uint64_t x = a->node.self_size, y = b->node.self_size;
	bool same_type = a->type_id == b->type_id || !a->type_id || !b->type_id;
	return same_type && (x > y ? x - y : y - x) <= SIZE_SLACK;
}

static bool continues(const struct hf_chain *chain, const struct hf_child *child)
{
	const struct hf_child *last = &chain->last;
	return child->direct && last->direct && child->word.src_offset == last->word.src_offset &&
	       !strcmp(child->word.field, last->word.field) && alike(child, last);
}

void hf_chain_start(struct hf_chain *chain, const struct hf_child *first)
{
	*chain = (struct hf_chain){.head = *first, .last = *first};
}

void hf_chain_add(struct hf_chain *chain, const struct hf_child *next)
{
	/* The first step makes a chain of any word. */
	if (!chain->steps || !continues(chain, next)) {
		chain->head = chain->last;
		chain->steps = 0;
	}
	chain->last = *next;
	chain->steps++;
}

/* What the last object holds: the next link, if there is one, and branches. */
static enum hf_status look(struct hf_chain *chain, struct hf_children *children,
	struct hf_child *next, struct hf_child *branch, struct hf_err *err)
{
	struct hf_child child;
	next->node.id = 0;
	enum hf_status status = hf_children_open(children, &chain->last.node, err);
	while (hf_children_next(children, &child, &status, err)) {
		if (!next->node.id && continues(chain, &child))
			*next = child;
		else if (child.node.size > branch->node.size)
			*branch = child;
	}
	return status;
}

enum hf_status hf_chain_finish(struct hf_chain *chain, struct hf_children *children,
	struct hf_trail *trail, int64_t *steps, int64_t max_steps, struct hf_chain_sum *ret,
	struct hf_err *err)
{
	struct hf_child next;
	*ret = (struct hf_chain_sum){0};
	for (;;) {
		enum hf_status status = look(chain, children, &next, &ret->branch, err);
		if (status != HF_OK)
			return status;
		if (!next.node.id)
			break;
		if ((*steps)++ >= max_steps) {
			ret->cut = true;
			break;
		}
		hf_trail_add(trail, &next.word, true, false);
		hf_chain_add(chain, &next);
	}
	bool with_head = alike(&chain->head, &chain->last);
	uint64_t size = chain->head.node.size - (with_head ? 0 : chain->head.node.self_size);
	if (ret->branch.node.size <= size / BRANCH_SHARE)
		ret->branch.node = (struct hf_node){0};
	ret->links = chain->steps + with_head;
	ret->link_size = (size - ret->branch.node.size) / ret->links;
	return HF_OK;
}

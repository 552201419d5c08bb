/* Pointers whose low bits say something else: the colour of a node, the kind of a value. */
#include <stdint.h>

#include "typed.h"

struct value {
	char *text;
	long number[3];
};
struct tree {
	struct tree *left, *right; /* lowest bit: red */
	struct value *value;       /* three bits: its kind */
	long key;
};
struct tree *g_tree;

static void *tagged(void *p, unsigned bits)
{
	return (void *)((uintptr_t)p | bits);
}

static struct tree *make_tree(unsigned depth, const char *path)
{
	char below[200];
	struct tree *t = calloc(1, sizeof(*t));
	struct value *v = calloc(1, sizeof(*v));
	if (!t || !v)
		exit(2);
	typed(t, "struct tree", "%s", path);
	typed(v, "struct value", "%s->value", path);
	v->text = calloc(1, 100);
	typed(v->text, "char[]", "%s->value->text", path);
	t->value = tagged(v, 1 + depth);
	if (!depth)
		return t;
	snprintf(below, sizeof(below), "%s->left", path);
	t->left = tagged(make_tree(depth - 1, below), 1);
	snprintf(below, sizeof(below), "%s->right", path);
	t->right = make_tree(depth - 1, below);
	return t;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	typed_open(argv[1]);
	g_tree = tagged(make_tree(6, "*g_tree"), 1);
	typed_dump();
	return 0;
}

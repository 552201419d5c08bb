/* C as it is in the wild: headers that allocators hide, slabs, strings behind a header, objects
 * that are shorter than their type, handles that are cast, kinds that only a table of functions
 * tells. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "typed.h"

struct user {
	char *name;
	struct user *boss;
	long born[4];
};

/* An allocator with a header of its own: the program never sees where chunks start. */
static void *hidden_alloc(size_t size)
{
	size_t *p = calloc(1, size + 16);
	if (!p)
		exit(2);
	p[0] = size;
	return p + 2;
}
static const void *hidden(const void *p)
{
	return (const char *)p - 16;
}

/* A pool: one chunk, many structs. */
struct pool {
	char *next, *end;
	struct pool *more;
};
struct request {
	struct user *by;
	struct header *first;
	unsigned long flags;
};
struct header {
	struct header *next;
	char *text;
	struct request *of;
};

static void *from_pool(struct pool *pool, size_t size)
{
	void *p = pool->next;
	pool->next += (size + 7) & ~7ul;
	return p;
}

/* A string whose length stands before it; callers see the characters. */
struct counted {
	uint32_t length, room;
	uint64_t hash;
	unsigned char kind;
	char text[];
} __attribute__((packed));

/* Shapes by their operations: the list knows them as void *. */
struct shape_ops {
	void (*draw)(void *);
	void (*drop)(void *);
};
struct circle {
	const struct shape_ops *ops;
	double radius;
	char *label;
	struct user *owner;
	uint64_t more[6];
};
struct square {
	const struct shape_ops *ops;
	double side[7];
	struct user *owner;
	char *label;
};
static void nothing(void *p)
{
	(void)p;
}
static const struct shape_ops circle_ops = {nothing, nothing}, square_ops = {NULL, nothing};

/* Only what the kind needs is allocated. */
struct node {
	int kind;
	struct node *next;
	union {
		struct {
			char *text;
		} leaf;
		struct {
			struct node *child[6];
			long weight[6];
		} inner;
	} u;
};

/* A handle whose struct the header does not tell. */
typedef struct handle_opaque *handle_t;
struct handle {
	struct user *owner;
	uint64_t state[9];
	char *path;
};

/* A table of which nobody but three functions knows what it is. */
typedef struct secret_opaque *secret_t;
struct secret {
	struct user *owner;
	uint64_t state[5];
	struct counted *name;
};
__attribute__((noinline)) static secret_t secret_new(void)
{
	struct secret *s = calloc(1, sizeof(*s));
	return (secret_t)s;
}
__attribute__((noinline)) static void secret_own(secret_t handle, struct user *owner)
{
	struct secret *s = (struct secret *)handle;
	s->owner = owner;
}
__attribute__((noinline)) static void secret_name(secret_t handle, struct counted *name)
{
	struct secret *s = (struct secret *)handle;
	s->name = name;
}

struct wild {
	struct user *users;
	struct pool *pool;
	struct request *request;
	char *counted;
	struct counted *one;
	void *shapes[20];
	struct circle *circles[3];
	struct square *squares[3];
	struct node *nodes;
	handle_t handle;
	struct handle *last;
	secret_t secret;
	char *bytes;
	struct user *in_bytes;
	unsigned short *stale; /* freed; now something else is there */
	struct user **roster;
};
char *g_stray;  /* text in the pool */
double g_noise; /* the bits of an address */
struct wild g_wild;

static void build_hidden(void)
{
	struct user *boss = g_wild.users = hidden_alloc(sizeof(struct user));
	typed(hidden(boss), "struct user", "g_wild.users");
	for (int i = 0; i < 100; i++) {
		boss->boss = hidden_alloc(sizeof(struct user));
		boss = boss->boss;
		typed(hidden(boss), "struct user", "*->boss");
		boss->name = hidden_alloc(40);
	}
}

static void build_pool(void)
{
	struct pool *pool = g_wild.pool = calloc(1, 1 << 16);
	pool->next = (char *)(pool + 1);
	pool->end = (char *)pool + (1 << 16);
	typed(pool, "struct pool?", "g_wild.pool");
	struct request *r = g_wild.request = from_pool(pool, sizeof(*r));
	r->by = calloc(1, sizeof(struct user));
	typed(r->by, "struct user", "g_wild.pool->{struct request}.by");
	for (int i = 0; i < 300; i++) {
		struct header *h = from_pool(pool, sizeof(*h));
		h->next = r->first;
		r->first = h;
		h->of = r;
		from_pool(pool, 8 + i % 64);
	}
	struct user *user = from_pool(pool, sizeof(*user));
	user->boss = calloc(1, sizeof(struct user));
	r->first->of = from_pool(pool, sizeof(*r));
	r->first->of->by = user;
	typed(user->boss, "struct user", "g_wild.pool->{struct user}.boss");
	g_stray = pool->next + 50;
	memcpy(&g_noise, &user->boss, sizeof(g_noise));
}

static void build_strings(void)
{
	struct counted *one = calloc(1, sizeof(*one) + 30);
	g_wild.counted = one->text;
	typed(one, "struct counted?", "g_wild.counted");
	g_wild.one = calloc(1, sizeof(*one) + 100);
	typed(g_wild.one, "struct counted", "g_wild.one");
}

static void build_shapes(void)
{
	for (int i = 0; i < 3; i++) {
		struct circle *c = g_wild.circles[i] = calloc(1, sizeof(*c));
		c->ops = &circle_ops;
		typed(c, "struct circle", "g_wild.circles[%d]", i);
		struct square *s = g_wild.squares[i] = calloc(1, sizeof(*s));
		s->ops = &square_ops;
		typed(s, "struct square", "g_wild.squares[%d]", i);
	}
	for (int i = 0; i < 20; i++) {
		struct circle *c = calloc(1, sizeof(*c));
		struct square *s = (void *)c;
		c->ops = i % 2 ? &circle_ops : &square_ops;
		g_wild.shapes[i] = c;
		struct user *owner = calloc(1, sizeof(*owner));
		if (i % 2)
			c->owner = owner;
		else
			s->owner = owner;
		typed(c, i % 2 ? "struct circle" : "struct square", "g_wild.shapes[%d]", i);
		typed(owner, "struct user", "g_wild.shapes[%d]->owner", i);
	}
}

static void build_short(void)
{
	size_t leaf = offsetof(struct node, u) + sizeof(((struct node *)0)->u.leaf);
	struct node *n = g_wild.nodes = calloc(1, sizeof(*n));
	n->kind = 1;
	typed(n, "struct node", "g_wild.nodes");
	for (int i = 0; i < 6; i++) {
		n->u.inner.child[i] = calloc(1, leaf);
		typed(n->u.inner.child[i], "struct node?", "g_wild.nodes->u.inner.child[%d]", i);
		n->u.inner.child[i]->u.leaf.text = calloc(1, 70);
	}
}

static void build_handles(void)
{
	struct handle *h = g_wild.last = calloc(1, sizeof(*h));
	g_wild.handle = (handle_t)h;
	h->owner = calloc(1, sizeof(*h->owner));
	typed(h, "struct handle", "*");
	typed(h->owner, "struct user", "*->owner");
	struct user *owner = calloc(1, sizeof(*owner));
	g_wild.secret = secret_new();
	secret_own(g_wild.secret, owner);
	secret_name(g_wild.secret, calloc(1, sizeof(struct counted) + 60));
	typed(g_wild.secret, "struct secret?", "g_wild.secret");
	typed(owner, "struct user?", "g_wild.secret->owner");
	/* bytes that a struct lies in */
	g_wild.bytes = calloc(1, 500);
	g_wild.in_bytes = (struct user *)(g_wild.bytes + 104);
	g_wild.in_bytes->boss = calloc(1, sizeof(struct user));
	typed(g_wild.in_bytes->boss, "struct user", "g_wild.bytes->{struct user}.boss");
}

/* A stale pointer to numbers comes first; what is there now has pointers in it. */
static void build_stale(void)
{
	struct user **roster = g_wild.roster = calloc(12, sizeof(*roster));
	g_wild.stale = (unsigned short *)roster;
	typed(roster, "struct user *[]", "*");
	for (int i = 0; i < 12; i++) {
		roster[i] = calloc(1, sizeof(**roster));
		typed(roster[i], "struct user", "*[%d]", i);
	}
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	typed_open(argv[1]);
	build_hidden();
	build_pool();
	build_strings();
	build_shapes();
	build_short();
	build_handles();
	build_stale();
	typed_dump();
	return 0;
}

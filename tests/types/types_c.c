/* C: every way in which a type can be reached, and what each object is. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "typed.h"

struct list_head {
	struct list_head *next, *prev;
};

/* An intrusive list: pointers lead to the middle of the items. */
struct item {
	uint64_t serial;
	double weight;
	struct list_head link;
	char *title;
};

/* A list whose link stands first. */
struct job {
	struct list_head link;
	struct item *subject;
	long priority;
	unsigned char state;
};

typedef struct {
	uint32_t n_values;
	struct entry {
		char *key;
		void *value;
	} entries[];
} table_t;

enum kind { KIND_TEXT, KIND_LIST, KIND_NUMBER };
struct value {
	enum kind kind;
	union {
		char *text;
		struct value **list;
		double number;
	} as;
	size_t n;
};

/* «Inheritance»: the size tells what a struct base * really leads to. */
struct base {
	int tag;
	struct base *sibling;
};
struct derived {
	struct base base;
	char *extra;
	struct item *items;
	uint64_t more[5];
};

struct opaque; /* defined nowhere */

struct matrix {
	size_t rows;
	double **row;
	struct value grid[3][2];
	unsigned on : 1, off : 31;
};

/* The bits of a double and two ints that are the address of something. */
struct sample {
	double noise[4];
	int low, high;
	struct value *truth;
};

struct victim {
	uint64_t payload[40];
};
struct keeper {
	struct keeper *next;
	struct victim *mine;
};

struct app {
	struct list_head items;
	struct list_head jobs;
	table_t *table;
	struct value *root;
	struct base *bases;
	struct opaque *handle;
	struct matrix matrix;
	struct item *array;
	const struct app *self;
	int (*callback)(int);
	uintptr_t tagged;
};

struct app g_app;
static struct sample *s_sample;
static struct keeper *s_keeper;
__thread struct value *t_value;
static table_t **s_tables[4];

static void *make(size_t size)
{
	void *p = calloc(1, size);
	if (!p)
		exit(2);
	return p;
}

static void list_add(struct list_head *head, struct list_head *link)
{
	link->prev = head->prev;
	link->next = head;
	head->prev->next = link;
	head->prev = link;
}

static char *text_of(const char *format, int n)
{
	char *text = make(64);
	snprintf(text, 64, format, n);
	return text;
}

static void build_lists(void)
{
	g_app.items.next = g_app.items.prev = &g_app.items;
	g_app.jobs.next = g_app.jobs.prev = &g_app.jobs;
	for (int i = 0; i < 40; i++) {
		struct item *item = make(sizeof(*item));
		item->title = text_of("title %d", i);
		list_add(&g_app.items, &item->link);
		/* the nearer end: the first 20 by next, the others by prev */
		typed(item, "struct item", "*");
		typed(item->title, "char[]", "*title");
	}
	for (int i = 0; i < 3; i++) {
		struct job *job = make(sizeof(*job));
		list_add(&g_app.jobs, &job->link);
		typed(job, "struct job", "*");
		job->subject = make(sizeof(*job->subject));
		typed(job->subject, "struct item", "*->subject");
	}
}

static struct value *make_value(int depth, const char *path)
{
	struct value *value = make(sizeof(*value));
	typed(value, "struct value", "%s", path);
	if (!depth) {
		value->kind = KIND_TEXT;
		value->as.text = text_of("leaf %d", depth);
		typed(value->as.text, "char[]", "*");
		return value;
	}
	value->kind = KIND_LIST;
	value->n = 3;
	value->as.list = make(3 * sizeof(*value->as.list));
	typed(value->as.list, "struct value *[]", "%s->as.list", path);
	for (int i = 0; i < 3; i++) {
		char inner[200];
		snprintf(inner, sizeof(inner), "%s->as.list[%d]", path, i);
		value->as.list[i] = make_value(depth - 1, inner);
	}
	return value;
}

static void build_table(void)
{
	g_app.table = make(sizeof(table_t) + 5 * sizeof(struct entry));
	g_app.table->n_values = 5;
	typed(g_app.table, "table_t", "g_app.table");
	for (int i = 0; i < 5; i++) {
		g_app.table->entries[i].key = text_of("key %d", i);
		typed(g_app.table->entries[i].key, "char[]", "g_app.table->entries[%d].key", i);
	}
	static __attribute__((used)) table_t *s_spare[2];
	s_spare[1] = make(sizeof(table_t));
	typed(s_spare[1], "table_t", "build_table()::s_spare[1]");
	s_tables[2] = make(8 * sizeof(table_t *));
	typed(s_tables[2], "table_t *[]", "s_tables[2]");
	s_tables[2][6] = make(sizeof(table_t) + 50 * sizeof(struct entry));
	typed(s_tables[2][6], "table_t", "s_tables[2][6]");
}

static void build_rest(void)
{
	struct derived *derived = make(sizeof(*derived));
	g_app.bases = &derived->base;
	derived->extra = text_of("extra %d", 1);
	derived->items = make(sizeof(struct item));
	derived->base.sibling = make(sizeof(struct base));
	typed(derived, "struct derived", "g_app.bases");
	typed(derived->items, "struct item", "g_app.bases->items");
	typed(derived->extra, "char[]", "g_app.bases->extra");
	typed(derived->base.sibling, "struct base", "g_app.bases->base.sibling");

	g_app.handle = make(100);
	typed(g_app.handle, "struct opaque?", "g_app.handle");

	g_app.matrix.rows = 4;
	g_app.matrix.row = make(4 * sizeof(double *));
	typed(g_app.matrix.row, "double *[]", "g_app.matrix.row");
	for (int i = 0; i < 4; i++) {
		g_app.matrix.row[i] = make(10 * sizeof(double));
		typed(g_app.matrix.row[i], "double[]", "g_app.matrix.row[%d]", i);
	}
	g_app.matrix.grid[1][1].as.list = make(2 * sizeof(struct value *));
	g_app.matrix.grid[1][1].as.list[1] = make_value(0, "g_app.matrix.grid[1][1].as.list[1]");
	typed(g_app.matrix.grid[1][1].as.list, "struct value *[]",
		"g_app.matrix.grid[1][1].as.list");

	g_app.array = make(25 * sizeof(struct item));
	typed(g_app.array, "struct item[]", "g_app.array");
	for (int i = 0; i < 25; i += 8) {
		g_app.array[i].title = text_of("element %d", i);
		typed(g_app.array[i].title, "char[]", "g_app.array[%d].title", i);
	}
	t_value = make_value(0, "t_value");
	g_app.self = &g_app;
}

/* g_sample's doubles and ints point to what only s_keeper holds by a pointer, and to an object that
 * nobody else holds. */
static void build_doubt(void)
{
	s_sample = make(sizeof(*s_sample));
	typed(s_sample, "struct sample", "s_sample");
	s_keeper = make(sizeof(*s_keeper));
	s_keeper->next = make(sizeof(*s_keeper));
	s_keeper->next->mine = make(sizeof(struct victim));
	typed(s_keeper->next->mine, "struct victim", "s_keeper->next->mine");
	memcpy(&s_sample->noise[2], &s_keeper->next->mine, sizeof(double));
	void *alone = make(2000);
	memcpy(&s_sample->low, &alone, sizeof(alone));
	fprintf(typed_out, "doubtful %p\n", alone);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	typed_open(argv[1]);
	build_lists();
	build_table();
	g_app.root = make_value(3, "g_app.root");
	build_rest();
	build_doubt();
	typed_dump();
	return 0;
}

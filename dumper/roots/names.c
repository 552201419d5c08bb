#include "roots/names.h"

#include <string.h>

#include "image/symbols.h"

enum { MAX_ALIASES = 32 /* symbols looked at back from an address */ };

/* A symbol that may cover root words, of data or of TLS. */
struct candidate {
	uint64_t addr, size; /* addr of TLS: offset in the block */
	const char *name;    /* in the mapped file */
	uint32_t variable;   /* index + 1 of the variable made of it; 0: none yet */
	uint32_t thread;     /* of that variable, for TLS */
	uint8_t local, underscores;
	uint16_t length;
};

struct namer {
	struct hf_roots *roots;
	const struct hf_layout *layout;
	size_t image;
	struct hf_vec data, tls; /* of struct candidate, sorted */
};

/* By address; of several at one address the one to show comes last: the global one, with the fewest
 * leading underscores, the shortest. */
static int by_addr(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	if (x->local != y->local)
		return x->local ? -1 : 1;
	if (x->underscores != y->underscores)
		return x->underscores > y->underscores ? -1 : 1;
	if (x->length != y->length)
		return x->length > y->length ? -1 : 1;
	return strcmp(y->name, x->name);
}

static bool in_writable(const struct hf_image *image, uint64_t addr)
{
	for (uint32_t i = 0; i < image->n_segments; i++) {
		const struct hf_segment *seg = &image->segments[i];
		if ((seg->perms & HF_PERM_W) && addr >= seg->start && addr < seg->end)
			return true;
	}
	return false;
}

static bool load(struct namer *n, const struct hf_symbols *symbols, const struct hf_image *image)
{
	for (uint64_t i = 0; i < symbols->n; i++) {
		struct hf_symbol symbol;
		if (!hf_symbols_get(symbols, image, i, &symbol) ||
			(!symbol.tls && !in_writable(image, symbol.addr)))
			continue;
		struct candidate *c = hf_vec_push(symbol.tls ? &n->tls : &n->data);
		if (!c)
			return false;
		size_t length = strlen(symbol.name);
		size_t underscores = strspn(symbol.name, "_");
		*c = (struct candidate){.addr = symbol.addr,
			.size = symbol.size,
			.name = symbol.name,
			.local = symbol.local,
			.underscores = underscores < 255 ? (uint8_t)underscores : 255,
			.length = (uint16_t)length};
	}
	hf_sort(n->data.data, n->data.n, n->data.elem, by_addr);
	hf_sort(n->tls.data, n->tls.n, n->tls.elem, by_addr);
	return true;
}

static struct candidate *covering(const struct hf_vec *symbols, uint64_t addr)
{
	size_t lo = 0, hi = symbols->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (((struct candidate *)hf_vec_at(symbols, mid))->addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (size_t k = 0; k < MAX_ALIASES && lo > k; k++) {
		struct candidate *c = hf_vec_at(symbols, lo - k - 1);
		if (addr - c->addr < c->size)
			return c;
	}
	return NULL;
}

static uint32_t variable_of(struct namer *n, struct candidate *c, const struct hf_root_record *word,
	enum hf_root_kind kind, uint64_t addr)
{
	if (c->variable && c->thread == word->thread)
		return c->variable;
	const char *name = hf_pool_strndup(n->roots->pool, c->name, c->length);
	struct hf_variable_record *v = name ? hf_vec_push(&n->roots->variables) : NULL;
	if (!v)
		return 0;
	*v = (struct hf_variable_record){kind, word->module, word->thread, addr, c->size, name};
	c->variable = (uint32_t)n->roots->variables.n;
	c->thread = word->thread;
	return c->variable;
}

static void name_word(struct namer *n, struct hf_root_record *word)
{
	bool tls = word->kind == HF_ROOT_TLS;
	uint64_t block =
		tls ? n->layout->stacks[word->thread - 1].tp - n->layout->tls.offsets[n->image] : 0;
	struct candidate *c = covering(tls ? &n->tls : &n->data, word->addr - block);
	if (!c)
		return;
	if (!tls)
		word->kind = c->local ? HF_ROOT_STATIC : HF_ROOT_GLOBAL;
	word->variable = variable_of(n, c, word, word->kind, c->addr + block);
}

static void name_words(struct namer *n)
{
	for (size_t i = 0; i < n->roots->words.n; i++) {
		struct hf_root_record *word = hf_vec_at(&n->roots->words, i);
		if (word->module == n->image + 1 &&
			(word->kind == HF_ROOT_STATIC || word->kind == HF_ROOT_TLS))
			name_word(n, word);
	}
}

static bool has_words(const struct hf_roots *roots, size_t image)
{
	for (size_t i = 0; i < roots->words.n; i++) {
		if (((struct hf_root_record *)hf_vec_at(&roots->words, i))->module == image + 1)
			return true;
	}
	return false;
}

enum hf_status hf_names_assign(struct hf_roots *roots, const struct hf_layout *layout,
	const struct hf_image_files *files, struct hf_err *err)
{
	bool ok = true;
	for (size_t i = 0; ok && i < hf_images_count(layout->images); i++) {
		const struct hf_image *image = hf_images_at(layout->images, i);
		struct hf_symbols symbols;
		if (!has_words(roots, i))
			continue;
		if (hf_symbols_open(&symbols, image, files, NULL)) {
			roots->n_unnamed_images++;
			continue;
		}
		struct namer n = {.roots = roots, .layout = layout, .image = i};
		hf_vec_init(&n.data, sizeof(struct candidate));
		hf_vec_init(&n.tls, sizeof(struct candidate));
		ok = load(&n, &symbols, image);
		if (ok)
			name_words(&n);
		hf_vec_deinit(&n.data);
		hf_vec_deinit(&n.tls);
		hf_symbols_close(&symbols);
	}
	return ok ? HF_OK : hf_err_set(err, HF_E_NOMEM, "no memory for symbol names");
}

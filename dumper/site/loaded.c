#include "site/loaded.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>

#include "base/page_alloc.h"
#include "site/probe.h"

enum {
	MAX_LOADED = 512,
	MAX_PHDRS = 64,
	TRIES = 3,
	N_UNKNOWN = 256, /* pages that are in no module, remembered for a second */
	SECONDS_BITS = 12,
};

struct module {
	uint64_t start, end, bias;
	struct link_map *map;
	uint8_t *header; /* .eh_frame_hdr; NULL: none */
};

/* The low bit of the version says which table is in force; the other may be in the making. */
static struct table {
	uint32_t n;
	struct module modules[MAX_LOADED];
} tables[2];
static uint64_t version;
static uint64_t chain; /* a hash of the list that the table was made from; 0: not yet */
static int making, changed;
static uint64_t unknown[N_UNKNOWN];
static struct r_debug *loader;

bool hf_loaded_init(void)
{
	if (!loader)
		loader = dlsym(RTLD_DEFAULT, "_r_debug");
	return loader != NULL;
}

void hf_loaded_changed(void)
{
	__atomic_store_n(&changed, 1, __ATOMIC_RELEASE);
}

void hf_loaded_forked(void)
{
	__atomic_store_n(&making, 0, __ATOMIC_RELEASE);
}

static bool is_whole(void)
{
	return __atomic_load_n((volatile int *)&loader->r_state, __ATOMIC_ACQUIRE) == RT_CONSISTENT;
}

/* The list. */

struct walk {
	const struct link_map *map, *before;
	uint64_t probed; /* the page that was probed last */
	uint32_t n;
	uint64_t hash;
};

static bool is_there(struct walk *w, uint64_t start, uint64_t size)
{
	for (uint64_t page = start / HF_PAGE; page <= (start + size - 1) / HF_PAGE; page++) {
		if (page != w->probed && !hf_probe_readable(page * HF_PAGE))
			return false;
		w->probed = page;
	}
	return true;
}

/* The next entry, whole; false at the end, which is the list's if w->map is NULL. */
static bool next_map(struct walk *w)
{
	const struct link_map *m = w->map;
	if (!m || w->n == MAX_LOADED || !is_there(w, (uint64_t)m, sizeof(*m)) ||
		m->l_prev != w->before || !is_whole())
		return false;
	w->hash = (w->hash ^ (uint64_t)m ^ m->l_addr << 7 ^ (uint64_t)m->l_ld << 3) *
		  0x9e3779b97f4a7c15ull;
	w->before = m;
	w->map = m->l_next;
	w->n++;
	return true;
}

static struct walk start_walk(void)
{
	return (struct walk){.map = loader->r_map, .hash = 1};
}

static uint64_t hash_of_list(void)
{
	struct walk w = start_walk();
	while (next_map(&w))
		;
	return !w.map && is_whole() ? w.hash | 1 : 0;
}

static const Elf64_Phdr *headers_of(struct walk *w, const struct link_map *m, uint32_t *ret_n)
{
	if (!m->l_prev) { /* the program, which may lie at an address of its own */
		*ret_n = (uint32_t)getauxval(AT_PHNUM);
		return (const Elf64_Phdr *)getauxval(AT_PHDR);
	}
	const Elf64_Ehdr *eh = (const Elf64_Ehdr *)m->l_addr;
	if (!m->l_addr || m->l_addr % HF_PAGE || !is_there(w, m->l_addr, HF_PAGE) ||
		memcmp(eh->e_ident, ELFMAG, SELFMAG) || eh->e_phnum > MAX_PHDRS ||
		eh->e_phoff > HF_PAGE - eh->e_phnum * sizeof(Elf64_Phdr))
		return NULL;
	*ret_n = eh->e_phnum;
	return (const Elf64_Phdr *)(m->l_addr + eh->e_phoff);
}

static bool read_module(struct walk *w, const struct link_map *m, struct module *ret)
{
	uint32_t n = 0;
	const Elf64_Phdr *ph = headers_of(w, m, &n);
	*ret = (struct module){.start = UINT64_MAX, .bias = m->l_addr, .map = (void *)(uintptr_t)m};
	for (uint32_t i = 0; ph && i < n && i < MAX_PHDRS; i++) {
		uint64_t start = m->l_addr + ph[i].p_vaddr;
		if (ph[i].p_type == PT_GNU_EH_FRAME)
			ret->header = (uint8_t *)start;
		if (ph[i].p_type != PT_LOAD)
			continue;
		start &= ~(uint64_t)(HF_PAGE - 1);
		ret->start = start < ret->start ? start : ret->start;
		uint64_t end = m->l_addr + ph[i].p_vaddr + ph[i].p_memsz;
		ret->end = end > ret->end ? end : ret->end;
	}
	return ret->start < ret->end;
}

static int by_start(const void *a, const void *b)
{
	const struct module *x = a, *y = b;
	return x->start < y->start ? -1 : x->start > y->start;
}

static void make_table(void)
{
	uint64_t now = hash_of_list();
	if (!now || now == chain)
		return;
	struct walk w = start_walk();
	struct table *t = &tables[(version + 1) & 1];
	t->n = 0;
	while (next_map(&w))
		t->n += read_module(&w, w.before, &t->modules[t->n]);
	if (w.map || (w.hash | 1) != now || !is_whole())
		return;
	hf_sort(t->modules, t->n, sizeof(t->modules[0]), by_start);
	chain = now;
	__atomic_store_n(&version, version + 1, __ATOMIC_RELEASE);
	memset(unknown, 0, sizeof(unknown));
}

/* Whoever finds it in the making goes on with what there is. */
static void refresh(void)
{
	if (__atomic_exchange_n(&making, 1, __ATOMIC_ACQUIRE))
		return;
	if (is_whole()) {
		__atomic_store_n(&changed, 0, __ATOMIC_RELEASE);
		make_table();
	}
	__atomic_store_n(&making, 0, __ATOMIC_RELEASE);
}

static bool search(uint64_t pc, struct module *ret)
{
	for (int i = 0; i < TRIES; i++) {
		uint64_t v = __atomic_load_n(&version, __ATOMIC_ACQUIRE);
		const struct table *t = &tables[v & 1];
		uint32_t low = 0, high = t->n < MAX_LOADED ? t->n : MAX_LOADED;
		while (low < high) {
			uint32_t mid = (low + high) / 2;
			if (t->modules[mid].start <= pc)
				low = mid + 1;
			else
				high = mid;
		}
		bool found = low && pc < t->modules[low - 1].end;
		if (found)
			*ret = t->modules[low - 1];
		/* x86-64 keeps loads in order; the compiler is told to */
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		if (__atomic_load_n(&version, __ATOMIC_RELAXED) == v)
			return found;
	}
	return false;
}

/* Pages in no module: code that was made at run time, mostly. */

static uint64_t second_of(uint64_t page)
{
	struct timespec now = {0};
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return page << SECONDS_BITS | ((uint64_t)now.tv_sec & ((1u << SECONDS_BITS) - 1));
}

static uint64_t *unknown_of(uint64_t page)
{
	return &unknown[page * 0x9e3779b97f4a7c15ull >> 56];
}

static bool is_unknown(uint64_t pc)
{
	uint64_t page = pc / HF_PAGE;
	return __atomic_load_n(unknown_of(page), __ATOMIC_RELAXED) == second_of(page);
}

static void note_unknown(uint64_t pc)
{
	uint64_t page = pc / HF_PAGE;
	__atomic_store_n(unknown_of(page), second_of(page), __ATOMIC_RELAXED);
}

static bool is_loaded(const struct module *m)
{
	struct walk w = {0};
	return is_there(&w, m->start, HF_PAGE) &&
	       memcmp((const void *)m->start, ELFMAG, SELFMAG) == 0 &&
	       (!m->header || is_there(&w, (uint64_t)m->header, 1)) &&
	       is_there(&w, (uint64_t)m->map, sizeof(*m->map)) && m->map->l_addr == m->bias;
}

int hf_loaded_find(void *address, struct hf_loaded *ret)
{
	uint64_t pc = (uint64_t)address;
	struct module m;
	if (__atomic_load_n(&changed, __ATOMIC_ACQUIRE))
		refresh();
	bool found = search(pc, &m);
	if (!found && !is_unknown(pc)) {
		refresh();
		found = search(pc, &m);
		if (!found)
			note_unknown(pc);
	}
	if (!found)
		return -1;
	if (!is_loaded(&m)) {
		hf_loaded_changed();
		return -1;
	}
	*ret = (struct hf_loaded){.map_start = (void *)m.start,
		.map_end = (void *)m.end,
		.link_map = m.map,
		.eh_frame = m.header};
	return 0;
}

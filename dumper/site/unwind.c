#include "site/unwind.h"

#include "base/page_alloc.h"
#include "base/sys.h"
#include "site/modules.h"
#include "site/probe.h"

#define INLINE static inline __attribute__((always_inline))

enum {
	CACHE_FIRST_BITS = 9,
	CACHE_BITS = 14,
	MAX_STACK = 1 << 30,
	MAX_PROBED_PAGES = 4096, /* of a thread's stack, at a time */
	WORD = 8,
	KEY_FRAMES = 4,
	/* struct ucontext, which the trampoline of a signal handler finds at its sp
	 * (asm/ucontext.h, asm/sigcontext.h) */
	UCONTEXT_BP = 40 + 80,
	UCONTEXT_SP = 40 + 120,
	UCONTEXT_PC = 40 + 128,
};

/* Rules by return address, direct-mapped. Two words are written without a lock; a reader takes them
 * only if they belong together: check = pc ^ scrambled rule.
 *
 * A program has few return addresses that matter, and a page that is touched costs more than a rule
 * that is looked up twice: only a beginning is used, twice as much when every second rule in it had
 * to go for another. */
struct cached {
	uint64_t check, rule;
};

static struct cached *cache;
static uint32_t cache_bits = CACHE_FIRST_BITS;
static uint32_t n_replaced; /* since it grew */
uint32_t hf_unwind_count;

enum hf_status hf_unwind_init(struct hf_err *err)
{
	if (!hf_modules_init(false))
		return hf_err_set(err, HF_E_UNSUPPORTED,
			"allocation sites need a dynamic loader with _dl_find_object or _r_debug");
	if (!cache)
		cache = hf_page_alloc(sizeof(*cache) << CACHE_BITS);
	return cache ? HF_OK : hf_err_set(err, HF_E_NOMEM, "no memory for unwind rules");
}

void hf_unwind_forget(void)
{
	__atomic_add_fetch(&hf_unwind_count, 1, __ATOMIC_ACQ_REL);
	uint32_t n = 1u << __atomic_load_n(&cache_bits, __ATOMIC_RELAXED);
	for (uint32_t i = 0; cache && i < n; i++)
		__atomic_store_n(&cache[i].check, 0, __ATOMIC_RELAXED);
}

static uint64_t scramble(uint64_t rule)
{
	return (rule ^ rule >> 29) * 0x9e3779b97f4a7c15ull;
}

static struct cached *cached_of(uint64_t pc)
{
	uint32_t bits = __atomic_load_n(&cache_bits, __ATOMIC_RELAXED);
	return &cache[(pc * 0x9e3779b97f4a7c15ull) >> (64 - bits)];
}

/* Where it was when it was smaller a rule is not found again. */
static void count_replaced(void)
{
	uint32_t bits = __atomic_load_n(&cache_bits, __ATOMIC_RELAXED);
	if (bits == CACHE_BITS ||
		__atomic_add_fetch(&n_replaced, 1, __ATOMIC_RELAXED) < 1u << (bits - 1))
		return;
	__atomic_store_n(&n_replaced, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&cache_bits, bits + 1, __ATOMIC_RELEASE);
}

static __attribute__((noinline, cold)) hf_cfi_rule find_rule(
	struct hf_site_store *store, uint64_t pc, bool is_return)
{
	struct hf_cfi_table table;
	if (!hf_modules_table(store, pc - is_return, &table))
		return HF_CFI_NONE;
	return hf_cfi_find(&table, pc - is_return);
}

/* A pc behind a signal frame is no return address and is looked up each time. */
static hf_cfi_rule rule_of(struct hf_site_store *store, uint64_t pc, bool is_return)
{
	if (!is_return)
		return find_rule(store, pc, false);
	struct cached *c = cached_of(pc);
	uint64_t check = __atomic_load_n(&c->check, __ATOMIC_RELAXED);
	uint64_t rule = __atomic_load_n(&c->rule, __ATOMIC_RELAXED);
	if (__builtin_expect(check == (pc ^ scramble(rule)), 1) && pc)
		return rule;
	uint32_t before = hf_unwind_generation();
	rule = find_rule(store, pc, true);
	if (before == hf_unwind_generation() && hf_cfi_kind(rule) != HF_CFI_NONE) {
		if (check)
			count_replaced();
		__atomic_store_n(&c->check, pc ^ scramble(rule), __ATOMIC_RELAXED);
		__atomic_store_n(&c->rule, rule, __ATOMIC_RELAXED);
	}
	return rule;
}

extern void *__libc_stack_end __attribute__((weak));

/* The end of this thread's stack. glibc puts a thread's descriptor, to which fs points, at the end
 * of its stack; the first thread's stack ends where the program was entered. */
static uint64_t stack_end(uint64_t sp)
{
	uint64_t main_end = &__libc_stack_end ? (uint64_t)__libc_stack_end : 0;
	uint64_t fs;
	__asm__("mov %%fs:0, %0" : "=r"(fs));
	if (hf_syscall0(SYS_gettid) == hf_syscall0(SYS_getpid))
		return main_end > sp && main_end - sp < MAX_STACK ? main_end : 0;
	return fs > sp && fs - sp < MAX_STACK ? fs : 0;
}

/* All pages from sp's to limit can be read: the stack is contiguous. */
static bool probe(uint64_t sp, uint64_t limit)
{
	uint64_t page = (sp | (HF_PAGE - 1)) + 1; /* that of sp itself is in use */
	if (limit > page && (limit - page) / HF_PAGE > MAX_PROBED_PAGES)
		return false;
	for (; page < limit; page += HF_PAGE) {
		if (!hf_probe_readable(page))
			return false;
	}
	return true;
}

static bool is_thread_stack(struct hf_stack_bounds *b, uint64_t sp)
{
	if (__builtin_expect(sp >= b->low && sp < b->high, 1))
		return true;
	uint64_t high = b->high ? b->high : stack_end(sp);
	if (!high || sp >= high || !probe(sp, b->low ? b->low : high))
		return false;
	b->high = high;
	b->low = sp & ~(uint64_t)(HF_PAGE - 1);
	return true;
}

struct walk {
	struct hf_stack *out;
	const struct hf_stack_bounds *bounds; /* NULL: a stack of which nothing is known */
	uint64_t start;                       /* sp of the context */
	uint64_t readable;                    /* page after the last that was probed */
};

INLINE bool read_word(struct walk *w, uint64_t addr, uint64_t *ret)
{
	if (addr % WORD || addr < w->start || addr - w->start > MAX_STACK)
		return false;
	if (w->bounds) {
		if (addr > w->bounds->high - WORD)
			return false;
	} else if (addr < w->readable - HF_PAGE || addr >= w->readable) {
		if (!hf_probe_readable(addr))
			return false;
		w->readable = (addr | (HF_PAGE - 1)) + 1;
	}
	*ret = *(const uint64_t *)addr;
	struct hf_stack *out = w->out;
	if (out->n_words < HF_SITE_MEMO_WORDS) {
		out->offset[out->n_words] = (uint32_t)(addr - w->start);
		out->word[out->n_words] = *ret;
	}
	out->n_words++;
	return true;
}

/* A frame, and where its rbp is: still in the register that the walk began with (0), in the word at
 * bp_at, or not known. It is read when a frame needs it. */
struct frame {
	uint64_t pc, sp, bp_at;
	bool is_return, bp_lost;
};

INLINE bool value_of_bp(struct walk *w, const struct frame *f, uint64_t first, uint64_t *ret)
{
	if (f->bp_lost)
		return false;
	if (f->bp_at)
		return read_word(w, f->bp_at, ret);
	w->out->bp_used = true;
	*ret = first;
	return true;
}

static __attribute__((noinline, cold)) bool signal_frame(struct walk *w, struct frame *f)
{
	uint64_t pc, sp;
	if (!read_word(w, f->sp + UCONTEXT_PC, &pc) || !read_word(w, f->sp + UCONTEXT_SP, &sp))
		return false;
	/* The handler may have run on another stack; from there only what lies higher on the same
	 * stack is followed. */
	if (sp < f->sp)
		return false;
	*f = (struct frame){pc, sp, f->sp + UCONTEXT_BP, false, false};
	return true;
}

INLINE bool step(struct walk *w, struct hf_site_store *store, struct frame *f, uint64_t first_bp)
{
	hf_cfi_rule rule = rule_of(store, f->pc, f->is_return);
	if (hf_cfi_kind(rule) == HF_CFI_SIGNAL)
		return signal_frame(w, f);
	if (hf_cfi_kind(rule) != HF_CFI_FRAME)
		return false;
	uint64_t base = f->sp, cfa, ra;
	if (hf_cfi_base_is_bp(rule) && !value_of_bp(w, f, first_bp, &base))
		return false;
	cfa = base + (uint64_t)hf_cfi_cfa_offset(rule);
	if (hf_cfi_deref(rule) && !read_word(w, cfa, &cfa))
		return false;
	if (cfa <= f->sp || !read_word(w, cfa + (uint64_t)hf_cfi_ra_offset(rule), &ra) || !ra)
		return false;
	if (hf_cfi_bp_saved(rule)) {
		f->bp_at = (hf_cfi_deref(rule) ? base : cfa) + (uint64_t)hf_cfi_bp_offset(rule);
		f->bp_lost = false;
	}
	f->bp_lost |= hf_cfi_bp_lost(rule);
	f->pc = ra;
	f->sp = cfa;
	f->is_return = true;
	return true;
}

void hf_unwind(struct hf_site_store *store, const struct hf_context *from,
	struct hf_stack_bounds *bounds, struct hf_stack *ret)
{
	ret->n = 0;
	ret->n_words = 0;
	ret->bp_used = false;
	ret->on_thread_stack = is_thread_stack(bounds, from->sp);
	struct walk w = {ret, ret->on_thread_stack ? bounds : NULL, from->sp,
		(from->sp | (HF_PAGE - 1)) + 1};
	struct frame f = {from->pc, from->sp, 0, true, false};
	do {
		ret->pcs[ret->n++] = f.pc;
	} while (ret->n < HF_SITE_MAX_FRAMES && step(&w, store, &f, from->bp));
}

uint64_t hf_unwind_key(const struct hf_context *from, const struct hf_stack_bounds *bounds)
{
	uint64_t pc = from->pc, sp = from->sp, bp = from->bp;
	uint64_t h = (pc ^ sp << 20) * 0x9e3779b97f4a7c15ull;
	if (sp < bounds->low || sp >= bounds->high)
		return h;
	for (int i = 0; i < KEY_FRAMES; i++) {
		const struct cached *c = cached_of(pc);
		uint64_t check = __atomic_load_n(&c->check, __ATOMIC_RELAXED);
		uint64_t rule = __atomic_load_n(&c->rule, __ATOMIC_RELAXED);
		if (check != (pc ^ scramble(rule)) || hf_cfi_kind(rule) != HF_CFI_FRAME ||
			hf_cfi_deref(rule))
			break;
		uint64_t cfa =
			(hf_cfi_base_is_bp(rule) ? bp : sp) + (uint64_t)hf_cfi_cfa_offset(rule);
		uint64_t ra_at = cfa + (uint64_t)hf_cfi_ra_offset(rule);
		uint64_t bp_at =
			hf_cfi_bp_saved(rule) ? cfa + (uint64_t)hf_cfi_bp_offset(rule) : ra_at;
		if (cfa <= sp || ra_at < sp || bp_at < sp || ra_at > bounds->high - WORD ||
			bp_at > bounds->high - WORD || (ra_at | bp_at) % WORD)
			break;
		pc = *(const uint64_t *)ra_at;
		if (bp_at != ra_at)
			bp = *(const uint64_t *)bp_at;
		sp = cfa;
		h = (h ^ pc) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 32;
	}
	return h;
}

#include "roots/tls.h"

#include "base/path.h"

#include <elf.h>
#include <string.h>

enum {
	MAX_LINK_MAPS = 65536,
	LINK_MAP_SEARCH = 2048, /* bytes of a struct link_map that are searched */
	MAX_LIST = 65536,       /* nodes of a list of threads */
};

struct link_map_head {
	uint64_t addr, name, ld, next, prev;
};

/* The head of the loader's list, by DT_DEBUG of the executable (System V gABI; <link.h>: struct
 * r_debug has r_map at 8). */
static uint64_t first_link_map(struct hf_mem *mem, const struct hf_images *images)
{
	struct hf_reader r;
	hf_reader_init(&r, mem);
	for (size_t i = 0; i < hf_images_count(images); i++) {
		uint64_t at = hf_images_at(images, i)->dynamic;
		for (int k = 0; at && k < 1000; k++, at += sizeof(Elf64_Dyn)) {
			Elf64_Dyn dyn;
			uint64_t map;
			if (!hf_reader_copy(&r, at, &dyn, sizeof(dyn)) || dyn.d_tag == DT_NULL)
				break;
			if (dyn.d_tag == DT_DEBUG && dyn.d_un.d_ptr &&
				hf_reader_u64(&r, dyn.d_un.d_ptr + 8, &map) && map) {
				hf_reader_deinit(&r);
				return map;
			}
		}
	}
	hf_reader_deinit(&r);
	return 0;
}

static uint64_t offset_in_link_map(struct hf_reader *r, uint64_t map, const struct hf_image *image)
{
	uint64_t w[7];
	for (uint64_t at = map + sizeof(struct link_map_head); at < map + LINK_MAP_SEARCH;
		at += 8) {
		if (!hf_reader_copy(r, at, w, sizeof(w)))
			return 0;
		if (w[0] == image->tls_image && w[1] == image->tls_file_size &&
			w[2] == image->tls_size && w[3] == image->tls_align)
			/* NO_TLS_OFFSET and FORCED_DYNAMIC_TLS_OFFSET are 0, -1 or -2 */
			return w[5] < 1ull << 32 ? w[5] : 0;
	}
	return 0;
}

static size_t image_of_dynamic(const struct hf_images *images, uint64_t dynamic)
{
	for (size_t i = 0; i < hf_images_count(images); i++) {
		if (dynamic && hf_images_at(images, i)->dynamic == dynamic)
			return i;
	}
	return SIZE_MAX;
}

enum hf_status hf_tls_find(struct hf_tls *tls, struct hf_mem *mem, const struct hf_images *images,
	struct hf_pool *pool, struct hf_err *err)
{
	*tls = (struct hf_tls){0};
	size_t n = hf_images_count(images);
	tls->offsets = hf_pool_alloc(pool, (n + 1) * sizeof(uint64_t));
	if (!tls->offsets)
		return hf_err_set(err, HF_E_NOMEM, "no memory for the places of TLS");
	struct hf_reader r;
	hf_reader_init(&r, mem);
	uint64_t map = first_link_map(mem, images);
	for (int k = 0; map && k < MAX_LINK_MAPS; k++) {
		struct link_map_head head;
		if (!hf_reader_copy(&r, map, &head, sizeof(head)))
			break;
		size_t i = image_of_dynamic(images, head.ld);
		if (i < n && hf_images_at(images, i)->tls_size)
			tls->offsets[i] = offset_in_link_map(&r, map, hf_images_at(images, i));
		map = head.next;
	}
	hf_reader_deinit(&r);
	for (size_t i = 0; i < n; i++) {
		struct hf_image *image = hf_images_at(images, i);
		/* A static executable has no list: its one block ends at tp. */
		if (image->tls_size && !tls->offsets[i] && n == 1 && image->tls_align &&
			!(image->tls_align & (image->tls_align - 1)))
			tls->offsets[i] =
				(image->tls_size + image->tls_align - 1) & -image->tls_align;
		tls->unknown += image->tls_size && !tls->offsets[i];
		if (tls->offsets[i] > tls->total)
			tls->total = tls->offsets[i];
	}
	return HF_OK;
}

static bool is_thread(struct hf_reader *r, uint64_t tp)
{
	/* tcbhead_t: tcb at 0 and self at 16 both point to the struct itself */
	uint64_t tcb, self;
	return hf_reader_u64(r, tp, &tcb) && hf_reader_u64(r, tp + 16, &self) && tcb == tp &&
	       self == tp;
}

static bool stack_block(struct hf_reader *r, uint64_t tp, struct hf_stack_block *ret)
{
	for (uint64_t at = tp + 0x200; at < tp + HF_PTHREAD_SIZE - 24; at += 8) {
		uint64_t w[3]; /* stackblock, stackblock_size, guardsize */
		if (!hf_reader_copy(r, at, w, sizeof(w)))
			return false;
		if (w[0] >= 4096 && w[0] < tp && w[1] >= 2048 && w[1] < 1ull << 40 && w[2] < w[1] &&
			w[0] + w[1] > tp + 0x600 && w[0] + w[1] - tp < 1 << 16) {
			*ret = (struct hf_stack_block){w[0] + w[2], w[0] + w[1]};
			return true;
		}
	}
	return false;
}

bool hf_tls_stack_block(struct hf_mem *mem, uint64_t tp, struct hf_stack_block *ret)
{
	struct hf_reader r;
	hf_reader_init(&r, mem);
	bool found = is_thread(&r, tp) && stack_block(&r, tp, ret);
	hf_reader_deinit(&r);
	return found;
}

static bool is_loader(const struct hf_image *image)
{
	static const char *const names[] = {"ld-", "ld.so", "libc.so", "libc-", "libpthread"};
	const char *base = hf_base_name(image->path);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strncmp(base, names[i], strlen(names[i])) == 0)
			return true;
	}
	return false;
}

/* Is there a list head at addr: two words, the first node pointing back? */
static bool list_head(
	struct hf_reader *heads, struct hf_reader *nodes, uint64_t addr, uint64_t *ret_first)
{
	uint64_t next, back;
	return hf_reader_u64(heads, addr, &next) && next > 1 << 16 && next != addr && !(next & 7) &&
	       hf_reader_u64(nodes, next + 8, &back) && back == addr && (*ret_first = next);
}

struct dead_search {
	struct hf_mem *mem;
	struct hf_reader heads, nodes;
	const uint64_t *tps;
	size_t n_tps;
	uint64_t list_offset; /* of `list` in struct pthread; 0: not known yet */
	struct hf_vec *ret;
};

static bool is_live(const struct dead_search *s, uint64_t tp)
{
	for (size_t i = 0; i < s->n_tps; i++) {
		if (s->tps[i] == tp)
			return true;
	}
	return false;
}

/* Learn where `list` is from a head whose first node lies in the struct pthread of a live thread.
 */
static bool learn_offset(struct dead_search *s, uint64_t addr)
{
	uint64_t first;
	if (!list_head(&s->heads, &s->nodes, addr, &first))
		return false;
	for (size_t i = 0; i < s->n_tps; i++) {
		if (first > s->tps[i] && first - s->tps[i] < HF_PTHREAD_SIZE) {
			s->list_offset = first - s->tps[i];
			return true;
		}
	}
	return false;
}

/* Ended, and pthread_join() may still ask for its result? */
static bool is_unjoined(struct dead_search *s, uint64_t tp)
{
	uint64_t tid;
	if (!hf_reader_u64(&s->nodes, tp + s->list_offset + 16, &tid) || (uint32_t)tid)
		return false;
	for (uint64_t at = tp + s->list_offset + 16; at < tp + HF_PTHREAD_SIZE; at += 8) {
		uint64_t word;
		if (!hf_reader_u64(&s->nodes, at, &word) || word == tp)
			return false;
	}
	return true;
}

static bool collect_list(struct dead_search *s, uint64_t addr)
{
	uint64_t node;
	if (!list_head(&s->heads, &s->nodes, addr, &node))
		return false;
	for (int k = 0; node != addr && k < MAX_LIST; k++) {
		uint64_t tp = node - s->list_offset;
		if (!is_thread(&s->nodes, tp))
			break;
		struct hf_stack_block block;
		struct hf_ended_thread *slot;
		if (!is_live(s, tp) && stack_block(&s->nodes, tp, &block) &&
			(slot = hf_vec_push(s->ret)))
			*slot = (struct hf_ended_thread){block, tp, is_unjoined(s, tp)};
		if (!hf_reader_u64(&s->nodes, node, &node))
			break;
	}
	return false;
}

static void each_loader_word(struct dead_search *s, const struct hf_images *images,
	bool (*fn)(struct dead_search *, uint64_t addr))
{
	for (size_t i = 0; i < hf_images_count(images); i++) {
		const struct hf_image *image = hf_images_at(images, i);
		if (hf_images_count(images) > 1 && !is_loader(image))
			continue;
		for (uint32_t k = 0; k < image->n_segments; k++) {
			const struct hf_segment *seg = &image->segments[k];
			if (!(seg->perms & HF_PERM_W))
				continue;
			for (uint64_t at = (seg->start + 7) & ~7ull; at + 16 <= seg->end; at += 8) {
				if (fn(s, at))
					return;
			}
		}
	}
}

void hf_tls_ended_threads(struct hf_mem *mem, const struct hf_images *images, const uint64_t *tps,
	size_t n_tps, struct hf_vec *ret)
{
	struct dead_search s = {.mem = mem, .tps = tps, .n_tps = n_tps, .ret = ret};
	hf_reader_init(&s.heads, mem);
	hf_reader_init(&s.nodes, mem);
	each_loader_word(&s, images, learn_offset);
	if (s.list_offset)
		each_loader_word(&s, images, collect_list);
	hf_reader_deinit(&s.heads);
	hf_reader_deinit(&s.nodes);
}

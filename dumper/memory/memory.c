#include "memory/memory.h"

#include "base/page_alloc.h"

void hf_mem_destroy(struct hf_mem *mem)
{
	if (mem)
		mem->ops->destroy(mem);
}

struct hf_mem *hf_mem_twin(struct hf_mem *mem)
{
	return mem->ops->twin ? mem->ops->twin(mem) : NULL;
}

void hf_mem_destroy_twin(struct hf_mem *twin, const struct hf_mem *of)
{
	if (twin != of)
		hf_mem_destroy(twin);
}

void hf_reader_deinit(struct hf_reader *r)
{
	if (r->buf)
		hf_page_free(r->buf, r->buf_size);
	*r = (struct hf_reader){0};
}

enum { SEQUENTIAL = 64 << 10 /* bytes that may be left out in going on */ };

uint64_t hf_reader_wants(const struct hf_reader *r, uint64_t page)
{
	uint64_t size = r->win.end - r->win.start;
	if (!r->win.end || page < r->win.end || page - r->win.end > SEQUENTIAL)
		return HF_PAGE;
	if (!r->win.data)
		return SEQUENTIAL;
	return size * 4 < HF_WINDOW_MAX ? size * 4 : HF_WINDOW_MAX;
}

bool hf_reader_has_buffer(struct hf_reader *r)
{
	if (!r->buf) {
		r->buf = hf_page_alloc(HF_WINDOW_MAX);
		r->buf_size = HF_WINDOW_MAX;
	}
	return r->buf;
}

bool hf_reader_copy(struct hf_reader *r, uint64_t addr, void *buf, size_t size)
{
	uint8_t *out = buf;
	if (addr + size < addr)
		return false;
	while (size) {
		if (!hf_reader_seek(r, addr))
			return false;
		uint64_t run = r->win.end - addr;
		size_t n = run < size ? (size_t)run : size;
		memcpy(out, r->win.data + (addr - r->win.start), n);
		out += n;
		addr += n;
		size -= n;
	}
	return true;
}

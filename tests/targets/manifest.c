#include "manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const uint64_t MASK = 0xa5c3960f5ac36990; /* leaves no address canonical */
enum { FILL = 0x5a };                            /* nor does a word of these bytes look like one */

enum record_kind { OBJECT = 1, EDGE, ROOT, LEAKED, FREED, LABEL, OPAQUE, COUNTER };

struct record {
	uint64_t kind; /* for a root: kind | root kind << 8 */
	const char *name;
	uint64_t a, b, c, d; /* addresses among them XOR MASK */
};

static struct {
	struct record *record;
	size_t n, max;
} manifest;
static __thread int leaking;

void t_die(const char *what)
{
	dprintf(STDERR_FILENO, "target: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static void *pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		t_die("mmap");
	return p;
}

void t_manifest_open(size_t n_objects)
{
	manifest.max = 4 * n_objects + 65536;
	manifest.record = pages(manifest.max * sizeof(struct record));
}

static uint64_t hide(const volatile void *p)
{
	return (uint64_t)p ^ MASK;
}

static void record(struct record r)
{
	size_t i = __atomic_fetch_add(&manifest.n, 1, __ATOMIC_RELAXED);
	if (i >= manifest.max) {
		errno = ENOSPC;
		t_die("manifest");
	}
	manifest.record[i] = r;
}

static void fill(void *object, int byte)
{
	/* The compiler knows the size that was asked for, and that this is more. */
	__asm__("" : "+r"(object));
	memset(object, byte, malloc_usable_size(object));
}

static void record_object(void *object)
{
	record((struct record){.kind = OBJECT, .a = hide(object), .b = malloc_usable_size(object)});
	if (leaking)
		record((struct record){.kind = LEAKED, .a = hide(object)});
}

void t_set_leaking(int now)
{
	leaking = now;
}

void t_adopt(void *object)
{
	if (!object)
		t_die("malloc");
	fill(object, FILL);
	record_object(object);
}

void *t_new(size_t size)
{
	void *object = malloc(size);
	t_adopt(object);
	return object;
}

void *t_new_zeroed(size_t size)
{
	void *object = calloc(1, size);
	if (!object)
		t_die("calloc");
	record_object(object);
	return object;
}

void *t_new_aligned(size_t alignment, size_t size)
{
	void *object = memalign(alignment, size);
	t_adopt(object);
	return object;
}

static void *new_resized(size_t first, size_t size)
{
	char *object = malloc(first);
	if (!object)
		t_die("malloc");
	memset(object, FILL, first);
	object = realloc(object, size);
	t_adopt(object);
	return object;
}

void *t_new_grown(size_t size)
{
	return new_resized(size / 3 + 1, size);
}

void *t_new_shrunk(size_t size)
{
	return new_resized(size * 3, size);
}

void t_link(void *src, size_t src_offset, void *dst, size_t dst_offset)
{
	*(void **)((char *)src + src_offset) = (char *)dst + dst_offset;
	record((struct record){
		.kind = EDGE, .a = hide(src), .b = src_offset, .c = hide(dst), .d = dst_offset});
}

void t_root(
	enum t_root_kind kind, const char *name, void *volatile *slot, void *object, size_t offset)
{
	*slot = (char *)object + offset;
	record((struct record){.kind = ROOT | (uint64_t)kind << 8,
		.name = name,
		.a = hide(slot),
		.b = hide(object),
		.c = offset});
}

void t_freed(void *object)
{
	record((struct record){.kind = FREED, .a = hide(object)});
}

void t_label(void *object, const char *label)
{
	record((struct record){.kind = LABEL, .name = label, .a = hide(object)});
}

void t_opaque(void)
{
	record((struct record){.kind = OPAQUE});
}

void t_counter(const char *name, uint64_t value)
{
	record((struct record){.kind = COUNTER, .name = name, .a = value});
}

static void count_mallinfo(void)
{
	struct mallinfo2 info = mallinfo2();
	t_counter("mallinfo2.arena", info.arena);
	t_counter("mallinfo2.hblks", info.hblks);
	t_counter("mallinfo2.hblkhd", info.hblkhd);
	t_counter("mallinfo2.uordblks", info.uordblks);
	t_counter("mallinfo2.fordblks", info.fordblks);
	t_counter("mallinfo2.fsmblks", info.fsmblks);
}

static size_t format_record(char *out, size_t size, const struct record *r)
{
	static const char *const root_kind[] = {
		"global", "static", "tls", "stack", "mapping", "registered"};
	typedef unsigned long long ull;
	ull a = r->a ^ MASK;
	int n = 0;
	switch (r->kind & 0xff) {
	case OBJECT:
		n = snprintf(out, size, "object %#llx %llu\n", a, (ull)r->b);
		break;
	case EDGE:
		n = snprintf(out, size, "edge %#llx %llu %#llx %llu\n", a, (ull)r->b,
			(ull)(r->c ^ MASK), (ull)r->d);
		break;
	case ROOT:
		n = snprintf(out, size, "root %s %s %#llx %#llx %llu\n", root_kind[r->kind >> 8],
			r->name, a, (ull)(r->b ^ MASK), (ull)r->c);
		break;
	case LEAKED:
		n = snprintf(out, size, "leaked %#llx\n", a);
		break;
	case FREED:
		n = snprintf(out, size, "freed %#llx\n", a);
		break;
	case LABEL:
		n = snprintf(out, size, "label %#llx %s\n", a, r->name);
		break;
	case OPAQUE:
		n = snprintf(out, size, "opaque\n");
		break;
	case COUNTER:
		n = snprintf(out, size, "counter %s %llu\n", r->name, (ull)r->a);
		break;
	}
	return (size_t)n;
}

static void write_all(int fd, const char *text, size_t size)
{
	while (size) {
		ssize_t n = write(fd, text, size);
		if (n < 0)
			t_die("write manifest");
		text += n;
		size -= (size_t)n;
	}
}

void t_manifest_write(const char *path)
{
	enum { BUFFER = 1 << 20, LINE_MAX_SIZE = 256 };
	count_mallinfo();
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		t_die(path);
	char *text = pages(BUFFER);
	size_t used = 0;
	for (size_t i = 0; i < manifest.n; i++) {
		used += format_record(text + used, LINE_MAX_SIZE, &manifest.record[i]);
		if (used > BUFFER - LINE_MAX_SIZE || i + 1 == manifest.n) {
			write_all(fd, text, used);
			used = 0;
		}
	}
	close(fd);
	munmap(text, BUFFER);
	munmap(manifest.record, manifest.max * sizeof(struct record));
	manifest.record = NULL;
	manifest.max = 0;
}

struct t_hidden t_hidden_alloc(size_t n)
{
	struct t_hidden hidden = {pages(n * sizeof(uint64_t)), n};
	for (size_t i = 0; i < n; i++)
		hidden.word[i] = MASK;
	return hidden;
}

void t_hidden_free(struct t_hidden *hidden)
{
	munmap(hidden->word, hidden->n * sizeof(uint64_t));
	*hidden = (struct t_hidden){0};
}

void *t_hidden_get(const struct t_hidden *hidden, size_t i)
{
	return (void *)(hidden->word[i] ^ MASK);
}

void t_hidden_set(struct t_hidden *hidden, size_t i, void *object)
{
	hidden->word[i] = hide(object);
}

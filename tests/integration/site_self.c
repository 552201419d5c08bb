/*
 * A program with the recorder linked in, which looks at its own records: site_self SCENARIO.
 * SITE_OWN_TABLE in the environment: without the loader's table of modules, as with old C
 * libraries. Built without frame pointers. Says what is wrong and exits with 1.
 */
#include <alloca.h>
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "site/control.h"
#include "site/hooks.h"
#include "site/live.h"
#include "site/memo.h"
#include "site/modules.h"
#include "site/record.h"
#include "site/stacks.h"

#define NOINLINE __attribute__((noinline, noclone))
#define CHECK(c)                                                                                   \
	do {                                                                                       \
		if (!(c)) {                                                                        \
			dprintf(2, "%s:%d: not so: %s\n", __FILE__, __LINE__, #c);                 \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)
/* After a call, so that it is no tail call. */
#define STAY __asm__ volatile("" ::: "memory")

extern void cfree(void *p);
extern void free_sized(void *p, size_t size);
extern void free_aligned_sized(void *p, size_t alignment, size_t size);

static void *early_block;
static int early_errno;

/* As a loader that allocates: what malloc returns while its own definition is being looked up. */
enum { N_WITHIN = 4 };
static char *within_dlsym[N_WITHIN];

void *dlsym(void *handle, const char *name)
{
	static void *(*real)(void *, const char *);
	static int n;
	if (n < N_WITHIN) {
		within_dlsym[n] = n % 2 ? malloc(50) : calloc(5, 10);
		n++;
	}
	if (!real)
		real = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.34");
	if (!real) /* an older one */
		real = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
	return real(handle, name);
}

/* Runs before the recorder starts, as a constructor of the program does. */
__attribute__((constructor(101))) static void allocate_early(void)
{
	errno = 77;
	early_block = malloc(100);
	early_errno = errno;
}

static struct hf_site_object object_of(const void *p)
{
	struct hf_site_object o = {0};
	CHECK(hf_site_find((uint64_t)p, &o));
	return o;
}

static bool is_recorded(const void *p)
{
	struct hf_site_object o;
	return hf_site_find((uint64_t)p, &o);
}

/* Position of the frame of a function in the stack of an object's site, -1: not there. */
static int depth_of(const void *p, const char *function)
{
	const uint64_t *pcs;
	uint32_t n = hf_stacks_frames(hf_site_store(), object_of(p).site, &pcs);
	for (uint32_t i = 0; i < n; i++) {
		Dl_info info;
		if (dladdr((void *)(pcs[i] - 1), &info) && info.dli_sname &&
			strcmp(info.dli_sname, function) == 0)
			return (int)i;
	}
	return -1;
}

static int n_frames(const void *p)
{
	const uint64_t *pcs;
	return (int)hf_stacks_frames(hf_site_store(), object_of(p).site, &pcs);
}

static void start(uint64_t period_bytes, const char *path)
{
	struct hf_err err;
	struct hf_site_config config = {period_bytes, path};
	if (getenv("SITE_OWN_TABLE"))
		CHECK(hf_modules_init(true));
	hf_site_hooks_start();
	if (hf_site_start(&config, &err)) {
		dprintf(2, "%s\n", err.msg);
		_exit(1);
	}
}

NOINLINE void *leaf(size_t size)
{
	void *p = malloc(size);
	STAY;
	return p;
}

NOINLINE void *middle(size_t size)
{
	void *p = leaf(size);
	STAY;
	return p;
}

static void functions(void)
{
	char *p = leaf(123);
	CHECK(object_of(p).size_bytes == 123 && object_of(p).tid == gettid());
	CHECK(depth_of(p, "leaf") == 0 && depth_of(p, "main") > 0);
	p = realloc(p, 5000);
	CHECK(object_of(p).size_bytes == 5000);
	p = reallocarray(p, 10, 7);
	CHECK(object_of(p).size_bytes == 70);
	/* one that fails leaves the object, and its record, as they were */
	size_t huge = SIZE_MAX / 4;
	CHECK(!realloc(p, huge) && object_of(p).size_bytes == 70);
	errno = 0;
	CHECK(!reallocarray(p, huge, 5) && errno == ENOMEM);
	errno = 55;
	free(p);
	CHECK(errno == 55 && !is_recorded(p));
	p = calloc(11, 13);
	for (int i = 0; i < 143; i++)
		CHECK(p[i] == 0);
	CHECK(object_of(p).size_bytes == 143);
	free_sized(p, 143);
	CHECK(!is_recorded(p));
	size_t most = SIZE_MAX;
	CHECK(!calloc(most, most));
	void *q;
	CHECK(posix_memalign(&q, 256, 300) == 0 && object_of(q).size_bytes == 300);
	CHECK((uint64_t)q % 256 == 0 && depth_of(q, "main") >= 0);
	free_aligned_sized(q, 256, 300);
	CHECK(!is_recorded(q));
	CHECK(posix_memalign(&q, 3, 300) == EINVAL);
	q = aligned_alloc(64, 640);
	CHECK(object_of(q).size_bytes == 640);
	cfree(q);
	CHECK(!is_recorded(q));
	q = memalign(32, 33);
	CHECK(object_of(q).size_bytes == 33);
	free(q);
	q = valloc(34);
	CHECK(object_of(q).size_bytes == 34);
	free(q);
	q = pvalloc(35);
	CHECK(is_recorded(q));
	free(q);
	/* libc's own calls of malloc */
	p = strdup("hello");
	CHECK(object_of(p).size_bytes == 6 && depth_of(p, "main") > 0);
	free(p);
	CHECK(asprintf((char **)&q, "%d", 1234) == 4 && is_recorded(q));
	free(q);
	FILE *file = fopen("/proc/self/status", "r");
	char *line = NULL;
	size_t room = 0;
	CHECK(file && is_recorded(file) && getline(&line, &room, file) > 0);
	CHECK(object_of(line).size_bytes == room);
	fclose(file);
	CHECK(!is_recorded(file));
	free(line);
	p = malloc(777);
	CHECK(malloc_usable_size(p) >= 777 && malloc_usable_size(p) < 800);
	free(p);
	/* sizes around those that take two slots */
	for (uint64_t size = (1 << 20) - 3; size < (1 << 20) + 3; size++) {
		p = leaf(size);
		CHECK(object_of(p).size_bytes == size);
		free(p);
		CHECK(!is_recorded(p) && !is_recorded(p + 8));
	}
	p = malloc(3ull << 30);
	CHECK(object_of(p).size_bytes == 3ull << 30);
	free(p);
	p = malloc(0);
	CHECK(object_of(p).size_bytes == 0);
	free(p);
	free(NULL);
}

static void early(void)
{
	CHECK(early_block && early_errno == 77);
	memset(early_block, 7, 100);
	char *p = realloc(early_block, 200);
	CHECK(p[0] == 7 && p[99] == 7);
	free(p);
	for (int i = 0; i < N_WITHIN; i++) {
		p = within_dlsym[i];
		CHECK(p && (uint64_t)p % 16 == 0);
		memset(p, i, 50);
	}
	for (int i = 0; i < N_WITHIN; i++) {
		CHECK(within_dlsym[i][0] == i && within_dlsym[i][49] == i);
		p = i < 2 ? realloc(within_dlsym[i], 5000) : within_dlsym[i];
		CHECK(p[0] == i && p[49] == i);
		CHECK(i >= 2 || object_of(p).size_bytes == 5000);
		free(p);
	}
}

NOINLINE void *deep(int n)
{
	void *p = n ? deep(n - 1) : leaf(10);
	STAY;
	return p;
}

static void frames(void)
{
	for (int n = 0; n < 100; n++) {
		void *p = deep(n);
		if (n < 60)
			CHECK(depth_of(p, "main") == n + 3);
		else
			CHECK(n_frames(p) >= 63);
		CHECK(depth_of(p, "leaf") == 0 && depth_of(p, "deep") == 1);
	}
}

/* A function that keeps its frame by rbp and realigns its stack. */
NOINLINE void *realigned(size_t n, size_t size)
{
	_Alignas(64) volatile char aligned[64];
	volatile char *variable = alloca(n);
	variable[0] = aligned[0] = 1;
	void *p = middle(size);
	STAY;
	CHECK((uint64_t)aligned % 64 == 0 && variable[0]);
	return p;
}

/* Its caller keeps its frame by rbp too, which realigned() must give back. */
NOINLINE void *around_realigned(size_t n, size_t size)
{
	volatile char *variable = alloca(n + 1000);
	variable[0] = 1;
	void *p = realigned(n, size);
	STAY;
	return variable[0] ? p : NULL;
}

static void by_rbp(void)
{
	/* twice each: by walking, and by what the thread remembers */
	for (size_t i = 0; i < 40; i++) {
		void *p = around_realigned(1 + i / 2 * 100, 20);
		CHECK(depth_of(p, "middle") == 1 && depth_of(p, "realigned") == 2);
		CHECK(depth_of(p, "around_realigned") == 3 && depth_of(p, "main") > 3);
	}
}

/* The same (pc, sp) with another caller above it. */
NOINLINE void *way_a(void)
{
	void *p = middle(30);
	STAY;
	return p;
}

NOINLINE void *way_b(void)
{
	void *p = middle(31);
	STAY;
	return p;
}

/* And with that caller far above. */
NOINLINE void *far_a(void)
{
	void *p = deep(10);
	STAY;
	return p;
}

NOINLINE void *far_b(void)
{
	void *p = deep(10);
	STAY;
	return p;
}

static void ways(void)
{
	for (int i = 0; i < 100; i++) {
		void *p = i % 2 ? far_a() : far_b();
		CHECK(depth_of(p, i % 2 ? "far_a" : "far_b") == 12);
	}
	for (int i = 0; i < 1000; i++) {
		void *p = i * 7 % 3 ? way_a() : way_b();
		CHECK((depth_of(p, "way_a") == 2) == (i * 7 % 3 != 0));
		CHECK((depth_of(p, "way_b") == 2) == (i * 7 % 3 == 0));
		if (i % 2)
			free(p);
	}
	const struct hf_site_store *s = hf_site_store();
	CHECK(hf_stacks_last(s) < 50);
}

static void *from_handler;

static void on_signal(int number)
{
	from_handler = middle(40);
	STAY;
}

NOINLINE void interrupted(void)
{
	raise(SIGUSR1);
	STAY;
}

static void signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};
	stack_t stack = {
		.ss_sp = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		.ss_size = 65536};
	sigaction(SIGUSR1, &action, NULL);
	for (int i = 0; i < 3; i++) {
		interrupted();
		CHECK(depth_of(from_handler, "middle") == 1);
		CHECK(depth_of(from_handler, "interrupted") > 2);
		CHECK(depth_of(from_handler, "main") > 3);
	}
	sigaltstack(&stack, NULL);
	action.sa_flags = SA_ONSTACK;
	sigaction(SIGUSR1, &action, NULL);
	for (int i = 0; i < 3; i++) {
		interrupted();
		CHECK(depth_of(from_handler, "middle") == 1 && n_frames(from_handler) >= 3);
	}
}

static ucontext_t outside, inside;
static void *from_coroutine;

NOINLINE void coroutine(void)
{
	from_coroutine = middle(50);
	STAY;
	swapcontext(&inside, &outside);
}

static void coroutines(void)
{
	enum { SIZE = 64 << 10 };
	for (int i = 0; i < 3; i++) {
		/* between pages that cannot be read */
		char *stack = mmap(0, SIZE + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		mprotect(stack + 4096, SIZE, PROT_READ | PROT_WRITE);
		getcontext(&inside);
		inside.uc_stack.ss_sp = stack + 4096;
		inside.uc_stack.ss_size = SIZE;
		inside.uc_link = &outside;
		makecontext(&inside, coroutine, 0);
		swapcontext(&outside, &inside);
		CHECK(depth_of(from_coroutine, "middle") == 1);
		CHECK(depth_of(from_coroutine, "coroutine") == 2);
		munmap(stack, SIZE + 8192);
	}
}

/* Code that no module has: call *%rdi through a frame of its own, with rubbish above. */
static void jit(void)
{
	static const unsigned char code[] = {
		0x55,                         /* push %rbp */
		0x48, 0xc7, 0xc5, 1, 2, 3, 4, /* mov $0x4030201, %rbp */
		0x48, 0x89, 0xf8,             /* mov %rdi, %rax */
		0x48, 0x89, 0xf7,             /* mov %rsi, %rdi */
		0xff, 0xd0,                   /* call *%rax */
		0x5d, 0xc3,                   /* pop %rbp; ret */
	};
	void *page = mmap(
		0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(page, code, sizeof(code));
	void *(*call)(void *(*)(size_t), size_t) = (void *(*)(void *(*)(size_t), size_t))page;
	for (int i = 0; i < 4; i++) {
		const uint64_t *pcs;
		void *p = call(i % 2 ? middle : leaf, 60);
		uint32_t n = hf_stacks_frames(hf_site_store(), object_of(p).site, &pcs);
		CHECK(n == 2u + i % 2 && depth_of(p, "leaf") == 0);
		CHECK(pcs[n - 1] - (uint64_t)page < sizeof(code));
	}
}

/* Two modules in turn, which differ in nothing but their frames' size: where one was, the rules of
 * the other hold. */
static void modules(const char *const plugin[2])
{
	for (int i = 0; i < 20; i++) {
		void *handle = dlopen(plugin[i % 2], RTLD_NOW);
		CHECK(handle);
		void *(*allocate)(size_t) = (void *(*)(size_t))dlsym(handle, "plugin_allocate");
		void *p = allocate(70 + (size_t)i);
		CHECK(depth_of(p, "plugin_allocate") == 0 && depth_of(p, "main") > 0);
		CHECK(dlclose(handle) == 0);
		/* make the next one lie elsewhere now and then */
		if (i % 5 == 4)
			mmap(0, 4096 * 1024, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	}
	const struct hf_site_store *s = hf_site_store();
	bool known = false;
	for (uint32_t i = 0; i < s->n_modules; i++)
		known |= strstr(s->modules[i].path, "site_plugin") && s->modules[i].build_id_size;
	CHECK(known);
}

static void wait_for(pid_t pid)
{
	int status;
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static volatile bool stop;

static void *churn(void *arg)
{
	while (!stop)
		free(middle(100));
	return NULL;
}

static void forks(void)
{
	pthread_t thread[2];
	void *kept = middle(80);
	for (int i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, churn, NULL);
	for (int i = 0; i < 30; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			CHECK(object_of(kept).size_bytes == 80);
			void *p = way_a();
			CHECK(depth_of(p, "way_a") == 2 && object_of(p).tid == getpid());
			free(kept);
			CHECK(!is_recorded(kept));
			_exit(0);
		}
		wait_for(pid);
		CHECK(object_of(kept).size_bytes == 80);
		CHECK(depth_of(way_b(), "way_b") == 2);
	}
	stop = true;
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
}

/* What was live when the process was killed is in the file. */
static void killed(const char *path)
{
	unlink(path); /* of an earlier run that did not get to its end */
	pid_t pid = fork();
	if (pid == 0) {
		start(1, path);
		void *p = way_a();
		forks();
		CHECK(depth_of(p, "way_a") == 2);
		raise(SIGKILL);
	}
	int status;
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
	CHECK(WTERMSIG(status) == SIGKILL);
	struct hf_site_store *s;
	struct hf_err err;
	CHECK(hf_store_open(path, &s, &err) == HF_OK);
	CHECK(s->pid == pid && hf_stacks_last(s) > 2);
	hf_store_close(s);
	CHECK(truncate(path, 1 << 20) == 0 && hf_store_open(path, &s, &err) == HF_E_CORRUPT);
	unlink(path);
}

enum { N_THREADS = 8, N_SLOTS = 3000, N_STEPS = 200000 };
struct owned {
	void *p;
	size_t size;
	int tid;
	bool a;
};
static struct owned owned[N_THREADS][N_SLOTS];
static pthread_barrier_t barrier;

NOINLINE void *big_a(size_t size)
{
	void *p = middle(size);
	STAY;
	return p;
}

NOINLINE void *big_b(size_t size)
{
	void *p = middle(size);
	STAY;
	return p;
}

NOINLINE void churn_slots(struct owned *slots, unsigned *seed, int n)
{
	for (int i = 0; i < n; i++) {
		struct owned *o = &slots[rand_r(seed) % N_SLOTS];
		free(o->p);
		unsigned r = rand_r(seed) % 1000;
		size_t size = r ? r * r / 800 : 1 << 21;
		bool a = rand_r(seed) & 1024;
		*o = (struct owned){a ? big_a(size) : big_b(size), size, gettid(), a};
	}
}

/* Own slots, then the slots of the next thread: most objects die on another thread. */
NOINLINE void *churner(void *arg)
{
	size_t me = (size_t)arg;
	unsigned seed = (unsigned)me + 1;
	for (size_t round = 0; round < 4; round++) {
		churn_slots(owned[(me + round) % N_THREADS], &seed, N_STEPS / 4);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

static void count(void *ctx, const struct hf_live_object *object)
{
	++*(size_t *)ctx;
}

static void threads(void)
{
	pthread_t thread[N_THREADS];
	pthread_barrier_init(&barrier, NULL, N_THREADS);
	for (size_t i = 0; i < N_THREADS; i++)
		pthread_create(&thread[i], NULL, churner, (void *)i);
	for (size_t i = 0; i < N_THREADS; i++)
		pthread_join(thread[i], NULL);
	for (size_t t = 0; t < N_THREADS; t++) {
		for (size_t i = 0; i < N_SLOTS; i++) {
			struct owned *o = &owned[t][i];
			if (!o->p)
				continue;
			CHECK(object_of(o->p).size_bytes == o->size);
			CHECK(object_of(o->p).tid == o->tid);
			CHECK(depth_of(o->p, o->a ? "big_a" : "big_b") == 2);
			CHECK(depth_of(o->p, "churner") == 4 || depth_of(o->p, "churner") == 3);
			free(o->p);
			CHECK(!is_recorded(o->p));
		}
	}
	size_t n = 0;
	hf_live_each(hf_site_store(), count, &n);
	CHECK(n < 100 && !hf_site_store()->lost_objects && !hf_site_store()->lost_stacks);
}

NOINLINE void *leave_one(void *arg)
{
	void **ret = arg;
	*ret = middle(90);
	STAY;
	return (void *)(intptr_t)gettid();
}

/* Threads that end leave their objects, and their place to the next. */
static void ending(void)
{
	enum { N = 3000 };
	static void *left[N];
	static int tid[N];
	for (int i = 0; i < N; i++) {
		pthread_t thread;
		void *result;
		CHECK(pthread_create(&thread, NULL, leave_one, &left[i]) == 0);
		pthread_join(thread, &result);
		tid[i] = (int)(intptr_t)result;
		/* every other object is freed by a thread that did not allocate it */
		if (i % 2)
			free(left[i]);
	}
	for (int i = 0; i < N; i++) {
		CHECK(is_recorded(left[i]) == (i % 2 == 0) || i % 2);
		if (i % 2)
			continue;
		CHECK(object_of(left[i]).tid == tid[i] && depth_of(left[i], "leave_one") == 2);
	}
	const struct hf_site_store *s = hf_site_store();
	CHECK(s->n_workers < 64 && !s->lost_objects && !s->lost_nested);
}

/* On, over, and off again; what was recorded before stays as it was. */
NOINLINE void fill_look(void)
{
	for (int i = 0; i < 40; i++)
		free(leaf(HF_SITE_LOOK / 16));
}

static void check_period(uint32_t site, uint64_t period)
{
	CHECK(hf_stacks_period(hf_site_store(), site) == period);
}

static void switched(void)
{
	hf_site_hooks_start();
	fill_look();
	void *before = way_a();
	CHECK(!hf_site_store());
	CHECK(hf_site_request_period_bytes((1ull << 30) + 1) == -EINVAL);
	CHECK(hf_site_request_period_bytes(1) == 0);
	void *exact = way_a();
	CHECK(object_of(exact).size_bytes == 30 && depth_of(exact, "way_a") == 2);
	CHECK(!is_recorded(before));
	check_period(object_of(exact).site, 1);
	free(before);

	/* an object of 64 periods is sampled but for a chance of e^-64 */
	CHECK(hf_site_request_period_bytes(16 << 10) == 0);
	fill_look();
	void *big = leaf(1 << 20), *old = exact;
	check_period(object_of(big).site, 16 << 10);
	exact = realloc(exact, 1 << 20);
	CHECK(exact == old || !is_recorded(old));
	check_period(object_of(exact).site, 16 << 10);

	CHECK(hf_site_request_period_bytes(0) == 0);
	fill_look();
	void *off = leaf(1 << 20);
	CHECK(!is_recorded(off) && is_recorded(big));
	free(big);
	free(exact);
	CHECK(!is_recorded(big) && !is_recorded(exact));
	CHECK(hf_site_request_period_bytes(1) == 0);
	exact = way_b();
	check_period(object_of(exact).site, 1);
	CHECK(!is_recorded(off));
	free(off);
}

static void sampled(void)
{
	/* 192 MB in objects of three sizes. One of s bytes is sampled with probability 1 -
	 * exp(-s/PERIOD), once at most: 1024 + 1016 + 525 are expected, with a standard error of
	 * 46; 6 of those are allowed. */
	static const size_t sizes[] = {30, 1000, 100000};
	enum { TOTAL = 64 << 20, PERIOD = 64 << 10 };
	for (int k = 0; k < 3; k++) {
		size_t n = TOTAL / sizes[k];
		for (size_t i = 0; i < n; i++)
			free(k == 0 ? way_a() : k == 1 ? big_a(sizes[k]) : big_b(sizes[k]));
	}
	const struct hf_site_store *s = hf_site_store();
	CHECK(hf_live_samples(s) > 2565 - 6 * 46 && hf_live_samples(s) < 2565 + 6 * 46);
	uint64_t bytes = 0;
	struct hf_site_total *pending = calloc(hf_stacks_last(s) + 1, sizeof(*pending));
	hf_memo_pending(s, pending, hf_stacks_last(s));
	for (uint32_t i = 1; i <= hf_stacks_last(s); i++)
		bytes += hf_stacks_total(s, i).bytes + pending[i].bytes;
	free(pending);
	CHECK(bytes > 3.0 * TOTAL * 0.89 && bytes < 3.0 * TOTAL * 1.11);
	size_t live = 0;
	hf_live_each(s, count, &live);
	CHECK(live < 5);
}

/* Under a limit of the address space: the recorder takes what there is and then records no more,
 * while the program goes on; what it frees makes room again. */
static void limited(void)
{
	enum { N = 1000000, ROOM = 32 << 20 };
	static void *all[N];
	uint64_t pages = 0;
	FILE *statm = fopen("/proc/self/statm", "r");
	CHECK(statm && fscanf(statm, "%lu", &pages) == 1);
	fclose(statm);
	struct rlimit limit = {pages * 4096 + ROOM, pages * 4096 + ROOM};
	CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
	start(1, NULL);
	/* the heap has what it needs from the first object on: it is the recorder that gets no more
	 */
	CHECK(mallopt(M_TOP_PAD, ROOM - (6 << 20)) == 1);
	size_t n = 0;
	while (n < N && (all[n] = malloc(40)))
		n++;
	const struct hf_site_store *s = hf_site_store();
	uint64_t recorded = 0;
	hf_live_each(s, count, &recorded);
	dprintf(1, "%zu objects, %lu recorded, %u lost\n", n, recorded, s->lost_objects);
	CHECK(n > ROOM / 48 / 2 && n < N && s->lost_objects > 0 && recorded > n / 2);
	CHECK(recorded + s->lost_objects >= n && recorded <= n + 10);
	/* the first ones last: malloc gives them out again first, and there is a table for them */
	uint32_t lost = s->lost_objects;
	for (size_t i = n; i-- > 0;)
		free(all[i]);
	recorded = 0;
	hf_live_each(s, count, &recorded);
	CHECK(recorded < 10);
	for (size_t i = 0; i < 1000; i++)
		all[i] = malloc(40);
	for (size_t i = 0; i < 1000; i++)
		CHECK(is_recorded(all[i]) || s->lost_objects > lost);
	CHECK(is_recorded(all[999]));
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	if (strcmp(what, "early") == 0) {
		start(1, NULL);
		early();
	} else if (strcmp(what, "killed") == 0 && argc == 3) {
		killed(argv[2]);
	} else if (strcmp(what, "modules") == 0 && argc == 4) {
		start(1, NULL);
		modules((const char *const *)argv + 2);
	} else if (strcmp(what, "switched") == 0) {
		switched();
	} else if (strcmp(what, "limited") == 0) {
		limited();
	} else if (strcmp(what, "sampled") == 0) {
		start(64 << 10, NULL);
		sampled();
	} else {
		static const struct {
			const char *name;
			void (*run)(void);
		} scenarios[] = {{"functions", functions}, {"frames", frames}, {"by_rbp", by_rbp},
			{"ways", ways}, {"signals", signals}, {"coroutines", coroutines},
			{"jit", jit}, {"forks", forks}, {"threads", threads}, {"ending", ending}};
		for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
			if (strcmp(what, scenarios[i].name) == 0) {
				start(1, NULL);
				scenarios[i].run();
				STAY;
				return 0;
			}
		}
		return 2;
	}
	STAY;
	return 0;
}

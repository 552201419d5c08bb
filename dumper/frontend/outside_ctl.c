#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "base/fmt.h"
#include "base/sys.h"
#include "frontend/outside.h"
#include "memory/mem_remote.h"
#include "site/control.h"
#include "stop/permission.h"

enum { PATIENCE_MS = 500, STEP_MS = 5 };

static bool copy(int pid, uint64_t addr, void *buf, size_t size, bool write)
{
	struct iovec local = {buf, size}, remote = {(void *)addr, size};
	ssize_t n = write ? process_vm_writev(pid, &local, 1, &remote, 1, 0)
			  : process_vm_readv(pid, &local, 1, &remote, 1, 0);
	return n == (ssize_t)size;
}

/* Where the running process has its control structure. */
static enum hf_status find(int pid, uint64_t *ret, struct hf_err *err)
{
	char dir[32];
	struct hf_pool pool;
	struct hf_maps maps;
	struct hf_mem *mem = NULL;
	struct hf_outside_library library;
	enum hf_status status = hf_permission_check(pid, err);
	if (status)
		return status;
	snprintf(dir, sizeof(dir), "/proc/%d", pid);
	hf_pool_init(&pool, NULL, 0);
	hf_vec_init(&maps.maps, sizeof(struct hf_map));
	hf_outside_library_init(&library);
	library.only_control = true;
	status = hf_maps_read(&maps, dir, &pool, err);
	if (!status)
		status = hf_mem_remote(&maps, pid, pid, &pool, &mem, err);
	if (!status) {
		hf_outside_library_find(&library, mem);
		*ret = library.control;
		if (!library.control)
			status = hf_err_set(err, HF_E_UNSUPPORTED,
				"process %d runs without libholdfast.so, or with one of another "
				"version: start it with `holdfast run`",
				pid);
	}
	hf_mem_destroy(mem);
	hf_maps_deinit(&maps);
	hf_outside_library_deinit(&library);
	hf_pool_deinit(&pool);
	return status;
}

static void describe(uint64_t request, char *ret, size_t size)
{
	uint32_t period = hf_site_request_period(request);
	if (period == 0)
		hf_fmt(ret, size, "no allocation sites");
	else if (period == 1)
		hf_fmt(ret, size, "the site of every allocation");
	else if (period % 1024 == 0)
		hf_fmt(ret, size, "one sample per %u KiB allocated", period / 1024);
	else
		hf_fmt(ret, size, "one sample per %u bytes allocated", period);
}

static enum hf_status request(
	int pid, uint64_t at, uint64_t wanted, struct hf_outside_result *result, struct hf_err *err)
{
	struct hf_site_control c = {{0}, 0, 0, 0, 0};
	uint64_t word = at + offsetof(struct hf_site_control, request);
	if (!copy(pid, word, &wanted, sizeof(wanted), true))
		return hf_permission_explain(pid, errno, err);
	for (int ms = 0; ms < PATIENCE_MS; ms += STEP_MS) {
		if (!copy(pid, at, &c, sizeof(c), false))
			return hf_err_set(err, HF_E_FAILED, "process %d has ended", pid);
		if (c.applied == wanted)
			break;
		hf_sys_sleep_ns(STEP_MS * 1000000u);
	}
	if (c.applied != wanted)
		hf_fmt(result->note, sizeof(result->note),
			"from its next allocations on; it has made few since");
	else if (c.result)
		return hf_err_sys(err, HF_E_FAILED, (int)-c.result,
			"process %d cannot record allocation sites", pid);
	return HF_OK;
}

enum hf_status hf_outside_ctl(const struct hf_outside_options *options,
	struct hf_outside_result *result, struct hf_err *err)
{
	uint64_t at = 0;
	struct hf_site_control c;
	enum hf_status status = find(options->pid, &at, err);
	if (status)
		return status;
	if (!copy(options->pid, at, &c, sizeof(c), false))
		return hf_permission_explain(options->pid, errno, err);
	describe(c.applied, result->was, sizeof(result->was));
	if (options->sample == HF_OUTSIDE_ASK)
		return HF_OK;
	uint64_t wanted = hf_site_request((uint32_t)options->sample);
	describe(wanted, result->now, sizeof(result->now));
	return request(options->pid, at, wanted, result, err);
}

/* Control groups in a tree of files that is made up: version 2, version 1, both, containers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sys.h"
#include "frontend/cgroup.h"
#include "frontend/pace.h"

static char root[64], proc[80];
static struct hf_cgroups groups;

static void put(const char *name, const char *text)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s", root, name);
	for (char *slash = strchr(path + strlen(root) + 1, '/'); slash;
		slash = strchr(slash + 1, '/')) {
		*slash = 0;
		mkdir(path, 0700);
		*slash = '/';
	}
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(root, "/tmp/holdfast-cgroup-XXXXXX");
	assert_non_null(mkdtemp(root));
	snprintf(proc, sizeof(proc), "%s/proc", root);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	char command[128];
	hf_cgroups_close(&groups);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

static void find(void)
{
	hf_cgroups_close(&groups);
	assert_true(hf_cgroups_find(&groups, proc, root, hf_sys_open_read));
}

static void expect_level(size_t i, const char *path, uint64_t limit)
{
	assert_true(i < groups.n);
	assert_string_equal(groups.levels[i].path + strlen(root), path);
	assert_int_equal(groups.levels[i].limit, limit);
}

static void test_v2(void **state)
{
	(void)state;
	put("proc/cgroup", "0::/user.slice/app.service\n");
	put("proc/mountinfo",
		"24 30 0:22 / /sys rw,nosuid - sysfs sysfs rw\n"
		"31 24 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n");
	put("sys/fs/cgroup/memory.stat", "anon 1\n");
	put("sys/fs/cgroup/user.slice/memory.max", "2000000\n");
	put("sys/fs/cgroup/user.slice/memory.current", "1500000\n");
	put("sys/fs/cgroup/user.slice/memory.stat", "anon 9\nfile 5\ninactive_file 600000\n");
	put("sys/fs/cgroup/user.slice/app.service/memory.max", "max\n");
	put("sys/fs/cgroup/user.slice/app.service/memory.current", "7\n");
	find();
	assert_int_equal(groups.n, 1);
	expect_level(0, "/sys/fs/cgroup/user.slice", 2000000);
	assert_int_equal(hf_cgroup_usage(&groups.levels[0]), 1500000);
	assert_int_equal(hf_cgroup_working_set(&groups.levels[0]), 900000);
	/* What is written later is read through the same descriptor. */
	put("sys/fs/cgroup/user.slice/memory.current", "1700000\n");
	assert_int_equal(hf_cgroup_usage(&groups.levels[0]), 1700000);
	/* A limit that appears, nearer. */
	put("sys/fs/cgroup/user.slice/app.service/memory.max", "1000\n");
	find();
	assert_int_equal(groups.n, 2);
	expect_level(0, "/sys/fs/cgroup/user.slice/app.service", 1000);
	expect_level(1, "/sys/fs/cgroup/user.slice", 2000000);
	/* Without memory.stat everything counts. */
	assert_int_equal(hf_cgroup_working_set(&groups.levels[0]), 7);
}

static void test_container(void **state)
{
	(void)state;
	/* A namespace of control groups: its own group is the root, and has the limit. */
	put("proc/cgroup", "0::/\n");
	put("proc/mountinfo", "31 24 0:27 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
	put("sys/fs/cgroup/memory.max", "4096\n");
	put("sys/fs/cgroup/memory.current", "1\n");
	find();
	expect_level(0, "/sys/fs/cgroup", 4096);
	/* Without one: the mount begins at the container's group. */
	put("proc/cgroup", "0::/docker/abc/worker\n");
	put("proc/mountinfo", "31 24 0:27 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
	put("sys/fs/cgroup/worker/memory.max", "512\n");
	put("sys/fs/cgroup/worker/memory.current", "1\n");
	find();
	assert_int_equal(groups.n, 2);
	expect_level(0, "/sys/fs/cgroup/worker", 512);
	expect_level(1, "/sys/fs/cgroup", 4096);
	/* A group that is not below what is mounted. */
	put("proc/cgroup", "0::/../other\n");
	find();
	assert_int_equal(groups.n, 1);
	expect_level(0, "/sys/fs/cgroup", 4096);
	put("proc/cgroup", "0::/docker/abcdef\n");
	find();
	assert_int_equal(groups.n, 1);
}

static void test_v1(void **state)
{
	(void)state;
	put("proc/cgroup", "5:devices:/x\n4:cpu,memory:/a b/c\n1:name=systemd:/memory\n0::/y\n");
	put("proc/mountinfo",
		"31 24 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
		"32 24 0:28 / /sys/fs/cgroup/sys\\040tem rw - cgroup cgroup rw,name=systemd\n"
		"33 24 0:29 / /sys/fs/cgroup/mem\\040ory rw - cgroup cgroup rw,cpu,memory\n");
	put("sys/fs/cgroup/mem ory/memory.limit_in_bytes", "9223372036854771712\n");
	put("sys/fs/cgroup/mem ory/memory.usage_in_bytes", "1\n");
	put("sys/fs/cgroup/mem ory/a b/c/memory.limit_in_bytes", "1000\n");
	put("sys/fs/cgroup/mem ory/a b/c/memory.usage_in_bytes", "900\n");
	put("sys/fs/cgroup/mem ory/a b/c/memory.stat",
		"inactive_file 1\ntotal_cache 7\ntotal_inactive_file 100\n");
	find();
	assert_int_equal(groups.n, 1);
	expect_level(0, "/sys/fs/cgroup/mem ory/a b/c", 1000);
	assert_int_equal(hf_cgroup_working_set(&groups.levels[0]), 800);
}

static void test_strange(void **state)
{
	(void)state;
	assert_false(hf_cgroups_find(&groups, proc, root, hf_sys_open_read));
	put("proc/cgroup", "\n:\n::\n0::\nmemory\n7:memory\n");
	put("proc/mountinfo",
		"\n- - -\n1 2 3\n31 24 0:27 / / rw - cgroup2\n31 - cgroup cgroup memory\n");
	find();
	assert_int_equal(groups.n, 0);
	/* A line that is longer than any buffer, and one without an end. */
	char *line = malloc(100001);
	memset(line, 'x', 100000);
	line[100000] = 0;
	put("proc/cgroup", "0::/a\n");
	put("proc/mountinfo", line);
	find();
	assert_int_equal(groups.n, 0);
	memset(line, '/', 100000);
	put("proc/cgroup", line);
	find();
	assert_int_equal(groups.n, 0);
	free(line);
}

static void test_pace(void **state)
{
	(void)state;
	struct hf_pace pace = {0};
	const uint64_t s = 1000000000, gib = 1ull << 30;
	/* Far away: seldom; near: often; nearer while it grows. */
	assert_int_equal(hf_pace_next(&pace, 10 * s, gib, 100 * gib), HF_PACE_LONGEST_NS);
	uint64_t wait = hf_pace_next(&pace, 11 * s, gib, 2 * gib);
	assert_in_range(wait, s / 8, s / 2);
	assert_int_equal(hf_pace_next(&pace, 12 * s, 2 * gib - 4096, 2 * gib), HF_PACE_SHORTEST_NS);
	assert_int_equal(hf_pace_next(&pace, 14 * s, 2 * gib - 4096, 2 * gib), HF_PACE_STILL_NS);
	assert_int_equal(hf_pace_next(&pace, 15 * s, 2 * gib + 1, 2 * gib), HF_PACE_STILL_NS);
	/* It shrinks, and grows again. */
	assert_int_equal(hf_pace_next(&pace, 20 * s, gib / 2, gib / 2 + 4096), HF_PACE_STILL_NS);
	assert_int_equal(hf_pace_next(&pace, 21 * s, gib / 2 + 2097152, gib / 2 + 2097153),
		HF_PACE_SHORTEST_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_v2, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_container, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_v1, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_strange, set_up, tear_down),
		cmocka_unit_test(test_pace),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

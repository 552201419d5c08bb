#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "frontend/config.h"

static struct hf_config config;
static struct hf_err err;

static void test_defaults(void **state)
{
	(void)state;
	assert_int_equal(hf_config_parse(&config, NULL, &err), HF_OK);
	assert_int_equal(config.signal, SIGUSR2);
	assert_false(config.on_exit);
	assert_int_equal(config.max_dumps, 16);
	assert_int_equal(config.limit_s, 300);
	assert_true(config.on_oom);
	assert_false(config.on_crash);
	assert_int_equal(config.pattern[0], '/');
	assert_non_null(strstr(config.pattern, "/%e.%p.%n.hfd"));
}

static void test_keys(void **state)
{
	(void)state;
	assert_int_equal(hf_config_parse(&config,
				 "out=/tmp/"
				 "a.%p,signal=RTMIN+3,exit=1,crash=1,oom=0,timeout=5,max=2,"
				 "contents=none,sample=0,",
				 &err),
		HF_OK);
	assert_int_equal(config.signal, 37);
	assert_true(config.on_exit);
	assert_int_equal(config.max_dumps, 2);
	assert_int_equal(config.limit_s, 5);
	assert_true(config.on_crash);
	assert_false(config.on_oom);
	assert_string_equal(config.pattern, "/tmp/a.%p");
	assert_false(config.every_s || config.rss_bytes || config.cgroup_percent);
	assert_true(config.max_given);
	assert_int_equal(
		hf_config_parse(&config, "rss=512M,cgroup=90%,every=60,keep=3", &err), HF_OK);
	assert_int_equal(config.rss_bytes, 512 << 20);
	assert_int_equal(config.cgroup_percent, 90);
	assert_int_equal(config.every_s, 60);
	assert_int_equal(config.keep, 3);
	assert_false(config.max_given);
	assert_int_equal(
		hf_config_parse(&config, "rss=0,cgroup=off,every=0,out=/d/%p,max=17", &err), HF_OK);
	assert_false(config.every_s || config.rss_bytes || config.cgroup_percent);
	assert_int_equal(config.max_dumps, 17);
	assert_int_equal(hf_config_parse(&config, "signal=off", &err), HF_OK);
	assert_int_equal(config.signal, 0);
}

static void test_wrong(void **state)
{
	(void)state;
	static const char *const wrong[] = {"sginal=USR1", "signal=KILL", "signal=NOPE",
		"exit=maybe", "max=x", "timeout=-1", "timeout=soon", "exit", "crash=maybe",
		"sample=x", "sample=2G", "profile=", "contents=some", "rss=1X", "cgroup=0%",
		"cgroup=101", "every=x", "keep=0", "every=1,out=/d/%p", "every=1,out=/d/%%n",
		"out="};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (hf_config_parse(&config, wrong[i], &err) != HF_E_USAGE)
			fail_msg("%s was taken", wrong[i]);
		assert_null(strchr(err.msg, '\n'));
	}
}

static void test_path(void **state)
{
	(void)state;
	char path[256];
	assert_int_equal(hf_config_parse(&config, "out=/d/%e-%p-%t-%n-100%%", &err), HF_OK);
	strcpy(config.program, "prog");
	assert_int_equal(hf_config_path(&config, 42, 1000, 7, path, sizeof(path), &err), HF_OK);
	assert_string_equal(path, "/d/prog-42-1000-7-100%");
	assert_int_equal(hf_config_path(&config, 42, 1000, 7, path, 10, &err), HF_E_USAGE);
	assert_int_equal(hf_config_parse(&config, "out=/d/%q", &err), HF_OK);
	assert_int_equal(
		hf_config_path(&config, 42, 1000, 7, path, sizeof(path), &err), HF_E_USAGE);
}

static void test_signals(void **state)
{
	(void)state;
	char buf[16];
	assert_int_equal(hf_signal_number("USR1"), SIGUSR1);
	assert_int_equal(hf_signal_number("SIGUSR2"), SIGUSR2);
	assert_int_equal(hf_signal_number("12"), 12);
	assert_int_equal(hf_signal_number("RTMIN"), 34);
	assert_int_equal(hf_signal_number("RTMIN+30"), 64);
	assert_int_equal(hf_signal_number("RTMIN+31"), 0);
	assert_int_equal(hf_signal_number("9"), 0);
	assert_int_equal(hf_signal_number("32"), 0);
	assert_int_equal(hf_signal_number("65"), 0);
	assert_string_equal(hf_signal_name(SIGUSR2, buf, sizeof(buf)), "USR2");
	assert_string_equal(hf_signal_name(36, buf, sizeof(buf)), "RTMIN+2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_signals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

# Programs at work that are dumped every 100 ms; and attacks on the dump itself.
function(hf_stress_test name label scenario)
	add_test(NAME stress_${name} COMMAND Python3::Interpreter ${here}/stress_test.py
		$<TARGET_FILE:holdfast> ${scenario} ${ARGN})
	set_tests_properties(stress_${name} PROPERTIES LABELS ${label} TIMEOUT 1500 SKIP_RETURN_CODE 77)
endfunction()
hf_stress_test(redis quick redis 5000)
hf_stress_test(nginx quick nginx 2)
hf_stress_test(sqlite quick sqlite 50000)
hf_stress_test(busy quick busy 1000 $<TARGET_FILE:busy> $<TARGET_FILE:busy_plugin>)
hf_stress_test(redis_long long redis 100000)
hf_stress_test(nginx_long long nginx 30)
hf_stress_test(sqlite_long long sqlite 2000000)
hf_stress_test(busy_long long busy 20000 $<TARGET_FILE:busy> $<TARGET_FILE:busy_plugin>)

# Dumps by memory and by time.
foreach(scenario rss fork cgroup_v1 cgroup_v2 every most several uid descriptors chroot cost)
	add_test(NAME watch_${scenario} COMMAND Python3::Interpreter ${here}/watch_test.py
		$<TARGET_FILE:holdfast> $<TARGET_FILE:watch_target> ${scenario})
	set_tests_properties(watch_${scenario} PROPERTIES LABELS quick TIMEOUT 300 SKIP_RETURN_CODE 77)
endforeach()

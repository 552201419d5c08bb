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
hf_stress_test(sqlite_long long sqlite 400000)
hf_stress_test(busy_long long busy 4000 $<TARGET_FILE:busy> $<TARGET_FILE:busy_plugin>)

# Dumps by memory and by time.
foreach(scenario rss fork cgroup_v1 cgroup_v2 every most several uid descriptors chroot cost)
	add_test(NAME watch_${scenario} COMMAND Python3::Interpreter ${here}/watch_test.py
		$<TARGET_FILE:holdfast> $<TARGET_FILE:watch_target> ${scenario})
	set_tests_properties(watch_${scenario} PROPERTIES LABELS quick TIMEOUT 300 SKIP_RETURN_CODE 77)
endforeach()

function(hf_attack_test name label scenario target)
	add_test(NAME attack_${name} COMMAND Python3::Interpreter ${here}/attack_test.py
		$<TARGET_FILE:holdfast> ${scenario} $<TARGET_FILE:${target}> ${ARGN})
	set_tests_properties(attack_${name} PROPERTIES LABELS ${label} TIMEOUT 1500 SKIP_RETURN_CODE 77
		ENVIRONMENT "PYTHONPATH=${PROJECT_SOURCE_DIR}/tests/targets")
endfunction()
hf_attack_test(kill quick kill heap_target 30)
hf_attack_test(kill_long long kill heap_target 500)
hf_attack_test(in_a_row quick in_a_row heap_target 50)
hf_attack_test(in_a_row_long long in_a_row heap_target 1000)
hf_attack_test(api quick api odd_program 50)
hf_attack_test(api_long long api odd_program 1000)
hf_attack_test(unfinished quick unfinished heap_target)
foreach(scenario triggers family descriptors namespaces setuid)
	hf_attack_test(${scenario} quick ${scenario} odd_program)
endforeach()

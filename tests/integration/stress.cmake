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

# The recorder of allocation sites, linked into a program that looks at its own records. As Debian
# builds programs: optimised, without frame pointers.
find_package(Threads REQUIRED)
function(site_self name)
	add_executable(${name} site_self.c)
	target_link_libraries(${name} PRIVATE hf_site_hooks_so hf_site_so hf_write_so hf_base_so
		Threads::Threads ${CMAKE_DL_LIBS})
	target_compile_definitions(${name} PRIVATE _GNU_SOURCE)
	target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/include)
	target_compile_options(${name} PRIVATE -Wall -Wextra -Werror -Wshadow -Wno-unused-parameter
		-Wno-alloc-size-larger-than -O2 -fomit-frame-pointer -fno-builtin
		-fno-optimize-sibling-calls -Wno-deprecated-declarations ${ARGN})
	target_link_options(${name} PRIVATE -rdynamic)
endfunction()
site_self(site_self)

foreach(frame 8 72)
	add_library(site_plugin_${frame} MODULE site_plugin.c)
	target_compile_definitions(site_plugin_${frame} PRIVATE FRAME=${frame})
	target_link_options(site_plugin_${frame} PRIVATE -Wl,--build-id)
endforeach()

# Each with the loader's table of modules and with our own, which old C libraries need.
foreach(table loaders own)
	if(table STREQUAL own)
		set(name site_own_table)
		set(environment SITE_OWN_TABLE=1)
	else()
		set(name site)
		set(environment)
	endif()
	set(killed ${CMAKE_CURRENT_BINARY_DIR}/${name}_killed.sites)
	foreach(scenario functions early frames by_rbp ways signals coroutines jit forks threads ending sampled switched limited
			"modules $<TARGET_FILE:site_plugin_8> $<TARGET_FILE:site_plugin_72>" "killed ${killed}")
		separate_arguments(scenario)
		list(GET scenario 0 word)
		add_test(NAME ${name}_${word} COMMAND site_self ${scenario})
		set_tests_properties(${name}_${word} PROPERTIES LABELS quick TIMEOUT 120 ENVIRONMENT "${environment}")
	endforeach()
endforeach()

# The library in front of ordinary programs.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_executable(site_reader site_reader.c)
target_link_libraries(site_reader PRIVATE hf_tool_flags hf_site)

function(site_targets_test target threads how)
	add_test(NAME site_targets_${target}_${threads}_${how}
		COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/site_targets.py
			$<TARGET_FILE:holdfast_so> $<TARGET_FILE:site_reader> $<TARGET_FILE:site_target_${target}>
			${threads} ${how})
	set_tests_properties(site_targets_${target}_${threads}_${how} PROPERTIES LABELS full TIMEOUT 120)
endfunction()
foreach(target c cxx c_lto cxx_lto)
	site_targets_test(${target} 1 exit)
	site_targets_test(${target} 8 exit)
endforeach()
site_targets_test(c 2 _exit)
site_targets_test(c 4 kill)
site_targets_test(cxx 4 abort)
foreach(allocator jemalloc.so.2 tcmalloc_minimal.so.4 mimalloc.so.2.0)
	foreach(target c cxx)
		string(REGEX REPLACE "[.].*" "" name ${allocator})
		add_test(NAME site_${name}_${target} COMMAND Python3::Interpreter
			${CMAKE_CURRENT_SOURCE_DIR}/site_targets.py $<TARGET_FILE:holdfast_so>
			$<TARGET_FILE:site_reader> $<TARGET_FILE:site_target_${target}> 4 exit lib${allocator})
		set_tests_properties(site_${name}_${target} PROPERTIES LABELS full TIMEOUT 120 SKIP_RETURN_CODE 77)
	endforeach()
endforeach()
add_test(NAME site_pprof COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/site_pprof.py
	$<TARGET_FILE:holdfast_so> $<TARGET_FILE:site_reader> $<TARGET_FILE:site_target_c>)
set_tests_properties(site_pprof PROPERTIES LABELS full TIMEOUT 120 SKIP_RETURN_CODE 77)
add_test(NAME site_programs COMMAND Python3::Interpreter
	${CMAKE_CURRENT_SOURCE_DIR}/site_programs.py $<TARGET_FILE:holdfast_so>)
set_tests_properties(site_programs PROPERTIES LABELS full TIMEOUT 300)
add_test(NAME site_dump COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/site_dump.py
	$<TARGET_FILE:holdfast_so> $<TARGET_FILE:holdfast> $<TARGET_FILE:site_target_c>)
set_tests_properties(site_dump PROPERTIES LABELS quick TIMEOUT 120)
add_test(NAME site_unwalked COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/site_unwalked.py
	$<TARGET_FILE:holdfast_so> $<TARGET_FILE:holdfast> $<TARGET_FILE:site_target_c> libjemalloc.so.2)
set_tests_properties(site_unwalked PROPERTIES LABELS quick TIMEOUT 120 SKIP_RETURN_CODE 77)

add_library(site_unnamed SHARED site_unnamed.c)
target_compile_options(site_unnamed PRIVATE -O2 -g0)
target_link_options(site_unnamed PRIVATE -s)
add_executable(site_unnamed_main site_unnamed.c)
target_compile_definitions(site_unnamed_main PRIVATE MAIN)
target_link_libraries(site_unnamed_main PRIVATE site_unnamed)
add_test(NAME site_default COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/site_default.py
	$<TARGET_FILE:holdfast_so> $<TARGET_FILE:holdfast> $<TARGET_FILE:site_target_c> $<TARGET_FILE:site_unnamed_main>)
set_tests_properties(site_default PROPERTIES LABELS quick TIMEOUT 120)

# Names of sites.
function(site_names_test target source)
	add_test(NAME site_names_${target} COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/site_names.py
		$<TARGET_FILE:holdfast> $<TARGET_FILE:${target}> ${PROJECT_SOURCE_DIR}/tests/targets/${source} ${ARGN})
	set_tests_properties(site_names_${target} PROPERTIES LABELS quick TIMEOUT 120)
endfunction()
site_names_test(site_target_c site_target.c)
site_names_test(site_target_cxx site_target.c)
site_names_test(site_target_c_lto site_target.c)
site_names_test(cpp_target cpp_target.cc cpp)
add_test(NAME site_ctl COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/site_ctl.py
	$<TARGET_FILE:holdfast_so> $<TARGET_FILE:holdfast> $<TARGET_FILE:site_reader> $<TARGET_FILE:site_target_c>)
set_tests_properties(site_ctl PROPERTIES LABELS quick TIMEOUT 120)
foreach(sample 0 512K 1)
	add_test(NAME site_cxx_${sample} COMMAND ${CMAKE_COMMAND} -E env LD_PRELOAD=$<TARGET_FILE:holdfast_so>
		HOLDFAST=signal=off,oom=off,sample=${sample} $<TARGET_FILE:site_cxx_host> $<TARGET_FILE:site_cxx_module>)
	set_tests_properties(site_cxx_${sample} PROPERTIES LABELS quick TIMEOUT 60)
endforeach()

# Exports by site.
foreach(name export export_pprof)
	add_test(NAME ${name} COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/export_test.py
		$<TARGET_FILE:holdfast> $<TARGET_FILE:site_target_c> ${PROJECT_SOURCE_DIR}/testdata/profiles
		$<$<STREQUAL:${name},export_pprof>:--go>)
	set_tests_properties(${name} PROPERTIES LABELS quick TIMEOUT 120 SKIP_RETURN_CODE 77)
endforeach()
add_test(NAME site_soak COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/site_soak.py
	$<TARGET_FILE:holdfast_so> $<TARGET_FILE:site_reader> $<TARGET_FILE:site_soak> 8)
set_tests_properties(site_soak PROPERTIES LABELS full TIMEOUT 120)
# A day of 10,000 allocations a second.
add_test(NAME site_soak_long COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/site_soak.py
	$<TARGET_FILE:holdfast_so> $<TARGET_FILE:site_reader> $<TARGET_FILE:site_soak> 600)
set_tests_properties(site_soak_long PROPERTIES LABELS long TIMEOUT 900)
add_test(NAME site_estimates COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/site_estimates.py
	$<TARGET_FILE:holdfast_so> $<TARGET_FILE:holdfast> $<TARGET_FILE:site_totals>)
set_tests_properties(site_estimates PROPERTIES LABELS full TIMEOUT 300)

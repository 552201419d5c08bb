# One folder of the tree is one static library. hf_module(NAME DIR ...) declares it and puts its
# headers on the include path of the targets that link it, and of no others, as "FOLDER/header.h":
# an include against the direction of the architecture does not compile.
#
#   hf_module(walk DIR dumper/walk SOURCES walk.c ... DEPS base memory [IN_TARGET])
#
# makes hf_walk; with IN_TARGET also hf_walk_so, the same sources built for libholdfast.so: never
# sanitized, hidden visibility, no stack protector (the code runs on threads without TLS of their own).

add_library(hf_flags INTERFACE)
target_compile_options(hf_flags INTERFACE
	-Wall -Wextra -Werror -Wshadow -Wvla -Wwrite-strings -Wno-unused-parameter
	$<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes>
	-fno-omit-frame-pointer -fstack-clash-protection)
target_compile_definitions(hf_flags INTERFACE _GNU_SOURCE HF_VERSION="${PROJECT_VERSION}")
target_include_directories(hf_flags INTERFACE ${PROJECT_SOURCE_DIR}/include)

add_library(hf_tool_flags INTERFACE)
target_link_libraries(hf_tool_flags INTERFACE hf_flags)
if(HF_SANITIZE)
	target_compile_options(hf_tool_flags INTERFACE -fsanitize=${HF_SANITIZE} -fno-sanitize-recover=all)
	target_link_options(hf_tool_flags INTERFACE -fsanitize=${HF_SANITIZE})
endif()
if(HF_FUZZ)
	target_compile_options(hf_tool_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

add_library(hf_so_flags INTERFACE)
target_link_libraries(hf_so_flags INTERFACE hf_flags)
target_compile_options(hf_so_flags INTERFACE
	-fvisibility=hidden -fno-stack-protector -ftls-model=initial-exec -fno-builtin-malloc)
target_compile_definitions(hf_so_flags INTERFACE HF_IN_TARGET=1)

function(hf_module name)
	cmake_parse_arguments(M "IN_TARGET" "DIR" "SOURCES;DEPS;LIBS" ${ARGN})
	get_filename_component(folder ${M_DIR} NAME)
	set(inc ${CMAKE_BINARY_DIR}/inc/${name})
	file(MAKE_DIRECTORY ${inc})
	file(CREATE_LINK ${PROJECT_SOURCE_DIR}/${M_DIR} ${inc}/${folder} SYMBOLIC)
	list(TRANSFORM M_SOURCES PREPEND ${PROJECT_SOURCE_DIR}/${M_DIR}/)

	set(deps ${M_DEPS})
	list(TRANSFORM deps PREPEND hf_)
	if(M_SOURCES)
		add_library(hf_${name} STATIC ${M_SOURCES})
		target_include_directories(hf_${name} PUBLIC ${inc})
		target_link_libraries(hf_${name} PRIVATE hf_tool_flags PUBLIC ${deps} ${M_LIBS})
	else()
		add_library(hf_${name} INTERFACE)
		target_include_directories(hf_${name} INTERFACE ${inc})
		target_link_libraries(hf_${name} INTERFACE ${deps} ${M_LIBS})
	endif()
	if(M_IN_TARGET)
		set(so_deps ${deps})
		list(TRANSFORM so_deps APPEND _so)
		if(M_SOURCES)
			add_library(hf_${name}_so STATIC ${M_SOURCES})
			target_include_directories(hf_${name}_so PUBLIC ${inc})
			target_link_libraries(hf_${name}_so PRIVATE hf_so_flags PUBLIC ${so_deps} ${M_LIBS})
		else()
			add_library(hf_${name}_so INTERFACE)
			target_include_directories(hf_${name}_so INTERFACE ${inc})
			target_link_libraries(hf_${name}_so INTERFACE ${so_deps} ${M_LIBS})
		endif()
	endif()
endfunction()

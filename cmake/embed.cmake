# Text files as C strings. hf_embed(OUT file.c ARRAY name FILES a.sql ...) makes file.c, built again
# when one of the files changes; it defines
#
#   const struct hf_embedded name[] = {{"a.sql", text, size}, …, {0}};      ("store/embedded.h")
#
# The same file run with cmake -P does the work.
if(CMAKE_SCRIPT_MODE_FILE)
	set(texts "")
	set(rows "")
	set(i 0)
	foreach(file ${FILES})
		file(READ ${file} hex HEX)
		get_filename_component(base ${file} NAME)
		string(LENGTH "${hex}" size)
		math(EXPR size "${size} / 2")
		string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
		string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n" hex "${hex}")
		string(APPEND texts "static const char text_${i}[] = {\n${hex}0};\n")
		string(APPEND rows "\t{\"${base}\", text_${i}, ${size}},\n")
		math(EXPR i "${i} + 1")
	endforeach()
	file(WRITE ${OUT} "#include \"${HEADER}\"\n\n${texts}\nconst struct hf_embedded ${ARRAY}[] = {\n${rows}\t{0},\n};\n")
	return()
endif()

function(hf_embed)
	cmake_parse_arguments(E "" "OUT;ARRAY;HEADER" "FILES" ${ARGN})
	add_custom_command(OUTPUT ${E_OUT}
		COMMAND ${CMAKE_COMMAND} -DOUT=${E_OUT} -DARRAY=${E_ARRAY} -DHEADER=${E_HEADER} "-DFILES=${E_FILES}"
			-P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
		DEPENDS ${E_FILES} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
		VERBATIM)
endfunction()

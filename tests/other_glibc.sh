#!/bin/sh
# usage: tests/other_glibc.sh BUILD_DIR WORK_DIR [--sites] [SUITE...]
#
# Runs the programs whose heaps are walked, by themselves and from outside after single instructions
# of malloc, and the recorder of allocation sites (--sites: that alone), against the C libraries of Debian releases: 2.31 (bullseye), 2.36 (bookworm), 2.41
# (trixie), 2.43 (sid). Needs the Debian archive and apt; nothing is installed: the
# packages libc6 and libc6-dev are unpacked under WORK_DIR and the program is linked to them.
set -eu
cd "$(dirname "$0")/.."
build=$(realpath "$1")
mkdir -p "$2"
work=$(realpath "$2")
shift 2
walks=1
[ "${1:-}" != --sites ] || { walks=0; shift; }
[ $# -gt 0 ] || set -- bullseye bookworm trixie sid

# Unpack the C library of a suite under $work/SUITE.
unpack() {
	root=$work/$1
	[ -e "$root/done" ] && return
	mkdir -p "$root/apt/lists/partial" "$root/apt/cache/archives/partial" "$root/debs"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
		"http://deb.debian.org/debian $1 main" >"$root/apt/sources.list"
	: >"$root/apt/status"
	apt="apt-get -q -o Dir::Etc::sourcelist=$root/apt/sources.list -o Dir::Etc::sourceparts=/dev/null
		-o Dir::State::lists=$root/apt/lists -o Dir::State::status=$root/apt/status
		-o Dir::Cache=$root/apt/cache -o Dir::Etc::preferencesparts=/dev/null
		-o APT::Sandbox::User=root -o Acquire::Languages=none"
	$apt update
	(cd "$root/debs" && $apt download libc6 libc6-dev)
	for deb in "$root"/debs/*.deb; do
		dpkg-deb -x "$deb" "$root/tree"
	done
	[ -e "$root/tree/usr/include/malloc.h" ] || return 1
	touch "$root/done"
}

# Link the program to the unpacked library, to be loaded by that library's own loader.
link() {
	program=$2
	tree=$work/$1/tree
	libs=$tree/lib/x86_64-linux-gnu
	[ -e "$libs/libc.so.6" ] || libs=$tree/usr/lib/x86_64-linux-gnu
	dev=$tree/usr/lib/x86_64-linux-gnu
	a=$build/lib/static
	# The linker scripts of libc6-dev name absolute paths: give the linker the files themselves.
	cc -O2 -g -std=gnu17 -D_GNU_SOURCE -fno-builtin-malloc -Iinclude \
		-I"$build/inc/base" -I"$build/inc/memory" -I"$build/inc/image" -I"$build/inc/index" \
		-I"$build/inc/walk" -nostdlib -pie -fPIE "$dev/Scrt1.o" "$dev/crti.o" \
		-isystem "$tree/usr/include/x86_64-linux-gnu" -isystem "$tree/usr/include" \
		"tests/integration/$program.c" \
		"$a/libhf_memory_remote_so.a" "$a/libhf_walk_so.a" "$a/libhf_image_so.a" "$a/libhf_index_so.a" \
		"$a/libhf_memory_so.a" "$a/libhf_base_so.a" \
		"$libs/libc.so.6" "$libs/libpthread.so.0" "$dev/libc_nonshared.a" -lgcc \
		"$libs/ld-linux-x86-64.so.2" "$dev/crtn.o" \
		-Wl,-rpath,"$libs" -Wl,-dynamic-linker,"$libs/ld-linux-x86-64.so.2" \
		-o "$work/$1/$program"
}

# The recorder in a program that looks at its own records, as tests/integration/site.cmake builds it.
link_sites() {
	tree=$work/$1/tree
	libs=$tree/lib/x86_64-linux-gnu
	[ -e "$libs/libc.so.6" ] || libs=$tree/usr/lib/x86_64-linux-gnu
	dev=$tree/usr/lib/x86_64-linux-gnu
	a=$build/lib/static
	flags="-O2 -g -std=gnu17 -D_GNU_SOURCE -fno-builtin -fomit-frame-pointer -fno-optimize-sibling-calls
		-w -Iinclude -I$build/inc/base -I$build/inc/site -I$build/inc/write
		-I$build/inc/site_hooks -isystem $tree/usr/include/x86_64-linux-gnu -isystem $tree/usr/include"
	for frame in 8 72; do
		cc $flags -fPIC -shared -nostdlib -DFRAME=$frame -Wl,--build-id tests/integration/site_plugin.c \
			"$libs/libc.so.6" -o "$work/$1/site_plugin_$frame.so"
	done
	cc $flags -nostdlib -pie -fPIE -rdynamic "$dev/Scrt1.o" "$dev/crti.o" \
		"$(cc -print-file-name=crtbeginS.o)" tests/integration/site_self.c \
		"$a/libhf_site_hooks_so.a" "$a/libhf_site_so.a" "$a/libhf_write_so.a" "$a/libhf_base_so.a" \
		"$libs/libc.so.6" "$libs/libpthread.so.0" "$libs/libdl.so.2" "$dev/libc_nonshared.a" -lgcc -lgcc_s \
		"$libs/ld-linux-x86-64.so.2" "$(cc -print-file-name=crtendS.o)" "$dev/crtn.o" \
		-Wl,-rpath,"$libs" -Wl,-dynamic-linker,"$libs/ld-linux-x86-64.so.2" -o "$work/$1/site_self"
}

# run SUITE NAME PROGRAM ARGUMENT...
run() {
	suite=$1
	name=$2
	shift 2
	program=$1
	shift
	"$work/$suite/$program" "$@" >"$work/out" 2>&1 && result=ok || result=FAILED
	[ $result = ok ] || failed=1
	echo "$suite $name: $result"
	grep -v -e '^ok' -e ' defines malloc' "$work/out" | sed 's/^/    /' | head -20
}

failed=0
for suite in "$@"; do
	unpack "$suite" >"$work/$suite.log" 2>&1 || { cat "$work/$suite.log"; exit 1; }
	link_sites "$suite"
	for scenario in functions early frames by_rbp ways signals coroutines jit forks threads ending sampled \
		switched limited; do
		run "$suite" "sites: $scenario" site_self $scenario
	done
	run "$suite" "sites: modules" site_self modules "$work/$suite/site_plugin_8.so" "$work/$suite/site_plugin_72.so"
	rm -f "$work/$suite/killed.sites"
	run "$suite" "sites: killed" site_self killed "$work/$suite/killed.sites"
	[ $walks = 1 ] || continue
	link "$suite" walk_self
	link "$suite" walk_stepped
	for scenario in single threads arena_max mxfast perturb trim mmapped mmapped_strangers mmap_threshold \
		foreign_sbrk block_brk heaps orphans pieces guards many_threads idle damage speed race step fuzz; do
		run "$suite" $scenario walk_self $scenario
	done
	# Mapped chunks wait in tcaches, and mappings have names, which splits them.
	for tunable in malloc.tcache_max=2000000 mem.decorate_maps=1; do
		export GLIBC_TUNABLES=glibc.$tunable
		for scenario in mmapped heaps block_brk; do
			run "$suite" "$scenario, $tunable" walk_self $scenario
		done
		unset GLIBC_TUNABLES
	done
	for tunable in malloc.tcache_count=0 malloc.tcache_count=2000 malloc.tcache_max=2000000 malloc.mxfast=0 \
		malloc.mxfast=160 malloc.hugetlb=1 malloc.arena_max=2 mem.decorate_maps=1; do
		export GLIBC_TUNABLES=glibc.$tunable
		case $tunable in malloc.tcache_count=0) export WALK_SELF_EMPTY_TCACHES=1 ;; esac
		run "$suite" "threads, $tunable" walk_self threads
		unset GLIBC_TUNABLES WALK_SELF_EMPTY_TCACHES
	done
	run "$suite" "stepped from outside" walk_stepped
done
exit $failed

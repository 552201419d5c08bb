#!/bin/sh
# Installs the Debian 12 packages that building, testing and the demo need; with the argument
# `demo`, only those of the demo. Safe to run again: it asks dpkg first and calls apt-get only for
# what is missing. As root, or with sudo.
set -eu

# Building and running Holdfast; one word a package.
BUILD_PACKAGES="
	ca-certificates
	git
	gcc
	g++
	libc6-dev
	binutils
	cmake
	ninja-build
	pkg-config
	zlib1g-dev
	liblz4-dev
	libelf-dev
	libdw-dev
	libsqlite3-dev
	libsmartcols-dev
	libreadline-dev
	libprotobuf-c-dev
	protobuf-c-compiler
	libiberty-dev
	libcmocka-dev
	python3
	procps
"
# What the tests use besides; nginx and redis are among the programs that are dumped,
# wrk gives nginx work, gdb makes core files of live processes; dwz and libdebuginfod1 have their
# tests, as have allocators other than glibc's, and musl; btrfs has quotas; golang-go brings pprof; rustc compiles a target,
# as does libc++; python3.11-dbg has the types of the interpreter.
TEST_PACKAGES="
	sqlite3
	nginx
	wrk
	redis-server
	redis-tools
	gdb
	dwz
	libdebuginfod1
	libjemalloc2
	libtcmalloc-minimal4
	libmimalloc2.0
	golang-go
	rustc
	libc++-dev
	libc++abi-dev
	python3.11-dbg
	musl-tools
	btrfs-progs
	strace
"

[ "${1:-}" != demo ] || TEST_PACKAGES=

# shellcheck disable=SC2086 # one word a package
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $BUILD_PACKAGES $TEST_PACKAGES 2>/dev/null |
	sed -n 's/^installed //p' | tr '\n' ' ')
missing=
for package in $BUILD_PACKAGES $TEST_PACKAGES; do
	case " $installed" in
	*" $package "*) ;;
	*) missing="$missing $package" ;;
	esac
done
if [ -z "$missing" ]; then
	echo "deps: every package is installed"
	exit 0
fi

as_root=
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "deps: these packages are missing and need root to install:$missing" >&2
		echo "deps: run as root: apt-get install --no-install-recommends$missing" >&2
		exit 1
	fi
	as_root=sudo
fi
if ! command -v apt-get >/dev/null; then
	echo "deps: no apt-get here; install by hand what these Debian packages hold:$missing" >&2
	exit 1
fi

# A package that is only here to be tested must not start its service on this machine.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap '$as_root rm -f $policy' EXIT
	trap 'exit 1' HUP INT TERM
	printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
	$as_root chmod 755 $policy
fi

echo "deps: installing$missing"
$as_root apt-get update -qq
# shellcheck disable=SC2086 # one word a package
$as_root env DEBIAN_FRONTEND=noninteractive \
	apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends $missing >/dev/null
echo "deps: done"

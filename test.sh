#!/bin/sh
# Installs what is missing, builds with -Werror and runs every test but the label `long`. The last
# lines are ctest's own count. `./test.sh asan` (or tsan, release, fuzz) does the same in another
# build.
set -eu
cd "$(dirname "$0")"
scripts/deps.sh
CTEST_PARALLEL_LEVEL=${CTEST_PARALLEL_LEVEL:-$(nproc)}
export CTEST_PARALLEL_LEVEL
exec cmake --workflow --preset "${1:-dev}"

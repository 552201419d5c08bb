#!/bin/sh
# How much of a heap is typed, and how that is known: share.sh HOLDFAST DUMP [load options]. Not a test: real programs
# built with -g take minutes to build. The figures of docs/types.md are of redis from Debian's source package
#     make -C redis-7.0.15 MALLOC=libc CFLAGS=-g OPTIMIZATION=-O2 redis-server
# filled with 20,000 strings, hashes, lists, sorted sets and a stream, started by `holdfast run [--exact]`.
set -eu
holdfast=$1
dump=$2
shift 2
database=$(mktemp "${TMPDIR:-/tmp}/share.XXXXXX.hfdb")
trap 'rm -f "$database"' EXIT
"$holdfast" load "$dump" -o "$database" "$@" >/dev/null
"$holdfast" sql "$database" "SELECT count(*) AS objects,
	round(100.0 * sum(CASE WHEN type_id THEN size END) / sum(size), 1) AS typed_bytes,
	round(100.0 * count(type_id) / count(*), 1) AS typed_objects FROM object WHERE reachable"
"$holdfast" sql "$database" "SELECT n.name, n.confidence, n.note, count(*) AS objects, sum(o.size) AS bytes
	FROM object o JOIN origin n ON n.id = o.origin_id WHERE o.type_id AND o.reachable GROUP BY n.id ORDER BY 5 DESC"

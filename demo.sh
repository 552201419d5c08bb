#!/bin/sh
# Holdfast in a minute: a server grows and no leak checker complains, because everything is still
# held. Who holds it, and who allocated it? Builds what is missing, starts tests/targets/leaky_server.c with the library
# preloaded, drives it over loopback, takes a heap dump while it serves, and asks.
set -eu
cd "$(dirname "$0")"
PRESET=${PRESET:-dev}
bin=$PWD/build/$PRESET/bin

scratch=$(mktemp -d "${TMPDIR:-/tmp}/holdfast-demo.XXXXXX")
server=''
client=''
clean_up() {
	for pid in $client $server; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	cd / && rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

say() {
	printf '\n# %s\n' "$*"
}

show() {
	# The command as one would type it, then its output.
	printf '$ %s\n' "$*"
	PATH=$bin:$PATH "$@"
}

fail() {
	echo "demo: $*" >&2
	exit 1
}

# Wait until the command given succeeds; a minute at most.
wait_for() {
	tries=0
	until "$@" >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt 600 ] || fail "waited a minute in vain for: $*"
		sleep 0.1
	done
}

quietly() {
	"$@" >"$scratch/log" 2>&1 || {
		cat "$scratch/log" >&2
		fail "failed: $*"
	}
}

scripts/deps.sh demo
if [ ! -x "$bin/holdfast" ] || [ ! -x "$bin/leaky_server" ]; then
	say "Building (preset $PRESET)"
fi
quietly cmake --preset "$PRESET"
quietly cmake --build --preset "$PRESET" --target holdfast holdfast_so holdfast-dump leaky_server

cd "$scratch"
dump=server.hfd
say "A server, started with the library preloaded; it records where memory is allocated"
echo "$ holdfast run --exact -o server.hfd -- leaky_server"
"$bin/holdfast" run --exact -o "$dump" -- "$bin/leaky_server" >"server.out" &
server=$!
wait_for grep -q 'listening on port' "server.out"
port=$(sed -n 's/listening on port //p' "server.out")

say "Users log in, look at their avatar and a page, and log out"
show leaky_server --client "$port" --logins 20000
"$bin/leaky_server" --client "$port" --logins 20000 >"client.out" &
client=$!
sleep 0.2
grep -E 'VmRSS' "/proc/$server/status"

say "A heap dump, while more of them do"
echo "$ kill -USR2 $server"
kill -USR2 "$server"
wait_for test -e "$dump"
wait_for test -e server.hfp.pb.gz # the profile with the stacks, beside it
wait "$client" || fail "the server stopped answering"
client=''
cat "client.out"
echo "server.hfd: $(du -h --apparent-size "$dump" | cut -f 1)"

say "What fills the memory?"
show holdfast report "$dump" | tee "report.out"
grep -q 'allocated at load_avatar (leaky_server.c:' "report.out" || fail "the report does not say who allocated it"

say "Who holds one of these objects? The largest below the biggest holder, say:"
address=$("$bin/holdfast" sql "$dump" --csv "
	SELECT printf('0x%x', o.addr) FROM object o JOIN root r ON r.id = o.holder_root_id
	WHERE r.variable_id = (SELECT id FROM variable ORDER BY held_size DESC LIMIT 1)
	AND o.held_count = 1 ORDER BY o.size DESC, o.id LIMIT 1" | tail -n 1)
show holdfast who "$dump" "$address" | tee "who.out"
grep -q 'allocated at load_avatar (leaky_server.c:' "who.out" || fail "the answer does not name load_avatar"
grep -q g_sessions "who.out" || fail "the answer does not name g_sessions"

say "g_sessions: sessions are put in at login, and nobody ever takes them out."

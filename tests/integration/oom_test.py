"""Dumps of programs that run out of memory, each for real.

usage: oom_test.py HOLDFAST TARGET SCENARIO
"""
import os
import pathlib
import subprocess
import sys
import tempfile

from harness import Failure, Holdfast, expect, run_target

WAYS = ["malloc", "calloc", "realloc", "reallocarray", "aligned_alloc", "posix_memalign", "memalign", "valloc",
        "pvalloc", "new", "new-nothrow", "new-aligned"]
# What the C++ library calls for operator new.
CALLED = {"new": "malloc", "new-nothrow": "malloc", "new-aligned": "aligned_alloc"}
LARGE = 64 << 20
RESERVE_MAX = 8 << 20


def check_dump(holdfast, path, n_nodes, trigger=None):
    """The dump is whole, and g_list holds every node."""
    info = holdfast.json("info", path)
    expect(f"{path.name} partial", info["partial"], False)
    if trigger:
        expect(f"{path.name} trigger", info["process"]["trigger"], trigger)
    holdfast("verify", path)
    db = holdfast.load(path)
    held = db.execute("SELECT held_count FROM variable WHERE name = 'g_list'").fetchone()
    expect(f"{path.name} nodes held by g_list", held, (n_nodes,))
    return db


def run(holdfast, target, *args, n_dumps=1, options=(), env=None):
    """The dumps of one run; its number of nodes."""
    for old in holdfast.folder.iterdir():
        old.unlink()
    done = run_target([*holdfast.run_command(*options), target, *args], env)
    dumps = sorted(holdfast.folder.glob("*.hfd"))
    expect(f"{' '.join(args)}: dumps", len(dumps), n_dumps)
    expect(f"{' '.join(args)}: lines on stderr", len(done.stderr.splitlines()), n_dumps)
    expect("files", len(list(holdfast.folder.iterdir())), 2 * n_dumps)  # and the profile beside it
    return dumps, int(done.stdout.removeprefix("nodes "))


def ways(holdfast, target):
    for way in WAYS:
        dumps, nodes = run(holdfast, target, "as", way)
        called = CALLED.get(way, way)
        check_dump(holdfast, dumps[0], nodes, f"oom: {called} of {LARGE} bytes")


def limits(holdfast, target):
    for way in ("calloc", "realloc", "memalign", "posix_memalign", "new"):
        dumps, nodes = run(holdfast, target, "data", way)
        check_dump(holdfast, dumps[0], nodes, f"oom: {CALLED.get(way, way)} of {LARGE} bytes")
    for limit, way in (("as", "small"), ("outside", "small"), ("as", "full"), ("as-soft", "full"), ("data", "small")):
        dumps, nodes = run(holdfast, target, limit, way)
        check_dump(holdfast, dumps[0], nodes, "oom: malloc of 64 bytes")
    # What the dump needs is more than the reserve.
    dumps, nodes = run(holdfast, target, "as", "full", "1000000")
    check_dump(holdfast, dumps[0], nodes)
    expect("more than the reserve holds", nodes > 1000000, True)


def overcommit(holdfast, target):
    """More than the kernel promises, which it refuses by itself."""
    if pathlib.Path("/proc/sys/vm/overcommit_memory").read_text().strip() == "1":
        print("SKIPPED: the kernel of this machine promises everything (vm.overcommit_memory is 1)")
        return 77
    for way in ("malloc", "calloc", "realloc", "memalign", "new"):
        dumps, nodes = run(holdfast, target, "overcommit", way)
        check_dump(holdfast, dumps[0], nodes)
    return 0


def strict(holdfast, target):
    """Strict accounting, with too little left for a fork: the dump is made in place. This changes the machine for some
    seconds, so somebody must ask for it; 1.5 GiB stay free for the others."""
    mode, limit = pathlib.Path("/proc/sys/vm/overcommit_memory"), pathlib.Path("/proc/sys/vm/overcommit_kbytes")
    if os.environ.get("HOLDFAST_TEST_OVERCOMMIT") != "1" or os.geteuid():
        print("SKIPPED: as root and with HOLDFAST_TEST_OVERCOMMIT=1 only: it sets vm.overcommit_memory to 2 meanwhile")
        return 77
    meminfo = dict(line.split(":") for line in pathlib.Path("/proc/meminfo").read_text().splitlines())
    before = {file: file.read_text() for file in (mode, limit, pathlib.Path("/proc/sys/vm/overcommit_ratio"))}
    try:
        limit.write_text(str(int(meminfo["Committed_AS"].split()[0]) + (4 << 20)))
        mode.write_text("2")
        dumps, nodes = run(holdfast, target, "committed", "malloc")
    finally:
        mode.write_text(before.pop(mode))
        for file, text in before.items():
            if text != "0\n":  # the one sets the other to 0
                file.write_text(text)
    check_dump(holdfast, dumps[0], nodes)
    info = holdfast.json("info", dumps[0])
    expect("snapshot", info["process"]["snapshot"], "in-place")
    expect("said", any("no snapshot could be forked (out of memory)" in f["text"] for f in info["findings"]), True)
    return 0


def once(holdfast, target):
    """One dump a burst, and none where no memory is wanting."""
    run(holdfast, target, "as", "burst")
    run(holdfast, target, "as", "threads")
    run(holdfast, target, "as", "absurd", n_dumps=0)
    run(holdfast, target, "as", "malloc", n_dumps=0, options=["--no-oom"])
    run(holdfast, target, "as", "malloc", n_dumps=1, options=["--no-oom", "--on-oom"])
    run(holdfast, target, "as", "malloc", n_dumps=0, env={"HOLDFAST": "oom=0"})


def sites(holdfast, target):
    """The same while allocation sites are recorded: other code is on the way."""
    for option in ("--sample=4K", "--exact"):
        for way in ("malloc", "realloc", "posix_memalign", "memalign"):
            for old in holdfast.folder.iterdir():
                old.unlink()
            done = run_target([*holdfast.run_command(option), target, "as", way], None)
            dump = next(holdfast.folder.glob("*.hfd"))
            check_dump(holdfast, dump, int(done.stdout.removeprefix("nodes ")), f"oom: {way} of {LARGE} bytes")


def reserve(holdfast, target):
    """What the library maps in a program that has it, all of it."""
    def mapped(*prefix):
        out = subprocess.run([*prefix, "cat", "/proc/self/statm"], check=True, capture_output=True, text=True).stdout
        return int(out.split()[0]) * os.sysconf("SC_PAGE_SIZE")
    plain, ours = mapped(), mapped(*holdfast.run_command())
    print(f"the library takes {(ours - plain) / 2**20:.2f} MiB of address space, at most {RESERVE_MAX / 2**20} MiB is fine")
    if not 1 << 20 < ours - plain <= RESERVE_MAX:
        raise Failure("the reserve is too large, or not there")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as folder:
        try:
            sys.exit(globals()[sys.argv[3]](Holdfast(sys.argv[1], folder), sys.argv[2]))
        except Failure as failure:
            sys.exit(f"FAIL {failure}")
